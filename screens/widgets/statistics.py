"""The statistics of a dataset: the histogram of lengths and what there is to say in words."""

from __future__ import annotations

import asyncio
import time
from array import array
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal

from .. import statistics_view as view
from .histogram import Histogram, count_lengths
from .panel import Panel

if TYPE_CHECKING:
    from sftui.data.overview import Overview
    from sftui.recipe import Recipe

# Counting a million lengths takes a moment: of all the time that passes at most this share goes into it.
SHARE = 0.05


class Statistics(Horizontal):
    """Follows an overview; the lengths are counted in a thread, again when more are known."""

    DEFAULT_CSS = """
    Statistics Histogram { margin-right: 3; }
    Statistics Panel { width: auto; }
    Statistics.-stacked { layout: vertical; }
    Statistics.-stacked Panel { margin-top: 1; }
    """

    def __init__(self, *, stacked: bool = False, id: str | None = None) -> None:
        """`stacked`: the words below the picture."""
        super().__init__(id=id, classes="-stacked" if stacked else None)
        self._stacked = stacked
        self._counted: object = None
        self._next = 0.0

    def compose(self) -> ComposeResult:
        """The picture, then the words."""
        yield Histogram()
        yield Panel()

    def show(self, overview: Overview, recipe: Recipe) -> None:
        """Bring both up to date; the histogram follows when it has been counted."""
        # The words keep their width while the numbers change.
        width = self.size.width if self._stacked else min(max(self.size.width // 2, 20), 58)
        panel = self.query_one(Panel)
        panel.styles.width = width
        panel.show(view.statistics(overview, recipe, width))
        max_length = recipe.data.max_length
        state = overview.side, overview.analysed, overview.state
        now = time.monotonic()
        if state != self._counted and (now >= self._next or overview.state == "done"):
            self._counted, self._next = state, now + 1.0
            self._count(overview.lengths, max_length)
        else:
            self.query_one(Histogram).limit(max_length)

    # With a description of its own, for Textual's would spell out all lengths.
    @work(exclusive=True, group="count", description="count lengths")
    async def _count(self, lengths: array[int], max_length: int) -> None:
        began = time.monotonic()
        counts = await asyncio.to_thread(count_lengths, lengths)
        took = time.monotonic() - began
        self._next = max(self._next, time.monotonic() + took / SHARE)
        if self.is_mounted:
            self.query_one(Histogram).show(counts, max_length)
