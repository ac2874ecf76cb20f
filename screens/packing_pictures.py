"""Pictures of packing as characters: bins, fill, attention, the slider. Pure functions."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from .bin_cuts import FROM, ON, UNCUT, Cuts
from .widgets.braille import GLYPHS, GlyphName
from .widgets.histogram import BARS

if TYPE_CHECKING:
    from sftui.data.packing.bins import BinPiece, BinView

# A sequence begins with a gap, so that neighbours are told apart without colours, and is denser where
# it is trained. Where several begin in one cell, it has two bars.
BEGIN, SEVERAL, TRAINED, PLAIN, ROOM = "▐", "║", "█", "▒", "·"
STYLES = ("even", "odd", "even-trained", "odd-trained", "room")

Cells = list[tuple[str, str]]


def bin_cells(view: BinView, width: int, cuts: Cuts = UNCUT) -> Cells:
    """A bin in `width` cells, to scale: each sequence from where it begins, room left as dots.

    A sequence begins in the cell nearest to its first token, even if it ends there too: none is left out
    and none moves another; a sequence that is cut has a sign at that end. (text, style) pairs of neighbouring
    cells that look the same.
    """
    if width < 1 or not view.max_length:
        return []
    scale = width / view.max_length
    begins = [0] * width
    owner = [-1] * width
    at = 0
    edges: list[tuple[int, int]] = []  # first and last token of each sequence in the bin
    for number, piece in enumerate(view.pieces):
        size = piece.end - piece.start
        first = min(round(at * scale), width - 1)
        last = max(round((at + size) * scale), first + 1)
        begins[first] += 1
        for cell in range(first, min(last, width)):
            owner[cell] = number
        edges.append((at, at + size))
        at += size
    cells: list[tuple[str, str]] = []
    for cell, number in enumerate(owner):
        if number < 0:
            text, style = ROOM, "room"
        else:
            begun, end = edges[number]
            low, high = max(cell / scale, begun), min((cell + 1) / scale, end)
            taught = _mostly_trained(view.pieces[number], low - begun, high - begun)
            text = TRAINED if taught else PLAIN
            if begins[cell]:
                text = SEVERAL if begins[cell] > 1 else BEGIN
            if cell == 0 and cuts.begun is not None:
                text = FROM
            if cuts.on is not None and (cell == width - 1 or owner[cell + 1] < 0):
                text = ON
            style = f"{'odd' if number % 2 else 'even'}{'-trained' if taught else ''}"
        if cells and cells[-1][1] == style:
            cells[-1] = cells[-1][0] + text, style
        else:
            cells.append((text, style))
    return cells


def _mostly_trained(piece: BinPiece, low: float, high: float) -> bool:
    """Whether more than half of the tokens from `low` to `high` of a piece are trained."""
    ranges = piece.trained
    trained, number = 0.0, max(bisect_left(ranges, (math.floor(low), 0)) - 1, 0)
    while number < len(ranges) and ranges[number][0] < high:
        first, end = ranges[number]
        trained += max(0.0, min(end, high) - max(first, low))
        number += 1
    return trained > max(high - low, 0.0) / 2


def attention(view: BinView, rows: int, glyphs: GlyphName) -> list[str]:
    """Which token (downwards) sees which (to the right): a triangle a sequence, nothing between them.

    A square of `rows` lines and twice as many cells; `view.max_length` tokens each way.
    """
    raster = GLYPHS[glyphs]
    across, down = 2 * rows * raster.across, rows * raster.down
    # Dots of a column of cells are bits from below.
    columns = [0] * across
    at = 0
    for piece in view.pieces:
        end = at + piece.end - piece.start
        top, bottom = (min(round(edge * down / view.max_length), down) for edge in (at, end))
        left = min(round(at * across / view.max_length), across - 1)
        right = max(round(end * across / view.max_length), left + 1)
        bottom = max(bottom, top + 1)
        for x in range(left, min(right, across)):
            # The key of column x is seen from its own query on.
            seen = max(top, math.floor(x * down / across))
            for y in range(seen, min(bottom, down)):
                columns[x] |= 1 << (down - 1 - y)
        at = end
    full = (1 << raster.down) - 1
    lines = []
    for line in range(rows - 1, -1, -1):
        text = ""
        for cell in range(2 * rows):
            pattern = 0
            for part in range(raster.across):
                bits = columns[cell * raster.across + part] >> line * raster.down & full
                pattern |= bits << part * raster.down
            # Braille without a dot is not blank in every font.
            text += raster.line[pattern] if pattern else " "
        lines.append(text)
    return lines


def attended(view: BinView) -> float:
    """The share of the bin's full causal triangle that is computed and seen: n(n + 1) / 2 a sequence."""
    whole = view.tokens * (view.tokens + 1) / 2
    parts = sum((piece.end - piece.start) * (piece.end - piece.start + 1) / 2 for piece in view.pieces)
    return parts / whole if whole else 1.0


def fills(counts: Sequence[int], width: int, height: int) -> Content:
    """How many bins there are in each class of fill, from empty to full, over a scale in percent."""
    if width < 22 or height < 2 or not any(counts):
        return Content("")
    each = max(1, min(width // len(counts), 4))
    gap = 1 if each > 1 else 0
    rows, most = height - 1, max(counts)
    tall = [max(1, round(count / most * rows * 8)) if count else 0 for count in counts]
    lines = []
    for row in range(rows - 1, -1, -1):
        bars = (BARS[min(max(bar - row * 8, 0), 8)] * (each - gap) + " " * gap for bar in tall)
        lines.append(Content.styled("".join(bars), "$accent"))
    across = each * len(counts)
    scale = [" "] * (across + 4)
    for percent in (0, 25, 50, 75, 100) if across >= 40 else (0, 50, 100):
        label = f"{percent}%"
        at = min(max(across * percent // 100 - len(label) // 2, 0), across + 1 - len(label))
        scale[at : at + len(label)] = label
    return Content("\n").join([*lines, Content.styled("".join(scale).rstrip(), "$foreground-muted")])


def slider(value: int, low: int, high: int, mark: int, width: int) -> Content:
    """Where `value` lies between `low` and `high` on a logarithmic scale; `mark` is what the recipe has."""
    at, own = (_cell(each, low, high, width) for each in (value, mark))
    line = ["━" if cell <= at else "─" for cell in range(width)]
    line[own] = "┿" if own <= at else "┼"
    text = "".join(line)
    return Content.assemble(
        (text[:at], "$accent"), ("●", "bold $accent"), (text[at + 1 :], "$foreground 40%")
    )


def _cell(value: int, low: int, high: int, width: int) -> int:
    share = math.log2(max(value, low) / low) / math.log2(high / low)
    return min(round(share * (width - 1)), width - 1)
