"""The commands: exit codes, what goes to stdout, and never a traceback for bad input."""

from __future__ import annotations

import json
import math
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from sftui import __version__, cli, command_line, doctor, doctor_checks, machine, preflight, progress
from sftui.cli import main
from sftui.errors import InputError
from sftui.recipe_file import load_recipe, parse_recipe
from sftui.runs import launch, lock
from sftui.runs.directory import RunDirectory
from sftui.runs.events import EventWriter
from sftui.runs.history import Watch
from sftui.runs.status import Failure, Status, write_status
from sftui.words import count, duration, number, rate, size
from tests.run_fixtures import (
    PLAN,
    ROOT,
    alive,
    end,
    fake_interpreter,
    held,
    new_run,
    plan,
    wait_for_state,
    wait_until,
)

COMMANDS = [
    *("demo", "new", "recipes", "train", "preview", "check", "pack", "estimate"),
    *("runs", "attach", "log", "stop", "resume", "doctor", "completion"),
]
FINISHED = Status(state="finished", step=9, max_steps=9, loss=0.5, started=1.0, ended=61.0)


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty current directory with a recipe and a dataset; trainers are stand-ins."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    Path("train.jsonl").write_text('{"prompt": "a", "completion": "b"}\n')
    Path("my.yaml").write_text("model: {name_or_path: owner/tiny}\ndata: {train: train.jsonl}\n")
    monkeypatch.setattr(launch, "sys", SimpleNamespace(executable=fake_interpreter(tmp_path)))
    monkeypatch.setattr(machine, "survives_logout", lambda: (True, ""))
    monkeypatch.setattr(progress, "POLL_SECONDS", 0.02)
    monkeypatch.delenv(PLAN, raising=False)
    yield folder
    for path in folder.glob("**/runs*/*"):
        end(RunDirectory(path))
    launch.reap()


@pytest.fixture
def sftui(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> Result:
        try:
            code = main(arguments)
        except SystemExit as stop:
            assert isinstance(stop.code, int)
            code = stop.code
        out, err = capsys.readouterr()
        assert "Traceback" not in out + err
        return Result(code, out, err)

    return run


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Say what the stand-ins launched from now on do."""
    return lambda **values: monkeypatch.setenv(PLAN, plan(**values)[PLAN])


def process(*arguments: str, **options: Any) -> subprocess.Popen[str]:
    """`sftui` as a process of its own, whose trainers are stand-ins."""
    code = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from types import SimpleNamespace
from sftui.runs import launch
launch.sys = SimpleNamespace(executable={launch.sys.executable!r})
from sftui import progress
progress.POLL_SECONDS = 0.02
from sftui.cli import main
sys.exit(main(sys.argv[1:]))
"""  # type: ignore[attr-defined]
    given = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "stdin": subprocess.DEVNULL, "text": True}
    return subprocess.Popen([sys.executable, "-c", code, *arguments], **{**given, **options})


def only_run() -> RunDirectory:
    (path,) = Path("runs").absolute().iterdir()
    return RunDirectory(path)


# What every command has in common


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help_is_a_page_on_stdout(sftui: Any, command: str | None) -> None:
    code, out, err = sftui(*filter(None, [command]), "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: sftui{f' {command}' if command else ''} ")
    if command is None:
        assert all(f"\n    {name} " in out for name in COMMANDS)


def test_every_command_is_tested_here() -> None:
    parser, commands = command_line.parsers()
    assert parser.prog == "sftui"
    assert commands == {*COMMANDS, "open"}


def test_the_version_is_said(sftui: Any) -> None:
    assert sftui("--version") == Result(0, f"sftui {__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--nonsense"], "unrecognized arguments: --nonsense"),
        (["runs", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["runs", "extra"], "unrecognized arguments: extra"),
        (["train"], "the following arguments are required: RECIPE"),
        (
            ["train", "my.yaml", "--nonsense", "training.seed=1"],
            "unrecognized arguments: --nonsense training.seed=1",
        ),
        (["my.yaml", "--nonsense"], "unrecognized arguments: --nonsense"),
        (["runs", "--output", "there"], "unrecognized arguments: --output there"),
        (["demo", "--head"], "unrecognized arguments: --head"),
        (["train", "my.yaml", "--det"], "unrecognized arguments: --det"),
        (["stop", "--kil"], "unrecognized arguments: --kil"),
        (["--ref", "2", "runs"], "unrecognized arguments: --ref"),
        (["--refresh", "soon"], "argument --refresh: found soon: expected 0.1 to 3600"),
        (["--refresh", "nan"], "argument --refresh: found nan: expected 0.1 to 3600"),
        (["--refresh", "0"], "argument --refresh: found 0: expected 0.1 to 3600"),
        (["--refresh"], "argument --refresh: expected one argument"),
        (["--glyphs", "runes"], "argument --glyphs: invalid choice: 'runes'"),
        (["log", "-n", "many"], "argument -n/--lines: found many: expected a number of lines"),
        (["log", "-n", "-3"], "argument -n/--lines: found -3: expected a number of lines"),
        (["log", "-n", "9" * 5000], "expected a number of lines"),
    ],
)
def test_wrong_usage_is_told_with_exit_code_2(sftui: Any, arguments: list[str], said: str) -> None:
    code, out, err = sftui(*arguments)
    assert (code, out) == (2, "")
    assert said in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the workbench needs a terminal; see sftui --help for commands that do not"),
        (["my.yaml"], "the workbench needs a terminal"),
        (
            ["--refresh", "2", "my.yaml", "--glyphs", "block", "training.seed=1"],
            "the workbench needs a terminal",
        ),
        (["trian"], "trian: no such recipe: expected a file, or the name of a ready recipe"),
        (["trian", "my.yaml"], "trian: no such recipe"),
        (
            ["my.yml"],
            "my.yml: no such recipe: expected a file, or the name of a ready recipe\n  did you mean my.yaml?",
        ),
        (
            ["my.yaml", "training.seed=x"],
            "in training.seed=x: training.seed: found 'x', expected a whole number",
        ),
        (["my.yaml", "--refresh", "2", "training.seed"], "found 'training.seed': expected key=value"),
        (["x" * 300], "cannot be read: File name too long"),
        (["train", "nowhere.yaml"], "nowhere.yaml: no such recipe"),
        (["train", "."], ".: is a directory: expected a recipe file"),
        (
            ["train", "my.yaml", "trainig.seed=1"],
            "in trainig.seed=1: trainig: unknown key; did you mean training?",
        ),
        (["train", "my.yaml", "--detach", "training.seed=x"], "in training.seed=x: training.seed: found 'x'"),
        (["train", "my.yaml", "data.train=trian.jsonl"], "here/trian.jsonl: no such file\n  did you mean"),
        (["train", "my.yaml", "output_dir=my.yaml"], "here/my.yaml is a file"),
        *(
            (([command], "runs: there are no runs here\n  start one: sftui train RECIPE"))
            for command in ("attach", "log", "stop", "resume")
        ),
        *(
            (([command, "x" * 300], "there are no runs here"))
            for command in ("attach", "log", "stop", "resume")
        ),
        (["stop", "--kill"], "there are no runs here"),
        (["log", "--output-dir", "my.yaml"], "my.yaml: there are no runs here"),
    ],
)
def test_unusable_input_is_told_in_words_with_exit_code_2(
    sftui: Any, arguments: list[str], said: str
) -> None:
    code, out, err = sftui(*arguments)
    assert (code, out) == (2, "")
    assert err.startswith("sftui: ")
    assert said in err


@pytest.mark.parametrize("command", ["attach", "log", "stop", "resume"])
def test_a_run_that_is_misspelt_is_told_with_the_nearest(sftui: Any, command: str) -> None:
    new_run(Path("runs"), FINISHED, "2026-01-01_100000-tiny-facts")
    code, out, err = sftui(command, "2026-01-01_100000-tiny-fcats")
    assert (code, out) == (2, "")
    assert err.endswith("did you mean 2026-01-01_100000-tiny-facts?\n")


def test_a_module_run_without_a_terminal_says_so() -> None:
    command = [sys.executable, "-m", "sftui"]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "sftui: the workbench needs a terminal; see sftui --help for commands that do not\n"


@pytest.mark.parametrize(("term", "said"), [("dumb", "TERM=dumb"), (None, "TERM is not set")])
def test_a_terminal_that_cannot_be_drawn_on_gets_no_workbench_but_lines(
    sftui: Any, monkeypatch: pytest.MonkeyPatch, term: str | None, said: str
) -> None:
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.delenv("TERM", raising=False)
    if term is not None:
        monkeypatch.setenv("TERM", term)
    for arguments in ([], ["my.yaml"]):
        code, out, err = sftui(*arguments)
        assert (code, out) == (2, "")
        assert err.startswith(f"sftui: the terminal is dumb ({said}): expected ")
    code, out, _ = sftui("demo")
    assert code == 0
    assert "step 3/3  loss 0.3333" in out
    assert "\x1b" not in out


def test_an_interrupt_is_no_traceback(sftui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sftui.runs.listing.list_runs", interrupted)
    assert sftui("runs") == Result(130, "", "")


# runs


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


# train, demo


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


# log


def test_the_log_is_printed_whole_or_its_last_lines(sftui: Any) -> None:
    run = new_run(Path("runs"), FINISHED)
    assert sftui("log") == Result(0, "", f"{run.id}: no log yet\n")
    lines = [f"line {number} äöü" for number in range(20_000)]
    run.log_file.write_text("\n".join(lines) + "\n")
    assert sftui("log").out.splitlines() == lines
    for wanted in (1, 2, 7, 19_999, 20_000, 50_000):
        assert sftui("log", "-n", str(wanted)).out.splitlines() == lines[-wanted:]
    assert sftui("log", "-n", "0") == Result(0, "", "")
    run.log_file.write_text("no end of line")
    assert sftui("log", "-n", "1").out == "no end of line"
    run.log_file.write_bytes(b"")
    assert sftui("log", "-n", "3").out == ""
    run.log_file.write_bytes(b"a\n\nb\xff\n")
    assert sftui("log", "-n", "2").out == "\nb\ufffd\n"


def test_the_log_is_followed_until_the_run_ends_and_nothing_is_lost_or_torn(
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = new_run(Path("runs"))
    alive(run)
    whole = "".join(f"zeile {number} grüße 😀\n" for number in range(40)).encode()
    run.log_file.write_bytes(whole[:100])

    def write() -> None:
        with held(run), run.log_file.open("ab", buffering=0) as log:
            going.set()
            for start in range(100, len(whole), 9):
                log.write(whole[start : start + 9])
                time.sleep(0.002)
            write_status(run, FINISHED)

    going = threading.Event()
    writer = threading.Thread(target=write)
    writer.start()
    going.wait()
    assert main(["log", "-f", "-n", "1000"]) == 0
    writer.join()
    assert capsys.readouterr().out == whole.decode()


@pytest.mark.parametrize("size", [10, 1_000_000], ids=["when it ends", "while it writes"])
def test_a_reader_that_goes_away_is_no_error(size: int) -> None:
    run = new_run(Path("runs"), FINISHED)
    run.log_file.write_text("x\n" * size)
    reading, writing = os.pipe()
    with process("log", stdout=writing) as child:
        os.close(writing)
        os.close(reading)
        _, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (0, "")


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_following_a_log_ends_when_its_reader_goes_away_though_nothing_is_printed(kind: str) -> None:
    run = new_run(Path("runs"))
    alive(run)
    run.log_file.write_text("one\ntwo\n")
    if kind == "pipe":
        reading, writing = os.pipe()
    else:
        reading, writing = (end.detach() for end in socket.socketpair())
    with held(run), process("log", "-f", stdout=writing) as child:
        os.close(writing)
        assert os.read(reading, 100) == b"one\ntwo\n"
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.3)
        os.close(reading)
        _, err = child.communicate(timeout=20)
    assert (child.returncode, err) == (0, "")


def test_a_terminal_that_lacks_a_character_gets_another() -> None:
    run = new_run(Path("runs"), FINISHED)
    run.log_file.write_text("größe\n")
    with process("log", env={**os.environ, "PYTHONIOENCODING": "ascii"}) as child:
        out, err = child.communicate(timeout=20)
    assert (child.returncode, out, err) == (0, "gr??e\n", "")


# stop, resume


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


# doctor


@pytest.mark.parametrize(("status", "code"), [("ok", 0), ("warning", 0), ("error", 1)])
def test_doctor_says_no_with_its_exit_code_and_one_json_document(
    sftui: Any, monkeypatch: pytest.MonkeyPatch, status: doctor_checks.Status, code: int
) -> None:
    monkeypatch.setattr(doctor, "diagnose", lambda: [doctor_checks.Check("GPU", status, "none", "buy one")])
    result = sftui("doctor", "--json")
    assert (result.code, result.err) == (code, "")
    assert json.loads(result.out)["ok"] is (code == 0)
    result = sftui("doctor")
    assert result.code == code
    assert "buy one" in result.out


# Before a run is made


def model(folder: Path, *files: str) -> str:
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}")
    return f"model: {{name_or_path: {folder}}}\ndata: {{train: train.jsonl}}\n"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "model: model.name_or_path: has no config.json: expected a model in Hugging Face layout"),
        (["config.json"], "model: model.name_or_path: has no weights (*.safetensors or *.bin)"),
        (["config.json", "model.safetensors"], "tokenizer.json"),
    ],
)
def test_a_folder_that_is_no_model_is_refused_before_a_run_is_made(files: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        preflight.check(parse_recipe(model(Path("model").absolute(), *files), base=Path.cwd()))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("modle", "there is no such directory\n  did you mean model?"),
        (
            "/nowhere/at/all",
            "there is no such directory\n  expected a model directory or a Hub id (owner/name)",
        ),
        ("x" * 300, "there is no such directory"),
    ],
)
def test_a_model_folder_that_is_not_there_is_refused_with_the_nearest(path: str, said: str) -> None:
    text = model(Path("model").absolute()).replace("/model}", f"/{path}}}")
    with pytest.raises(InputError) as caught:
        preflight.check(parse_recipe(text, base=Path.cwd()))
    assert said in str(caught.value)


def test_a_model_on_the_hub_is_not_asked_for_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr(preflight, "load_tokenizer", asked)
    preflight.check(load_recipe("my.yaml"))
    with pytest.raises(InputError, match="no such file"):
        preflight.check(load_recipe("my.yaml", ["data.eval=held.jsonl"]))


# Numbers as people read them


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(None), ""),
        (number(1.23456), "1.235"),
        (number(12.3456), "12.35"),
        (number(0.0), "0.000"),
        (number(1e-5), "1.00e-05"),
        (number(123456.0), "1.23e+05"),
        (number(math.nan), "NaN"),
        (number(math.inf), "inf"),
        (number(-math.inf), "-inf"),
        (rate(None), ""),
        (rate(0.0), "0"),
        (rate(1.91e-4), "1.91e-04"),
        (count(412), "412"),
        (count(12_340), "12,340"),
        (count(1_490_000), "1.49 M"),
        (count(2.5e9), "2.50 B"),
        (size(None), ""),
        (size(0), "0 B"),
        (size(38 * 2**20), "38.0 MiB"),
        (size(10.9 * 2**30), "10.9 GiB"),
        (duration(None), ""),
        (duration(math.inf), ""),
        (duration(0.44), "0.4 s"),
        (duration(45), "45 s"),
        (duration(59.7), "1 min"),
        (duration(75), "1 min 15 s"),
        (duration(21 * 60), "21 min"),
        (duration(96 * 60), "1 h 36 min"),
        (duration(76 * 3600), "3 d 4 h"),
    ],
)
def test_numbers_are_written_for_people(shown: str, expected: str) -> None:
    assert shown == expected
