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
        self.count = len(view.STRATEGIES)

    @property
    def strategy(self) -> Packing:
        """The one under the cursor."""
        return view.STRATEGIES[self.cursor]

    def show(self, plan: Plan | None, chosen: Packing) -> None:
        """Show a plan; the cursor goes to what the recipe has when that is another."""
        if chosen != self.chosen:
            self.chosen = chosen
            self.go_to(view.STRATEGIES.index(chosen))
        elif plan == self.plan:
            return
        self.plan = plan
        self.set_count(len(view.STRATEGIES))

    def heading(self) -> str:
        """The names of the columns, over the lines."""
        return f" {view.strategy_heading(self.size.width - 1)}"

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """One strategy."""
        return view.strategy_line(self.plan, view.STRATEGIES[index], self.chosen, width)
