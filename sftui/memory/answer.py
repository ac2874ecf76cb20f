"""Whether a recipe fits a device, with all that leads to it: what commands and screens show."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import Any, Literal

from sftui.memory.band import Band, Verdict, band, verdict
from sftui.memory.closed_form import estimate
from sftui.memory.config_file import Unknown, config_file, shape_of_model
from sftui.memory.device import Device
from sftui.memory.estimate import Estimate
from sftui.memory.known import NOTHING, Known
from sftui.memory.measured import Measured
from sftui.memory.process_ram import ram_bytes
from sftui.memory.refused import require_pattern, require_trained
from sftui.memory.shape import ModelShape
from sftui.memory.simulated import cached, simulated
from sftui.memory.step import StepSpec
from sftui.recipe import Recipe

Source = Literal["closed form", "simulation"]


@dataclass(frozen=True, slots=True)
class Answer:
    """The memory of a recipe's step on a device, and how sure that is.

    `shape` and `step` are None where the closed form does not know the model and the simulation answered.
    `same` are measured runs of the same model and step on this device, but for the length of their sequences:
    those of the same length first, then the newest. `verdict` is None without a device. `known` is what the
    step follows from beside the recipe.
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
    known: Known = NOTHING

    @property
    def ram_bytes(self) -> int:
        """Bytes of RAM that the trainer takes where it computes on the CPU."""
        return ram_bytes(self.recipe, self.shape, self.known, self.estimate)

    @property
    def length(self) -> int:
        """Tokens of the longest sequence, or bin, that the estimate is for."""
        most = self.recipe.data.max_length
        return min(self.known.longest or most, most) if self.length_from == "data" else most

    @property
    def length_from(self) -> Literal["data", "max_length"]:
        """Whether the data's longest sequence is known, or all rows are taken to be of max_length."""
        unpacked = self.recipe.data.packing == "none"
        return "data" if self.known.longest and unpacked else "max_length"


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
    longest_held_out: int | None = None,
    history: Sequence[Measured] = (),
) -> Answer:
    """The closed form's answer; about 2 ms. Raises InputError where the adapter finds nothing to adapt.

    `longest` is the longest sequence that is trained on in tokens, where it is known, `longest_held_out` the
    longest that is evaluated; `history` is what `measured_on` found for the device.
    """
    known = _known(device, longest, longest_held_out)
    step = known.step(recipe, shape)
    require_trained(recipe, shape, step)
    return _answer(recipe, shape, known, estimate(shape, step), "closed form", device, history)


def simulated_answer(
    recipe: Recipe,
    device: Device | None,
    *,
    longest: int | None = None,
    longest_held_out: int | None = None,
    history: Sequence[Measured] = (),
    cancelled: Callable[[], bool] = lambda: False,
) -> Answer:
    """The simulation's answer for any model: seconds, for a thread.

    Raises InputError where the model cannot be simulated, CancelledError once `cancelled` is true.
    """
    require_pattern(recipe)
    known = _known(device, longest, longest_held_out)
    found = simulated(recipe, _asked(recipe, known), cancelled=cancelled)
    return _simulated(recipe, found, device, known, history)


def answer_at_hand(
    recipe: Recipe,
    device: Device | None,
    *,
    longest: int | None = None,
    longest_held_out: int | None = None,
    history: Sequence[Measured] = (),
) -> Answer | None:
    """The closed form's answer, for a model that it does not know that of a simulation of earlier; some ms.

    None where there is neither. Raises InputError where there is no model.
    """
    shape = known_shape(recipe.model.name_or_path, recipe.model.revision)
    if isinstance(shape, ModelShape):
        return answer(
            recipe, shape, device, longest=longest, longest_held_out=longest_held_out, history=history
        )
    known = _known(device, longest, longest_held_out)
    found = cached(recipe, _asked(recipe, known))
    return None if found is None else _simulated(recipe, found, device, known, history)


def _known(device: Device | None, longest: int | None, longest_held_out: int | None) -> Known:
    return Known(longest, longest_held_out, None if device is None else device.capability)


def _asked(recipe: Recipe, known: Known) -> dict[str, Any]:
    """What the simulation is asked beyond the recipe."""
    asked: dict[str, Any] = {}
    data, held_out = recipe.data, known.held_out(recipe)
    if known.longest and data.packing == "none":
        asked["length"] = min(known.longest, data.max_length)
    if held_out is not None and (data.eval or data.eval_fraction):
        asked["evaluation_length"] = min(held_out, data.max_length)
    if known.capability is not None:
        asked["capability"] = list(known.capability)
    return asked


def _simulated(
    recipe: Recipe, found: Estimate, device: Device | None, known: Known, history: Sequence[Measured]
) -> Answer:
    shape = known_shape(recipe.model.name_or_path, recipe.model.revision)
    layers = shape if isinstance(shape, ModelShape) else None
    return _answer(recipe, layers, known, found, "simulation", device, history)


def _answer(
    recipe: Recipe,
    shape: ModelShape | None,
    known: Known,
    found: Estimate,
    source: Source,
    device: Device | None,
    history: Sequence[Measured],
) -> Answer:
    step = None if shape is None else known.step(recipe, shape)
    around = band(found.peak_bytes, recipe.training.loss, history)
    decided = None if device is None else verdict(around, device)
    same = () if step is None or shape is None else _same(history, recipe, shape, step)
    return Answer(recipe, shape, step, found, source, device, around, decided, same, known)


def _same(
    history: Sequence[Measured], recipe: Recipe, shape: ModelShape, step: StepSpec
) -> tuple[Measured, ...]:
    if shape.from_table:
        return ()  # no config.json is here to be held against those of the runs
    # As it comes back from a file: lists for tuples.
    wanted = _of_recipe(json.loads(json.dumps(asdict(step))))
    found = [one for one in history if one.config and _matches(one.step, wanted)]
    if found:
        config = config_digest(recipe.model.name_or_path, recipe.model.revision)
        found = [one for one in found if one.config == config]
    return tuple(sorted(found, key=lambda one: one.step.get("length") != step.length))


def _of_recipe(step: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a step that are the recipe's: the length is the data's, the capability the device's."""
    fields = {name: value for name, value in step.items() if name not in ("length", "capability")}
    evaluation = fields.get("evaluation")
    if isinstance(evaluation, Mapping):
        fields["evaluation"] = {name: value for name, value in evaluation.items() if name != "length"}
    return fields


def _matches(step: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether a run's step has these fields; one that is kept by an earlier version may have fewer."""
    return bool(step) and all(
        name in wanted and wanted[name] == value for name, value in _of_recipe(step).items()
    )
