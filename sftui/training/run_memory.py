"""A run's memory: predicted before it, measured while it runs, kept when it ends."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import torch

from sftui.devices import device_for
from sftui.errors import InputError
from sftui.machine import installed_version
from sftui.memory.answer import config_digest
from sftui.memory.device import Device
from sftui.memory.estimate import Moment
from sftui.memory.measured import Measured, keep
from sftui.memory.moment_words import WHEN
from sftui.recipe import Recipe
from sftui.runs.directory import RunDirectory
from sftui.telemetry import Nvml
from sftui.training.failure import ShortOfMemoryError, is_out_of_memory, short
from sftui.training.journal import Journal
from sftui.training.meter import context_bytes, meter_for
from sftui.training.moments import Moments
from sftui.training.outlook import Outlook, outlook

log = logging.getLogger("sftui")

_LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes")
_EITHER: dict[tuple[Moment, ...], str] = {
    ("forward", "loss"): "in the forward pass or at the loss",
    ("backward_last", "backward_first"): "in the backward pass",
}


def device_before(recipe: Recipe) -> Device | None:
    """The GPU that will be trained on, as it is before this process uses it; None for the CPU."""
    return device_for(recipe) if torch.cuda.is_available() else None


class RunMemory:
    """What a run is predicted to take, and what it takes.

    `before` is the GPU before this process used it, None for the CPU. `longest` is the longest sequence that
    is trained on, `longest_held_out` that is evaluated. `outlook` is None where no estimate is at hand.
    """

    def __init__(
        self,
        run: RunDirectory,
        recipe: Recipe,
        journal: Journal | None,
        where: torch.device,
        before: Device | None,
        longest: int | None,
        longest_held_out: int | None = None,
    ) -> None:
        self.outlook: Outlook | None = outlook(recipe, before, longest, longest_held_out)
        self.moments = Moments(meter_for(where), journal, where)
        self._run, self._recipe, self._journal = run, recipe, journal
        self._where, self._before = where, before

    @contextmanager
    def followed(self) -> Iterator[None]:
        """Around all of the run: out of memory is told with what ran, and peaks are kept at the end.

        Raises ShortOfMemoryError in place of what torch raises.
        """
        try:
            yield
        except Exception as error:
            if is_out_of_memory(error):
                raise self._short() from error
            self._keep()
            raise
        self._keep()

    def report(self) -> None:
        """Say what is predicted, and warn where it is more than there is; let telemetry say what is used."""
        meter = self.moments.meter
        if self._journal is None:
            return
        if meter is not None:
            self._journal.device_memory = lambda: {
                "allocated_bytes": (now := meter.now()).allocated,
                "reserved_bytes": now.reserved,
                "peak_bytes": now.peak,
            }
        if self.outlook is not None:
            log.info(self.outlook.sentence())
            if self.outlook.too_large:
                try:
                    self._journal.warn(self.outlook.warning())
                except Exception:  # a run is worth more than its estimate
                    log.exception("no estimate of the memory")

    def _short(self) -> ShortOfMemoryError:
        running = self.moments.running
        moment = _EITHER.get(running) or next((WHEN[each] for each in running), "")
        takes, remedies = "", []
        try:
            if self.outlook is not None:
                # The estimate is of a GPU's memory.
                if running and self._where.type != "cpu":
                    takes = self.outlook.shortage(running)
                remedies = self.outlook.remedies(running)
        except Exception:
            log.exception("no estimate of the memory")
        return ShortOfMemoryError(moment, takes, remedies)

    def _keep(self) -> None:
        """Add this run to the measured ones; that it cannot be is no failure of the run."""
        if (
            self._journal is None
            or self._before is None
            or not self.moments.steps
            or not self.moments.highest
        ):
            return
        try:
            keep(self._measured(self._before))
        except Exception as error:
            log.warning("what this run took is not kept: %s", short(error))

    def _measured(self, device: Device) -> Measured:
        section, found = self._recipe.model, self.outlook
        step = None if found is None else found.answer.step
        try:
            config = config_digest(section.name_or_path, section.revision)
        except InputError:
            config = ""
        nvml = Nvml()
        driver = nvml.driver_version
        nvml.close()
        return Measured(
            time=time.time(),
            run=self._run.id,
            model=section.name_or_path,
            config=config,
            device=device.name,
            versions={name: installed_version(name) for name in _LIBRARIES} | {"driver": driver},
            # Of a model that was simulated, the loss alone: what is held beside follows from it.
            step={"loss": self._recipe.training.loss} if step is None else asdict(step),
            predicted_bytes=None if found is None else found.estimate.peak_bytes,
            allocated_bytes=self.moments.highest,
            reserved_bytes=self.moments.reserved,
            context_bytes=context_bytes(self._where, self._before),
        )
