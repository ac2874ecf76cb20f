"""`sftui new`: a recipe made from a dataset, on stdout or in a new file."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from sftui.memory.device import Device
from sftui.proposal import Proposal, propose
from sftui.proposal.settle import Method
from sftui.recipe_disk import place_for, write_recipe
from sftui.rows_progress import rows_progress
from sftui.runs import FOLDER
from sftui.runs.rates import rates_in

_HINT = "--force writes over it"


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
    place = None if file is None else place_for(file, overwrite=force, hint=_HINT)
    with rows_progress() as progress:
        made = propose(
            data,
            model=model,
            device=_device(gpu),
            method=method,
            overrides=overrides,
            folder=None if place is None else place.parent,
            rates=rates_in(Path(FOLDER).absolute()),
            progress=progress,
        )
    if file is not None:
        write_recipe(file, made.text, overwrite=force, hint=_HINT)
    return made


def print_answer(made: Proposal, file: Path | None) -> None:
    """The recipe on stdout, or what stands at its head and what to do next on stderr."""
    if file is None:
        print(made.text, end="")
        return
    for note in made.notes:
        print(note, file=sys.stderr)
    name = shlex.quote(str(file))
    print(f"\nwrote {file}; next: sftui check {name}, sftui {name}, sftui train {name}", file=sys.stderr)


def _device(gpu: str | None) -> Device | None:
    if gpu is not None:
        from sftui.memory.gpus import device_of

        return device_of(gpu)
    from sftui.devices import look

    return next(iter(look(Path.cwd()).devices), None)
