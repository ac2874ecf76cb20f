"""`sftui new`: a recipe made from a dataset, on stdout or in a new file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from sftui.errors import InputError
from sftui.memory.device import Device
from sftui.proposal import Proposal, propose
from sftui.proposal.settle import Method
from sftui.rows_progress import rows_progress
from sftui.runs import FOLDER
from sftui.runs.rates import rates_in


def make(
    data: str,
    *,
    model: str | None,
    gpu: str | None,
    method: Method,
    overrides: Sequence[str],
    file: Path | None,
    force: bool,
) -> Proposal:
    """The proposal for this machine, or for the GPU of that name or size, written to `file` if one is given.

    Raises InputError for what cannot be used, and for a `file` that is there already, without `force`.
    """
    if file is not None:
        _check_place(file, force)
    with rows_progress() as progress:
        made = propose(
            data,
            model=model,
            device=_device(gpu),
            method=method,
            overrides=overrides,
            folder=None if file is None else file.absolute().parent,
            rates=rates_in(Path(FOLDER).absolute()),
            progress=progress,
        )
    if file is not None:
        _write(file, made.text, force)
    return made


def print_answer(made: Proposal, file: Path | None) -> None:
    """The recipe on stdout, or what stands at its head and what to do next on stderr."""
    if file is None:
        print(made.text, end="")
        return
    for note in made.notes:
        print(note, file=sys.stderr)
    print(f"\nwrote {file}; next: sftui check {file}, sftui {file}, sftui train {file}", file=sys.stderr)


def _device(gpu: str | None) -> Device | None:
    if gpu is not None:
        from sftui.memory.gpus import device_of

        return device_of(gpu)
    from sftui.devices import look

    return next(iter(look(Path.cwd()).devices), None)


def _check_place(file: Path, force: bool) -> None:
    if file.suffix not in (".yaml", ".yml"):
        raise InputError("expected the name of a recipe (.yaml)", file=file, key="--output")
    if not file.absolute().parent.is_dir():
        raise InputError(f"there is no directory {str(file.parent)!r}", file=file, key="--output")
    if file.exists() and not force:
        raise InputError("is there already and is not written over", file=file, hint="--force does")


def _write(file: Path, text: str, force: bool) -> None:
    try:
        with file.open("w" if force else "x", encoding="utf-8") as out:
            out.write(text)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=file) from None
