"""The form over a recipe: a line a field."""

from __future__ import annotations

from collections.abc import Mapping

from ..recipe_rows import NAME, Row, row_line, shown_value
from .word_list import WordList


class FormList(WordList):
    """Names and values; beside a field the sign of the worst that is said of it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: tuple[Row, ...] = ()
        self._texts: dict[int, str] = {}
        self._signs: Mapping[int, str] = {}

    @property
    def row(self) -> Row | None:
        """The one under the cursor."""
        return self.rows[self.cursor] if self.rows else None

    def show(self, rows: tuple[Row, ...], signs: Mapping[int, str]) -> None:
        """Show the rows; the cursor stays on its field, else near it."""
        if rows == self.rows and signs == self._signs:
            return
        before = self.row
        self._texts, self._signs = {}, signs
        moved = [row.key for row in rows] != [row.key for row in self.rows]
        self.rows = rows
        if moved and before is not None:
            self.cursor = next(
                (place for place, row in enumerate(rows) if (row.kind, row.key) == (before.kind, before.key)),
                self.cursor,
            )
        elif before is None:
            self.cursor = min(1, len(rows) - 1)  # on the first field, not on its section
        self.set_count(len(rows))
        if moved:
            self._follow_cursor()

    def text(self, index: int) -> str:
        """The value of a row as it is typed."""
        if index not in self._texts:
            self._texts[index] = shown_value(self.rows[index])
        return self._texts[index]

    def value_region(self) -> tuple[int, int, int]:
        """Where the value under the cursor stands within the list: column, line, cells."""
        line = self.cursor - round(self.scroll_y)
        return NAME + 5, line, self.scrollable_content_region.width - NAME - 5

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """One row."""
        here = index == self.cursor
        return row_line(self.rows[index], self.text(index), width, here=here, sign=self._signs.get(index))
