"""The packing strategies side by side, and what the one under the cursor does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from .. import packing_view as view
from .panel import Panel
from .strategy_list import StrategyList

if TYPE_CHECKING:
    from sftui.data.packing.plan import Plan
    from sftui.recipe import Packing


# Lines of a terminal from which on it is told what steps and speed mean.
MORE_WORDS = 38


class StrategiesPane(Vertical):
    """The names of the columns, a line a strategy, two lines of words."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.list = StrategyList(id="strategies")
        self._columns = Panel(id="columns")
        self._words = Panel(id="strategy-words")

    def compose(self) -> ComposeResult:
        """Columns, list, words."""
        yield self._columns
        yield self.list
        yield self._words

    def on_mount(self) -> None:
        """Say what this is."""
        self.border_title = "strategies"

    def on_resize(self) -> None:
        """Columns may have another width."""
        self.call_after_refresh(self._name_columns)

    def _name_columns(self) -> None:
        self._columns.show(Content(self.list.heading()))

    def show(self, plan: Plan | None, chosen: Packing, cut_loss: int | None) -> None:
        """Show a plan; `chosen` is the recipe's, `cut_loss` what the cuts of wrapped lose, if known."""
        self.list.show(plan, chosen, cut_loss)
        self._name_columns()
        self._words.show(
            view.strategy_words(plan, self.list.strategy, more=self.app.size.height >= MORE_WORDS)
        )
