"""Data processes answer, or are given up; they never outlive us and never touch our terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError
from typing import Any

import pytest

from sftui.data import workers
from sftui.data.workers import Job, Pool, TooMuchMemoryError, Worker, WorkerLostError, process_count
from sftui.errors import InputError
from tests.run_fixtures import ROOT
from tests.worker_objects import allow, gone

HOST = "tests.worker_objects:Host"


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    allow(monkeypatch)


@pytest.fixture
def worker() -> Iterator[Worker]:
    one = Worker(Job(HOST, ("one",)))
    yield one
    one.close()


@pytest.fixture
def pool() -> Iterator[Pool[Any]]:
    with Pool[Any](Job(HOST, ("one",)), 2) as several:
        yield several


def pid_of(worker: Worker) -> int:
    return int(worker.ask("about")[2])


def test_a_worker_answers_and_keeps_its_object(worker: Worker) -> None:
    assert worker.ask("echo", {"a": [1, 2]}) == {"a": [1, 2]}
    name, calls, pid = worker.ask("about")
    assert (name, calls) == ("one", 1)
    assert pid != os.getpid()


def test_large_questions_and_answers_pass(worker: Worker) -> None:
    assert worker.ask("echo", b"x" * 20_000_000) == b"x" * 20_000_000


def test_input_errors_pass_with_all_they_say(worker: Worker) -> None:
    with pytest.raises(InputError) as error:
        worker.ask("refuse")
    said = error.value
    assert (said.problem, said.file, said.line) == ("is wrong", "train.jsonl", 3)
    assert (said.key, said.hint) == ("data.train", "mend it")
    assert str(said) == "train.jsonl:3: data.train: is wrong\n  mend it"
    assert worker.ask("echo", 1) == 1


def test_an_object_that_cannot_be_built_says_why_each_time() -> None:
    worker = Worker(Job(HOST, ("bad",)))
    for _ in range(2):
        with pytest.raises(InputError, match="name: cannot be built"):
            worker.ask("echo", 1)


@pytest.mark.parametrize(("method", "said"), [("fail", "of ours"), ("unpicklable", "pickle")])
def test_other_exceptions_come_with_the_traceback_of_the_child(
    worker: Worker, method: str, said: str
) -> None:
    pid = pid_of(worker)
    with pytest.raises(RuntimeError, match="Traceback") as error:
        worker.ask(method)
    assert said in str(error.value)
    assert pid_of(worker) == pid


def test_a_missing_module_is_an_error_not_a_hang() -> None:
    with pytest.raises(RuntimeError, match="No module named 'nowhere'"):
        Worker(Job("nowhere:Host")).ask("echo", 1)


@pytest.mark.parametrize("method", ["loop", "compute"])
def test_a_child_that_hangs_is_given_up_and_started_again(worker: Worker, method: str) -> None:
    pid = pid_of(worker)
    began = time.monotonic()
    with pytest.raises(WorkerLostError):
        worker.ask(method, timeout=0.2)
    assert time.monotonic() - began < 20
    assert gone(pid)
    assert worker.ask("about")[:2] == ("one", 0)


def test_a_child_that_dies_is_lost_and_started_again(worker: Worker) -> None:
    with pytest.raises(WorkerLostError):
        worker.ask("die")
    assert worker.ask("echo", 1) == 1


def test_another_thread_may_kill(worker: Worker) -> None:
    pid = pid_of(worker)
    threading.Timer(0.2, worker.kill).start()
    with pytest.raises(WorkerLostError):
        worker.ask("sleep", 30)
    assert gone(pid)
    with pytest.raises(WorkerLostError):
        worker.ask("echo", 1)


def test_too_much_memory_is_an_input_error_and_the_child_lives_on(worker: Worker) -> None:
    pid = pid_of(worker)
    with pytest.raises(TooMuchMemoryError, match="too much memory") as error:
        worker.ask("grow")
    assert isinstance(error.value, InputError)
    assert pid_of(worker) == pid


def test_nothing_that_a_child_prints_is_ours(worker: Worker, capfd: pytest.CaptureFixture[str]) -> None:
    assert worker.ask("speak") == 6
    worker.close()
    assert capfd.readouterr() == ("", "")


def test_a_process_that_cannot_be_started_is_an_input_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(InputError, match="a process to read data cannot be started: No such file"):
        Worker(Job(HOST)).ask("echo", 1)


def test_a_child_in_the_background_gives_way(worker: Worker) -> None:
    polite = Worker(Job(HOST), low_priority=True)
    try:
        assert polite.ask("nice") > worker.ask("nice")
    finally:
        polite.close()


PARENT = """
import sys, threading, time
from sftui.data.workers import Job, Worker
worker = Worker(Job("tests.worker_objects:Host"))
print(worker.ask("about")[2], flush=True)
if sys.argv[1] != "idle":
    worker.ask(sys.argv[1])
time.sleep(60)
"""


@pytest.mark.parametrize("doing", ["idle", "loop", "compute"])
def test_a_child_ends_with_its_parent_whatever_it_is_doing(doing: str) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, doing], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    time.sleep(0.2)
    assert not gone(child, 0.1)
    parent.kill()
    parent.communicate()
    assert gone(child, 2.0)


def test_an_interrupt_at_the_terminal_does_not_reach_a_child(worker: Worker) -> None:
    pid = pid_of(worker)
    assert os.getpgid(pid) != os.getpgid(0)
    assert os.getsid(pid) != os.getsid(0)


CLOSED = """
import os, sys
from sftui.data.workers import Job, Pool
for descriptor in map(int, sys.argv[1:]):
    os.close(descriptor)
with Pool(Job("tests.worker_objects:Host"), 2) as pool:
    answers = [pool.submit("echo", n).result() for n in range(3)]
os.write(3 if "1" in sys.argv[1:] else 1, str(answers).encode())
"""


@pytest.mark.parametrize("closed", [["0"], ["0", "2"], ["0", "1", "2"]])
def test_a_pool_works_without_standard_streams(closed: list[str], tmp_path: Any) -> None:
    out = tmp_path / "out"
    command = [sys.executable, "-c", CLOSED, *closed]
    code = f"import os, sys; os.dup2(os.open({str(out)!r}, os.O_WRONLY | os.O_CREAT), 3); "
    code += f"os.set_inheritable(3, True); os.dup2(3, 1); os.execv({sys.executable!r}, {command!r})"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=60, close_fds=False)
    assert out.read_text() == "[0, 1, 2]"


# -- pools


def test_results_come_in_the_order_of_the_calls(pool: Pool[Any]) -> None:
    calls = [("sleep", 0.05 if n % 3 == 0 else 0.0) for n in range(20)]
    assert [future.result() for future in pool.ordered(calls)] == [seconds for _, seconds in calls]


def test_only_a_few_calls_are_under_way_at_a_time(pool: Pool[Any]) -> None:
    begun: list[int] = []

    def calls() -> Iterator[tuple[Any, ...]]:
        for number in range(40):
            begun.append(number)
            yield "echo", number

    for number, future in enumerate(pool.ordered(calls())):
        assert future.result() == number
        assert len(begun) <= number + 2 * pool.size + 1


def test_a_lost_call_is_the_only_one_lost(pool: Pool[Any]) -> None:
    calls = [("echo", 1), ("die",), ("echo", 2), ("echo", 3), ("sleep", 30), ("echo", 4)]
    done = list(pool.ordered(calls, timeout=2.0))
    assert [type(future.exception()) for future in done] == [
        *(type(None), WorkerLostError, type(None), type(None), WorkerLostError, type(None))
    ]


def test_what_is_urgent_comes_first() -> None:
    with Pool[Any](Job(HOST), 1) as pool:
        done: list[str] = []
        first = pool.submit("sleep", 0.5)
        for name, urgent in (("a", False), ("b", False), ("c", True), ("d", True)):
            pool.submit("echo", name, urgent=urgent).add_done_callback(lambda f: done.append(f.result()))
        assert first.result() == 0.5
        pool.submit("echo", "").result()
        assert done == ["c", "d", "a", "b"]


def test_a_loss_may_be_told_in_the_callers_words(pool: Pool[Any]) -> None:
    with pytest.raises(InputError, match="this row is too much"):
        pool.submit("die", lost="this row is too much").result()


def test_another_job_counts_from_the_next_start() -> None:
    with Pool[Any](Job(HOST, ("one",)), 1) as pool:
        assert pool.submit("about").result()[0] == "one"
        pool.job = Job(HOST, ("two",))
        assert pool.submit("about").result()[0] == "one"
        with pytest.raises(WorkerLostError):
            pool.submit("die").result()
        assert pool.submit("about").result()[0] == "two"


def test_closing_ends_what_runs_and_cancels_what_waits() -> None:
    pool = Pool[Any](Job(HOST), 1)
    pid = pool.submit("about").result()[2]
    running = pool.submit("sleep", 60)
    waiting = [pool.submit("echo", n) for n in range(5)]
    time.sleep(0.1)
    began = time.monotonic()
    pool.close()
    pool.close()
    assert time.monotonic() - began < 20
    assert gone(pid)
    with pytest.raises(WorkerLostError):
        running.result(1)
    assert all(future.cancelled() for future in waiting)
    with pytest.raises(CancelledError):
        pool.submit("echo", 1).result(1)


def test_several_threads_may_close_at_once() -> None:
    for _ in range(5):
        pool = Pool[Any](Job(HOST), 2)
        futures = [pool.submit("sleep", 60) for _ in range(3)]
        closers = [threading.Thread(target=pool.close) for _ in range(4)]
        for thread in closers:
            thread.start()
        for thread in closers:
            thread.join(10)
            assert not thread.is_alive()
        assert all(future.done() for future in futures)


def test_killing_waits_for_nothing_even_from_a_tasks_own_future() -> None:
    pool = Pool[Any](Job(HOST), 1)
    ended = threading.Event()
    future = pool.submit("echo", 1)
    future.add_done_callback(lambda _: (pool.kill(), ended.set()))
    assert ended.wait(30)
    began = time.monotonic()
    pool.kill()
    assert time.monotonic() - began < 2


def test_the_cores_are_those_that_the_control_group_allows(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    limit = tmp_path / "cpu.max"
    monkeypatch.setattr(workers, "CONTROL_GROUP", limit)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))
    assert process_count() == 64
    for text, expected in (("max 100000\n", 64), ("800000 100000\n", 8), ("20000 100000\n", 1)):
        limit.write_text(text)
        assert process_count() == expected


def test_a_signal_that_the_parent_ignores_still_ends_the_child() -> None:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        test_a_child_ends_with_its_parent_whatever_it_is_doing("compute")
    finally:
        signal.signal(signal.SIGIO, before)
