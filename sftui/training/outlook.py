"""What a run will take, said before it does, and what to do where that is too much."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sftui import words
from sftui.errors import InputError
from sftui.memory.answer import Answer, answer_at_hand
from sftui.memory.changes import Change, changes, cheapest
from sftui.memory.device import Device
from sftui.memory.estimate import COMPONENTS, Breakdown, Component, Estimate, Moment
from sftui.memory.levers import RESULTS
from sftui.memory.measured import measured_on
from sftui.memory.simulated import document
from sftui.recipe import Recipe

log = logging.getLogger("sftui")

MOMENT_NAMES: dict[Moment, str] = {
    "load": "while loading the model",
    "forward": "in the forward pass",
    "loss": "at the loss",
    "backward_last": "in the backward pass of the last layer",
    "backward_first": "in the backward pass of the first layer",
    "optimizer_step": "in the optimizer's step",
    "evaluation": "in an evaluation",
    "save": "while saving",
}
_FEW = 2  # components, and remedies, that a sentence names
_WORTH = 0.05  # of what the best change saves: less is no remedy


@dataclass(frozen=True, slots=True)
class Outlook:
    """The estimate of a recipe on its data and device. `longest` is the longest sequence, None for any."""

    answer: Answer
    longest: int | None

    @property
    def estimate(self) -> Estimate:
        """The bytes."""
        return self.answer.estimate

    @property
    def too_large(self) -> bool:
        """Whether it does not fit what is free on the device, whatever turns out to be off."""
        return self.answer.verdict == "no"

    def as_event(self) -> dict[str, Any]:
        """The `memory` field of a `start` event."""
        return {"predicted": document(self.estimate), "source": self.answer.source}

    def sentence(self) -> str:
        """The prediction in a line of a log."""
        peak = f"{words.size(self.estimate.peak_bytes)} predicted {MOMENT_NAMES[self.estimate.peak_moment]}"
        device = self.answer.device
        where = "on a GPU" if device is None else f"{words.size(device.free_bytes)} free on {device.name}"
        return f"memory: {peak}, {where}"

    def warning(self) -> str:
        """That it does not fit, and what to change; for one that is `too_large`."""
        device = self.answer.device
        assert device is not None
        text = (
            f"this needs {words.size(self.answer.band.low)} of memory or more "
            f"({MOMENT_NAMES[self.estimate.peak_moment]}), "
            f"{words.size(device.free_bytes)} are free on {device.name}"
        )
        found = self._fitting(device)
        if found:
            return f"{text}; it would fit with {' '.join(map(_settings, found))}"
        best = self.remedies()[:1]
        return f"{text}; what helps most is {best[0]}" if best else text

    def shortage(self, running: Sequence[Moment]) -> str:
        """What takes the memory in the moment that ran: of several that it may have been, the largest."""
        moment = max(running, key=self.estimate.at, default=self.estimate.peak_moment)
        parts = self.estimate.moments.get(moment) or self.estimate.components
        first, *others = _largest(parts)
        verb = "take" if first.endswith("s") else "takes"
        listed = [f"{first} {verb} {words.size(parts[first])}"]
        listed += [f"{name} {words.size(parts[name])}" for name in others]
        return f"{' and '.join(listed)} of {words.size(sum(parts.values()))}"

    def remedies(self) -> list[str]:
        """The best changes, each with what it saves: `training.loss=chunked (-6.1 GiB)`."""
        shape = self.answer.shape
        if shape is None:
            return []
        found = changes(self.answer.recipe, shape, self.estimate, self.longest)
        return [f"{_settings(one)} (-{words.size(one.saves)})" for one in _best(found)]

    def _fitting(self, device: Device) -> list[Change]:
        shape = self.answer.shape
        if shape is None:
            return []
        # What the allocator and CUDA take beside the peak must fit too.
        room = device.free_bytes * self.estimate.peak_bytes / self.answer.band.typical
        recipe = self.answer.recipe
        return cheapest(recipe, shape, lambda each: each.peak_bytes <= room, self.longest) or []


def outlook(recipe: Recipe, device: Device | None, longest: int | None) -> Outlook | None:
    """The estimate that is at hand for a run; None where there is none."""
    history = () if device is None else measured_on(device.name)
    try:
        found = answer_at_hand(recipe, device, longest=longest, history=history)
    except InputError:  # no config.json here, or a model that cannot be: loading it says so
        return None
    except Exception:  # a run is worth more than its estimate
        log.exception("no estimate of the memory")
        return None
    return None if found is None else Outlook(found, longest)


def _largest(parts: Breakdown) -> list[Component]:
    order = sorted(COMPONENTS, key=lambda name: parts[name], reverse=True)
    return [name for name in order[:_FEW] if parts[name]]


def _best(found: Sequence[Change]) -> list[Change]:
    """Those that save most, each of other settings: what leaves the result as it is before what does not."""
    worth = max((one.saves for one in found), default=0) * _WORTH
    mildest: dict[frozenset[str], Change] = {}
    for one in found:
        if one.saves >= worth:
            mildest.setdefault(frozenset(one.values), one)
    order = sorted(mildest.values(), key=lambda each: (RESULTS.index(each.result), -each.saves))
    return order[:_FEW]


def _settings(change: Change) -> str:
    """As on the command line: `training.loss=chunked`; in words where a whole section is added."""
    if any(isinstance(value, dict) for value in change.values.values()):
        return change.text
    return " ".join(f"{key}={_value(value)}" for key, value in change.values.items())


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{','.join(map(str, value))}]"
    return str(value).lower() if isinstance(value, bool) else str(value)
