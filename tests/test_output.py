"""What becomes of output that cannot be written: one line, no traceback."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sftui.output import told_output
from tests.data_fixtures import CHATML, model_directory


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a recipe and its rows."""
    monkeypatch.chdir(tmp_path)
    model_directory(tmp_path / "model", CHATML)
    row = json.dumps({"question": "q", "answer": "a"})
    Path("train.jsonl").write_text(f"{row}\n" * 20)
    recipe = {"model": {"name_or_path": "./model"}, "data": {"train": "train.jsonl", "max_length": 120}}
    Path("recipe.yaml").write_text(json.dumps(recipe))
    return tmp_path


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize(
    "arguments", [["pack", "recipe.yaml", "--layout", "--json"], ["pack", "recipe.yaml"], ["runs", "--json"]]
)
def test_output_that_cannot_be_written_is_told_in_a_line(
    here: Path, arguments: list[str], unbuffered: str
) -> None:
    with FULL.open("w") as full:
        command = [sys.executable, "-m", "sftui", *arguments]
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, env=environment, check=False
        )
    assert (done.returncode, done.stderr) == (1, "sftui: cannot write: No space left on device\n")


@pytest.mark.parametrize("options", [[], ["--json"], ["--layout"]], ids=str)
def test_a_reader_that_has_gone_is_no_error(here: Path, options: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "sftui", "pack", "recipe.yaml", *options]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")


def test_errors_of_other_files_are_not_those_of_the_output() -> None:
    with pytest.raises(OSError, match="elsewhere"), told_output():
        raise OSError(errno.ENOSPC, "elsewhere")
