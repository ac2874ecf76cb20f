"""Meters: what is allocated at most in each window of a step, as the device's allocator counts it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Protocol

import torch

from sftui.memory.device import Device
from sftui.memory.estimate import Component
from sftui.telemetry import Nvml
from sftui.training.simulation.counting import Window


@dataclass(frozen=True, slots=True)
class Reading:
    """Bytes of a window: allocated at its end, reserved at most, allocated at most."""

    allocated: int
    reserved: int
    peak: int

    @property
    def total(self) -> int:
        """The most that was allocated."""
        return self.peak

    def joined(self, later: Reading) -> Reading:
        """Of this window and a later one together."""
        return Reading(later.allocated, max(self.reserved, later.reserved), max(self.peak, later.peak))


class Meter(Protocol):
    """Tells windows apart by what is allocated in them."""

    def enter(self, window: Window) -> None:
        """End the running window and begin this one, or go on with it."""

    def make(self, component: Component) -> None:
        """What is allocated from now on belongs to `component`, for meters that can tell."""

    def readings(self) -> dict[Window, Reading]:
        """The windows since this was asked last, the running one as far as it has got."""

    def now(self) -> Reading:
        """Allocated and reserved now, and the most that was allocated since the meter was made.

        May be asked from another thread.
        """


class CudaMeter:
    """torch's own counts: it forgets its peak at every window, this remembers the highest."""

    def __init__(self, where: torch.device) -> None:
        torch.cuda.init()  # type: ignore[no-untyped-call]  # there are no peaks to reset before
        self._where = where
        self._highest = 0
        self._window: Window = ("between", "steps")
        self._readings: dict[Window, Reading] = {}

    def enter(self, window: Window) -> None:
        """End the running window and begin this one; nothing is waited for on the device."""
        if window != self._window:
            self._close()
            self._window = window

    def make(self, component: Component) -> None:
        """A device does not tell components apart."""

    def readings(self) -> dict[Window, Reading]:
        """The windows since this was asked last."""
        self._close()
        found, self._readings = self._readings, {}
        return found

    def now(self) -> Reading:
        """Allocated and reserved now, and the highest ever."""
        found = self._read()
        # In this order: a peak that the other thread resets in between has been taken as the highest first.
        return Reading(found.allocated, found.reserved, max(found.peak, self._highest))

    def _close(self) -> None:
        found = self._read()
        self._highest = max(self._highest, found.peak)
        torch.cuda.reset_peak_memory_stats(self._where)
        before = self._readings.get(self._window)
        self._readings[self._window] = found if before is None else before.joined(found)

    def _read(self) -> Reading:
        # As memory_stats() tells it, without making a flat dictionary of some 150 numbers each time.
        counts = torch.cuda.memory_stats_as_nested_dict(self._where)
        allocated, reserved = (counts.get(name, {}).get("all", {}) for name in _COUNTS)
        return Reading(allocated.get("current", 0), reserved.get("peak", 0), allocated.get("peak", 0))


_COUNTS = ("allocated_bytes", "reserved_bytes")


def meter_for(where: torch.device) -> Meter | None:
    """The meter of the device that is trained on; None where allocations are not counted."""
    return CudaMeter(where) if where.type == "cuda" else None


def context_bytes(where: torch.device, before: Device | None) -> int | None:
    """What the driver counts for this process beside what torch has reserved, None where it does not tell.

    By process where the driver names this one (not in a container with process ids of its own), else what is
    in use on the GPU beyond `before`, the same GPU when this process had nothing on it.
    """
    nvml = Nvml()
    try:
        number = where.index or 0
        uuid = nvml.visible[number] if number < len(nvml.visible) else ""
        taken = next((each.used_bytes for each in nvml.processes(uuid) if each.pid == os.getpid()), None)
        if taken is None and before is not None and before.uuid == uuid:
            used = next((gpu.used_bytes for gpu in nvml.read() if gpu.uuid == uuid), None)
            taken = None if used is None else used - before.used_bytes
    finally:
        nvml.close()
    if taken is None:
        return None
    beside = taken - torch.cuda.memory_reserved(where)
    return beside if beside > 0 else None
