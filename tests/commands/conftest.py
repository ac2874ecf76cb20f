"""A folder with a recipe, and the commands in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sftui import machine, progress
from sftui.cli import main
from sftui.runs import launch
from sftui.runs.directory import RunDirectory
from tests.command_fixtures import Result
from tests.run_fixtures import (
    PLAN,
    end,
    fake_interpreter,
    plan,
)


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
