"""An open bin: its sequences one after the other, token by token; rows are asked for as they are needed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING

from textual import on
from textual.message import Message

from ..bin_cuts import UNCUT, Cuts
from ..bin_view import BinText, Key, Place, bin_text
from .conversation import row_of
from .token_layout import Document
from .token_view import TokenView

if TYPE_CHECKING:
    from sftui.data.packing.bins import BinView
    from sftui.data.views import RowView

    Fetch = Callable[[int, int], Future[RowView]]

# Rows asked for at once, and tokens that are shown before all have come.
UNDER_WAY = 8
SCREENFUL = 4000


class BinTokens(TokenView):
    """A `TokenView` of a bin."""

    class Shown(Message):
        """More of the bin is shown, or another one."""

    class _Arrived(Message):
        def __init__(self, opening: int, key: Key, future: Future[RowView]) -> None:
            self.opening, self.key, self.future = opening, key, future
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.bin: BinView | None = None
        self.cuts = UNCUT
        self._text: BinText | None = None
        self._fetch: Fetch | None = None
        self._rows: dict[Key, RowView] = {}
        self._wanted: list[Key] = []
        self._opening = self._under_way = 0

    @property
    def place(self) -> Place | None:
        """Where the token under the cursor stands."""
        return self._text.place(self.cursor) if self._text is not None else None

    def open(self, view: BinView | None, fetch: Fetch | None, cuts: Cuts = UNCUT) -> None:
        """Show a bin and how it is cut, or none; `fetch(row, sequence)` gives its rows."""
        self._opening += 1
        self.bin, self.cuts, self._fetch, self._rows, self._under_way = view, cuts, fetch, {}, 0
        pieces = view.pieces if view is not None else ()
        # Last first: they are taken from the end.
        self._wanted = list(dict.fromkeys((piece.row, piece.sequence) for piece in reversed(pieces)))
        self._show(keep=False)
        self._ask()

    def _ask(self) -> None:
        while self._fetch is not None and self._wanted and self._under_way < UNDER_WAY:
            self._under_way += 1
            self._begin(self._fetch(*self._wanted[-1]), self._wanted.pop(), self._opening)

    def _begin(self, future: Future[RowView], key: Key, opening: int) -> None:
        future.add_done_callback(lambda done: self.post_message(self._Arrived(opening, key, done)))

    @on(_Arrived)
    def _come(self, message: _Arrived) -> None:
        if message.opening != self._opening or self._text is None:
            return
        self._under_way -= 1
        self._rows[message.key] = row_of(message.key[0], message.future)
        self._ask()
        complete = not self._wanted and not self._under_way
        if complete or not self._text.tokens:
            text = bin_text(self._text.view, self._rows, self.cuts)
            if complete or len(text.tokens) >= SCREENFUL:
                self._show(keep=bool(self._text.tokens))

    def _show(self, *, keep: bool) -> None:
        """Lay out what is known; cursor and first line in view stay if asked for."""
        cursor, top = self.cursor, round(self.scroll_y)
        self._text = bin_text(self.bin, self._rows, self.cuts) if self.bin is not None else None
        self.show(self._text.document if self._text is not None else Document())
        if keep:
            self.scroll_to(y=top, animate=False, force=True)
            self.go_to(cursor)
        self.post_message(self.Shown())
