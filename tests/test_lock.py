"""Liveness by lock: whatever happens to a trainer, the kernel says whether it lives."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from sftui.runs import lock
from sftui.runs.status import read_status
from tests.run_fixtures import ROOT, alive, new_run, python, wait_until


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


HOLD = """
import sys, time
from pathlib import Path
from sftui.runs import lock
assert lock.acquire(Path(sys.argv[1])) is not None
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_is_held_from_taking_it_to_letting_go(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    assert not lock.is_held(path)
    assert not path.exists(), "looking must not make the file"
    descriptor = lock.acquire(path)
    assert descriptor is not None
    assert lock.is_held(path)
    assert not os.get_inheritable(descriptor)
    os.close(descriptor)
    assert not lock.is_held(path)


def test_a_second_taker_waits_in_patience_and_then_gives_up(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = lock.acquire(path)
    assert first is not None
    before, descriptors = time.monotonic(), open_files()
    assert lock.acquire(path, patience=0.1) is None
    assert 0.1 <= time.monotonic() - before < 5
    assert open_files() == descriptors, "a failed attempt keeps no file open"
    assert lock.is_held(path)
    os.close(first)
    second = lock.acquire(path, patience=0)
    assert second is not None
    os.close(second)


def test_a_lock_that_cannot_be_taken_here_says_why_and_keeps_no_file_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr(lock.fcntl, "flock", unsupported)
    descriptors = open_files()
    with pytest.raises(OSError, match="No locks available"):
        lock.acquire(tmp_path / "lock")
    assert open_files() == descriptors
    assert not lock.is_held(tmp_path / "lock")


def test_the_lock_of_a_killed_process_is_free_and_its_run_is_lost(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    with python(HOLD, str(run.lock_file)) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        alive(run, pid=child.pid, step=7)
        assert lock.is_held(run.lock_file)
        status = read_status(run)
        assert status is not None
        assert status.state == "running"
        child.send_signal(signal.SIGKILL)
        child.wait()
        assert not lock.is_held(run.lock_file)
        status = read_status(run)
        assert status is not None
        assert (status.state, status.step, status.alive) == ("lost", 7, False)


def test_a_stopped_process_is_alive(tmp_path: Path) -> None:
    with python(HOLD, str(tmp_path / "lock")) as child:
        assert child.stdout is not None
        child.stdout.readline()
        child.send_signal(signal.SIGSTOP)
        assert lock.is_held(tmp_path / "lock")


TRAINER = """
import os, subprocess, sys, time
from pathlib import Path
from sftui.runs import lock
from sftui.runs.directory import RunDirectory
run = RunDirectory(Path(sys.argv[1]))
if sys.argv[2] == "hook":
    from sftui.training.__main__ import _hold_lock
    assert _hold_lock(run)
else:
    assert lock.acquire(run.lock_file) is not None
worker = os.fork()
if worker == 0:
    time.sleep(60)
    os._exit(0)
program = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(worker, program.pid, flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize(("hook", "looks_alive"), [("hook", False), ("no hook", True)])
def test_a_worker_that_outlives_its_trainer_does_not_keep_it_looking_alive(
    tmp_path: Path, hook: str, looks_alive: bool
) -> None:
    run = new_run(tmp_path)
    with python(TRAINER, str(run.path), hook) as trainer:
        assert trainer.stdout is not None
        children = [int(word) for word in trainer.stdout.readline().split()]
        try:
            assert lock.is_held(run.lock_file)
            trainer.kill()
            # Not communicate: the children keep the pipe open.
            trainer.wait()
            for child in children:
                os.kill(child, 0)
            if looks_alive:
                assert lock.is_held(run.lock_file)
            else:  # a child lets go as soon as it is scheduled
                wait_until(lambda: not lock.is_held(run.lock_file))
        finally:
            for child in children:
                os.kill(child, signal.SIGKILL)


PROBE = """
import sys
from pathlib import Path
from sftui.runs import lock
path = Path(sys.argv[1])
print("looking", flush=True)
while True:
    lock.is_held(path)
"""


def test_watchers_that_never_stop_looking_do_not_keep_a_launcher_from_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    with ExitStack() as stack:
        for _ in range(4):
            child = stack.enter_context(python(PROBE, str(path)))
            assert child.stdout is not None
            child.stdout.readline()
        for _ in range(20):
            descriptor = lock.acquire(path)
            assert descriptor is not None
            os.close(descriptor)


def test_the_trainer_keeps_the_lock_that_the_launcher_took(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sftui.runs.launch import LOCK_VARIABLE

    run = new_run(tmp_path)
    descriptor = lock.acquire(run.lock_file)
    assert descriptor is not None
    environment = {**os.environ, LOCK_VARIABLE: str(descriptor)}
    code = f"""
import sys; sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from sftui.runs.directory import RunDirectory
from sftui.training.__main__ import _hold_lock
print(_hold_lock(RunDirectory(Path(sys.argv[1]))), flush=True)
sys.stdin.readline()
"""
    with python(code, str(run.path), env=environment, pass_fds=(descriptor,), stdin=-1) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == "True\n"
        os.close(descriptor)
        assert lock.is_held(run.lock_file)
        child.communicate("\n")
    wait_until(lambda: not lock.is_held(run.lock_file), 1)
