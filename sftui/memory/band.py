"""How much of a device a run takes: a band around what torch allocates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median
from typing import Literal

from sftui.machine import installed_version
from sftui.memory.device import Device
from sftui.memory.estimate import Estimate
from sftui.memory.measured import Measured
from sftui.memory.step import Loss
from sftui.recipe import Recipe

Verdict = Literal["fits", "tight", "no"]
Fits = Callable[[Recipe, Estimate], bool]
"""Whether a recipe with this estimate fits."""

# nvidia-smi over torch's highest allocated, context included: median and 95th percentile of 121 published
# runs (foundation-model-stack/fms-acceleration, scripts/benchmarks/refs), and of those with a fused loss.
PUBLISHED: dict[Loss, tuple[float, float]] = {"stock": (1.25, 1.77), "chunked": (1.11, 1.14)}
# Of small runs the context is most of what comes on top: this much is allowed for where none was measured.
CONTEXT = 512 * 2**20
# No context of a process that computes with torch is smaller: those of T4 to H200 are 300 MiB and more.
LEAST_CONTEXT = 250 * 2**20
# Of what the allocator holds beside, this much is rounding: its segments, and the workspaces of libraries.
# It is the same for all sizes of a run; what is more than that is fragmentation, and grows with the run.
ROUNDING = 256 * 2**20
# A run says how much fragmentation there is only to those that are not much larger than it is.
SMALLEST = 2**30
_LARGER = 4
# Another recipe fragments otherwise: that much more than the highest seen here is allowed for.
_MARGIN = 1.03
_HIGH = 0.95  # of the runs by size, whose fragmentation is prepared for
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
    """The band around a predicted peak; `history` is what `measured_on` found for the device.

    Runs with the installed torch count alone, where there are any: its allocator decides what is held beside,
    which follows from those with this loss that are large enough; from published runs where there are none.
    The context is the driver's too: it follows from runs with the driver of the newest.
    """
    newest = _of_installed(history)[:_NEWEST]
    driver = newest[0].versions.get("driver") if newest else None
    contexts = [
        one.context_bytes
        for one in newest
        if one.context_bytes is not None and one.versions.get("driver") == driver
    ]
    context = round(median(contexts)) if contexts else None
    least = min(contexts, default=LEAST_CONTEXT)
    enough = max(SMALLEST, peak_bytes // _LARGER)
    alike = [one for one in newest if one.step.get("loss", "stock") == loss and _size(one) >= enough]
    if alike:
        beside = CONTEXT if context is None else context
        held = [_held(one) for one in alike]
        rounding = round(median(rounded for rounded, _ in held))
        shares = sorted(((share, _size(one)) for (_, share), one in zip(held, alike, strict=True)))
        typical = peak_bytes + round(peak_bytes * _quantile(shares, 0.5)) + rounding + beside
        high = round(peak_bytes * (1 + _quantile(shares, _HIGH)) * _MARGIN) + rounding + beside
        return Band(
            low=min(typical, round(peak_bytes * (1 + min(0.0, shares[0][0]))) + least),
            typical=typical,
            high=max(typical, high),
            context=context,
            runs=len(alike),
        )
    usual, most = PUBLISHED[loss]
    beside = max(CONTEXT, context or 0)
    return Band(
        low=peak_bytes + least,
        typical=max(round(peak_bytes * usual), peak_bytes + beside),
        high=max(round(peak_bytes * most), peak_bytes + beside),
        context=context,
        runs=0,
    )


def _of_installed(history: Sequence[Measured]) -> Sequence[Measured]:
    """The runs with the torch that is installed; all, where there are none."""
    torch = _installed_torch()
    return [one for one in history if one.versions.get("torch") == torch] or history


@cache
def _installed_torch() -> str | None:
    return installed_version("torch")


def _size(one: Measured) -> int:
    return one.predicted_bytes or one.allocated_bytes


def _held(one: Measured) -> tuple[int, float]:
    """What a run held beside its peak: bytes of rounding, and the rest as a share of the peak."""
    beside = one.reserved_bytes - _size(one)
    rounding = min(max(beside, 0), ROUNDING)
    return rounding, (beside - rounding) / _size(one)


def _quantile(shares: Sequence[tuple[float, int]], part: float) -> float:
    """The share, of those in order, below which there is this part of all bytes."""
    wanted, passed = part * sum(size for _, size in shares), 0
    for share, size in shares:
        passed += size
        if passed >= wanted:
            return share
    return shares[-1][0]


def fits_on(device: Device, history: Sequence[Measured] = ()) -> Fits:
    """Whether the estimate of a recipe fits a device, with the band of that recipe."""

    def fits(recipe: Recipe, found: Estimate) -> bool:
        return verdict(band(found.peak_bytes, recipe.training.loss, history), device) == "fits"

    return fits


def verdict(found: Band, device: Device) -> Verdict:
    """`fits` where all of the band is free on the device, `no` where none of it is, else `tight`."""
    if found.high <= device.free_bytes:
        return "fits"
    return "no" if found.low > device.free_bytes else "tight"
