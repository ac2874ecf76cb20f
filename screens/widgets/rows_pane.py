"""The rows of one side of a dataset, all or those that a filter finds, and the way through them."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message

from .. import data_view as view
from ..desk import Desk, Search
from .filter import Filter
from .panel import Panel
from .row_list import RowList

if TYPE_CHECKING:
    from sftui.data.overview import Overview
    from sftui.data.query import Query
    from sftui.data.views import Finding, Side


class RowsPane(Vertical):
    """The filter, the names of the columns, the list."""

    class Found(Message):
        """From the thread of search number `search`: rows that match, and how many have been looked at."""

        def __init__(self, search: int, rows: list[int], looked: int, finished: bool) -> None:
            self.search, self.rows, self.looked, self.finished = search, rows, looked, finished
            super().__init__()

    class Listed(Message):
        """Other rows are listed: another one may be under the cursor."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.list = RowList(id="rows")
        self._filter = Filter()
        self._columns = Panel(id="columns")
        self._desk: Desk | None = None
        self._side: Side = "train"
        self._overview: Overview | None = None
        self._masks = 0, 0
        self._search: Search | None = None
        self._searches = 0
        self._query: Query | None = None
        self._matches: array[int] | None = None
        self._looked = 0
        self._ended = False

    def compose(self) -> ComposeResult:
        """Filter, columns, list."""
        yield self._filter
        yield self._columns
        yield self.list

    def on_mount(self) -> None:
        """Say what this is."""
        self.border_title = "rows"

    # -- showing

    def open(self, desk: Desk, side: Side) -> None:
        """The rows of another dataset or side, all of them."""
        self._desk, self._side = desk, side
        self._end_search()
        self._filter.close()
        self.list.open(lambda begin, end: desk.lines(side, begin, end))

    def show(self, overview: Overview) -> None:
        """Follow the analysis."""
        before, self._overview = self._overview, overview
        self._masks = _masks(overview.findings)
        ended = overview.state == "done" and (before is None or before.state != "done")
        if ended and self._query is not None and self._query.needs_counts:
            # What was looked for among the rows that were known is now known of all.
            self._look_for(self._query)
        rows: Sequence[int] = range(overview.rows) if self._matches is None else self._matches
        self.list.show(overview, rows, self._masks)
        self._columns.show(Content(self.list.heading()))
        sides = self._desk.sides if self._desk is not None else ()
        found = None if self._matches is None else len(self._matches)
        self.border_title = Content(view.rows_title(overview, sides, found, self._looked))

    @property
    def filtered(self) -> bool:
        """Whether only rows that match are shown."""
        return self._matches is not None

    @property
    def searching(self) -> bool:
        """Whether more rows may come to match."""
        return self.filtered and not self._ended

    def go_to(self, row: int | None) -> None:
        """Put the cursor on a row, if any, or on the next one that is listed."""
        if row is not None:
            self.list.go_to(self.list.place_of(row))

    def show_row(self, row: int) -> None:
        """Put the cursor on a row, among all of them."""
        self._filter.close()
        self._end_search()
        if self._overview is not None:
            self.show(self._overview)
        self.go_to(row)

    # -- the filter

    def open_filter(self) -> None:
        """Type a filter."""
        self._filter.open()

    def close_filter(self) -> None:
        """All rows again."""
        self._filter.close()

    def ask(self, text: str) -> None:
        """Filter by `text`."""
        self._filter.ask(text)

    @on(Filter.Asked)
    def _asked(self, message: Filter.Asked) -> None:
        row = self.list.row
        self._look_for(message.query)
        if self._overview is not None:
            self.show(self._overview)
        if self._matches is None:
            self.go_to(row)
        self.post_message(self.Listed())

    def _look_for(self, query: Query | None) -> None:
        """Begin a search, or show all rows."""
        self._end_search()
        self._query = query
        if query is not None and self._desk is not None:
            self._matches = array("L")
            self._search = self._find(self._desk, query, self._searches)

    def _find(self, desk: Desk, query: Query, number: int) -> Search:
        def found(rows: list[int], looked: int, finished: bool) -> None:
            self.post_message(self.Found(number, rows, looked, finished))

        return desk.find(self._side, query, found)

    def _end_search(self) -> None:
        if self._search is not None:
            self._search.cancel()
        self._search, self._matches, self._looked, self._query = None, None, 0, None
        self._ended = False
        self._searches += 1

    @on(Found)
    def _more_found(self, message: Found) -> None:
        """Some more rows match."""
        if message.search != self._searches or self._matches is None or self._overview is None:
            return
        self._matches.extend(message.rows)
        self._looked, self._ended = message.looked, message.finished
        self.show(self._overview)
        self.post_message(self.Listed())
        problem = self._search.problem if message.finished and self._search is not None else None
        if problem is not None:
            self.app.notify(problem, severity="warning", timeout=8, markup=False)

    # -- findings

    @work(exclusive=True, group="next")
    async def to_flagged(self, code: str | None, step: int) -> None:
        """To the next row that has a finding, or any, or the one before; in a thread, for it may be far."""
        overview, rows, at = self._overview, self.list.rows, self.list.cursor
        if overview is None:
            return
        found = await asyncio.to_thread(_next_flagged, overview.flags, rows, at, step, _mask(code))
        if found is not None and found < len(self.list.rows):
            self.list.go_to(found)
        elif found is None:
            words = f"no row {'after' if step > 0 else 'before'} this one has {code or 'a finding'}"
            self.app.notify(words, timeout=3, markup=False)


def _masks(findings: Sequence[Finding]) -> tuple[int, int]:
    """The bits of errors and of warnings among a row's flags; how grave some are depends on the recipe."""
    from sftui.data.findings.registry import BITS, CHECKS

    told = {finding.code: finding.severity for finding in findings}
    by_severity = {"error": 0, "warning": 0, "info": 0}
    for code, bit in BITS.items():
        by_severity[told.get(code, CHECKS[code].severity)] |= 1 << bit
    return by_severity["error"], by_severity["warning"]


def _mask(code: str | None) -> int:
    """The bit of a finding, those of all for None."""
    from sftui.data.findings.registry import BITS

    return -1 if code is None else 1 << BITS[code] if code in BITS else 0


def _next_flagged(flags: array[int], rows: Sequence[int], at: int, step: int, mask: int) -> int | None:
    """Where the next of `rows` after place `at` stands that has a bit of `mask`."""
    known = len(flags)
    places = range(at + 1, len(rows)) if step > 0 else range(at - 1, -1, -1)
    return next((place for place in places if rows[place] < known and flags[rows[place]] & mask), None)
