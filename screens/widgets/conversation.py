"""One row: as tokens, as plain text, as it stands in the file, or as the chat template writes it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from textual import on
from textual.content import Content
from textual.message import Message
from textual.timer import Timer

from sftui.errors import InputError

from .. import data_view as view
from .token_view import TokenView

if TYPE_CHECKING:
    from sftui.data.views import RowView, Side


# A row that comes sooner takes the place of the one before without a word between them.
PATIENCE = 0.3


class Wanted(NamedTuple):
    """A row as it is to be shown; `change` counts the recipes that rows have been shown under."""

    side: Side
    row: int
    sequence: int
    change: int


class _Place(NamedTuple):
    """Where the cursor stood in a row of `text`; `top` is the first line that was in view."""

    wanted: Wanted
    text: str
    cursor: int
    top: int


class Conversation(TokenView):
    """A `TokenView` of a row; its border says which row, how many tokens, and what else can be seen."""

    class Shown(Message):
        """Another row is shown, or none."""

    class _Arrived(Message):
        def __init__(self, wanted: Wanted, future: Future[RowView]) -> None:
            self.wanted, self.future = wanted, future
            super().__init__()

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.row: RowView | None = None
        self.wanted: Wanted | None = None
        self._view_name: view.ViewName = "tokens"
        self._max_length = 0
        self._fetch: Callable[[Wanted], Future[RowView]] | None = None
        self._on_its_way: Wanted | None = None
        self._place: _Place | None = None
        self._shown: Wanted | None = None
        self._words = self._said = ""
        self._late: Timer | None = None

    def on_mount(self) -> None:
        """Say what this is."""
        self._retitle()

    # -- asking for rows

    def open(self, fetch: Callable[[Wanted], Future[RowView]]) -> None:
        """Rows come from elsewhere now."""
        self._fetch, self.wanted, self._on_its_way = fetch, None, None

    def want(self, wanted: Wanted, max_length: int) -> None:
        """Show a row, after the one that is on its way: at most one is."""
        self._max_length = max_length
        if wanted != self.wanted:
            self.wanted = wanted
            self._expect(f"rendering row {wanted.row:,} …")
            if self._on_its_way is None:
                self._ask(wanted)

    def want_none(self, words: str, *, soon: bool) -> None:
        """There is no row to show, and `words` say why; `soon` there may be one."""
        self.wanted = None
        if words != self._said:
            self._expect(words)
            if not soon:
                self._say()

    def _ask(self, wanted: Wanted) -> None:
        if self._fetch is None:
            return
        self._on_its_way = wanted
        future = self._fetch(wanted)
        future.add_done_callback(lambda done: self.post_message(self._Arrived(wanted, done)))

    @on(_Arrived)
    def _come(self, message: _Arrived) -> None:
        """Show it, also while a later one is wanted: whoever holds a key sees the rows pass."""
        wanted, last = message.wanted, self.wanted
        if wanted != self._on_its_way:
            return
        self._on_its_way = None
        if last is None:
            return
        if wanted != last:
            self._ask(last)
        if (wanted.side, wanted.change) == (last.side, last.change):
            self._show_row(wanted, row_of(wanted.row, message.future))
            if wanted != last:
                self._expect(self._words)

    # -- showing them

    @property
    def side(self) -> Side | None:
        """The side that the row is of."""
        return self._shown.side if self._shown is not None else None

    def _expect(self, words: str) -> None:
        """What is shown stays for a moment; if nothing comes by then, `words` take its place."""
        self._words = words
        if self._late is None:
            self._late = self.set_timer(PATIENCE, self._say)

    def _say(self) -> None:
        """Words in the place of the row."""
        self._stop_waiting()
        self._leave()
        self.row, self._shown, self._said = None, None, self._words
        self.show(view.notice(self._words))
        self._retitle()
        self.post_message(self.Shown())

    def _show_row(self, wanted: Wanted, row: RowView) -> None:
        """Show a row; where it is the one before under another recipe, the cursor stays where it can."""
        self._stop_waiting()
        self._leave()
        self.row, self._shown, self._said = row, wanted, ""
        self.show(view.document(row, self._view_name, self._max_length))
        place = self._place
        if place is not None and place.wanted[:3] == wanted[:3]:
            if place.text == row.text:
                self.scroll_to(y=place.top, animate=False, force=True)
            self.go_to(min(place.cursor, max(len(row.tokens) - 1, 0)))
        self._retitle()
        self.post_message(self.Shown())

    def _leave(self) -> None:
        """Remember the place in the row that is shown, if one is."""
        if self.row is not None and self._shown is not None:
            self._place = _Place(self._shown, self.row.text, self.cursor, round(self.scroll_y))

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.stop()
            self._late = None

    def next_view(self) -> None:
        """The next of the four; back at the tokens, the cursor stands where it stood."""
        names = view.VIEWS
        self._view_name = names[(names.index(self._view_name) + 1) % len(names)]
        if self.row is not None:
            at = self.cursor
            self.show(view.document(self.row, self._view_name, self._max_length))
            self.cursor = at
            if self._view_name == "tokens":
                self.go_to(at)
        self._retitle()

    def on_resize(self) -> None:
        """Another title may fit."""
        self._retitle()

    def _retitle(self) -> None:
        # As content: a title that is a plain text would be read for markup.
        title = view.row_title(self.row, self.size.width) if self.row is not None else "conversation"
        self.border_title = Content(title)
        self.border_subtitle = view.view_names(self._view_name)


def row_of(row: int, future: Future[RowView]) -> RowView:
    """The row that has come, or one that says why it cannot be shown."""
    from sftui.data.views import RowView

    nothing = RowView(row, "", "")
    try:
        return future.result()
    except InputError as error:
        return replace(nothing, error=str(error))
    except Exception as error:  # whatever became of the process that reads rows: the screen stays
        return replace(nothing, error=str(error) or type(error).__name__)
