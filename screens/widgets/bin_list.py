"""The bins of a dataset, each a line: its number, its sequences to scale, its tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.style import Style
from textual.cache import LRUCache

from ..bin_cuts import UNCUT, Cuts, cuts_of
from ..figures import WIDTH, figure
from ..packing_pictures import STYLES, Cells, bin_cells
from .line_list import LineList

if TYPE_CHECKING:
    from sftui.data.packing.bins import Bins, BinView

KEPT = 512


class BinList(LineList):
    """Shows `Bins`; only those in view are looked at."""

    COMPONENT_CLASSES = {f"bin-list--{name}" for name in STYLES}

    DEFAULT_CSS = """
    BinList {
        & > .bin-list--even { color: $accent 50%; }
        & > .bin-list--odd { color: $secondary 45%; }
        & > .bin-list--even-trained { color: $accent 90%; }
        & > .bin-list--odd-trained { color: $secondary 80%; }
        & > .bin-list--room { color: $foreground 30%; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.bins: Bins | None = None
        self._left_at = 0
        self._views: LRUCache[int, BinView] = LRUCache(KEPT)
        self._lines: LRUCache[tuple[int, int], list[tuple[str, str]]] = LRUCache(KEPT)

    def show(self, bins: Bins | None) -> None:
        """Show other bins, or none; the cursor stays at its number, also while there are none."""
        if bins is self.bins:
            return
        if bins is None:
            self._left_at = self.cursor
        elif self.bins is None:
            self.cursor = self._left_at
        self.bins = bins
        self._views.clear()
        self._lines.clear()
        self.set_count(len(bins) if bins is not None else 0)

    def view(self, index: int) -> BinView | None:
        """A bin, if there is such."""
        if self.bins is None or not 0 <= index < self.count:
            return None
        found = self._views.get(index)
        if found is None:
            found = self._views[index] = self.bins.view(index, index + 1)[0]
        return found

    @property
    def current(self) -> BinView | None:
        """The bin under the cursor."""
        return self.view(self.cursor)

    def cuts(self, index: int) -> Cuts:
        """How a bin is cut."""
        view = self.view(index)
        if view is None or self.bins is None or self.bins.summary.strategy != "wrapped":
            return UNCUT
        return cuts_of(view, self.view(index + 1))

    def _make_styles(self) -> dict[str, Style]:
        own = {name: Style(color=self.get_component_rich_style(f"bin-list--{name}").color) for name in STYLES}
        return super()._make_styles() | own

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """One bin."""
        found = self._lines.get((index, width))
        if found is None:
            found = self._lines[index, width] = self._line(index, width)
        return found

    def _line(self, index: int, width: int) -> list[tuple[str, str]]:
        view = self.view(index)
        if view is None:
            return []
        digits = max(5, len(f"{max(self.count - 1, 0):,}"))
        left, right = f"{view.number:>{digits},} ", f"{figure(view.tokens):>{WIDTH + 1}} "
        cells: Cells = bin_cells(view, width - len(left) - len(right), self.cuts(index))
        return [(left, "muted"), *cells, (right, "")]
