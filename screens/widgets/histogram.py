"""How long the sequences are: bars over a logarithmic axis, with the longest that is trained marked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

BARS = " ▁▂▃▄▅▆▇█"
LIMIT = "│"
LEAST_LENGTH = 8

Counts = Mapping[int, int]


class Axis(NamedTuple):
    """A logarithmic axis of `width` cells from `low` to `high` tokens."""

    low: int
    high: int
    width: int

    def cell(self, length: int) -> int:
        """The cell of a length, the first or last one for those beyond."""
        share = math.log2(max(length, 1) / self.low) / math.log2(self.high / self.low)
        return min(max(int(share * self.width), 0), self.width - 1)


def axis_for(counts: Counts, max_length: int, width: int) -> Axis:
    """An axis on which all lengths and `max_length` have their place."""
    low = min([*counts, max_length], default=LEAST_LENGTH)
    high = max([*counts, max_length], default=LEAST_LENGTH)
    low = 2 ** math.floor(math.log2(max(low, LEAST_LENGTH)))
    return Axis(low, max(2 ** math.ceil(math.log2(high * 1.1)), 2 * low), width)


def heights(counts: Counts, axis: Axis, rows: int) -> list[int]:
    """The height of each cell's bar in eighths of a cell; a cell with any sequence has at least one."""
    cells = [0] * axis.width
    for length, count in counts.items():
        cells[axis.cell(length)] += count
    most = max(cells, default=0)
    return [max(1, round(cell / most * rows * 8)) if cell else 0 for cell in cells]


def histogram(counts: Counts, max_length: int, width: int, height: int) -> Content:
    """Bars, and below them the axis with `max_length` on it; longer sequences stand out."""
    if width < 10 or height < 2:
        return Content("")
    if not counts:
        return Content.styled("lengths appear here as they become known", "$foreground-muted")
    axis = axis_for(counts, max_length, width)
    limit, rows = axis.cell(max_length), height - 1
    tall = heights(counts, axis, rows)
    lines = []
    for row in range(rows - 1, -1, -1):
        cells = [BARS[min(max(bar - row * 8, 0), 8)] for bar in tall]
        if cells[limit] == " ":
            cells[limit] = LIMIT
        text = "".join(cells)
        at = (text[:limit], "$accent"), (text[limit], "bold"), (text[limit + 1 :], "$text-warning")
        lines.append(Content.assemble(*at))
    return Content("\n").join([*lines, _scale(axis, limit, max_length)])


def _scale(axis: Axis, limit: int, max_length: int) -> Content:
    """Powers of two where there is room for them, `max_length` always."""
    cells = [" "] * axis.width
    mark = f"{max_length:,}"
    begin = min(max(limit - len(mark) // 2, 0), axis.width - len(mark))
    taken = range(begin - 2, begin + len(mark) + 2)
    length, free = axis.low, 0
    while length < axis.high:
        label = f"{length:,}"
        at = min(max(axis.cell(length) - len(label) // 2, 0), axis.width - len(label))
        if at >= free and not any(cell in taken for cell in range(at, at + len(label))):
            cells[at : at + len(label)] = label
            free = at + len(label) + 3
        length *= 2
    text = "".join(cells)
    return Content.assemble(
        (text[:begin], "$foreground-muted"), (mark, "bold"), (text[begin + len(mark) :], "$foreground-muted")
    )


class Histogram(Widget):
    """Draws the lengths that it is shown, anew only when they or its size have changed."""

    DEFAULT_CSS = """
    Histogram { width: 1fr; height: 1fr; }
    """

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._counts: Counts = {}
        self._max_length = 2048
        self._drawn: tuple[Size, Content] | None = None

    def show(self, counts: Counts, max_length: int) -> None:
        """Draw these lengths."""
        if counts != self._counts or max_length != self._max_length:
            self._counts, self._max_length, self._drawn = counts, max_length, None
            self.refresh()

    def limit(self, max_length: int) -> None:
        """Mark another longest sequence."""
        self.show(self._counts, max_length)

    def render(self) -> Content:
        """The bars for the present size."""
        if self._drawn is None or self._drawn[0] != self.size:
            picture = histogram(self._counts, self._max_length, self.size.width, self.size.height)
            self._drawn = self.size, picture
        return self._drawn[1]
