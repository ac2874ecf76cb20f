"""Whether a recipe fits a device, with all that leads to it: what commands and screens show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Literal

from sftui.memory.band import Band, Verdict, band, verdict
from sftui.memory.closed_form import estimate
from sftui.memory.config_file import Unknown, config_file, shape_of_model
from sftui.memory.device import Device
from sftui.memory.estimate import Estimate
from sftui.memory.measured import Measured
from sftui.memory.shape import ModelShape
from sftui.memory.simulated import cached, simulated
from sftui.memory.step import StepSpec, step_of
from sftui.recipe import Recipe

Source = Literal["closed form", "simulation"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The memory of a recipe's step on a device, and how sure that is.

    `shape` and `step` are None where the closed form does not know the model and the simulation answered.
    `same` are measured runs of the same model and step on this device, the newest first. `verdict` is None
    without a device.
    """

    recipe: Recipe
    shape: ModelShape | None
    step: StepSpec | None
    estimate: Estimate
    source: Source
    device: Device | None
    band: Band
    verdict: Verdict | None
    same: tuple[Measured, ...]


@lru_cache(maxsize=16)
def known_shape(name_or_path: str, revision: str | None = None) -> ModelShape | Unknown:
    """`shape_of_model`, read once. Raises InputError each time where there is none."""
    return shape_of_model(name_or_path, revision)


@lru_cache(maxsize=16)
def config_digest(name_or_path: str, revision: str | None = None) -> str:
    """What tells one config.json from another. Raises InputError where there is none."""
    return hashlib.sha256(config_file(name_or_path, revision).read_bytes()).hexdigest()[:16]


def answer(
    recipe: Recipe,
    shape: ModelShape,
    device: Device | None,
    *,
    longest: int | None = None,
    history: Sequence[Measured] = (),
) -> Answer:
    """The closed form's answer; about 2 ms.

    `longest` is the longest sequence of the data in tokens, where it is known; `history` is what
    `measured_on` found for the device.
    """
    step = step_of(recipe, shape, length=longest)
    return _answer(recipe, shape, step, estimate(shape, step), "closed form", device, history)


def simulated_answer(
    recipe: Recipe,
    device: Device | None,
    *,
    longest: int | None = None,
    history: Sequence[Measured] = (),
    cancelled: Callable[[], bool] = lambda: False,
) -> Answer:
    """The simulation's answer for any model: seconds, for a thread.

    Raises InputError where the model cannot be simulated, CancelledError once `cancelled` is true.
    """
    found = simulated(recipe, _asked(recipe, longest), cancelled=cancelled)
    return _simulated(recipe, found, device, longest, history)


def answer_at_hand(
    recipe: Recipe,
    device: Device | None,
    *,
    longest: int | None = None,
    history: Sequence[Measured] = (),
) -> Answer | None:
    """The closed form's answer, for a model that it does not know that of a simulation of earlier; some ms.

    None where there is neither. Raises InputError where there is no model.
    """
    shape = known_shape(recipe.model.name_or_path, recipe.model.revision)
    if isinstance(shape, ModelShape):
        return answer(recipe, shape, device, longest=longest, history=history)
    found = cached(recipe, _asked(recipe, longest))
    return None if found is None else _simulated(recipe, found, device, longest, history)


def _asked(recipe: Recipe, longest: int | None) -> dict[str, int]:
    """What the simulation is asked beyond the recipe."""
    if not longest or recipe.data.packing != "none":
        return {}
    return {"length": min(longest, recipe.data.max_length)}


def _simulated(
    recipe: Recipe, found: Estimate, device: Device | None, longest: int | None, history: Sequence[Measured]
) -> Answer:
    shape = known_shape(recipe.model.name_or_path, recipe.model.revision)
    known = shape if isinstance(shape, ModelShape) else None
    step = None if known is None else step_of(recipe, known, length=longest)
    return _answer(recipe, known, step, found, "simulation", device, history)


def _answer(
    recipe: Recipe,
    shape: ModelShape | None,
    step: StepSpec | None,
    found: Estimate,
    source: Source,
    device: Device | None,
    history: Sequence[Measured],
) -> Answer:
    around = band(found.peak_bytes, recipe.training.loss, history)
    decided = None if device is None else verdict(around, device)
    same = () if step is None else _same(history, recipe, step)
    return Answer(recipe, shape, step, found, source, device, around, decided, same)


def _same(history: Sequence[Measured], recipe: Recipe, step: StepSpec) -> tuple[Measured, ...]:
    if not history:
        return ()
    config = config_digest(recipe.model.name_or_path, recipe.model.revision)
    # As it comes back from a file: lists for tuples.
    wanted = json.loads(json.dumps(asdict(step)))
    return tuple(one for one in history if one.config == config and one.step == wanted)
