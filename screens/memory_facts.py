"""What the Memory screen finds out in threads: the model's shape, this machine, comparisons, simulations."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from sftui.errors import InputError

from .memory_compare import Comparison, compare
from .memory_every import Recomputed, recomputed
from .memory_lengths import Lengths

if TYPE_CHECKING:
    from sftui.devices import Machine
    from sftui.memory.answer import Answer
    from sftui.memory.config_file import Unknown
    from sftui.memory.device import Device
    from sftui.memory.measured import Measured
    from sftui.memory.shape import ModelShape
    from sftui.recipe import Recipe

MACHINE_SECONDS = 5.0
# After the last key: a comparison is some hundred estimates, a simulation a process.
COMPARE_SECONDS, SIMULATE_SECONDS = 0.12, 0.5
KEPT = 16  # simulations

Start = Callable[[Callable[[], Awaitable[None]], str], object]


class Facts:
    """`start(work, group)` runs a coroutine function and ends the one before of its group; `changed` is
    called on the event loop when more is known.
    """

    def __init__(self, start: Start, changed: Callable[[], None]) -> None:
        self.shape: ModelShape | Unknown | None = None
        self.problem: str | None = None
        self.machine: Machine | None = None
        self.history: tuple[Measured, ...] = ()
        self.comparison: Comparison | None = None
        self.comparison_problem: str | None = None
        self.every: tuple[Recomputed, ...] = ()
        self.simulating = False
        self.simulation_problem: str | None = None
        self._start, self._changed = start, changed
        self._model: tuple[str, str | None] | None = None
        self._history_of: str | None = None
        self._machine_problem: str | None = None
        self._history_problem: str | None = None
        self._compared: tuple[Any, ...] | None = None
        self._simulations: dict[str, Answer] = {}
        self._asked: str | None = None

    # -- the model

    @property
    def why_simulated(self) -> str | None:
        """Why the closed form does not answer; None where it does."""
        return getattr(self.shape, "why", None)

    def want_shape(self, recipe: Recipe, *, again: bool = False) -> None:
        """Read the config.json of the recipe's model, unless it has been; `again` where it could not be."""
        model = recipe.model.name_or_path, recipe.model.revision
        if model == self._model and not (again and self.problem is not None):
            return
        self._model = model
        self.shape = self.problem = self.comparison = self.comparison_problem = None
        self.every = ()
        self.drop_simulation()
        self._start(partial(self._read, *model), "shape")

    async def _read(self, name: str, revision: str | None) -> None:
        from sftui.memory.answer import known_shape

        try:
            self.shape = await asyncio.to_thread(known_shape, name, revision)
        except Exception as error:  # an unreadable disk is a problem of the model, not of the app
            self.problem = said(error)
        self._changed()

    # -- this machine

    async def watch(self, folder: str) -> None:
        """Look at this machine and the disk of `folder` every few seconds, until it is cancelled."""
        from sftui.devices import look

        while True:
            problem, machine = None, self.machine
            try:
                machine = await asyncio.to_thread(look, folder)
            except Exception as error:  # what was seen before stays, and the next look may see more
                problem = said(error)
            if (problem, machine) != (self._machine_problem, self.machine):
                self._machine_problem, self.machine = problem, machine
                self._changed()
            await asyncio.sleep(MACHINE_SECONDS)

    @property
    def unseen(self) -> str | None:
        """Why something of this machine cannot be seen; None where all can."""
        return self._machine_problem or self._history_problem

    def want_history(self, device: Device | None, *, again: bool = False) -> None:
        """What runs took on GPUs of this name."""
        name = None if device is None else device.name
        if name != self._history_of or again:
            if name != self._history_of:
                self.history = ()
            self._history_of = name
            if name is not None:
                self._start(partial(self._measured, name), "history")

    async def _measured(self, name: str) -> None:
        from sftui.memory.measured import measured_on

        problem, history = None, self.history
        try:
            history = await asyncio.to_thread(measured_on, name)
        except Exception as error:
            problem = said(error)
        if name == self._history_of and (problem, history) != (self._history_problem, self.history):
            self._history_problem, self.history = problem, history
            self._changed()

    # -- comparisons

    def want_comparison(self, found: Answer, lengths: Lengths) -> None:
        """Other methods, what there is room for and what would save most; the one before stays meanwhile."""
        if found.shape is None:
            self.comparison = self._compared = None
            self.every = ()
            return
        device = found.device
        free = None if device is None else device.free_bytes
        wanted = found.recipe, found.shape, free, lengths, self.history
        if wanted != self._compared:
            self._compared = wanted
            work = partial(self._compare, found.recipe, found.shape, found, device, lengths, self.history)
            self._start(work, "comparison")

    async def _compare(
        self,
        recipe: Recipe,
        shape: ModelShape,
        found: Answer,
        device: Device | None,
        lengths: Lengths,
        history: Sequence[Measured],
    ) -> None:
        await asyncio.sleep(COMPARE_SECONDS)
        try:
            self.comparison = await asyncio.to_thread(
                compare, recipe, shape, found.estimate, device, lengths, history
            )
            self.comparison_problem = None
            self._changed()
            self.every = await asyncio.to_thread(recomputed, recipe, shape, lengths)
        except Exception as error:
            self.comparison_problem = said(error)
        self._changed()

    # -- simulations

    def simulation(self, recipe: Recipe, device: Device | None, lengths: Lengths) -> Answer | None:
        """What was simulated for this recipe, held against a device."""
        from sftui.memory.band import band, verdict

        found = self._simulations.get(_key(recipe, lengths))
        if found is None:
            return None
        around = band(found.estimate.peak_bytes, recipe.training.loss, self.history)
        decided = None if device is None else verdict(around, device)
        return replace(found, device=device, band=around, verdict=decided)

    def want_simulation(self, recipe: Recipe, lengths: Lengths, *, wait: float = 0.0) -> None:
        """Simulate the recipe's step after `wait` seconds; another one that is under way is ended."""
        key = _key(recipe, lengths)
        if key == self._asked or key in self._simulations:
            return
        self._asked = key
        self.simulating, self.simulation_problem = True, None
        self._start(partial(self._simulate, key, recipe, lengths, wait), "simulation")

    def drop_simulation(self) -> None:
        """It is not wanted any more."""
        if self._asked is not None:
            self._asked, self.simulating, self.simulation_problem = None, False, None
            self._start(_nothing, "simulation")

    async def _simulate(self, key: str, recipe: Recipe, lengths: Lengths, wait: float) -> None:
        from sftui.memory.answer import simulated_answer

        await asyncio.sleep(wait)
        stop = threading.Event()
        try:
            found = await asyncio.to_thread(
                simulated_answer, recipe, None, cancelled=stop.is_set, **lengths._asdict()
            )
        except Exception as error:
            self.simulation_problem = said(error)
        else:
            while len(self._simulations) >= KEPT:
                self._simulations.pop(next(iter(self._simulations)))
            self._simulations[key] = found
            self._asked = None
        finally:
            stop.set()  # also where this task is cancelled: the process goes with it
        self.simulating = False
        self._changed()


def said(error: Exception) -> str:
    """What is wrong, for a person: a thread that fails must not end the app."""
    if isinstance(error, InputError):
        return str(error)
    return f"{type(error).__name__}: {error}".removesuffix(": ")


async def _nothing() -> None:
    """Takes the place of work that is not wanted."""


def _key(recipe: Recipe, lengths: Lengths) -> str:
    return f"{tuple(lengths)} {recipe.model_dump_json()}"
