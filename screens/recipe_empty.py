"""The Recipe screen while no recipe is open: what can be opened."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical

from .recipe_offers import offers
from .recipe_view import NO_RECIPE
from .widgets.offer_list import OfferList
from .widgets.panel import Panel

if TYPE_CHECKING:
    from .app import Workbench


class OffersPane(Vertical):
    """Recipes here, ready ones, those of runs, and one for a dataset."""

    app: Workbench

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.list = OfferList(id="offers")

    def compose(self) -> ComposeResult:
        """Words and the list."""
        yield Panel(NO_RECIPE, id="empty-words")
        yield self.list

    async def look(self) -> None:
        """See what there is."""
        self.list.show(await asyncio.to_thread(offers, Path.cwd(), self.app.folder))
        self.list.focus()
