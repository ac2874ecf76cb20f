"""The statistics of a dataset: the histogram of lengths and what there is to say in words."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal

from .. import statistics_view as view
from .histogram import Histogram
from .panel import Panel

if TYPE_CHECKING:
    from sftui.data.overview import Overview
    from sftui.recipe import Recipe

# Between two times that the histogram is drawn while lengths become known.
SECONDS = 1.0
# Cells that the words need, and that the picture has at least beside them.
WORDS = 62
PICTURE = 24


class Statistics(Horizontal):
    """Follows an overview."""

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
        self._drawn: object = None
        self._next = 0.0

    def compose(self) -> ComposeResult:
        """The picture, then the words."""
        yield Histogram()
        yield Panel()

    def show(self, overview: Overview, recipe: Recipe) -> None:
        """Bring both up to date."""
        # The words keep their width while the numbers change.
        width = self.size.width if self._stacked else min(max(self.size.width - PICTURE, 20), WORDS)
        panel, picture = self.query_one(Panel), self.query_one(Histogram)
        panel.styles.width = width
        panel.show(view.statistics(overview, recipe, width))
        max_length = recipe.data.max_length
        state = overview.side, overview.analysed, overview.state
        now = time.monotonic()
        if state != self._drawn and (now >= self._next or overview.state == "done"):
            self._drawn, self._next = state, now + SECONDS
            picture.show(overview.length_counts, max_length)
        else:
            picture.limit(max_length)
