"""Drawing a series with characters. Pure: numbers in, rows of (text, role) out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sftui.runs.series import Column, Series, column_of, first_step

from .axis import Scale, compact, last_step, step_ticks, value_scale
from .braille import GLYPHS, GlyphName, Grid, Row

EVAL_MARK, GAP_MARK = "◆", "×"

SAMPLE = 1024
"""Raw values looked at to find the bulk of the data."""


@dataclass(frozen=True, slots=True)
class PlotOptions:
    """How to draw.

    `smoothing` of the line, None for the series' own. `x_range`: first and last step shown, None for
    everything from step 0. `axes`: ticks and labels; without, only the ends of the y axis are named.
    `cursor`, `edge`: steps marked by vertical lines, the second being where the range to be chosen begins.
    `empty_text`: what stands in the place of data.
    """

    smoothing: float | None = None
    x_range: tuple[int, int] | None = None
    log_scale: bool = False
    axes: bool = True
    glyphs: GlyphName = "braille"
    empty_text: str = "no steps yet"
    cursor: int | None = None
    edge: int | None = None


@dataclass(frozen=True, slots=True)
class Drawing:
    """Rows of text, all as wide as asked, and where the data lies in them.

    `left`, `width`: cells before the data and of the data; `x0`, `x1`: the steps at the centre of the first
    and the last column of dots, `dots` columns in all.
    """

    rows: list[Row]
    left: int
    width: int
    x0: int
    x1: int
    dots: int

    def cell_of(self, step: int) -> int:
        """The cell of the data area in which `step` lies."""
        return column_of(step, self.x0, self.x1, self.dots) * self.width // max(self.dots, 1)

    def step_at(self, cell: int) -> int:
        """The first step that lies in `cell` of the data area, within what is shown."""
        column = cell * self.dots // max(self.width, 1)
        return min(max(first_step(column, self.x0, self.x1, self.dots), self.x0), self.x1)


def draw(series: Series, evals: Series | None, width: int, height: int, options: PlotOptions) -> Drawing:
    """`series` (raw values as a band, smoothed ones as a line) and `evals` (markers) in width x height cells.

    Values beyond the y axis are drawn at its edge. Where a value was not finite a mark stands at the bottom.
    A logarithmic axis has no place for values that are not positive: they are left out. Without any cell
    there are no rows.
    """
    x0, x1 = options.x_range or (0, last_step(max(_last(series), _last(evals))))
    x1 = max(x1, x0 + 1)
    if width < 1 or height < 1:
        return Drawing([], 0, 0, x0, x1, 0)
    grid = Grid(width, height)
    if not len(series) and not (evals is not None and len(evals)):
        _write_centred(grid, options.empty_text, 0, height)
        return Drawing(grid.rows(), 0, width, x0, x1, width)

    glyphs = GLYPHS[options.glyphs]
    has_x_axis = options.axes and height >= 5
    area = height - 2 if has_x_axis else height
    ticks = 2 + area // 4
    scale = _scale(series, evals, x0, x1, options.log_scale, ticks)
    labels = _y_labels(scale, area, glyphs.down, ticks if options.axes else 0)
    left = _gutter(labels, width, options.axes)
    drawing = Drawing([], left, width - left, x0, x1, (width - left) * glyphs.across)
    if left:
        _draw_y_axis(grid, labels, left, area, options.axes)
    if has_x_axis:
        _draw_x_axis(grid, drawing, area)

    columns = series.columns(x0, x1, drawing.dots, options.smoothing)
    marks = evals.columns(x0, x1, drawing.dots, 0.0) if evals is not None else []
    bottom, dots = area - 1, area * glyphs.down
    grid.stamp(_band(columns, scale, dots), left, bottom, glyphs, "raw")
    grid.stamp(_line(columns, scale, dots), left, bottom, glyphs, "smooth")
    for index, mark in enumerate(marks):
        if mark is not None and (level := _level(mark.smooth, scale, dots)) is not None:
            grid.put(left + index // glyphs.across, bottom - level // glyphs.down, EVAL_MARK, "eval")
    if not any(columns) and not any(marks):
        _write_centred(grid, "no points in this range", left, area)
    _draw_cursor(grid, drawing, area, options)
    for index, column in enumerate(columns):
        if column is not None and column.gap:
            grid.put(left + index // glyphs.across, area if has_x_axis else bottom, GAP_MARK, "gap")
    drawing.rows.extend(grid.rows())
    return drawing


def _last(series: Series | None) -> int:
    last = series.last if series is not None else None
    return last.step if last is not None else 0


def _scale(series: Series, evals: Series | None, x0: int, x1: int, log: bool, count: int) -> Scale | None:
    """The y axis of what is in view, None if nothing can be placed on it."""
    sample = series.sample(x0, x1, SAMPLE)
    found = [pair for shown in (series, evals) if shown is not None and (pair := shown.extremes(x0, x1))]
    if not found:
        return None
    low, high = min(pair[0] for pair in found), max(pair[1] for pair in found)
    if log and low <= 0:
        if high <= 0:
            return None
        low = min((value for value in sample if value > 0), default=high)
    return value_scale(sample, low, high, log=log, count=count)


def _y_labels(scale: Scale | None, area: int, down: int, count: int) -> dict[int, str]:
    """Row of the data area -> label, for about `count` ticks; without any, for the ends of the axis."""
    if scale is None:
        return {}
    if not count:
        return {area - 1: compact(scale.low), 0: compact(scale.high)}
    ticks = scale.ticks(count)
    dots = area * down
    rows = [area - 1 - round(scale.position(tick) * (dots - 1)) // down for tick in ticks]
    return dict(zip(rows, scale.labels(ticks), strict=True))


def _gutter(labels: dict[int, str], width: int, axes: bool) -> int:
    """Cells left of the data: 4, 6 or 8 .. for the labels, so that it seldom moves; 0 without room."""
    longest = max((len(label) for label in labels.values()), default=0)
    gutter = max(4, longest + longest % 2) + (2 if axes else 1)
    return gutter if width - gutter >= 8 else 0


def _write_centred(grid: Grid, text: str, left: int, area: int) -> None:
    grid.put(left + max((grid.width - left - len(text)) // 2, 0), (area - 1) // 2, text, "axis")


def _draw_y_axis(grid: Grid, labels: dict[int, str], left: int, area: int, axes: bool) -> None:
    for row in range(area):
        label = labels.get(row, "")
        end = (" ┤" if label else " │") if axes else " "
        grid.put(0, row, label.rjust(left - len(end)) + end, "axis")


def _draw_x_axis(grid: Grid, drawing: Drawing, area: int) -> None:
    left = drawing.left
    grid.put(left, area, "─" * drawing.width, "axis")
    if left:
        grid.put(left - 1, area, "└", "axis")
    free = 0
    for step, label in zip(*step_ticks(drawing.x0, drawing.x1, drawing.width), strict=True):
        x = left + drawing.cell_of(step)
        grid.put(x, area, "┬", "axis")
        start = max(min(x - (len(label) - 1) // 2, grid.width - len(label)), 0)
        if start >= free:
            grid.put(start, area + 1, label, "axis")
            free = start + len(label) + 1


def _draw_cursor(grid: Grid, drawing: Drawing, area: int, options: PlotOptions) -> None:
    """Vertical lines behind the smoothed line and the markers; between them the x axis is heavy."""
    cells = [
        drawing.cell_of(step)
        for step in (options.edge, options.cursor)
        if step is not None and drawing.x0 <= step <= drawing.x1
    ]
    for x in (drawing.left + cell for cell in cells if cell < drawing.width):
        for y in range(area):
            if grid.role(x, y) in ("", "raw", "axis"):
                grid.put(x, y, "│", "cursor")
    if cells and area < grid.height:
        grid.put(drawing.left + min(cells), area, "━" * (max(cells) - min(cells) + 1), "cursor")


def _level(value: float, scale: Scale | None, dots: int) -> int | None:
    """The dot row of `value`, counted from the bottom, held within the axis; None if it has no place."""
    position = scale.position(value) if scale is not None else float("nan")
    return round(min(max(position, 0.0), 1.0) * (dots - 1)) if position == position else None


def _fill(one: int, other: int) -> int:
    """Dots `one` to `other`, both included."""
    return (1 << max(one, other) + 1) - (1 << min(one, other))


def _band(columns: Sequence[Column | None], scale: Scale | None, dots: int) -> list[int]:
    """From the lowest to the highest value of each column; bands that do not touch are joined by a line.

    So few points are a line, many a band, and there is no leap between the two. Broken at gaps.
    """
    masks = [0] * len(columns)
    before: tuple[int, int, int] | None = None
    for index, column in enumerate(columns):
        if column is None:
            continue
        high = _level(column.high, scale, dots)
        if high is None:
            before = None
            continue
        # Values a logarithm cannot show lie below its axis.
        low = _level(column.low, scale, dots) or 0
        masks[index] |= _fill(low, high)
        if before is not None:
            start, lowest, highest = before
            if index - start > 1 or low > highest or high < lowest:
                leave = min(max(low, lowest), highest)
                _join(masks, start, leave, index, min(max(leave, low), high))
        before = (index, low, high)
    return masks


def _line(columns: Sequence[Column | None], scale: Scale | None, dots: int) -> list[int]:
    """The smoothed values joined across empty columns, broken where nothing finite was recorded."""
    masks = [0] * len(columns)
    before: tuple[int, int] | None = None
    for index, column in enumerate(columns):
        if column is None:
            continue
        level = _level(column.smooth, scale, dots)
        if level is None:
            before = None
            continue
        masks[index] |= 1 << level
        if before is not None:
            _join(masks, *before, index, level)
        before = (index, level)
    return masks


def _join(masks: list[int], start: int, from_level: int, end: int, level: int) -> None:
    """A line from one column to a later one."""
    below = from_level
    for x in range(start + 1, end + 1):
        here = from_level + round((level - from_level) * (x - start) / (end - start))
        # Either neighbour takes half of the rise between them.
        up = (here > below) - (here < below)
        half = abs(here - below) // 2
        masks[x - 1] |= _fill(below, below + up * half)
        masks[x] |= _fill(below + up * (half + 1) if up else here, here)
        below = here
