"""Choosing a recipe: to open it, or to compare with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical

from sftui.errors import InputError

from .data_choices import Choice, Item
from .dialog import Dialog
from .recipe_choices import THE_FILE, comparisons
from .recipe_offers import Offer, offers, opened
from .widgets.line_list import LineList
from .widgets.offer_list import OfferList

if TYPE_CHECKING:
    from .app import Workbench


class OpenChoice(Dialog[Offer | None]):
    """The recipes that can be opened."""

    CSS_PATH = "recipe_boxes.tcss"
    app: Workbench
    BINDINGS = [
        Binding("enter", "choose", "open", show=False, id="open.choose"),
        Binding("escape,q", "dismiss", "leave", show=False, id="open.leave"),
        Binding("down,j", "move(1)", "down", show=False, id="open.down"),
        Binding("up,k", "move(-1)", "up", show=False, id="open.up"),
        Binding("pagedown", "move(10)", "page down", show=False, id="open.page-down"),
        Binding("pageup", "move(-10)", "page up", show=False, id="open.page-up"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._list = OfferList()

    def compose(self) -> ComposeResult:
        """The list in a box."""
        with Vertical(id="open-recipe") as box:
            yield self._list
        box.border_title = "open a recipe"
        box.border_subtitle = "Enter opens, Esc leaves"

    def on_mount(self) -> None:
        """Look what there is."""
        self._list.focus()
        self._look()

    @work
    async def _look(self) -> None:
        self._list.show(await asyncio.to_thread(offers, Path.cwd(), self.app.folder))

    def action_move(self, lines: int) -> None:
        """Up or down."""
        self._list.move(lines)

    @on(LineList.Chosen)
    def action_choose(self) -> None:
        """Give the one under the cursor."""
        if self._list.offer is not None:
            self.dismiss(self._list.offer)


def ask_for_comparison(app: Workbench, then: Callable[[Item | None, Any], None]) -> None:
    """Let a recipe be chosen; `then` gets it and its document, None and None for the file itself."""
    found: list[Offer] = []

    def ask() -> None:
        app.push_screen(Choice("the difference from", comparisons(found), THE_FILE), chosen)

    def chosen(item: Item | None) -> None:
        if item is None:
            return
        if item.value == THE_FILE:
            then(None, None)
            return
        offer = next(one for one in found if f"{one.kind}:{one.value}" == item.value)
        read: list[Any] = []

        def look() -> None:
            try:
                read.append(opened(offer).document)
            except InputError as error:
                raise InputError(f"cannot be compared with: {error}") from None

        app.attempt(look, lambda: then(item, read[0]))

    app.attempt(lambda: found.extend(offers(Path.cwd(), app.folder)), ask)
