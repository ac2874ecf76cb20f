"""Where a run is in its step, and what it takes there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sftui.memory.estimate import MOMENTS, Component, Moment
from sftui.training.held import gradient_bytes, model_bytes, optimizer_state_bytes
from sftui.training.journal import Journal
from sftui.training.meter import Meter, Reading
from sftui.training.simulation.counting import Window
from sftui.training.simulation.layers import by_moment, moment_of
from sftui.training.simulation.skeleton import decoder_layers
from sftui.training.simulation.windows import Windows

FIRST_STEPS = 3  # of a process are measured; later ones where a micro-batch is larger than any before

BETWEEN: Window = ("between", "steps")


class Moments:
    """Follows the run from moment to moment; with a meter it measures them, and with a journal it tells.

    Hooks are on the model's modules while a step is measured, and taken off after it. `highest` is the most
    that was allocated in any moment, `reserved` the same of what was reserved (0 without a meter), `steps`
    how many steps there were.
    """

    def __init__(self, meter: Meter | None, journal: Journal | None, where: torch.device) -> None:
        self.meter = meter
        self._now: str = "load"
        self.highest = self.reserved = self.steps = 0
        self._journal, self._where = journal, where
        self._model: Any = None
        self._layers = 0
        self._still: dict[str, int] = {}
        self._held = 0
        self._gradients: dict[str, int] = {}
        self._places: Windows | None = None
        self._largest = 0  # tokens of the largest micro-batch that was measured
        self._highest_of: dict[str, int] = {}
        if meter is not None:
            meter.enter(("load", "weights"))

    @property
    def running(self) -> tuple[Moment, ...]:
        """The moment that is running, none between steps; what it may be, in a step that is not measured."""
        if self._places is None and self._now in _UNMEASURED:
            return _UNMEASURED[self._now]
        return tuple(moment for moment in MOMENTS if moment == self._now)

    # -- what the session says -------------------------------------------------------------------

    def loaded(self, model: Any, *, adapted: bool) -> None:
        """The model is on the device."""
        self._model = model
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self._layers = len(decoder_layers(base) or ())
        self._rest()
        if self.meter is not None:
            weights, adapter = model_bytes(model, self._where, adapted=adapted)
            self._still = {"weights": weights, "adapter": adapter}
            self._tell(0, None)

    def hold(self, size: int) -> None:
        """`size` bytes stand for states of the optimizer that are not there yet."""
        self._held = size

    # -- what the trainer says -------------------------------------------------------------------

    def step_begins(self, tokens: int) -> None:
        """A step is next whose largest micro-batch has so many tokens; measured if it is worth it."""
        if self.meter is None:
            return
        if self.steps < FIRST_STEPS or tokens > self._largest:
            self.measure(tokens)
        else:
            self.meter.enter(("step", "all"))

    def measure(self, tokens: int) -> None:
        """Measure every moment from here to `tell`."""
        self._largest = max(self._largest, tokens)
        self._gradients.clear()
        self._places = Windows(self._model, self)

    def forward_begins(self) -> None:
        """A micro-batch goes in."""
        if self._places is None:
            self._now = "forward"
        else:
            self._places.begin_forward()

    def backward_begins(self) -> None:
        """Its loss is known."""
        if self._places is None:
            self._now = "backward"
        else:
            self._places.begin_backward()

    def update_begins(self) -> None:
        """All gradients are there: they are clipped, then the optimizer steps."""
        if self._places is None:
            self._now = "optimizer_step"
        else:
            self._places.end()
            self.make("optimizer")
            self.enter(("optimizer_step", "clip"))

    def clipped(self) -> None:
        """The optimizer's own step is next."""
        if self._places is not None:
            self.enter(("optimizer_step", "update"))

    def step_ends(self, step: int, optimizer: Any) -> None:
        """The weights are updated."""
        self.steps += 1
        self.tell(step, optimizer)

    def evaluation_begins(self) -> None:
        """Held-out rows go in."""
        self._now = "evaluation"
        if self.meter is not None:
            self._places = Windows(self._model, self)
            self._places.begin_evaluation()

    def save_begins(self) -> None:
        """A checkpoint is written."""
        self._now = "save"
        if self.meter is not None:
            self.meter.enter(("save", "weights"))

    def tell(self, step: int, optimizer: Any) -> dict[str, Reading]:
        """Go back to between steps, and report what was measured since: the readings of its moments.

        An event is written of the first steps, and where more was allocated than ever before in one of
        these moments.
        """
        if self._places is not None:
            self._places.end()
            self._places.remove()
            self._note_gradients("")
        self._rest()
        found = {} if self.meter is None else self._tell(step, optimizer)
        self._places = None
        return found

    # -- what the hooks say ----------------------------------------------------------------------

    def enter(self, window: Window) -> None:
        """A window begins."""
        moment = moment_of(window, self._layers)[0]
        if moment != self._now or moment not in self._gradients:
            self._note_gradients(moment)
            self._now = moment
        if self.meter is not None:
            self.meter.enter(window)

    def make(self, component: Component) -> None:
        """What is allocated from now on belongs to `component`."""
        if self.meter is not None:
            self.meter.make(component)

    def _note_gradients(self, moment: str) -> None:
        """Those that are there when a moment begins; at the end of that which makes most of them."""
        there = gradient_bytes(self._model, self._where)
        if self._now == "backward_first":
            self._gradients[self._now] = there
        if moment != "backward_first":
            self._gradients[moment] = max(there, self._gradients.get(moment, 0))

    def _rest(self) -> None:
        self._now = ""
        if self.meter is not None:
            self.meter.make("activations")
            self.meter.enter(BETWEEN)

    def _tell(self, step: int, optimizer: Any) -> dict[str, Reading]:
        assert self.meter is not None
        windows = self.meter.readings()
        whole = windows.pop(("step", "all"), None)
        found = by_moment(
            {window: each for window, each in windows.items() if window[0] in _MOMENTS}, self._layers
        )
        readings = [*found.values(), *([] if whole is None else [whole])]
        if not readings:
            return {}
        peak = max(each.peak for each in readings)
        self.reserved = max(self.reserved, *(each.reserved for each in readings))
        higher = peak > self.highest
        self.highest = max(self.highest, peak)
        first = step == 0 or not self._highest_of.keys() >= found.keys()
        for moment, each in found.items():
            self._highest_of[moment] = max(each.peak, self._highest_of.get(moment, 0))
        early = "optimizer_step" in found and self.steps <= FIRST_STEPS
        if self._journal is not None and (first or higher or early):
            self._journal.event(
                "step_memory",
                step=step,
                moments={moment: _document(found[moment]) for moment in MOMENTS if moment in found},
                components=self._components(found, peak, optimizer),
                peak_bytes=peak,
            )
        return found

    def _components(self, found: Mapping[str, Reading], peak: int, optimizer: Any) -> dict[str, int]:
        """What the peak is made of; activations are all that has no tensor of the model's own."""
        # Of a step that was not measured: the moment that was the highest when one was.
        known = {name: found[name].peak for name in found} or self._highest_of
        moment = max(known, key=lambda name: known[name], default="")
        parts = {
            **self._still,
            "gradients": self._gradients.get(moment, 0),
            "optimizer": optimizer_state_bytes(optimizer, self._where) + self._held,
        }
        return {**parts, "activations": max(0, peak - sum(parts.values()))}


_MOMENTS = {*MOMENTS, "backward"}
_UNMEASURED: dict[str, tuple[Moment, ...]] = {
    "forward": ("forward", "loss"),
    "backward": ("backward_last", "backward_first"),
}


def _document(reading: Reading) -> dict[str, int]:
    return {
        "allocated_bytes": reading.allocated,
        "reserved_bytes": reading.reserved,
        "peak_bytes": reading.peak,
    }
