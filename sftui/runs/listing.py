"""All runs of a directory, and one of them by name."""

from __future__ import annotations

import difflib
import os
import shlex
from dataclasses import dataclass
from pathlib import Path

from sftui.errors import InputError
from sftui.runs import FOLDER, lock
from sftui.runs.directory import RunDirectory
from sftui.runs.status import Status, read_status


@dataclass(frozen=True, slots=True)
class Listed:
    """A run and where it stands."""

    run: RunDirectory
    status: Status


def list_runs(folder: Path) -> list[Listed]:
    """The runs in `folder`, newest first; a folder that is not there has none."""
    listed = []
    try:
        entries = sorted(folder.absolute().iterdir(), reverse=True)
    except OSError:
        return []
    for path in entries:
        run = RunDirectory(path)
        status = read_status(run)
        if status is not None:
            listed.append(Listed(run, status))
    return listed


def find_run(name: str | None, folder: Path) -> RunDirectory:
    """The run with this id, path, unique beginning or unique part of an id; None: the newest one.

    Without a name, the newest run that is alive is meant, else the newest. Raises `InputError`.
    """
    if name and read_status(run := RunDirectory(Path(name).absolute())) is not None:
        return run
    runs = list_runs(folder)
    if not runs:
        raise InputError("there are no runs here", file=folder, hint="start one: sftui train RECIPE")
    if name is None:
        return next((one.run for one in runs if one.status.alive), runs[0].run)
    by_id = {one.run.id: one.run for one in runs}
    if name in by_id:
        return by_id[name]
    matching = [key for key in by_id if key.startswith(name)] or [key for key in by_id if name in key]
    if len(matching) == 1:
        return by_id[matching[0]]
    if matching:
        raise InputError(f"several runs match {name!r}: {', '.join(matching[:5])}", file=folder)
    near = difflib.get_close_matches(name, by_id, n=1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"the newest is {runs[0].run.id}"
    raise InputError(f"there is no run {name!r}", file=folder, hint=hint)


def name_for_commands(run: RunDirectory) -> str:
    """What to call a run in a command typed here: its id where that finds it, else its path; quoted."""
    try:
        here, folder = Path.cwd(), run.path.parent.resolve()
        if folder == Path(FOLDER).resolve():
            return shlex.quote(run.id)
        path = folder / run.id
        inside = path.is_relative_to(here) and path != here
    except OSError:  # the current directory is gone
        return shlex.quote(str(run.path))
    name = str(path.relative_to(here) if inside else path)
    return shlex.quote(f"./{name}" if name.startswith("-") else name)


def delete_run(run: RunDirectory) -> None:
    """Remove a run that has ended. Raises `InputError` if a trainer is alive in it."""
    status = read_status(run)
    if status is not None and status.alive:
        raise InputError(f"is {status.said}: stop it first", file=run.id)
    try:
        # The status may be damaged or just written: only with the lock in hand is there no trainer.
        descriptor = lock.acquire(run.lock_file)
        if descriptor is None:
            raise InputError("a trainer is alive in it: stop it first", file=run.id)
        try:
            run.delete()
        finally:
            os.close(descriptor)
    except OSError as error:
        raise InputError(f"cannot be deleted: {error.strerror}", file=error.filename or run.path) from None
