"""What every command has in common: help, exit codes, what goes to stdout, no traceback for bad input."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sftui import __version__, command_line, doctor, doctor_checks
from tests.command_fixtures import FINISHED, Result
from tests.run_fixtures import (
    new_run,
)

COMMANDS = [
    *("demo", "new", "recipes", "train", "preview", "check", "pack", "estimate"),
    *("runs", "attach", "log", "stop", "resume", "doctor", "completion"),
]


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
