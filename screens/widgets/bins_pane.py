"""The bins of a strategy as a list, or one of them token by token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from .. import bin_view as view
from .. import packing_view
from .bin_list import BinList
from .bin_tokens import BinTokens
from .line_list import LineList
from .panel import Panel
from .token_view import TokenView

if TYPE_CHECKING:
    from sftui.data.packing.bins import Bins, BinView
    from sftui.recipe import Packing

    from .bin_tokens import Fetch


class BinsPane(Vertical):
    """List or tokens, and a line about the bin or the token under the cursor."""

    DEFAULT_CSS = """
    BinsPane {
        & > #tokens { display: none; }
        &.-open > #tokens { display: block; }
        &.-open > #bins, &.-none > #bins { display: none; }
        & > #no-bins { display: none; }
        &.-none > #no-bins { display: block; }
        &.-open > #no-bins { display: none; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.list = BinList(id="bins")
        self.tokens = BinTokens(id="tokens")
        self._none = Panel(id="no-bins")
        self._line = Panel(id="bin-line")
        self._chosen: Packing = "none"

    def compose(self) -> ComposeResult:
        """List, tokens, line."""
        yield self.list
        yield self._none
        yield self.tokens
        yield self._line

    def on_resize(self) -> None:
        """Another title and line may fit."""
        self.call_after_refresh(self.retitle)

    @property
    def target(self) -> BinList | BinTokens:
        """What the keys are for."""
        return self.tokens if self.is_open else self.list

    @property
    def is_open(self) -> bool:
        """Whether one bin is shown token by token."""
        return self.tokens.bin is not None

    @property
    def current(self) -> BinView | None:
        """The bin that is open, or the one under the cursor."""
        return self.tokens.bin or self.list.current

    def show(self, bins: Bins | None, chosen: Packing, none: Content) -> None:
        """Show bins, or say why there are `none`; an open one that is not among them is closed."""
        self._chosen = chosen
        self.list.show(bins)
        self.set_class(not self.list.count, "-none")
        self._none.show(none)
        opened = self.tokens.bin
        if opened is not None and self.list.view(opened.number) != opened:
            self.close()
        self.retitle()

    def open(self, fetch: Fetch) -> None:
        """Show the tokens of the bin under the cursor; `fetch(row, sequence)` gives its rows."""
        found = self.list.current
        if found is not None:
            self.add_class("-open")
            self.tokens.open(found, fetch, self.list.cuts(found.number))
            self.retitle()

    def close(self) -> None:
        """Show the list."""
        self.remove_class("-open")
        self.tokens.open(None, None)
        self.retitle()

    @on(LineList.Moved)
    @on(TokenView.Moved)
    @on(BinTokens.Shown)
    def retitle(self) -> None:
        """Title and line say what is shown."""
        opened, bins = self.tokens.bin, self.list.bins
        if opened is not None:
            self.border_title = Content(view.bin_title(opened, self.size.width, self.tokens.cuts))
            self._line.show(view.place_line(self.tokens.place))
            return
        self.border_title = Content(packing_view.bins_title(bins.summary if bins else None, self._chosen))
        cuts = self.list.cuts(self.list.cursor)
        self._line.show(view.bin_line(self.list.current, self._line.size.width, cuts))
