"""How much of a device a run takes: a band around what torch allocates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Literal

from sftui.memory.device import Device
from sftui.memory.estimate import Estimate
from sftui.memory.measured import Measured
from sftui.memory.step import Loss

Verdict = Literal["fits", "tight", "no"]

# nvidia-smi over torch's highest allocated, context included: median and 95th percentile of 121 published
# runs (foundation-model-stack/fms-acceleration, scripts/benchmarks/refs), and of those with a fused loss.
PUBLISHED: dict[Loss, tuple[float, float]] = {"stock": (1.25, 1.77), "chunked": (1.11, 1.14)}
# Of small runs the context is most of what comes on top: this much is allowed for where none was measured.
CONTEXT = 512 * 2**20
# Another recipe fragments otherwise: that much more than the highest seen here is allowed for.
_MARGIN = 1.03
_NEWEST = 50  # runs


@dataclass(frozen=True, slots=True)
class Band:
    """Bytes of a device that a run takes: allocated, what the allocator holds beside, and CUDA's context.

    `low` is the least possible, `typical` the median, `high` what to be prepared for. `context` was measured
    on this device, or is None; `runs` is how many runs on this device the band follows from, 0 where it
    follows from published ones.
    """

    low: int
    typical: int
    high: int
    context: int | None
    runs: int


def band(peak_bytes: int, loss: Loss, history: Sequence[Measured] = ()) -> Band:
    """The band around a predicted peak; `history` is what `measured_on` found for the device."""
    contexts = [one.context_bytes for one in history if one.context_bytes is not None]
    context = round(median(contexts)) if contexts else None
    ratios = [one.reserved_bytes / (one.predicted_bytes or one.allocated_bytes) for one in history[:_NEWEST]]
    if ratios:
        beside = CONTEXT if context is None else context
        usual, most = median(ratios), max(ratios) * _MARGIN
        return Band(
            low=round(peak_bytes * min(1.0, *ratios)) + (context or 0),
            typical=round(peak_bytes * usual) + beside,
            high=round(peak_bytes * most) + beside,
            context=context,
            runs=len(ratios),
        )
    usual, most = PUBLISHED[loss]
    return Band(
        low=peak_bytes,
        typical=max(round(peak_bytes * usual), peak_bytes + CONTEXT),
        high=max(round(peak_bytes * most), peak_bytes + CONTEXT),
        context=None,
        runs=0,
    )


def fits_on(device: Device, loss: Loss, history: Sequence[Measured] = ()) -> Callable[[Estimate], bool]:
    """Whether an estimate fits a device, band and all."""
    return lambda found: verdict(band(found.peak_bytes, loss, history), device) == "fits"


def verdict(found: Band, device: Device) -> Verdict:
    """`fits` where all of the band is free on the device, `no` where none of it is, else `tight`."""
    if found.high <= device.free_bytes:
        return "fits"
    return "no" if found.low > device.free_bytes else "tight"
