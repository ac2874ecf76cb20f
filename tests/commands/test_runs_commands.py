"""`sftui runs`, `stop` and `resume`."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sftui import cli, progress
from sftui.cli import main
from sftui.runs import lock
from sftui.runs.events import EventWriter
from sftui.runs.status import Failure, Status
from tests.command_fixtures import FINISHED, Result, only_run
from tests.run_fixtures import (
    new_run,
    wait_for_state,
)


def test_without_runs_the_list_says_how_to_start_one_on_stderr(sftui: Any) -> None:
    code, out, err = sftui("runs")
    assert (code, out) == (0, "")
    assert err == "no runs in runs; start one: sftui train RECIPE, or sftui demo\n"
    assert sftui("runs", "--json") == Result(0, "[]\n", "")
    Path("runs").mkdir()
    assert sftui("runs", "--json") == Result(0, "[]\n", "")


def test_runs_are_listed_as_a_table_or_as_one_json_document(sftui: Any) -> None:
    failed = Status(state="failed", error=Failure("memory", "out of memory", "try less"))
    new_run(Path("runs"), failed, "a")
    new_run(Path("runs"), FINISHED, "b")
    damaged = new_run(Path("runs"), FINISHED, "c")
    damaged.status_file.write_text('{"state": "finished", "step": "nine", "loss": [1]}')
    code, out, err = sftui("runs")
    assert (code, err) == (0, "")
    assert [line.split()[0] for line in out.splitlines()] == ["run", "c", "b", "a", "out"]
    code, out, err = sftui("runs", "--json")
    assert (code, err) == (0, "")
    assert [(run["id"], run["state"], run["step"]) for run in json.loads(out)] == [
        ("c", "finished", 0),
        ("b", "finished", 9),
        ("a", "failed", 0),
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        ["runs", "--json", "--output-dir", "elsewhere"],
        ["--output-dir", "elsewhere", "runs", "--json"],
        ["--output-dir=elsewhere", "runs", "--json"],
        ["--output-dir=runs", "runs", "--json", "--output-dir=elsewhere"],
        ["--refresh", "2", "--output-dir", "elsewhere", "runs", "--json"],
    ],
)
def test_the_folder_of_the_runs_may_stand_before_or_after_the_command(
    sftui: Any, arguments: list[str]
) -> None:
    new_run(Path("elsewhere"), FINISHED, "there")
    new_run(Path("runs"), FINISHED, "not-there")
    (run,) = json.loads(sftui(*arguments).out)
    assert run["path"] == str(Path("elsewhere/there").absolute())


def test_options_of_the_workbench_may_stand_on_either_side(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(
        cli, "_workbench", lambda options, folder, **start: seen.append((options, folder)) or 0
    )
    new_run(Path("there"), FINISHED, "one")
    for arguments in (
        ["--refresh", "2", "--glyphs=block", "my.yaml", "training.seed=3"],
        ["my.yaml", "training.seed=3", "--refresh=2", "--glyphs", "block"],
        ["--refresh", "2", "--output-dir", "there", "attach", "--glyphs", "block"],
        ["attach", "one", "--refresh", "2", "--output-dir", "there", "--glyphs", "block"],
    ):
        assert main(arguments) == 0
        options, folder = seen[-1]
        assert (options.refresh, options.glyphs) == (2.0, "block")
        assert folder == Path("there" if "attach" in arguments else "runs").absolute()
    assert main([]) == 0
    assert (seen[-1][0].refresh, seen[-1][0].glyphs, seen[-1][1]) == (1.0, "auto", Path("runs").absolute())


def test_stop_asks_and_waits_until_the_trainer_is_gone(sftui: Any, planned: Any) -> None:
    planned(steps=1000, seconds=0.01, linger=0.3)
    sftui("train", "my.yaml", "--detach")
    run = only_run()
    wait_for_state(run, "running")
    code, out, err = sftui("stop", "--wait")
    assert (code, out, err) == (0, f"{run.id}: will finish its step, save and end\n", "")
    assert not lock.is_held(run.lock_file)
    assert wait_for_state(run, "stopped").step > 0
    code, out, err = sftui("stop")
    assert (code, out, err) == (2, "", f"sftui: {run.id}: is not running: stopped\n")
    code, out, err = sftui("stop", "--kill")
    assert (code, out, err) == (2, "", f"sftui: {run.id}: is not running on this machine\n")
    planned(steps=2)
    code, out, err = sftui("resume")
    assert err.startswith(f"{run.id}: goes on from the start: there is no checkpoint\n")
    assert code == 0
    assert sftui("resume").err == f"sftui: {run.id}: has finished: there is nothing left to train\n"


def test_stop_waiting_for_a_run_that_fails_is_a_no(sftui: Any, planned: Any) -> None:
    planned(steps=1000, seconds=0.01, end="failed")
    sftui("train", "my.yaml", "--detach")
    wait_for_state(only_run(), "running")
    assert sftui("stop", "--wait").code == 1


def test_a_killed_run_is_resumed_detached_after_its_checkpoint(sftui: Any, planned: Any) -> None:
    planned(steps=1000, seconds=0.01)
    sftui("train", "my.yaml", "--detach")
    run = only_run()
    wait_for_state(run, "running")
    assert sftui("stop", "--kill", run.id[:12]) == Result(0, f"{run.id}: killed\n", "")
    wait_for_state(run, "lost")
    run.checkpoint(4).mkdir(parents=True)
    planned(steps=2)
    code, out, err = sftui("resume", run.id, "--detach")
    assert (code, out, err) == (0, f"{run.id}\n", f"{run.id}: goes on after checkpoint-4\n")
    assert wait_for_state(run, "finished", "lost").state == "finished"


def test_what_was_answered_before_and_after_is_shown_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    run = new_run(Path("runs"), FINISHED)
    with closing(EventWriter(run.events_file)) as writer:
        for step, answer in ((0, "a\n\x1b[31mb"), (9, "c")):
            writer.write("sample", step=step, where="x:1", prompt="why?", expected="e", answer=answer)
    assert progress.follow(run) == 0
    assert "question  why?\n  before  a⏎␛[31mb\n  after   c\n" in capsys.readouterr().out
