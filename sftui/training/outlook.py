"""What a run will take, said before it does, and what to do where that is too much."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sftui import words
from sftui.errors import InputError
from sftui.memory.answer import Answer, answer_at_hand
from sftui.memory.band import fits_on
from sftui.memory.changes import Change, changes, cheapest
from sftui.memory.device import Device
from sftui.memory.estimate import COMPONENTS, Breakdown, Component, Estimate, Moment
from sftui.memory.fit import methods
from sftui.memory.levers import RESULTS
from sftui.memory.measured import measured_on
from sftui.memory.moment_words import WHEN
from sftui.memory.shape import ModelShape
from sftui.memory.simulated import document
from sftui.recipe import Recipe

log = logging.getLogger("sftui")

_FEW = 2  # components, and remedies, that a sentence names
_WORTH = 0.05  # of what the best change saves: less is no remedy
_OF_WEIGHTS = 0.03  # of what loading takes: less is none either


@dataclass(frozen=True, slots=True)
class Outlook:
    """The estimate of a recipe on its data and device."""

    answer: Answer

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
        device = self.answer.device
        if device is None:
            return f"memory: about {words.size(self.answer.ram_bytes)} of RAM predicted"
        peak = f"{words.size(self.estimate.peak_bytes)} predicted {WHEN[self.estimate.peak_moment]}"
        return f"memory: {peak}, {words.size(device.free_bytes)} free on {device.name}"

    def warning(self) -> str:
        """That it does not fit, and what to change; for one that is `too_large`."""
        device = self.answer.device
        assert device is not None
        text = (
            f"this needs {words.size(self.answer.band.low)} of memory or more "
            f"({WHEN[self.estimate.peak_moment]}), "
            f"{words.size(device.free_bytes)} are free on {device.name}"
        )
        found = self._fitting(device)
        if found:
            return f"{text}; it would fit with {' '.join(map(_settings, found))}"
        if found is None and self.answer.shape is not None:
            text += "; no change of this recipe makes it fit with certainty"
        best = self.remedies()[:1]
        return f"{text}; what helps most is {best[0]}" if best else text

    def shortage(self, running: Sequence[Moment]) -> str:
        """What takes the memory in the moment that ran: of several that it may have been, the largest."""
        moment = self._moment(running)
        parts = self.estimate.moments.get(moment) or self.estimate.components
        first, *others = _largest(parts)
        verb = "take" if first.endswith("s") else "takes"
        listed = [f"{first} {verb} {words.size(parts[first])}"]
        listed += [f"{name} {words.size(parts[name])}" for name in others]
        return f"{' and '.join(listed)} of {words.size(sum(parts.values()))}"

    def remedies(self, running: Sequence[Moment] = ()) -> list[str]:
        """The best changes, each with what it saves in the moment that ran, or without one of the peak.

        As in `training.loss=chunked (-6.1 GiB)`.
        """
        shape, known = self.answer.shape, self.answer.known
        if shape is None:
            return []
        moment = self._moment(running) if running else None
        found = changes(self.answer.recipe, shape, self.estimate, known, moment=moment)
        if moment == "load" and max((one.saves for one in found), default=0) < _WORTH * self.estimate.at(
            moment
        ):
            return self._to_load(shape)
        return [f"{_settings(one)} (-{words.size(one.saves)})" for one in _best(found)]

    def _to_load(self, shape: ModelShape) -> list[str]:
        """What helps where the weights themselves are too large, and no single change makes them smaller."""
        recipe = self.answer.recipe
        quantised = methods(recipe, shape, self.answer.known)["QLoRA"][1]
        saves = self.estimate.at("load") - quantised.at("load")
        others = ["a smaller model", "a GPU with more memory"]
        if recipe.model.quantization != "none" or saves < _OF_WEIGHTS * self.estimate.at("load"):
            return others
        return [f"an adapter and model.quantization=nf4 (-{words.size(saves)})", others[0]]

    def _moment(self, running: Sequence[Moment]) -> Moment:
        return max(running, key=self.estimate.at, default=self.estimate.peak_moment)

    def _fitting(self, device: Device) -> list[Change] | None:
        """The cheapest changes that make it fit, None where none do or are known."""
        shape = self.answer.shape
        if shape is None:
            return None
        fits = fits_on(device, measured_on(device.name))
        return cheapest(self.answer.recipe, shape, fits, self.answer.known)


def outlook(
    recipe: Recipe, device: Device | None, longest: int | None, longest_held_out: int | None = None
) -> Outlook | None:
    """The estimate that is at hand for a run; None where there is none.

    `longest` is the longest sequence that is trained on in tokens, `longest_held_out` that is evaluated.
    """
    history = () if device is None else measured_on(device.name)
    try:
        found = answer_at_hand(
            recipe, device, longest=longest, longest_held_out=longest_held_out, history=history
        )
    except InputError:  # no config.json here, or a model that cannot be: loading it says so
        return None
    except Exception:  # a run is worth more than its estimate
        log.exception("no estimate of the memory")
        return None
    return None if found is None else Outlook(found)


def _largest(parts: Breakdown) -> list[Component]:
    order = sorted(COMPONENTS, key=lambda name: parts[name], reverse=True)
    return [name for name in order[:_FEW] if parts[name]]


def _best(found: Sequence[Change]) -> list[Change]:
    """Those that save most, one of each lever: what leaves the result as it is before what does not.

    Of a lever, the one that costs least time of those that save half of what it can.
    """
    highest: dict[str, int] = {}
    for one in found:
        highest[one.lever] = max(highest.get(one.lever, 0), one.saves)
    worth = max(highest.values(), default=0) * _WORTH
    chosen: dict[str, Change] = {}
    for one in found:
        if one.saves >= max(worth, highest[one.lever] / 2):
            chosen.setdefault(one.lever, one)
    order = sorted(chosen.values(), key=lambda each: (RESULTS.index(each.result), -each.saves))
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
