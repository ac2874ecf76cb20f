"""A measured quantity over training steps, ready to be drawn at any width.

A run of days has more points than a terminal has columns, and a dashboard asks for all of them twice
a second. A `Series` therefore keeps, beside its points, the extremes of every block of 16, 256, 4096,
... points (a pyramid), so that any number of columns costs O(columns x log points), not O(points).
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

FANOUT = 16
"""Blocks of one level of the pyramid that make one block of the next."""

MAX_SMOOTHING = 0.99

KEPT_AVERAGES = 3
"""Smoothings whose averages a series keeps: its own, and those that views have asked for last."""


class Point(NamedTuple):
    """One recorded value: `value` is NaN at a gap; `smooth` is NaN until something finite was seen."""

    step: int
    value: float
    smooth: float


class Column(NamedTuple):
    """The points that fall into one column: extremes of the raw values, the last smoothed value.

    All three are NaN where nothing finite was recorded; `gap` says that something not finite was.
    """

    low: float
    high: float
    smooth: float
    gap: bool


def column_of(step: int, x0: int, x1: int, width: int) -> int:
    """The column of `step` when x0 is the centre of the first of `width` columns and x1 of the last."""
    span = x1 - x0
    if span <= 0 or width < 2:
        return 0
    return (2 * (step - x0) * (width - 1) + span) // (2 * span)


def first_step(column: int, x0: int, x1: int, width: int) -> int:
    """The smallest step that `column_of` puts into `column` or beyond it."""
    if x1 <= x0 or width < 2:
        return x0 if column <= 0 else x1 + 1
    return x0 - (-(2 * column - 1) * (x1 - x0) // (2 * (width - 1)))


class Average:
    """The moving average after each value, taken further as values are added.

    Over finite values y: m <- d m + (1 - d) y from m = 0, shown as m / (1 - d^n) after n values. The
    division removes the pull towards the zero m starts from (Adam's bias correction, Kingma and Ba
    2015, section 3). Points count, not steps. A gap repeats the average before it (NaN at the start).
    """

    def __init__(self, decay: float) -> None:
        """`decay`: 0 (the values themselves) to 0.99; ValueError beyond."""
        if not 0.0 <= decay <= MAX_SMOOTHING:
            raise ValueError(f"smoothing must be between 0 and {MAX_SMOOTHING}, not {decay}")
        self._decay = decay
        self._mean = 0.0  # not yet debiased
        self._weight = 0.0  # of the values in _mean; the rest of 1 belongs to the zero it started from
        self._smooth = array("d")

    def of(self, values: array[float]) -> array[float]:
        """The averages after each of `values`; costs O(values that are new since the last time)."""
        decay, mean, weight, smooth = self._decay, self._mean, self._weight, self._smooth
        for index in range(len(smooth), len(values)):
            value = values[index]
            if value == value:
                mean = decay * mean + (1.0 - decay) * value
                weight = decay * weight + (1.0 - decay)
            smooth.append(mean / weight if weight else math.nan)
        self._mean, self._weight = mean, weight
        return smooth

    def cut(self, count: int, finite: int) -> None:
        """Forget all but the first `count` values, of which `finite` are no gaps."""
        if count < len(self._smooth):
            del self._smooth[count:]
            self._weight = 1.0 - self._decay**finite if finite else 0.0
            self._mean = self._smooth[-1] * self._weight if finite else 0.0


class Series:
    """Points (step, value) in the order of their steps; several points may share a step.

    A value that is not finite is recorded as a gap: it enters neither extremes nor smoothing. Memory:
    16 bytes a point, 8 for each smoothing that is asked for (`KEPT_AVERAGES` at most) and about 1 more
    for the pyramid.

    `version` grows with every change, so that a view can tell whether it must be drawn anew.
    """

    def __init__(self, smoothing: float = 0.0) -> None:
        """`smoothing`: what `last`, `nearest` and `columns` use unless they are told another, 0 to 0.99."""
        self._steps = array("q")
        self._values = array("d")
        self._gaps = array("q")  # indices of the points that are not finite
        self._lows: list[array[float]] = []  # [k]: one entry for each full block of FANOUT**(k+1) points
        self._highs: list[array[float]] = []
        self._smoothing = smoothing
        self._averages = {smoothing: Average(smoothing)}  # the one used last at the end
        self.version = 0

    def __len__(self) -> int:
        """How many points there are, gaps included."""
        return len(self._steps)

    @property
    def smoothing(self) -> float:
        """Decay of the series' own moving average; a view asks for another without changing it."""
        return self._smoothing

    @property
    def last(self) -> Point | None:
        """The point added last, None when there are none."""
        return self._point(len(self) - 1, None) if self._steps else None

    def append(self, step: int, value: float) -> None:
        """Add a point. ValueError if `step` lies before the last one: `truncate_from(step)` first."""
        value = float(value)
        if not math.isfinite(value):
            value = math.nan
        if self._steps and step < self._steps[-1]:
            raise ValueError(f"step {step} comes after step {self._steps[-1]}")
        self._steps.append(step)
        self._values.append(value)
        if value != value:
            self._gaps.append(len(self) - 1)
        if len(self) % FANOUT == 0:
            self._close_blocks()
        self.version += 1

    def truncate_from(self, step: int) -> None:
        """Forget every point at `step` or later: a resumed run does those steps again."""
        count = bisect_left(self._steps, step)
        if count == len(self):
            return
        del self._steps[count:], self._values[count:]
        del self._gaps[bisect_left(self._gaps, count) :]
        blocks = count
        for lows, highs in zip(self._lows, self._highs, strict=True):
            blocks //= FANOUT
            del lows[blocks:], highs[blocks:]
        for average in self._averages.values():
            average.cut(count, count - len(self._gaps))
        self.version += 1

    def nearest(self, step: int, smoothing: float | None = None) -> Point | None:
        """The point whose step is nearest to `step` (the later of two equally near), None without points.

        `smoothing` is that of the view; None: the series' own.
        """
        if not self._steps:
            return None
        after = bisect_left(self._steps, step)
        if after == len(self):
            return self._point(after - 1, smoothing)
        if after and step - self._steps[after - 1] < self._steps[after] - step:
            after -= 1
        return self._point(after, smoothing)

    def sample(self, x0: int, x1: int, limit: int) -> list[float]:
        """At most `limit` finite raw values, evenly spread over the points with x0 <= step <= x1."""
        start, stop = bisect_left(self._steps, x0), bisect_left(self._steps, x1 + 1)
        stride = max(1, -(-(stop - start) // limit))
        return [value for value in self._values[start:stop:stride] if value == value]

    def extremes(self, x0: int, x1: int) -> tuple[float, float] | None:
        """The lowest and highest finite value with x0 <= step <= x1, None if there is none."""
        start, stop = bisect_left(self._steps, x0), bisect_left(self._steps, x1 + 1)
        low, high = self._extremes(start, stop, self._has_gap(start, stop))
        return (low, high) if low <= high else None

    def columns(self, x0: int, x1: int, width: int, smoothing: float | None = None) -> list[Column | None]:
        """The points with x0 <= step <= x1 in `width` columns, placed as `column_of` says.

        `smoothing` is that of the view; None: the series' own. One not seen before costs O(points), once.

        None is a column without any point. It is no gap: a run that logs every tenth step has nine empty
        steps between points, and a drawing joins them. A gap is where something was recorded and it
        was not finite: `Column.gap`; the line is to be broken at a column that has nothing finite.
        """
        columns: list[Column | None] = [None] * width
        if width <= 0 or x1 < x0:
            return columns
        steps, smooth = self._steps, self._average(smoothing)
        start, end = bisect_left(steps, x0), bisect_left(steps, x1 + 1)
        column = -1
        while start < end:
            # Jump to the next column that holds a point, so that few points cost little at any width.
            column = column_of(steps[start], x0, x1, width)
            stop = bisect_left(steps, first_step(column + 1, x0, x1, width), start, end)
            gap = bool(self._gaps) and self._has_gap(start, stop)
            low, high = self._extremes(start, stop, gap)
            if low <= high:
                columns[column] = Column(low, high, smooth[stop - 1], gap)
            else:
                columns[column] = Column(math.nan, math.nan, math.nan, True)
            start = stop
        return columns

    def _point(self, index: int, smoothing: float | None) -> Point:
        return Point(self._steps[index], self._values[index], self._average(smoothing)[index])

    def _average(self, smoothing: float | None) -> array[float]:
        """The average after each point; of those that views ask for, the least recently used goes."""
        decay = self._smoothing if smoothing is None else smoothing
        average = self._averages.pop(decay, None) or Average(decay)
        self._averages[decay] = average
        if len(self._averages) > KEPT_AVERAGES:
            del self._averages[next(one for one in self._averages if one != self._smoothing)]
        return average.of(self._values)

    def _has_gap(self, start: int, stop: int) -> bool:
        first = bisect_left(self._gaps, start)
        return first < len(self._gaps) and self._gaps[first] < stop

    def _close_blocks(self) -> None:
        """Add the block that the newest point completes, and those above it that it completes in turn."""
        lows: Sequence[float] = _finite(self._values[-FANOUT:])
        highs, level = lows, 0
        while True:
            if level == len(self._lows):
                self._lows.append(array("d"))
                self._highs.append(array("d"))
            self._lows[level].append(min(lows, default=math.inf))
            self._highs[level].append(max(highs, default=-math.inf))
            if len(self._lows[level]) % FANOUT:
                return
            lows, highs = self._lows[level][-FANOUT:], self._highs[level][-FANOUT:]
            level += 1

    def _extremes(self, start: int, stop: int, gap: bool) -> tuple[float, float]:
        """Lowest and highest finite value of points [start, stop); (inf, -inf) if there is none.

        Each level contributes only what does not fill a block of the level above: fewer than
        4 x FANOUT entries.
        """
        low, high = math.inf, -math.inf
        lows = highs = self._values
        level = 0
        while start < stop:
            whole = stop - start < 2 * FANOUT or level == len(self._lows)
            head = stop if whole else start + -start % FANOUT
            tail = stop if whole else stop - stop % FANOUT
            for first, after in ((start, head), (tail, stop)):
                if first < after:
                    some_lows: Sequence[float] = lows[first:after]
                    some_highs: Sequence[float] = some_lows if level == 0 else highs[first:after]
                    if gap and level == 0:
                        some_lows = some_highs = _finite(some_lows)
                    low = min(low, min(some_lows, default=math.inf))
                    high = max(high, max(some_highs, default=-math.inf))
            if whole:
                break
            start, stop = head // FANOUT, tail // FANOUT
            lows, highs = self._lows[level], self._highs[level]
            level += 1
        return low, high


def _finite(values: Sequence[float]) -> list[float]:
    return [value for value in values if value == value]
