"""How full the bins are."""

from __future__ import annotations

from textual.content import Content
from textual.geometry import Size
from textual.widget import Widget

from ..packing_pictures import fills


class FillChart(Widget):
    """Draws how many bins there are in each class of fill, anew only when they or its size have changed."""

    DEFAULT_CSS = """
    FillChart { width: 1fr; height: 1fr; }
    """

    ALLOW_SELECT = False

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._counts: tuple[int, ...] = ()
        self._drawn: tuple[Size, Content] | None = None

    def show(self, counts: tuple[int, ...]) -> None:
        """Draw these counts, from empty to full."""
        if counts != self._counts:
            self._counts, self._drawn = counts, None
            self.refresh()

    def render(self) -> Content:
        """The bars for the present size."""
        if self._drawn is None or self._drawn[0] != self.size:
            self._drawn = self.size, fills(self._counts, self.size.width, self.size.height)
        return self._drawn[1]
