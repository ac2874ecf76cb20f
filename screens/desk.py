"""What the screens ask of an open dataset: `sftui.data.desk.Desk` answers it, in tests another does."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from sftui.data.overview import OverlengthCost, Overview
    from sftui.data.packing.bins import Bins
    from sftui.data.packing.plan import Plan
    from sftui.data.query import Query
    from sftui.data.views import RowLine, RowView, Side
    from sftui.recipe import Packing, Recipe


class Search(Protocol):
    """A search under way. Once it has ended, `problem` says what was left out, if anything was."""

    problem: str | None

    def cancel(self) -> None:
        """End it."""


class Desk(Protocol):
    """One recipe's dataset. Nothing here blocks but `cost`, which is for a thread."""

    @property
    def sides(self) -> tuple[Side, ...]:
        """Training rows, and held-out ones where they have files of their own."""

    def start(self) -> None:
        """Open the files and begin to analyse them, in the background."""

    def close(self) -> None:
        """End all that goes on."""

    def overview(self, side: Side) -> Overview:
        """What is known of a side by now."""

    def lines(self, side: Side, begin: int, end: int) -> Future[list[RowLine]]:
        """The first words of some rows."""

    def view(self, side: Side, row: int, sequence: int = 0) -> Future[RowView]:
        """One row, token by token."""

    def cost(self, side: Side, max_length: int) -> OverlengthCost | None:
        """What each choice for sequences longer than that would lose."""

    def plan(self, max_length: int | None = None) -> Future[Plan]:
        """What each strategy makes of the training rows, as far as they are known; None: the recipe's."""

    def bins(self, strategy: Packing | None = None) -> Future[Bins | None]:
        """The bins of the training rows; None as long as not all are known."""

    def find(self, side: Side, query: Query, found: Callable[[list[int], int, bool], None]) -> Search:
        """Look for rows; `found(new matches, rows looked at, finished)` is called from a thread."""

    def change(self, recipe: Recipe) -> None:
        """Go on with another recipe."""


OpenDesk = Callable[["Recipe", Callable[[], None]], Desk]


def open_desk(recipe: Recipe, changed: Callable[[], None]) -> Desk:
    """The dataset of a recipe; what reads it is imported when the first is opened. For a thread."""
    from sftui.data.desk import Desk as DataDesk

    return DataDesk(recipe, changed)
