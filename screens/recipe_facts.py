"""What the Recipe screen finds out in threads: what a run of the open recipe comes to on this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from sftui.errors import InputError

from .memory_facts import Facts as ModelFacts
from .memory_facts import said
from .packing_facts import Facts as PlanFacts

if TYPE_CHECKING:
    from sftui.data.overview import Overview
    from sftui.data.packing.plan import Plan
    from sftui.devices import Machine
    from sftui.forecast import Forecast
    from sftui.memory.answer import Answer
    from sftui.memory.config_file import Unknown
    from sftui.memory.device import Device
    from sftui.memory.measured import Measured
    from sftui.memory.shape import ModelShape
    from sftui.recipe import Recipe
    from sftui.runs.rates import Rate

    from .app import Workbench

# After the last change: what would make it fit is some ten milliseconds of estimates.
MEND_SECONDS = 0.2

Start = Callable[[Callable[[], Awaitable[None]], str], object]


@dataclass(frozen=True, slots=True)
class Known:
    """All that a forecast follows from."""

    recipe: Recipe
    machine: Machine
    shape: ModelShape | Unknown | None
    device: Device | None
    history: tuple[Measured, ...]
    overview: Overview | None
    held_out: Overview | None
    plan: Plan | None
    rates: tuple[Rate, ...]

    def forecast(self) -> Forecast:
        """Some ms; looks at files."""
        from sftui.forecast import forecast

        return forecast(
            self.recipe,
            self._machine(),
            overview=self.overview,
            plan=self.plan,
            held_out=self.held_out,
            answer=self._answer(),
            rates=self.rates,
        )

    def _machine(self) -> Machine:
        """This machine, or one that has the GPU that was named: checks are of the same as the memory."""
        machine, device = self.machine, self.device
        if device is None or (machine.devices and device == machine.devices[0]):
            return machine
        if device.here:
            others = tuple(one for one in machine.devices if one.uuid != device.uuid)
            devices = (device, *others)
        else:
            devices = (device,) * self.recipe.training.num_processes
        return replace(machine, devices=devices, holders=tuple(map(machine.holders_of, devices)))

    def _answer(self) -> Answer | None:
        from sftui.memory import known
        from sftui.memory.answer import answer, answer_at_hand
        from sftui.memory.shape import ModelShape

        data = known.Known.of(self.recipe, self.overview, self.held_out)
        lengths = {"longest": data.longest, "longest_held_out": data.longest_held_out}
        try:
            if isinstance(self.shape, ModelShape):
                return answer(self.recipe, self.shape, self.device, **lengths, history=self.history)
            if self.shape is None:
                return None
            return answer_at_hand(self.recipe, self.device, **lengths, history=self.history)
        except InputError:
            return None


class Facts:
    """`start(work, group)` runs a coroutine function and ends the one before of its group; `changed` is
    called on the event loop when more is known. `here`: a GPU that was named on Memory is left aside.
    """

    def __init__(
        self, app: Workbench, start: Start, changed: Callable[[], None], *, here: bool = False
    ) -> None:
        self.forecast: Forecast | None = None
        self.of: Recipe | None = None
        """The recipe that the forecast is of."""
        self.problem: str | None = None
        """Why there is no forecast."""
        self._app, self._start, self._changed, self._here = app, start, changed, here
        self.model = ModelFacts(start, self.renew)
        self._plans = PlanFacts(lambda work: app.run_worker(work, group="plan"), self.renew)
        self._desk: object = None
        self._rates: tuple[Rate, ...] = ()
        self._asked: Recipe | None = None

    @property
    def state(self) -> str:
        """What goes on, or why the memory is not known."""
        if self.problem is not None:
            return self.problem
        if self.model.problem is not None:
            return self.model.problem
        if self.model.shape is None:
            return "reading config.json…"
        return self.model.why_simulated or ""

    def look(self, folder: Path) -> None:
        """See what earlier runs in `folder` reached."""
        self._start(partial(self._look, folder), "rates")

    async def _look(self, folder: Path) -> None:
        from sftui.runs.rates import rates_in

        found = await asyncio.to_thread(rates_in, folder)
        if found != self._rates:
            self._rates = found
            self.renew()

    def adopt(self, recipe: Recipe, *, again: bool = False) -> None:
        """Follow another recipe; `again`: look once more for a model that was not found."""
        self.model.want_shape(recipe, again=again)
        before, self._asked = self._asked, recipe
        if before is None or before.data != recipe.data or _batches(before) != _batches(recipe):
            self.follow()
        elif before is not recipe:
            self.renew()

    def follow(self) -> None:
        """More is known of the data."""
        desk = self._app.dataset.desk
        if desk is not self._desk:
            self._desk = desk
            self._plans.open(desk)
        self._plans.renew()
        if desk is not None and self._asked is not None and desk.overview("train").analysed:
            self._plans.want((self._asked.data.max_length,), (), None)
        self.renew()

    def renew(self) -> None:
        """Ask anew what it comes to."""
        if self.known() is None:
            self._changed()
        else:
            self._start(self._forecast, "forecast")

    def known(self) -> Known | None:
        """All that is known by now; None until it is enough."""
        recipe, machine, desk = self._asked, self.model.machine, self._app.dataset.desk
        if recipe is None or machine is None or (self.model.shape is None and self.model.problem is None):
            return None
        overview = None if desk is None else desk.overview("train")
        held_out = desk.overview("eval") if desk is not None and "eval" in desk.sides else None
        return Known(
            recipe,
            machine,
            self.model.shape,
            self.device(recipe, machine),
            self.model.history,
            overview,
            held_out,
            self._plans.plans.get(recipe.data.max_length),
            self._rates,
        )

    def device(self, recipe: Recipe, machine: Machine) -> Device | None:
        """The GPU that the recipe is held against."""
        from sftui.devices import device_for

        chosen = None if self._here else self._app.memory_device
        if chosen is None:
            return device_for(recipe, machine)
        return next((one for one in machine.devices if chosen.here and one.uuid == chosen.uuid), chosen)

    async def _forecast(self) -> None:
        known = self.known()
        if known is None:
            return
        self.model.want_history(known.device)
        try:
            found = await asyncio.to_thread(known.forecast)
            self.forecast, self.of, self.problem = found, known.recipe, None
            self._changed()
            await self._mend(found)
        except Exception as error:  # whatever became of it: the screen stays
            self.forecast, self.of, self.problem = None, known.recipe, said(error)
            self._changed()

    async def _mend(self, found: Forecast) -> None:
        """Say what would make it fit, where it does not."""
        fits = all(finding.code not in ("out-of-memory", "memory-tight") for finding in found.findings)
        if fits or found.memory is None:
            return
        from sftui.recipe_checks import mended

        await asyncio.sleep(MEND_SECONDS)
        findings = await asyncio.to_thread(mended, found.findings, found.memory)
        self.forecast = replace(found, findings=findings)
        self._changed()


def _batches(recipe: Recipe) -> tuple[int, int, int]:
    """What of the training a plan depends on."""
    training = recipe.training
    return (
        training.per_device_train_batch_size,
        training.gradient_accumulation_steps,
        training.num_processes,
    )
