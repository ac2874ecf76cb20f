"""Recipes that can be opened, under headings."""

from __future__ import annotations

from collections.abc import Sequence

from ..recipe_offers import Offer, offer_line
from .word_list import WordList


class OfferList(WordList):
    """A line a recipe; the cursor stands on none of the headings."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._offers: tuple[Offer, ...] = ()

    @property
    def offer(self) -> Offer | None:
        """The one under the cursor."""
        return self._offers[self.cursor] if self._offers else None

    def show(self, offers: Sequence[Offer]) -> None:
        """Show what there is."""
        if tuple(offers) != self._offers:
            self._offers = tuple(offers)
            self.set_count(len(self._offers))
            if self.offer is not None and self.offer.kind == "heading":
                self.move(1)

    def go_to(self, index: int) -> None:
        """Over headings, to what lies beyond."""
        index = min(max(index, 0), self.count - 1)
        step = 1 if index >= self.cursor else -1
        while 0 <= index < self.count and self._offers[index].kind == "heading":
            index += step
        if 0 <= index < self.count:
            super().go_to(index)
        elif self.cursor:
            self.scroll_to(y=0, animate=False)  # the first heading comes into view

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """One of them."""
        return offer_line(self._offers[index], width)
