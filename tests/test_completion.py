"""What a shell is told when somebody presses Tab."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sftui.cli import main
from sftui.recipe_fields import FIELDS
from sftui.recipe_file import ready_recipes
from sftui.runs.directory import RunDirectory


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("")
    (tmp_path / "rows.jsonl").write_text("")
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "other.yml").write_text("")
    (tmp_path / ".hidden.yaml").write_text("")
    return tmp_path


def completed(line: str) -> list[str]:
    """The words after `line`, as a shell is told them: on descriptor 8."""
    reading, writing = os.pipe()
    environment = os.environ | {
        "_ARGCOMPLETE": "1",
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "COMP_TYPE": "9",
    }
    program = (
        f"import os, sys; os.dup2({writing}, 8); os.dup2(2, 9); sys.argv = ['sftui'];"
        " from sftui.cli import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        pass_fds=(writing,),
        stdout=subprocess.DEVNULL,
        check=False,
    )
    os.close(writing)
    with os.fdopen(reading, encoding="utf-8") as said:
        assert done.returncode == 0
        return [word for word in said.read().split("\n") if word]


def test_a_recipe_is_a_file_a_folder_on_the_way_or_a_ready_one(here: Path) -> None:
    ready = sorted(file.stem for file in ready_recipes().glob("*.yaml"))
    assert completed("sftui train ") == ["configs/", "mine.yaml", *ready]
    assert completed("sftui train m") == ["mine.yaml"]
    assert completed("sftui train configs/") == ["configs/other.yml"]
    assert completed("sftui recipes show ") == ready


def test_the_first_word_is_a_command_or_a_recipe(here: Path) -> None:
    words = completed("sftui ")
    assert {"train", "estimate", "doctor", "mine.yaml"} <= set(words)
    assert not any(word.startswith("-") for word in words), "options only after a -"
    assert "--output-dir" in completed("sftui --")


def test_keys_of_the_recipe_and_values_of_a_key_are_offered(here: Path) -> None:
    assert completed("sftui train mine.yaml ") == [f"{field.key}=" for field in FIELDS]
    assert completed("sftui train mine.yaml data.pack") == ["data.packing="]
    assert completed("sftui train mine.yaml model.quantization=nf") == ["model.quantization=nf4"]
    assert completed("sftui train mine.yaml training.gradient_checkpointing=t") == [
        "training.gradient_checkpointing=true"
    ]
    assert completed("sftui train mine.yaml nothing.at.all=") == []


def test_runs_are_named_where_they_are(here: Path) -> None:
    for name in ("2026-11-20_0412-one", "2026-11-20_0413-two"):
        run = RunDirectory(here / "elsewhere" / name)
        run.path.mkdir(parents=True)
        run.status_file.write_text('{"state": "finished"}')
    assert completed("sftui log --output-dir elsewhere 2026") == [
        "2026-11-20_0413-two",
        "2026-11-20_0412-one",
    ]
    assert completed("sftui log 2026") == []


def test_gpus_are_named(here: Path) -> None:
    assert "H200" in completed("sftui estimate mine.yaml --gpu H")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_code_for_a_shell_is_printed(shell: str, capsys: pytest.CaptureFixture[str], here: Path) -> None:
    assert main(["completion", shell]) == 0
    code = capsys.readouterr().out
    assert "sftui" in code
    if (program := shutil.which(shell)) is not None:
        subprocess.run([program, "-n"], input=code, text=True, check=True)
