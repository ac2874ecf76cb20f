"""The packing strategies side by side, one under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import packing_view as view
from .line_list import LineList

if TYPE_CHECKING:
    from sftui.data.packing.plan import Plan
    from sftui.recipe import Packing


class StrategyList(LineList):
    """A line a strategy: what it makes of the plan; the recipe's own is marked."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.plan: Plan | None = None
        self.chosen: Packing = "none"
        self._cut_loss: int | None = None
        self.count = len(view.STRATEGIES)

    @property
    def strategy(self) -> Packing:
        """The one under the cursor."""
        return view.STRATEGIES[self.cursor]

    def show(self, plan: Plan | None, chosen: Packing, cut_loss: int | None) -> None:
        """Show a plan; the cursor goes to what the recipe has when that is another."""
        if chosen != self.chosen:
            self.chosen = chosen
            self.go_to(view.STRATEGIES.index(chosen))
        elif (plan, cut_loss) == (self.plan, self._cut_loss):
            return
        self.plan, self._cut_loss = plan, cut_loss
        self.set_count(len(view.STRATEGIES))

    def heading(self) -> str:
        """The names of the columns, over the lines."""
        return f" {view.strategy_heading(self.size.width - 1)}"

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """One strategy."""
        strategy = view.STRATEGIES[index]
        return view.strategy_line(self.plan, strategy, self.chosen, width, self._cut_loss)
