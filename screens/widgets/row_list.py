"""The rows of a dataset: number, tokens, trained tokens, a mark for findings, first words."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from textual import on
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip

from sftui.errors import InputError
from sftui.printable import printable

from ..figures import WIDTH, figure
from .line_list import LineList

if TYPE_CHECKING:
    from sftui.data.overview import Overview
    from sftui.data.views import RowLine

    Fetch = Callable[[int, int], Future[list[RowLine]]]

# Rows asked for at a time, kept, and asked for at once.
BLOCK = 64
KEPT = 4096
UNDER_WAY = 4
FIGURE = WIDTH + 1


class RowList(LineList):
    """Shows the rows of an `Overview`, or those that match; words are fetched as they come into view."""

    class Begun(Message):
        """The first words have come: what the rows say can be seen."""

    class _Arrived(Message):
        def __init__(self, future: Future[list[RowLine]], rows: range) -> None:
            self.future, self.rows = future, rows
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.rows: Sequence[int] = range(0)
        self._overview: Overview | None = None
        self._masks: tuple[int, int] = 0, 0
        self._seen: object = None
        self._fetch: Fetch | None = None
        self._words: dict[int, tuple[str, bool]] = {}
        self._under_way: dict[Future[list[RowLine]], range] = {}

    @property
    def row(self) -> int | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    def open(self, fetch: Fetch) -> None:
        """Other rows: forget all words."""
        self._fetch = fetch
        for future in self._under_way:
            future.cancel()
        self._words, self._under_way = {}, {}
        self.refresh()

    def show(self, overview: Overview, rows: Sequence[int], masks: tuple[int, int]) -> None:
        """`rows` are shown; `masks` are the bits of errors and of warnings among the flags."""
        self._overview, self.rows, self._masks = overview, rows, masks
        top = round(self.scroll_y)
        seen = len(rows), self.number_width, [self._facts(row) for row in rows[top : top + self.size.height]]
        if seen != self._seen:  # most of the time the analysis is elsewhere
            self._seen = seen
            self.set_count(len(rows))
        if not self.begun:
            self._ask()  # also where the list is hidden, for others wait for it

    def place_of(self, row: int) -> int:
        """Where `row` stands among those shown, or the one after it does."""
        if isinstance(self.rows, range):
            return row
        return bisect_left(self.rows, row)

    # -- words

    @property
    def begun(self) -> bool:
        """Whether any words have come."""
        return bool(self._words)

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines in `crop`; what is missing of them, and of a screenful around, is asked for."""
        self._ask()
        return super().render_lines(crop)

    def _ask(self) -> None:
        if self._fetch is None or not self.count:
            return
        top, height = round(self.scroll_y), max(1, self.size.height)
        around = self._missing(top, top + height), self._missing(top + height, top + 2 * height)
        before = self._missing(top - height, top)
        for rows in (block for blocks in (*around, before) for block in blocks):
            if len(self._under_way) >= UNDER_WAY:
                return
            self._begin(self._fetch(rows.start, rows.stop), rows)

    def _begin(self, future: Future[list[RowLine]], rows: range) -> None:
        self._under_way[future] = rows
        future.add_done_callback(lambda done: self.post_message(self._Arrived(done, rows)))

    def _missing(self, begin: int, end: int) -> Iterator[range]:
        """Blocks that hold what is shown from line `begin` to `end` and is neither known nor under way."""
        asked = {row for rows in self._under_way.values() for row in rows}
        shown = self.rows[max(begin, 0) : max(end, 0)]
        for row in shown:
            if row in self._words or row in asked:
                continue
            if isinstance(self.rows, range):
                first = row - row % BLOCK
                block = range(first, min(first + BLOCK, self.rows.stop))
            else:
                # Matches lie scattered: their neighbours are of no use, but for those that match as well.
                last = row
                while last + 1 in shown and last + 1 - row < BLOCK:
                    last += 1
                block = range(row, last + 1)
            asked.update(block)
            yield block

    @on(_Arrived)
    def _come(self, message: _Arrived) -> None:
        """Rows have come, or the reason why they cannot."""
        if self._under_way.pop(message.future, None) is None or message.future.cancelled():
            return
        if not self.begun:
            self.post_message(self.Begun())
        try:
            # What is not there any more is not asked for again.
            self._words |= dict.fromkeys(message.rows, ("", False))
            for line in message.future.result():
                failed = line.error is not None
                self._words[line.row] = printable(line.error or line.words), failed
        except InputError as error:
            self._words |= dict.fromkeys(message.rows, (printable(error.problem), True))
        while len(self._words) > KEPT:
            del self._words[next(iter(self._words))]
        self.refresh()

    # -- drawing

    @property
    def number_width(self) -> int:
        """Cells of the largest row number, with its separators."""
        last = max(self._overview.rows - 1, 0) if self._overview else 0
        return max(6 if self.size.width >= 36 else 5, len(f"{last:,}"))

    @property
    def has_trained(self) -> bool:
        """Whether there is room for the column of trained tokens."""
        return self.size.width - self.number_width >= 32

    def heading(self) -> str:
        """The names of the columns, over the lines."""
        trained = f"{'trained':>{FIGURE + 1}}" if self.has_trained else ""
        return f" {'row':>{self.number_width}}{'tokens':>{FIGURE}}{trained}"

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """One row; words on their way are a faint bar."""
        row, tokens, trained, mark, style = self._facts(self.rows[index])
        parts = [(f"{row:>{self.number_width},}", "muted"), (f"{tokens:>{FIGURE}}", "")]
        if self.has_trained:
            parts.append((f"{trained:>{FIGURE + 1}}", "error" if trained == "0" else ""))
        parts.append((f" {mark} " if self.has_trained else f"{mark} ", style))
        room = width - sum(len(text) for text, _ in parts)
        found = self._words.get(row)
        if found is None:
            parts.append(("━" * min(room, 6 + row * 7 % 11), "faint"))
        else:
            words, failed = found
            if cell_len(words) > room:
                words = f"{set_cell_size(words, max(room - 1, 0))}…"
            parts.append((words, "error" if failed else ""))
        return parts

    def _facts(self, row: int) -> tuple[int, str, str, str, str]:
        """Number, tokens, trained tokens, mark and its style; what is not known yet is a dot."""
        overview = self._overview
        assert overview is not None
        known = row < len(overview.known) and bool(overview.known[row])
        length = overview.lengths[row] if known else 0
        tokens = figure(length) if length else "–" if known else "·"
        trained = figure(overview.trained[row]) if length else "–" if known else "·"
        flags = overview.flags[row] if row < len(overview.flags) else 0
        errors, warnings = self._masks
        mark, style = (
            ("!", "error") if flags & errors else ("~", "warning") if flags & warnings else (" ", "")
        )
        return row, tokens, trained, mark, style
