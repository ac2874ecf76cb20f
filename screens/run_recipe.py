"""The recipe that a run was started with: what lies in the run's directory stays as it is."""

from __future__ import annotations

from pathlib import Path

from sftui.errors import InputError
from sftui.runs.directory import RunDirectory


def recipe_text(run: RunDirectory) -> str:
    """What it was started with. Raises InputError where that cannot be read."""
    try:
        return run.recipe_file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", file=run.recipe_file) from None


def is_of_run(file: Path) -> bool:
    """Whether a file is what a run was started with."""
    run = RunDirectory(file.absolute().resolve().parent)
    return file.name == run.recipe_file.name and (run.was_launched or run.status_file.is_file())


def refuse_of_run(file: Path) -> None:
    """Raise InputError where a file is what a run was started with."""
    if is_of_run(file):
        problem = "is what a run was started with: it stays as it is"
        raise InputError(problem, file=str(file), hint="save it under another name")
