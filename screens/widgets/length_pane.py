"""max_length as a slider, with what the length under it comes to, and what others would."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message

from .. import length_view as view
from .panel import Panel

if TYPE_CHECKING:
    from sftui.data.packing.plan import Plan
    from sftui.recipe import Packing, Recipe


class LengthSlider(Panel, can_focus=True):
    """The text is its pane's, keys are the screen's. A click on the bar says where on it, from 0 to 1."""

    ALLOW_SELECT = False

    class Pointed(Message):
        """A click on the bar."""

        def __init__(self, share: float) -> None:
            self.share = share
            super().__init__()

    def on_click(self, event: events.Click) -> None:
        """Only on the bar."""
        offset = event.get_content_offset(self)
        if offset is not None and offset.y == 0 and offset.x >= view.BAR_AT:
            room = max(self.size.width - view.BAR_AT - 1, 1)
            self.post_message(self.Pointed((offset.x - view.BAR_AT) / room))


class LengthPane(Vertical):
    """`length` is where the slider is: the recipe's max_length until it is moved."""

    class Tried(Message):
        """The slider is at another length."""

    class Resized(Message):
        """Slider and table have another width, or more lines."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.length = 0
        self.slider = LengthSlider(id="length-slider")
        self._table = Panel(id="lengths")
        self._ends = view.length_range(0, 0)

    def compose(self) -> ComposeResult:
        """Slider and table."""
        yield self.slider
        yield self._table

    def on_mount(self) -> None:
        """Say what this is."""
        self.border_title = "max_length of the rows to train on"

    def on_resize(self) -> None:
        """What stands here depends on the room; that of slider and table is known after this."""
        self.call_after_refresh(self.post_message, self.Resized())

    def show(
        self,
        recipe: Recipe,
        plans: Mapping[int, Plan],
        strategy: Packing,
        cut_loss: int | None,
        sides: view.Sides,
        on_gpu: bool,
    ) -> None:
        """What lengths come to under a strategy; `cut_loss` of the recipe's own is what its cuts lose.

        `sides` and `on_gpu`: see `peak_words`.
        """
        length, own = self.length or recipe.data.max_length, recipe.data.max_length
        plan = plans.get(own)
        self._ends = view.length_range(own, plan.longest if plan is not None else 0)
        words = view.length_panel(
            recipe,
            plans.get(length),
            strategy,
            length,
            self._ends,
            self.slider.size.width,
            cut_loss if length == own else None,
            view.peak_words(recipe, strategy, length, sides, on_gpu) if plans else "",
        )
        self.slider.show(words)
        self._table.show(view.lengths_table(own, plans, self.table(own), strategy, cut_loss))

    def table(self, own: int) -> list[int]:
        """The lengths for which there is room in the table; none while it is hidden."""
        room = self._table.size.height - 1 if self._table.is_on_screen else 0
        return view.table_lengths(own, room)

    def step(self, steps: int) -> None:
        """A little longer or shorter."""
        self._put(view.stepped(self.length, steps))

    def double(self, steps: int) -> None:
        """The next power of two."""
        self._put(view.doubled(self.length, steps))

    @on(LengthSlider.Pointed)
    def _pointed(self, event: LengthSlider.Pointed) -> None:
        self._put(view.at_share(event.share, *self._ends))

    def _put(self, length: int) -> None:
        self.length = length
        self.post_message(self.Tried())
