"""Child processes that read, render and tokenise for us.

Templates and rows come from strangers: what renders them may hang or grow, and is slow in Python. A
child can be killed, runs on a core of its own and leaves the caller's memory and event loop alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any, Generic, TypeVar

from sftui.errors import InputError

T = TypeVar("T")

MEMORY_BYTES = 4 << 30  # that a child may take beyond what it has after its start
START_SECONDS = 120.0
CONTROL_GROUP = Path("/sys/fs/cgroup/cpu.max")  # `quota period` in microseconds, or `max period`
IDLE_SECONDS = 0.02  # a child looks for requests between pieces of its own work at least so often


class WorkerLostError(Exception):
    """The child ended, or was killed because it took too long, before it answered."""


class TooMuchMemoryError(InputError):
    """What was asked for takes more memory than a child may have."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a child builds first: `module:name`, called with `arguments` (picklable)."""

    target: str
    arguments: tuple[Any, ...] = ()


class Worker:
    """One child process that hosts the object which `job` builds, and calls its methods for us.

    One request at a time; safe to use from one thread at a time, except `kill`. The child ends when
    this process does, however that comes about and whatever the child is doing: see `end_with_parent`.
    """

    def __init__(self, job: Job, *, low_priority: bool = False) -> None:
        self.job = job
        self._nice = low_priority
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: Connection | None = None
        self._lifeline: Connection | None = None  # open for as long as the child is to live
        self._killed = False

    def ask(self, method: str, *arguments: Any, timeout: float | None = None) -> Any:
        """Call `method` of the child's object; starts the child if there is none.

        Raises what the method raised if it is an InputError, TooMuchMemoryError if it ran out of memory,
        WorkerLostError if the child did not answer within `timeout` seconds or is gone, RuntimeError with
        the child's traceback otherwise. `timeout` does not count the time to start and to build the object.
        """
        if self._killed:
            raise WorkerLostError
        if self._pipe is None:
            self._start()
        assert self._pipe is not None
        try:
            self._pipe.send((method, arguments))
            if not self._pipe.poll(timeout):
                self._end()
                raise WorkerLostError
            kind, value = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._end()
            raise WorkerLostError from error
        return _said(kind, value)

    def kill(self) -> None:
        """End the child for good, at once; may be called from any thread."""
        self._killed = True
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        """End the child; it may be started again by `ask`."""
        self._end()

    def _start(self) -> None:
        try:
            self._pipe = self._spawn()
        except OSError as error:
            raise InputError(
                f"a process to read data cannot be started: {error.strerror or error}"
            ) from error
        if self._killed:
            self._end()
            raise WorkerLostError
        try:
            self._pipe.send(self.job)
            if not self._pipe.poll(START_SECONDS):
                raise EOFError
            kind, value = self._pipe.recv()
        except (EOFError, OSError) as error:
            self._end()
            raise WorkerLostError from error
        if kind != "done":
            self._end()
        _said(kind, value)

    def _spawn(self) -> Connection:
        """Start the process; our end of its pipe."""
        ours, theirs = Pipe()
        life, lifeline = Pipe(duplex=False)
        passed: list[int] = []
        try:
            # In a process without stdin they may be 0 to 2, which are others in the child.
            passed += (fcntl.fcntl(each.fileno(), fcntl.F_DUPFD_CLOEXEC, 3) for each in (theirs, life))
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "sftui.data.workers", *map(str, passed), str(int(self._nice))],
                pass_fds=passed,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "TOKENIZERS_PARALLELISM": "false"},
                start_new_session=True,  # ctrl+c in the terminal is for the app
            )
        finally:
            for descriptor in passed:
                os.close(descriptor)
            theirs.close()
            life.close()
        self._lifeline = lifeline
        return ours

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        for each in (self._pipe, self._lifeline):
            if each is not None:
                each.close()
        self._process = self._pipe = self._lifeline = None


def _said(kind: str, value: Any) -> Any:
    """The answer of a child, or what it raised."""
    if kind == "done":
        return value
    if kind == "input":
        raise value
    if kind == "memory":
        raise TooMuchMemoryError("too much memory is needed to read or render this")
    raise RuntimeError(f"a data process failed:\n{value}")


class Pool(Generic[T]):
    """Several children of the same job, and the tasks that are spread over them.

    `size` children; each is started when its first task comes.
    """

    def __init__(self, job: Job, size: int, *, low_priority: bool = False) -> None:
        self.size = max(1, size)
        self._workers = [Worker(job, low_priority=low_priority) for _ in range(self.size)]
        self._tasks: queue.PriorityQueue[tuple[int, int, _Task | None]] = queue.PriorityQueue()
        self._count = 0
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._closed = False

    def submit(
        self,
        method: str,
        *arguments: Any,
        timeout: float | None = None,
        urgent: bool = False,
        lost: str | None = None,
    ) -> Future[T]:
        """Have some child call `method`; urgent tasks come before all others that wait.

        The future fails as `Worker.ask` raises. With `lost`, it fails with that as an InputError where
        the child is lost.
        """
        task = _Task(method, arguments, timeout, lost, Future())
        with self._lock:
            if self._closed:
                task.future.cancel()
                return task.future
            self._count += 1
            self._tasks.put((0 if urgent else 1, self._count, task))
            if len(self._threads) < self.size:
                worker = self._workers[len(self._threads)]
                thread = threading.Thread(target=self._serve, args=(worker,), daemon=True)
                self._threads.append(thread)
                thread.start()
        return task.future

    @property
    def job(self) -> Job:
        """What a child builds when it is started; a new value counts for the next start."""
        return self._workers[0].job

    @job.setter
    def job(self, value: Job) -> None:
        for worker in self._workers:
            worker.job = value

    def ordered(
        self, calls: Iterable[tuple[Any, ...]], *, timeout: float | None = None
    ) -> Iterator[Future[T]]:
        """The finished futures of many calls (method, *arguments), in the order of the calls.

        Only a few are under way at a time, so that results do not pile up in memory.
        """
        ahead: list[Future[T]] = []
        for method, *arguments in calls:
            ahead.append(self.submit(method, *arguments, timeout=timeout))
            if len(ahead) > 2 * self.size:
                yield _finished(ahead.pop(0))
        for future in ahead:
            yield _finished(future)

    def kill(self) -> None:
        """End all children at once, and wait for nothing; tasks that have not begun are cancelled."""
        with self._lock:
            self._closed = True
        for worker in self._workers:
            worker.kill()
        with contextlib.suppress(queue.Empty):
            while True:
                task = self._tasks.get_nowait()[2]
                if task is not None:
                    task.future.cancel()
        for _ in self._threads:
            self._tasks.put((0, 0, None))

    def close(self) -> None:
        """End all children and wait until they have ended; not to be called by a task's future."""
        self.kill()
        for thread in self._threads:
            thread.join()

    def __enter__(self) -> Pool[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _serve(self, worker: Worker) -> None:
        try:
            while (task := self._tasks.get()[2]) is not None:
                if task.future.set_running_or_notify_cancel():
                    self._answer(worker, task)
        finally:
            worker.close()

    def _answer(self, worker: Worker, task: _Task) -> None:
        try:
            value = worker.ask(task.method, *task.arguments, timeout=task.timeout)
        except WorkerLostError as error:
            said = InputError(task.lost) if task.lost is not None and not self._closed else error
            task.future.set_exception(said)
        except BaseException as error:
            task.future.set_exception(error)
        else:
            task.future.set_result(value)


@dataclass(frozen=True, slots=True)
class _Task:
    method: str
    arguments: tuple[Any, ...]
    timeout: float | None
    lost: str | None
    future: Future[Any]


def _finished(future: Future[T]) -> Future[T]:
    future.exception()
    return future


def process_count() -> int:
    """How many cores this process may use: those it may run on, less what its control group is denied."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = CONTROL_GROUP.read_text().split()
        return max(1, min(cores, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no control group, or `max`
        return cores


def serve(pipe: Connection) -> None:
    """The child's life: build the object, then answer until the other end is closed."""
    from sftui.data.bounds import limit_memory

    hosted: list[Any] = []

    def build() -> None:
        job: Job = pipe.recv()
        module, _, name = job.target.partition(":")
        hosted.append(getattr(importlib.import_module(module), name)(*job.arguments))

    def call(request: bytes) -> Any:
        method, arguments = pickle.loads(request)
        return getattr(hosted[0], method)(*arguments)

    with contextlib.suppress(EOFError, OSError):
        pipe.send_bytes(_answer(build))
        if not hosted:
            return
        limit_memory(MEMORY_BYTES)
        idle: Callable[[float], bool] = getattr(hosted[0], "idle", lambda seconds: False)
        while True:
            # Between requests the object may go on with work of its own, in small pieces.
            while not pipe.poll(0) and idle(IDLE_SECONDS):
                pass
            pipe.send_bytes(_answer(partial(call, pipe.recv_bytes())))


def _answer(act: Callable[[], Any]) -> bytes:
    """What is sent back: what `act` returns, or how it failed."""
    import traceback

    try:
        return pickle.dumps(("done", act()))
    except InputError as error:
        return pickle.dumps(("input", error))
    except MemoryError:
        return pickle.dumps(("memory", None))
    except Exception:
        return pickle.dumps(("failed", traceback.format_exc()))


def end_with_parent(descriptor: int) -> None:
    """Have this process ended when the other end of the pipe `descriptor` is closed, by SIGIO.

    The system does it, also in the midst of a regular expression that never ends, where Python would not
    look at a closed pipe. (A death signal of the parent would come with the end of the thread that
    started us.)
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGIO])
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[2]))
    warnings.simplefilter("ignore")  # nobody would read them
    if int(sys.argv[3]):
        os.nice(15)
    serve(Connection(int(sys.argv[1])))
