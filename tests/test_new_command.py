"""`sftui new`: a recipe on stdout or in a file, that every other command takes as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sftui.cli import main
from sftui.recipe_file import load_recipe
from tests.data_fixtures import model_directory
from tests.test_estimate_command import LLAMA_8B, write_config


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def sftui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    model_directory(tmp_path / "model")
    write_config(tmp_path / "model", LLAMA_8B)
    rows = ({"question": f"what is {n}?", "answer": "a number " * (1 + n % 9)} for n in range(60))
    Path("train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def run(*arguments: str) -> Result:
        try:
            code = main(list(arguments))
        except SystemExit as error:
            code = int(error.code or 0)
        return Result(code, *capfd.readouterr())

    return run


NEW = ("new", "train.jsonl", "--model", "model", "--gpu", "4090")


def test_every_command_takes_what_was_made_as_it_is(sftui: Any) -> None:
    assert sftui(*NEW, "-o", "mine.yaml").code == 0
    for command in (
        ("check", "mine.yaml", "--json"),
        ("pack", "mine.yaml", "--json"),
        ("preview", "mine.yaml", "--json"),
        ("estimate", "mine.yaml", "--gpu", "4090", "--json"),
    ):
        done = sftui(*command)
        assert done.code == 0, done.err
        assert json.loads(done.out)
    assert json.loads(done.out)["verdict"] == "fits"


def test_the_recipe_goes_to_stdout_and_nothing_else_with_it(sftui: Any) -> None:
    done = sftui(*NEW)
    assert done.code == 0
    Path("piped.yaml").write_text(done.out)
    sftui(*NEW, "-o", "written.yaml")
    assert Path("written.yaml").read_text() == done.out
    assert load_recipe("piped.yaml").data.train[0].path == str(Path.cwd() / "train.jsonl")


def test_overrides_may_stand_before_and_after_options(sftui: Any) -> None:
    done = sftui("new", "train.jsonl", "training.seed=3", *NEW[2:], "data.max_length=512")
    assert done.code == 0
    assert "seed: 3  # as given" in done.out and "max_length: 512  # as given" in done.out


def test_a_file_is_not_written_over_unless_asked(sftui: Any) -> None:
    Path("mine.yaml").write_text("mine")
    done = sftui(*NEW, "-o", "mine.yaml")
    assert done.code == 2 and "--force" in done.err
    assert Path("mine.yaml").read_text() == "mine"
    assert sftui(*NEW, "-o", "mine.yaml", "--force").code == 0
    assert load_recipe("mine.yaml").model.name_or_path == str(Path.cwd() / "model")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("new", "none.jsonl"), "none.jsonl"),
        (("new", "train.jsonl", "--gpu", "voodoo"), "voodoo"),
        (("new", "train.jsonl", "--model", "./none"), "none"),
        (("new", "train.jsonl", "-o", "nowhere/mine.yaml"), "nowhere"),
        (("new", "train.jsonl", "-o", "mine.txt"), ".yaml"),
        (("new", "train.jsonl", "data.max_length=long"), "data.max_length"),
        (("new",), "DATA"),
    ],
)
def test_what_cannot_be_used_is_a_message_and_exit_code_2(
    sftui: Any, arguments: tuple[str, ...], told: str
) -> None:
    done = sftui(*arguments)
    assert (done.code, done.out) == (2, "")
    assert told in done.err and "Traceback" not in done.err


def test_a_recipe_that_does_not_fit_is_made_with_exit_code_1(sftui: Any) -> None:
    done = sftui("new", "train.jsonl", "--model", "model", "--gpu", "2GB")
    assert done.code == 1
    assert "does not fit" in done.out
