"""Other ways to train the same model, what there is room for, and what would save most: each can be tried."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..memory_compare import Line, line_cells
from .part_list import PartList

if TYPE_CHECKING:
    from sftui.recipe import Recipe


class CompareList(PartList):
    """Headings and lines; the cursor passes over headings."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: tuple[Line, ...] = ()

    @property
    def recipe(self) -> Recipe | None:
        """What the line under the cursor would try."""
        return self._lines[self.cursor].recipe if self._lines else None

    @property
    def words(self) -> str:
        """What the line under the cursor says at length."""
        return self._lines[self.cursor].words if self._lines else ""

    def show(self, lines: Sequence[Line]) -> None:
        """Show lines; the cursor begins on what is tried already, and goes on where something can be."""
        if tuple(lines) == self._lines:
            return
        first = not self._lines
        self._lines = tuple(lines)
        self.set_count(len(self._lines))
        if first:
            self.go_to(next((place for place, line in enumerate(self._lines) if line.current), 1))
        elif self._lines and self.recipe is None:
            self.move(1)
            self.move(-1 if self.recipe is None else 0)

    def move(self, lines: int) -> None:
        """To the next line that can be tried."""
        step = 1 if lines > 0 else -1
        at = best = self.cursor
        left = abs(lines)
        while left and 0 <= at + step < len(self._lines):
            at += step
            if self._lines[at].recipe is not None:
                best, left = at, left - 1
        self.go_to(best)

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """One line."""
        return line_cells(self._lines[index], width)
