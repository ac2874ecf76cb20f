"""Characters as a raster: dots in braille patterns, or half blocks for terminals without braille.

A column of dots is an int, bit 0 at the bottom: a whole column is filled, joined or looked at in one
operation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Role = Literal["", "raw", "smooth", "eval", "axis", "gap", "cursor"]
Row = list[tuple[str, Role]]
GlyphName = Literal["braille", "block"]

ROLES: tuple[Role, ...] = ("", "raw", "smooth", "eval", "axis", "gap", "cursor")
"""What a cell shows; each but the empty one has a style."""


@dataclass(frozen=True, slots=True)
class Glyphs:
    """A raster: dots across and down a cell, and the character for each pattern of dots.

    The index of a pattern holds the columns of the cell from left to right, lowest bits first, each
    with bit 0 at the bottom.
    """

    across: int
    down: int
    line: Sequence[str]
    band: Sequence[str]


def _braille() -> tuple[str, ...]:
    bits = (0x40, 0x04, 0x02, 0x01, 0x80, 0x20, 0x10, 0x08)  # left column upwards, right column upwards
    return tuple(
        chr(0x2800 + sum(bit for index, bit in enumerate(bits) if pattern >> index & 1))
        for pattern in range(256)
    )


GLYPHS: dict[GlyphName, Glyphs] = {
    "braille": Glyphs(2, 4, _braille(), _braille()),
    # A shade for the band: half blocks of line and band would run into each other without colour.
    "block": Glyphs(1, 2, " ▄▀█", " ░░░"),
}


class Grid:
    """A canvas of character cells, each with a role. What is put later covers what was there."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._text = [[" "] * width for _ in range(height)]
        self._roles = [bytearray(width) for _ in range(height)]

    def put(self, x: int, y: int, text: str, role: Role) -> None:
        """Write `text` from cell (x, y), cut at the edges."""
        if not 0 <= y < self.height or x < 0:
            return
        text = text[: max(self.width - x, 0)]
        self._text[y][x : x + len(text)] = text
        self._roles[y][x : x + len(text)] = bytes([ROLES.index(role)]) * len(text)

    def role(self, x: int, y: int) -> Role:
        """The role of cell (x, y)."""
        return ROLES[self._roles[y][x]]

    def stamp(
        self, masks: Sequence[int], left: int, bottom: int, glyphs: Glyphs, role: Literal["raw", "smooth"]
    ) -> None:
        """Set the dots of `masks`, the first column of cells at `left`, the lowest row at `bottom`."""
        table, code = glyphs.band if role == "raw" else glyphs.line, ROLES.index(role)
        down, full = glyphs.down, (1 << glyphs.down) - 1
        wide = glyphs.across == 2
        for cell in range(len(masks) // glyphs.across):
            one = masks[2 * cell] if wide else masks[cell]
            two = masks[2 * cell + 1] if wide else 0
            both = one | two
            if not both:
                continue
            lowest = ((both & -both).bit_length() - 1) // down
            x, y = left + cell, bottom - lowest
            one >>= lowest * down
            two >>= lowest * down
            while one or two:
                if pattern := (one & full) | (two & full) << down:
                    self._text[y][x] = table[pattern]
                    self._roles[y][x] = code
                one >>= down
                two >>= down
                y -= 1

    def rows(self) -> list[Row]:
        """The cells of each row, neighbours of one role together."""
        result: list[Row] = []
        for cells, roles in zip(self._text, self._roles, strict=True):
            text = "".join(cells)
            runs = re.finditer(rb"(.)\1*", roles, re.DOTALL)
            result.append([(text[run.start() : run.end()], ROLES[roles[run.start()]]) for run in runs])
        return result
