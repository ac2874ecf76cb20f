"""What the Data screen asks and explains in boxes of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from . import statistics_view as view
from .dialog import Dialog
from .widgets.panel import Panel
from .widgets.statistics import Statistics

if TYPE_CHECKING:
    from sftui.data.overview import OverlengthCost, Overview
    from sftui.recipe import Recipe

TRAIN_ON = (
    ("assistant", "every answer of the assistant, with the token that ends it"),
    ("last_assistant", "only the last answer of each conversation"),
    ("completion", "what follows the prompt, where rows say which is which"),
    ("everything", "all of the text, prompts too: for plain text"),
)
TEMPLATES = {
    "chatml": "<|im_start|>role .. <|im_end|>, of ours: if a model has none",
    "llama2": "[INST] .. [/INST], of ours",
    "gemma": "<start_of_turn>role .. <end_of_turn>, of ours",
    "mistral": "[INST] .. [/INST], the system prompt in the first, of ours",
    "plain": "role names and blank lines, no special tokens, of ours",
    "raw": "contents as they are, answers end with eos_token, of ours",
}
OWN = "default"  # what a model's own template is called where it has several
POLICIES = ("drop", "truncate right", "truncate left", "error")
LONGEST = 100_000_000


class Item(NamedTuple):
    """Something to choose: its value, and a line that explains it."""

    value: str | None
    label: str
    text: str


class Choice(Dialog[Item | None]):
    """One of a few things, each explained in a line."""

    CSS_PATH = "choices.tcss"
    BINDINGS = [
        Binding("escape,q", "dismiss", "leave", show=False, id="choice.leave"),
        Binding("j", "cursor(1)", "down", show=False, id="choice.down"),
        Binding("k", "cursor(-1)", "up", show=False, id="choice.up"),
    ]

    def __init__(self, title: str, items: Sequence[Item], current: str | None) -> None:
        super().__init__()
        self._title, self._items, self._current = title, items, current

    def compose(self) -> ComposeResult:
        """A titled box with two lines a thing."""
        options = []
        for item in self._items:
            mark = "▸ " if item.value == self._current else "  "
            options.append(
                Option(
                    Content.assemble(
                        (f"{mark}{item.label}\n", "bold"), (f"    {item.text}", "$foreground-muted")
                    )
                )
            )
        box = Vertical(OptionList(*options, markup=False, compact=True), id="choice")
        box.border_title = Content(self._title)
        box.border_subtitle = "Enter chooses, Esc leaves"
        yield box

    def on_mount(self) -> None:
        """Begin on what holds now."""
        values = [item.value for item in self._items]
        options = self.query_one(OptionList)
        options.highlighted = values.index(self._current) if self._current in values else 0
        self.call_after_refresh(options.scroll_to_highlight)  # how high the box is shows in the layout only

    def action_cursor(self, lines: int) -> None:
        """Up or down."""
        options = self.query_one(OptionList)
        (options.action_cursor_down if lines > 0 else options.action_cursor_up)()

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._items[event.option_index])


class Length(Dialog[dict[str, Any] | None]):
    """The longest sequence and what becomes of longer ones, and at what cost. Gives the changes."""

    BINDINGS = [
        Binding("escape", "dismiss", "leave", show=False, id="length.leave"),
        Binding("down", "policy(1)", "next choice", show=False, id="length.down"),
        Binding("up", "policy(-1)", "choice before", show=False, id="length.up"),
    ]

    def __init__(self, recipe: Recipe, cost: Callable[[int], OverlengthCost | None]) -> None:
        """`cost` tells what a length would lose; it is called in a thread."""
        super().__init__()
        self._policy = POLICIES.index(view.policy_of(recipe))
        self._length = recipe.data.max_length
        self._holds_out = bool(recipe.data.eval_fraction)
        self._cost_of = cost
        self._cost: OverlengthCost | None = None
        self._panel = Panel(id="policies")

    def compose(self) -> ComposeResult:
        """The number, then a line a choice."""
        with Vertical(id="length") as box:
            yield Input(str(self._length), type="integer", compact=True, id="tokens")
            yield self._panel
            yield Static("↑↓ what becomes of longer sequences", id="keys", markup=False)
        counted = "; held-out rows count too" if self._holds_out else ""
        box.border_title = f"max_length: longest sequence, in tokens{counted}"
        box.border_subtitle = "Enter applies, Esc leaves"

    def on_mount(self) -> None:
        """Look at what holds now."""
        self._show()
        self._look(self._length, 0.0)

    def action_policy(self, lines: int) -> None:
        """Another choice for longer sequences."""
        self._policy = (self._policy + lines) % len(POLICIES)
        self._show()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        length = _number(event.value)
        self._length = length if length is not None and 2 <= length <= LONGEST else 0
        self._cost = None
        self._show()
        if self._length:
            self._look(self._length, 0.15)

    @work(exclusive=True, group="cost")
    async def _look(self, length: int, pause: float) -> None:
        await asyncio.sleep(pause)
        self._cost = await asyncio.to_thread(self._cost_of, length)
        self._show()

    def _show(self) -> None:
        self._panel.show(
            view.policies(self._cost, self._length, POLICIES[self._policy])
            if self._length
            else Content.styled(f"expected a whole number from 2 to {LONGEST:,}\n\n\n\n", "$text-error")
        )

    @on(Input.Submitted)
    def _apply(self) -> None:
        if not self._length:
            return
        policy, _, side = POLICIES[self._policy].partition(" ")
        changes: dict[str, Any] = {"data.max_length": self._length, "data.overlength": policy}
        if side:
            changes["data.truncation_side"] = side
        self.dismiss(changes)


class GoTo(Dialog[int | None]):
    """The number of a row."""

    BINDINGS = [Binding("escape", "dismiss", "leave", show=False, id="goto.leave")]

    def __init__(self, rows: int) -> None:
        super().__init__()
        self._rows = rows

    def compose(self) -> ComposeResult:
        """A field."""
        with Vertical(id="goto") as box:
            yield Input(placeholder=f"0 to {self._rows - 1:,}", restrict=r"[0-9,_]*", compact=True)
        box.border_title = "go to row"

    @on(Input.Submitted)
    def _go(self, event: Input.Submitted) -> None:
        self.dismiss(_number(event.value))


class Words(Dialog[None]):
    """A titled text."""

    CSS_PATH = "choices.tcss"
    BINDINGS = [
        Binding("escape,enter,i,q", "dismiss", "close", show=False, id="words.close"),
        Binding("down,j", "scroll(1)", "down", show=False, id="words.down"),
        Binding("up,k", "scroll(-1)", "up", show=False, id="words.up"),
    ]

    def __init__(self, title: str, text: Content) -> None:
        super().__init__()
        self._title, self._text = title, text

    def compose(self) -> ComposeResult:
        """A box."""
        box = VerticalScroll(Static(self._text, markup=False), id="words")
        box.border_title = Content(self._title)
        box.border_subtitle = "Esc closes"
        yield box

    def action_scroll(self, lines: int) -> None:
        """Scroll a long text."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)


class OverviewScreen(Dialog[None]):
    """The statistics, where the screen has no room for them."""

    BINDINGS = [Binding("escape,enter,o,q", "dismiss", "close", show=False, id="overview.close")]

    def __init__(self, look: Callable[[], tuple[Overview, Recipe]]) -> None:
        super().__init__()
        self._look = look

    def compose(self) -> ComposeResult:
        """A box."""
        box = Vertical(Statistics(stacked=True), id="overview")
        box.border_title = "lengths"
        box.border_subtitle = "Esc closes"
        yield box

    def on_mount(self) -> None:
        """It follows the analysis."""
        self.call_after_refresh(self._show)
        self.set_interval(0.5, self._show)

    def _show(self) -> None:
        self.query_one(Statistics).show(*self._look())


def _number(text: str) -> int | None:
    digits = text.replace(",", "").replace("_", "").strip()
    return int(digits) if digits.isdecimal() and len(digits) < 16 else None


def template_items(names: Sequence[str], current: str | None) -> list[Item]:
    """The model's own template, those that can be chosen by name, and a file that is in use."""
    names = names or tuple(TEMPLATES)
    own = None
    if [name for name in names if name not in TEMPLATES] == [OWN]:
        # The same twice; a recipe may call it either way.
        names = [name for name in names if name != OWN]
        own = OWN if current == OWN else None
    items = [Item(own, "its own", "as the model's tokenizer has it")]
    items += [Item(name, name, TEMPLATES.get(name, "one of the model's own, by its name")) for name in names]
    if current is not None and current not in (own, *names):
        items.append(Item(current, PurePath(current).name, "the file that the recipe names"))
    return items
