"""Launching: one trainer a run, which outlives whoever started it. The trainers here are stand-ins."""

from __future__ import annotations

import errno
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sftui.errors import InputError
from sftui.recipe_file import load_recipe
from sftui.runs import launch, lock
from sftui.runs.directory import RunDirectory
from sftui.runs.events import read_events
from sftui.runs.status import Status, read_status, write_status
from tests.run_fixtures import (
    PLAN,
    ROOT,
    alive,
    end,
    fake_interpreter,
    held,
    launched_run,
    new_run,
    plan,
    python,
    recipe,
    wait_for_state,
    wait_until,
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the runs are; trainers launched in the test are stand-ins, and gone at its end."""
    interpreter = fake_interpreter(tmp_path)
    monkeypatch.setattr(launch, "sys", SimpleNamespace(executable=interpreter))
    monkeypatch.delenv(PLAN, raising=False)
    runs = tmp_path / "runs"
    yield runs
    for path in runs.iterdir() if runs.is_dir() else ():
        end(RunDirectory(path))
    launch.reap()


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say what the stand-ins launched from now on do."""
    return lambda **values: monkeypatch.setenv(PLAN, plan(**values)[PLAN])


def kinds(run: RunDirectory) -> list[str]:
    return [event["type"] for event in read_events(run.events_file) if event["type"] != "memory"]


def started(folder: Path, **training: Any) -> RunDirectory:
    return launch.start(recipe(folder, **training), ["sftui", "train", "x.yaml"])


# Starting


def test_a_started_run_has_its_recipe_environment_and_trainer(folder: Path) -> None:
    run = started(folder, seed=7)
    assert load_recipe(run.recipe_file) == recipe(folder, seed=7)
    environment = json.loads(run.environment_file.read_text())
    assert environment["command"] == ["sftui", "train", "x.yaml"]
    status = wait_for_state(run, "finished")
    assert (status.step, status.max_steps) == (3, 3)
    assert kinds(run) == ["start", "step", "step", "step", "eval", "end"]
    assert "the trainer speaks" in run.log_file.read_text()
    wait_until(lambda: not lock.is_held(run.lock_file))
    launch.reap()
    assert launch._children == []


def test_a_run_is_alive_from_the_moment_that_start_returns(folder: Path, planned: Any) -> None:
    planned(steps=1000, seconds=0.01)
    run = started(folder)
    for _ in range(200):
        status = read_status(run)
        assert status is not None
        assert status.alive
        time.sleep(0.002)
    assert wait_for_state(run, "running").pid == launch._children[-1].pid


def test_a_trainer_leads_a_session_of_its_own_without_terminal_and_in_its_run(
    folder: Path, planned: Any
) -> None:
    planned(steps=1000, seconds=0.01)
    run = started(folder)
    pid = wait_for_state(run, "running").pid
    assert pid is not None
    assert os.getsid(pid) == pid != os.getsid(0)
    assert Path(f"/proc/{pid}/cwd").resolve() == run.path
    assert Path(f"/proc/{pid}/fd/0").resolve() == Path("/dev/null")
    for number in (1, 2):
        assert Path(f"/proc/{pid}/fd/{number}").resolve() == run.log_file


LAUNCHER = f"""
import os, signal, sys
from pathlib import Path
from types import SimpleNamespace
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # ignored where tests are run under nohup
sys.path.insert(0, {str(ROOT)!r})
from sftui.runs import launch
from tests.run_fixtures import recipe
launch.sys = SimpleNamespace(executable=sys.argv[2])
print(launch.start(recipe(Path(sys.argv[1])), ["test"]).path, flush=True)
sys.stdin.read()
"""


def test_a_run_outlives_the_launcher_its_group_and_its_connection(folder: Path) -> None:
    environment = {**os.environ, **plan(steps=30, seconds=0.02)}
    interpreter = launch.sys.executable  # type: ignore[attr-defined]
    with python(
        LAUNCHER, str(folder), interpreter, stdin=-1, env=environment, start_new_session=True
    ) as launcher:
        assert launcher.stdout is not None
        run = RunDirectory(Path(launcher.stdout.readline().strip()))
        wait_for_state(run, "running")
        os.killpg(launcher.pid, signal.SIGHUP)
        launcher.wait(30)
    assert wait_for_state(run, "finished", "lost").state == "finished"


@pytest.mark.parametrize("where", ["file", "file/below"])
def test_an_output_folder_that_cannot_be_made_is_named(tmp_path: Path, where: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError) as caught:
        started(tmp_path / where)
    assert str(caught.value).startswith(f"{tmp_path / where}: output_dir: no run can be made there: ")


def test_a_full_disk_at_the_start_is_said_and_leaves_no_lock(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(launch, "write_status", full)
        with pytest.raises(InputError, match="its trainer cannot be started: No space left on device"):
            started(folder)
    (path,) = folder.iterdir()
    assert not lock.is_held(RunDirectory(path).lock_file)


def test_a_trainer_that_cannot_be_spawned_is_said_and_its_run_is_lost(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "sys", SimpleNamespace(executable="/nowhere/python"))
    with pytest.raises(InputError, match="its trainer cannot be started: No such file"):
        started(folder)
    (path,) = folder.iterdir()
    status = read_status(RunDirectory(path))
    assert status is not None
    assert status.state == "lost"


def test_requests_left_from_before_are_not_obeyed(folder: Path) -> None:
    run = new_run(folder, Status(state="stopped"))
    run.request("stop")
    launch.launch(run)
    assert wait_for_state(run, "finished", "stopped").state == "finished"


# One trainer a run


def test_of_several_launchers_at_once_exactly_one_wins(folder: Path, planned: Any) -> None:
    planned(steps=200, seconds=0.02)
    run = new_run(folder, Status(state="stopped"))
    start, refusals = threading.Barrier(4), []

    def attempt() -> None:
        start.wait()
        try:
            launch.launch(run)
        except InputError as error:
            refusals.append(str(error))

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    wait_for_state(run, "running")
    assert refusals == [f"{run.id}: a trainer is alive in it already"] * 3
    assert kinds(run).count("start") == 1
    assert run.log_file.read_text().count("the trainer speaks") == 1


PROBE = """
import sys
from pathlib import Path
from sftui.runs.directory import RunDirectory
from sftui.runs.status import read_status
print("looking", flush=True)
while True:
    for path in Path(sys.argv[1]).iterdir():
        read_status(RunDirectory(path))
"""


def test_watchers_that_never_stop_looking_make_no_launch_fail(folder: Path, planned: Any) -> None:
    planned(steps=1)
    runs = [new_run(folder, Status()) for _ in range(4)]
    with ExitStack() as stack:
        for _ in range(3):
            child = stack.enter_context(python(PROBE, str(folder)))
            assert child.stdout is not None
            child.stdout.readline()
        for run in runs:
            launch.launch(run)
        for run in runs:
            assert wait_for_state(run, "finished", "lost").state == "finished"


# Resuming


def test_a_killed_run_goes_on_from_any_directory(
    folder: Path, planned: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned(steps=1000, seconds=0.01)
    run = started(folder)
    wait_for_state(run, "running")
    assert launch.kill(run)
    wait_for_state(run, "lost")
    planned(steps=5)
    monkeypatch.chdir(folder.parent)
    # As `sftui resume` finds it from here.
    relative = RunDirectory(Path("runs") / run.id)
    assert launch.resume(relative).state == "lost"
    assert wait_for_state(run, "finished", "lost").state == "finished", run.log_file.read_text()


def test_what_is_alive_finished_or_no_run_is_not_resumed(folder: Path) -> None:
    run = new_run(folder, Status(state="finished"))
    with pytest.raises(InputError, match="has finished: there is nothing left to train"):
        launch.resume(run)
    alive(run)
    with held(run), pytest.raises(InputError, match="is running: nothing to resume"):
        launch.resume(run)
    run.status_file.unlink()
    with pytest.raises(InputError, match=r"is not a run: it has no status\.json"):
        launch.resume(run)
    with pytest.raises(InputError, match="is not a run"):
        launch.resume(RunDirectory(folder / "nowhere"))


def test_a_run_that_is_alive_on_another_machine_is_neither_resumed_nor_killed(folder: Path) -> None:
    run = new_run(folder)
    status = alive(run, host="node7", pid=4711, heartbeat=time.time())
    with pytest.raises(InputError, match="is running on node7: nothing to resume"):
        launch.resume(run)
    assert launch.kill(run) is False
    assert read_status(run) == status
    launch.stop(run)
    assert run.pending() == {"stop"}


@pytest.mark.parametrize("data", [b"\0" * 1024, None])
def test_a_run_with_a_damaged_status_is_resumed_unless_it_is_alive(folder: Path, data: bytes | None) -> None:
    run = launched_run(folder, data)
    with held(run), pytest.raises(InputError, match="is running: nothing to resume"):
        launch.resume(run)
    assert launch.resume(run).state == "lost"
    assert wait_for_state(run, "finished").step == 3


def test_a_resume_waits_for_a_trainer_that_is_on_its_way_out(folder: Path, planned: Any) -> None:
    planned(steps=1000, seconds=0.01, linger=1.3)
    run = started(folder)
    wait_for_state(run, "running")
    launch.stop(run)
    wait_for_state(run, "stopped")
    assert lock.is_held(run.lock_file), "it has said its last word and is still there"
    planned(steps=1)
    launch.resume(run)
    assert wait_for_state(run, "finished", "lost").state == "finished"
    assert kinds(run)[-2:] == ["eval", "end"]


def test_a_trainer_that_stays_after_its_last_word_is_not_waited_for_for_ever(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launch, "LAST_MOMENT_SECONDS", 0.2)
    monkeypatch.setattr(lock.acquire, "__defaults__", (0.05,))  # less patience
    run = new_run(folder, Status(state="stopped"))
    with held(run), pytest.raises(InputError, match="a trainer is alive in it already"):
        launch.resume(run)
    assert read_status(run) == Status(state="stopped"), "a refused launch changes nothing"


# Stopping and killing


def test_a_stop_ends_the_run_after_a_step(folder: Path, planned: Any) -> None:
    planned(steps=1000, seconds=0.01)
    run = started(folder)
    wait_for_state(run, "running")
    launch.stop(run)
    status = wait_for_state(run, "stopped")
    assert 0 < status.step < 1000
    assert run.pending() == frozenset()
    with pytest.raises(InputError, match="is not running: stopped"):
        launch.stop(run)
    with pytest.raises(InputError, match="is not running: no status"):
        launch.stop(RunDirectory(folder / "nowhere"))


def test_a_stop_that_cannot_be_asked_for_is_said(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run(folder)
    alive(run)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "touch", full)
    with held(run), pytest.raises(InputError, match="cannot be asked to stop: No space left on device"):
        launch.stop(run)


def test_a_kill_takes_the_workers_along_and_the_run_is_lost(folder: Path, planned: Any) -> None:
    planned(steps=1000, seconds=0.01, child=True)
    run = started(folder)
    wait_for_state(run, "running")
    worker = int((run.path / "child").read_text())
    os.kill(worker, 0)
    assert launch.kill(run)
    wait_for_state(run, "lost")

    def gone() -> bool:
        try:
            return Path(f"/proc/{worker}/stat").read_text().split()[2] == "Z"
        except FileNotFoundError:
            return True

    wait_until(gone)
    assert launch.kill(run) is False


@pytest.mark.parametrize("pid", [None, -1, 0, 1])
def test_a_kill_reaches_nobody_but_a_trainer(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pid: int | None
) -> None:
    killed: list[int] = []
    monkeypatch.setattr(launch.os, "killpg", lambda group, number: killed.append(group))
    run = new_run(folder)
    alive(run, pid=pid)
    with held(run):
        assert launch.kill(run) is False
    write_status(run, Status(state="running", pid=4711, host="another machine"))
    with held(run):
        assert launch.kill(run) is False
    write_status(run, Status(state="finished", pid=4711, host=os.uname().nodename))
    assert launch.kill(run) is False
    assert killed == []
    alive(run, pid=4711)
    with held(run):
        assert launch.kill(run) is True
    assert killed == [4711]


@pytest.mark.parametrize(("error", "answer"), [(ProcessLookupError, False), (PermissionError, None)])
def test_a_kill_that_the_kernel_refuses_is_no_traceback(
    folder: Path, monkeypatch: pytest.MonkeyPatch, error: type[OSError], answer: bool | None
) -> None:
    def refused(group: int, number: int) -> None:
        raise error

    monkeypatch.setattr(launch.os, "killpg", refused)
    run = new_run(folder)
    alive(run, pid=4711)
    with held(run):
        if answer is None:
            with pytest.raises(InputError, match="cannot be killed: it is another user's"):
                launch.kill(run)
        else:
            assert launch.kill(run) is answer


def test_the_stand_in_needs_no_torch() -> None:
    code = "import sftui.training.__main__, sys; print('torch' in sys.modules)"
    with python(code) as child:
        assert child.communicate()[0] == "False\n"
    assert sys.executable in fake_interpreter.__globals__["TRAINER"]
