"""How fast runs of earlier were: what a device really does with a recipe."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sftui.errors import InputError
from sftui.runs.directory import RunDirectory
from sftui.runs.events import Event, EventReader, last_events
from sftui.runs.listing import list_runs
from sftui.runs.status import ENDED

if TYPE_CHECKING:
    from sftui.recipe import Recipe

_RUNS = 50  # of the newest are looked at
_TAIL = 100_000  # bytes: some 400 steps
_FIRST = 2  # steps that load kernels and find their memory: the first most of all
ENOUGH = 3  # steps after those that a rate is believed of


@dataclass(frozen=True, slots=True)
class Rate:
    """What a run reached in its last steps, evaluations left out.

    `device` is the name of its GPU, or "CPU"; `row_tokens` the mean tokens of a row (a bin with packing),
    without padding. `steps` are those it follows from: fewer than `ENOUGH` of a short run, which tell less.
    """

    run: str
    recipe: Recipe
    device: str
    tokens_per_second: float
    row_tokens: float
    steps: int = ENOUGH


def rates_in(folder: Path) -> tuple[Rate, ...]:
    """The rates of the runs of this machine that have ended in `folder`, the newest first.

    Each run is read once, as long as its status stays the same: some ms a run the first time.
    """
    here = socket.gethostname()
    ended = (one for one in list_runs(folder) if one.status.state in ENDED and one.status.host == here)
    found = (_read_once(one.run.path, one.status.ended) for one in islice(ended, _RUNS))
    return tuple(rate for rate in found if rate is not None)


@lru_cache(maxsize=4 * _RUNS)
def _read_once(path: Path, ended: float | None) -> Rate | None:
    run = RunDirectory(path)
    began = next((e for e in EventReader(run.events_file).read() if e.get("type") in ("start", "resume")), {})
    steps = [event for event in last_events(run.events_file, _TAIL) if event.get("type") == "step"]
    known = [each for each in map(_timed, steps) if each is not None and each[0] > 1]
    warm = [each for each in known if each[0] > _FIRST]
    timed = warm if len(warm) >= ENOUGH else known
    device = began.get("device")
    if not timed or not isinstance(device, str):
        return None
    from sftui.recipe_file import parse_recipe

    try:
        recipe = parse_recipe(run.recipe_file.read_text(encoding="utf-8"))
    except (OSError, ValueError, InputError):  # damaged, or of another version
        return None
    training = recipe.training
    rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
    tokens, seconds = sum(each[1] for each in timed), sum(each[2] for each in timed)
    # The last step of an epoch has fewer rows: the fullest tell what a row has.
    fullest = sorted((each[1] for each in timed), reverse=True)[: max(1, len(timed) // 2)]
    row_tokens = sum(fullest) / len(fullest) / (rows * training.num_processes)
    return Rate(run.id, recipe, device, tokens / seconds, row_tokens, len(warm))


def _timed(event: Event) -> tuple[int, float, float] | None:
    """(step, tokens, seconds) of a step's event, None where it does not tell."""
    step, rate, seconds = event.get("step"), event.get("tokens_per_second"), event.get("seconds")
    if not isinstance(step, int) or not isinstance(rate, int | float) or not isinstance(seconds, int | float):
        return None
    return (step, rate * seconds, seconds) if rate > 0 and seconds > 0 else None
