"""The bin under the cursor: its sequences, and which token sees which."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.content import Content

from .. import bin_view as view
from ..bin_cuts import UNCUT, Cuts
from ..packing_pictures import attention
from .panel import Panel

if TYPE_CHECKING:
    from sftui.data.packing.bins import BinView

    from .braille import GlyphName

# Lines, and half as many cells as the picture is wide.
LINES = 11


class BinDetail(Horizontal):
    """A table and a picture."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._table = Panel(id="bin-table")
        self._attention = Panel(id="attention")
        self._bin: BinView | None = None
        self._cuts = UNCUT
        self._glyphs: GlyphName = "block"
        self._shown: object = None

    def compose(self) -> ComposeResult:
        """Sequences at the left, attention at the right."""
        yield self._table
        yield self._attention

    def on_resize(self) -> None:
        """Another part of the table may fit."""
        self.call_after_refresh(self._draw)

    def show(self, bin_: BinView | None, cuts: Cuts, glyphs: GlyphName) -> None:
        """Show a bin and how it is cut, or none."""
        self._bin, self._cuts, self._glyphs = bin_, cuts, glyphs
        self._draw()

    def _draw(self) -> None:
        bin_ = self._bin
        self.border_title = Content(view.bin_title(bin_, self.size.width, self._cuts))
        shown = bin_, self._cuts, self._table.size
        if shown != self._shown:
            self._shown = shown
            self._table.show(view.bin_table(bin_, LINES, self._table.size.width, self._cuts))
            lines = attention(bin_, LINES, self._glyphs) if bin_ is not None else []
            self._attention.show(Content("\n".join(lines)))
            self.border_subtitle = Content(view.attention_words(bin_) if bin_ is not None else "")
