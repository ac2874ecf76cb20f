"""`sftui train` and `demo`: a run is started, followed, interrupted."""

from __future__ import annotations

import os
import pty
import re
import select
import shutil
import signal
import subprocess
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sftui import machine, progress
from sftui.recipe_file import load_recipe
from sftui.runs import lock
from sftui.runs.directory import RunDirectory
from sftui.runs.events import EventWriter
from sftui.runs.history import Watch
from sftui.runs.status import Status
from tests.command_fixtures import only_run, process
from tests.run_fixtures import (
    alive,
    held,
    new_run,
    plan,
    wait_for_state,
    wait_until,
)


def test_train_follows_the_run_to_its_end(sftui: Any) -> None:
    code, out, err = sftui("train", "my.yaml", "training.seed=5")
    run = only_run()
    assert code == 0
    assert err.startswith(f"run {run.id}  (watch it elsewhere: sftui attach {run.path})\n")
    *_, last, result = out.splitlines()
    assert re.fullmatch(r"finished after 3 steps in [\d.]+ s: loss 0\.3333, held out 0\.2500", last)
    assert result == f"adapter: {run.adapter}"
    assert "step 3/3  loss 0.3333  lr 1.00e-04  1,000 tok/s" in out
    assert out.count("evaluation at step 3: loss 0.250") == 1
    assert load_recipe(run.recipe_file).training.seed == 5


@pytest.mark.parametrize(
    ("values", "code", "said"),
    [
        ({"end": "failed"}, 1, "failed: out of memory\n  try less\n"),
        ({"end": "failed", "kind": "input"}, 2, "failed: out of memory\n  try less\n"),
        ({"end": "die"}, 1, "lost: the trainer ended without a word; go on with: sftui resume "),
    ],
)
def test_the_end_of_a_run_is_the_exit_code_of_its_follower(
    sftui: Any, planned: Any, values: dict[str, Any], code: int, said: str
) -> None:
    planned(**values)
    result = sftui("train", "my.yaml")
    assert result.code == code
    assert said in result.err
    assert "finished" not in result.out


def test_a_failed_run_that_does_not_say_why_has_failed(
    sftui: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run(Path("runs"), Status(state="failed"))
    assert progress.follow(run) == 1
    assert "failed: it does not say why" in capsys.readouterr().err


def test_a_run_whose_directory_goes_away_is_followed_no_further(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = new_run(Path("runs"))
    alive(run)
    timer = threading.Timer(0.1, shutil.rmtree, [run.path])
    with held(run):
        timer.start()
        assert progress.follow(run) == 1
    assert "the run is gone" in capsys.readouterr().err


def test_train_detached_prints_the_id_and_nothing_else_and_returns(sftui: Any, planned: Any) -> None:
    planned(steps=1000, seconds=0.01)
    code, out, err = sftui("train", "my.yaml", "--detach", "training.seed=9")
    run = only_run()
    assert (code, out, err) == (0, f"{run.id}\n", "")
    assert wait_for_state(run, "running").alive
    assert load_recipe(run.recipe_file).training.seed == 9


def test_a_run_beside_a_recipe_elsewhere_is_named_by_what_finds_it_from_here(
    sftui: Any, planned: Any, here: Path
) -> None:
    Path("cfg").mkdir()
    Path("my.yaml").rename("cfg/my.yaml")
    Path("train.jsonl").rename("cfg/train.jsonl")
    planned(end="die")
    code, out, err = sftui("train", "cfg/my.yaml", "--detach")
    (path,) = Path("cfg/runs").iterdir()
    assert (code, out, err) == (0, f"{path.name}\n", f"watch it with: sftui attach {path}\n")
    wait_for_state(RunDirectory(path), "lost")
    assert sftui("log", str(path)).out.startswith("the trainer speaks")
    code, _, err = sftui("resume", str(path))
    assert code == 1
    assert err.endswith(f"; go on with: sftui resume {path}\n")
    assert f"sftui attach {here / path})" in err
    planned()
    code, out, err = sftui("resume", str(path), "--detach")
    assert (code, out) == (0, f"{path.name}\n")
    assert err.endswith(f"\nwatch it with: sftui attach {path}\n")
    assert wait_for_state(RunDirectory(path), "finished", "lost").state == "finished"


def test_train_detached_warns_on_stderr_where_a_logout_ends_it(
    sftui: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "survives_logout", lambda: (False, "runs end at logout; do this"))
    code, out, err = sftui("train", "my.yaml", "--detach")
    assert (code, out) == (0, f"{only_run().id}\n")
    assert err == "sftui: runs end at logout; do this\n"


def test_no_run_is_made_of_a_recipe_that_cannot_be_trained(sftui: Any) -> None:
    Path("empty.jsonl").touch()
    Path("text.jsonl").write_text("not json\n")
    for data, said in (("empty.jsonl", "has no rows"), ("text.jsonl", "text.jsonl:1: not JSON")):
        code, _, err = sftui("train", "my.yaml", f"data.train={data}")
        assert code == 2
        assert said in err
    assert not Path("runs").exists()


@pytest.mark.parametrize("folder", ["odd: name #1", "'quoted' {braces}", "größe 😀"])
def test_the_demo_runs_in_whatever_folder_is_given(sftui: Any, folder: str) -> None:
    code, out, _ = sftui("demo", "--headless", "--output-dir", folder)
    assert code == 0
    assert "finished after 3 steps" in out
    (path,) = Path(folder).iterdir()
    assert load_recipe(path / "recipe.yaml").output_dir == str(Path(folder).absolute())


def test_plain_lines_stand_in_the_order_of_the_steps(capsys: pytest.CaptureFixture[str]) -> None:
    run = new_run(Path("runs"), Status(state="running", step=20, max_steps=200))
    values = {"learning_rate": 1e-4, "grad_norm": 1.0, "tokens_per_second": 1000.0}
    show = progress._lines()
    with closing(EventWriter(run.events_file)) as writer:
        for step in (0, 1, 2, 20, 21):
            if step:
                writer.write("step", step=step, loss=1.0, **values)
            if step in (0, 20):
                writer.write("eval", step=step, loss=0.5)
            if step in (2, 21):
                watch = Watch(run)
                watch.catch_up()
                show(watch, True)
    assert [line.split(":")[0].split("  ")[0] for line in capsys.readouterr().out.splitlines()] == [
        "evaluation at step 0",
        "step 2/200",
        "evaluation at step 20",
        "step 21/200",
    ]


def test_an_interrupt_stops_a_followed_run_cleanly() -> None:
    with process("train", "my.yaml", env={**os.environ, **plan(steps=1000, seconds=0.01)}) as follower:
        wait_until(lambda: Path("runs").is_dir() and any(Path("runs").iterdir()))
        run = only_run()
        wait_for_state(run, "running")
        assert follower.stdout is not None
        follower.stdout.readline()  # it follows by now
        follower.send_signal(signal.SIGINT)
        out, err = follower.communicate(timeout=20)
    assert follower.returncode == 0, err
    assert "stopping: finishes the step and saves; Ctrl-C again kills it" in err
    assert re.search(r"^stopped after \d+ steps", out, re.MULTILINE)
    assert f"go on with: sftui resume {run.id}" in out
    assert "Traceback" not in err


def test_a_second_interrupt_kills_it() -> None:
    # One long step: a request is not looked at before its end.
    with process("train", "my.yaml", env={**os.environ, **plan(steps=2, seconds=30)}) as follower:
        wait_until(lambda: Path("runs").is_dir() and any(Path("runs").iterdir()))
        run = only_run()
        wait_for_state(run, "running")
        follower.send_signal(signal.SIGINT)
        wait_until(lambda: "stop" in run.pending())
        follower.send_signal(signal.SIGINT)
        _, err = follower.communicate(timeout=20)
    assert follower.returncode == 1
    assert err.endswith(f"\nkilled; go on with: sftui resume {run.id}\n")
    assert "lost" not in err
    assert not lock.is_held(run.lock_file)


def test_on_a_terminal_a_bar_is_drawn_and_the_cursor_comes_back() -> None:
    leader, follower = pty.openpty()
    environment = {**os.environ, **plan(steps=5, seconds=0.02), "TERM": "xterm-256color", "COLUMNS": "100"}
    with process("train", "my.yaml", stdout=follower, stderr=subprocess.DEVNULL, env=environment) as child:
        os.close(follower)
        shown = b""
        while select.select([leader], [], [], 20)[0]:
            try:
                piece = os.read(leader, 65_536)
            except OSError:  # the other end is closed
                break
            shown += piece
        os.close(leader)
    assert child.returncode == 0
    text = shown.decode()
    assert "evaluation at step 5: loss 0.250" in text
    assert "finished after 5 steps" in text
    assert "\x1b[?25l" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
