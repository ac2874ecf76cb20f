"""Axes: which range to show, where its ticks stand and what they say. Pure functions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))
FAR_OUT = 2.0
"""A value this many times the bulk's span beyond the bulk is an outlier and does not stretch the axis."""

LARGEST, SMALLEST = 1e300, 1e-290
"""Bounds stay within +-LARGEST, logarithmic ones above SMALLEST: no span overflows or vanishes."""


@dataclass(frozen=True, slots=True)
class Scale:
    """A range of values along an axis, linear or logarithmic (then both ends are positive)."""

    low: float
    high: float
    log: bool = False

    def position(self, value: float) -> float:
        """Where `value` lies: 0 at `low`, 1 at `high`; NaN where a logarithm does not exist."""
        if not self.log:
            return (value - self.low) / (self.high - self.low)
        if not value > 0:
            return math.nan
        bottom = math.log10(self.low)
        return (math.log10(value) - bottom) / (math.log10(self.high) - bottom)

    def ticks(self, count: int) -> list[float]:
        """About `count` round values inside the range, lowest first."""
        if self.log:
            return log_ticks(self.low, self.high, count)
        return linear_ticks(self.low, self.high, tick_step(self.high - self.low, count))

    def labels(self, ticks: Sequence[float]) -> list[str]:
        """What `ticks` say: each for itself where they span decades, else with digits in common."""
        if self.log and ticks and ticks[-1] > 10 * ticks[0]:
            return [compact(tick) for tick in ticks]
        return tick_labels(ticks)


def tick_step(span: float, count: int) -> float:
    """The smallest of 1, 2, 5 x 10^k that divides `span` into at most `count` parts (at least one)."""
    raw = span / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    # A hair of tolerance: 0.3 / 3 is a little more than 0.1 in binary.
    return next(unit * power for unit in (1, 2, 5, 10) if raw <= unit * power * (1 + 1e-9))


def linear_ticks(low: float, high: float, step: float) -> list[float]:
    """The multiples of `step` in [low, high]."""
    first, last = math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6)
    return [index * step for index in range(first, last + 1)]


def log_ticks(low: float, high: float, count: int) -> list[float]:
    """Round values on a logarithmic axis: 1-2-5 of each decade, whole decades, or every n-th decade.

    Where fewer than two of them fall into the range it is narrow, and linear ticks serve better.
    """
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    ticks: list[float] = []
    for units, stride in (((1, 2, 5), 1), ((1,), 1), ((1,), 2), ((1,), 5), ((1,), 10), ((1,), 50)):
        decades = range(first - first % stride, last + 1, stride)
        values = (float(f"{unit}e{decade}") for decade in decades for unit in units)
        inside = [value for value in values if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]
        if ticks and len(inside) < 2:
            break
        ticks = inside
        if len(ticks) <= count:
            break
    if len(ticks) < 2:
        return linear_ticks(low, high, tick_step(high - low, count))
    return ticks


def tick_labels(ticks: Sequence[float]) -> list[str]:
    """What the ticks say: as many digits as tell neighbours apart, no more, the same for all of them.

    1.8 0.6 | 500 1k 1.5k | 1e-4 1.5e-4
    """
    if not ticks:
        return []
    largest = max(abs(tick) for tick in ticks)
    step = min((b - a for a, b in pairwise(ticks)), default=largest) or 1.0
    if largest >= 1e12 or largest < 1e-3:
        return [_scientific(tick, step) for tick in ticks]
    # 12.35k is harder to read than 12350: a suffix only where one decimal is enough.
    unit, suffix = next(((u, s) for u, s in SUFFIXES if largest >= u and step >= 0.099 * u), (1.0, ""))
    if suffix:
        return [
            compact(tick) if abs(tick) < unit else f"{tick / unit:.1f}".removesuffix(".0") + suffix
            for tick in ticks
        ]
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{tick:.{decimals}f}" for tick in ticks]


def _scientific(value: float, step: float) -> str:
    if abs(value) < step / 2:
        return "0"
    exponent = math.floor(math.log10(abs(value)) + 1e-9)
    digits = max(0, exponent - math.floor(math.log10(step) + 1e-9))
    return _short_exponent(f"{value:.{digits}e}")


def _short_exponent(text: str) -> str:
    """'2.00e-04' -> '2e-4'."""
    mantissa, _, exponent = text.partition("e")
    if "." in mantissa:
        mantissa = mantissa.rstrip("0").rstrip(".")
    return f"{mantissa}e{int(exponent)}"


def compact(value: float, digits: int = 3) -> str:
    """`value` with `digits` (3 or more) significant digits in few characters: 0.612, 12.3k, 1.91e-4."""
    if not math.isfinite(value):
        return "nan" if value != value else "-inf" if value < 0 else "inf"
    value = float(f"{value:.{digits - 1}e}")  # round first: 999.9 becomes 1k, not 1000
    size = abs(value)
    if size == 0:
        return "0"
    if size >= 1e12 or size < 1e-3:
        return _short_exponent(f"{value:.{digits - 1}e}")
    unit, suffix = next(((unit, suffix) for unit, suffix in SUFFIXES if size >= unit), (1.0, ""))
    return f"{value / unit:.{digits}g}{suffix}"


def value_scale(values: Sequence[float], low: float, high: float, *, log: bool, count: int) -> Scale:
    """The y axis for data between `low` and `high` (low <= high; with `log` both positive).

    `values` is a fair sample of the raw data. Its bulk, all but the most extreme hundredth on either
    side, is always in view. Beyond the bulk the axis reaches to the end of the data, unless that end is
    FAR_OUT: one spike at step 1 must not flatten the rest. The smoothed line has no say, it would drag a
    spike along for many steps.

    The ends are rounded outwards to a fifth of a tick, so that the axis rests while values change a little.
    """
    least = SMALLEST if log else -LARGEST
    low, high = (min(max(end, least), LARGEST) for end in (low, high))
    if log:
        exponents = sorted(math.log10(value) for value in values if value > 0)
        low, high = (10**end for end in _without_outliers(exponents, math.log10(low), math.log10(high)))
        if high >= 2 * low:
            return Scale(_leading_digit(low, math.floor), _leading_digit(high, math.ceil), log=True)
    else:
        low, high = _without_outliers(sorted(values), low, high)
    middle = low / 2 + high / 2
    if high - low <= max(1e-4 * abs(middle), SMALLEST / 1e5):
        # Constant data: a level line in the middle, on an axis that tells its size.
        reach = abs(middle) / 10 if abs(middle) >= SMALLEST / 2 else 1.0
        low, high = middle - reach, middle + reach
    grain = tick_step(high - low, count) / 5
    # The tolerance keeps a value that lies on a multiple from being pushed to the next by its last bit.
    bottom, top = math.floor(low / grain + 1e-6) * grain, math.ceil(high / grain - 1e-6) * grain
    return Scale(bottom if bottom > 0 or not log else low, top, log)


def _without_outliers(ordered: Sequence[float], low: float, high: float) -> tuple[float, float]:
    """`low` and `high`, each pulled in to just beyond the bulk of `ordered` where it is FAR_OUT."""
    if len(ordered) < 10:
        return low, high
    cut = max(1, len(ordered) // 100)
    bottom, top = ordered[cut], ordered[-1 - cut]
    span = top - bottom
    if span > 0 and bottom - low > FAR_OUT * span:
        low = bottom - span / 10
    if span > 0 and high - top > FAR_OUT * span:
        high = top + span / 10
    return low, high


def _leading_digit(value: float, rounding: Callable[[float], int]) -> float:
    """`value` rounded to one digit: floor 0.43 -> 0.4, ceil 1.9 -> 2."""
    exponent = math.floor(math.log10(value))
    # By the way of text: 3 * 10**-1 is not 0.3.
    nudge = 1e-6 if rounding is math.floor else -1e-6
    return float(f"{rounding(value / 10.0**exponent + nudge)}e{exponent}")


def last_step(step: int) -> int:
    """The right end of an axis that shows everything up to `step`: rounded up by at most 1 in 40.

    An axis that grew with every step would move every point on every refresh.
    """
    if step < 1:
        return 1
    grain = max(1, round(tick_step(step, 100)))
    return -(-step // grain) * grain


def step_ticks(x0: int, x1: int, width: int) -> tuple[list[int], list[str]]:
    """Whole-numbered ticks between x0 and x1, with labels that fit beside one another in `width` cells."""
    count = max(1, width // (max(len(str(x0)), len(str(x1))) + 5))
    step = max(1.0, tick_step(max(x1 - x0, 1), count))
    ticks = linear_ticks(x0, x1, step)
    return [round(tick) for tick in ticks], tick_labels(ticks)
