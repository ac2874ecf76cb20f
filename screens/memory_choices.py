"""What the Memory screen asks in boxes of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from sftui.errors import InputError
from sftui.printable import printable

from .data_choices import Words
from .dialog import Dialog
from .memory_compare import thumb_words
from .memory_view import MUTED, all_reasons, brief, column, device_name, peak_title
from .widgets.panel import Panel

if TYPE_CHECKING:
    from sftui.devices import Machine
    from sftui.memory.answer import Answer
    from sftui.memory.device import Device
    from sftui.memory.shape import ModelShape
    from sftui.memory.why import Reason
    from sftui.recipe import Recipe

    from .app import Workbench

NAME = 30


def why_box(found: Answer, reasons: Mapping[str, Reason]) -> Words:
    """Each component's formula."""
    return Words(peak_title(found), all_reasons(found, reasons))


def rule_box(shape: ModelShape, recipe: Recipe, longest: int | None) -> Words:
    """The rule of thumb with this model's numbers."""
    from sftui.memory.fit import rule_of_thumb

    lines = rule_of_thumb(shape, recipe, longest)
    return Words("rule of thumb", thumb_words(lines, recipe.model.short_name))


class Chosen(NamedTuple):
    """A device; None: the one that this machine has."""

    device: Device | None


class Offer(NamedTuple):
    """A line of the list."""

    chosen: Chosen
    name: str
    size: str
    note: str


def ask_max_length(app: Workbench) -> None:
    """The longest sequence, and what becomes of longer ones."""
    from .data_changes import CHANGES

    desk = app.dataset.desk
    overview = desk.overview("train") if desk is not None else None
    cost = partial(desk.cost, "train") if desk is not None else lambda length: None
    CHANGES["max_length"](app, overview, cost)


def ask_device(app: Workbench, machine: Machine | None, chosen: Callable[[], None]) -> None:
    """The GPU to fit into; `chosen` is called once it is another."""

    def take(answer: Chosen | None) -> None:
        if answer is not None:
            app.memory_device = answer.device
            chosen()

    app.push_screen(DeviceChoice(machine.devices if machine is not None else (), app.memory_device), take)


class DeviceChoice(Dialog[Chosen | None]):
    """The GPUs of this machine, common ones by name, or a size that is typed."""

    BINDINGS = [
        Binding("escape", "dismiss", "leave", show=False, id="device.leave"),
        Binding("down", "cursor(1)", "down", show=False, priority=True, id="device.down"),
        Binding("up", "cursor(-1)", "up", show=False, priority=True, id="device.up"),
        Binding("pagedown", "cursor(8)", "page down", show=False, priority=True, id="device.page-down"),
        Binding("pageup", "cursor(-8)", "page up", show=False, priority=True, id="device.page-up"),
    ]

    def __init__(self, here: Sequence[Device], current: Device | None) -> None:
        """`here` are this machine's."""
        super().__init__()
        self._here, self._current = here, current
        self._offers: list[Offer] = []
        self._problem = Panel(id="device-problem")

    def compose(self) -> ComposeResult:
        """A field, and what it leaves of the list."""
        with Vertical(id="device") as box:
            yield Input(placeholder="a name (4090, a100 40) or a size (24GB)", max_length=60, compact=True)
            yield OptionList(markup=False, compact=True)
            yield self._problem
        box.border_title = "the GPU to fit into"
        box.border_subtitle = "Enter chooses, Esc leaves"

    def on_mount(self) -> None:
        """All of them; the keys are the field's."""
        self.query_one(OptionList).can_focus = False
        self.query_one(Input).focus()
        self._list("")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._list(event.value)

    def _list(self, text: str) -> None:
        self._offers, problem = offers(text, self._here)
        self._problem.show(Content.styled(problem, "$text-error"))
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(_line(offer)) for offer in self._offers])
        devices = [offer.chosen.device for offer in self._offers]
        if self._offers:
            known = self._current in devices and not text
            options.highlighted = devices.index(self._current) if known else 0
            self.call_after_refresh(options.scroll_to_highlight)

    def action_cursor(self, lines: int) -> None:
        """Up or down."""
        options = self.query_one(OptionList)
        if self._offers:
            options.highlighted = min(max((options.highlighted or 0) + lines, 0), len(self._offers) - 1)

    @on(Input.Submitted)
    def _choose(self) -> None:
        at = self.query_one(OptionList).highlighted
        if self._offers and at is not None:
            self.dismiss(self._offers[at].chosen)

    @on(OptionList.OptionSelected)
    def _clicked(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self._offers[event.option_index].chosen)


def offers(text: str, here: Sequence[Device]) -> tuple[list[Offer], str]:
    """What a text leaves of the list, what it names by itself first, and why there is nothing."""
    from sftui.memory.gpus import device_of, sizes

    found: list[Offer] = []
    problem = ""
    wanted = text.strip().casefold()
    if wanted:
        try:
            named = device_of(wanted)
            found.append(Offer(Chosen(named), device_name(named), column(named.total_bytes), ""))
        except InputError as error:
            problem = f"{error.problem}\n{error.hint}" if error.hint else error.problem
    for number, device in enumerate(here):
        used = f"{brief(device.used_bytes)} used" if device.used_bytes else ""
        note = f"here, GPU {device.index}{'  ' if used else ''}{used}"
        # The first is what a run takes by itself: it follows the recipe.
        chosen = Chosen(device) if number else Chosen(None)
        found.append(Offer(chosen, device_name(device), column(device.total_bytes), note))
    if not here:
        found.append(Offer(Chosen(None), "none: this machine has no GPU", "", ""))
    for name, size in sizes():
        found.append(Offer(Chosen(device_of(name)), name, column(size), ""))
    if wanted:
        words = wanted.split()
        kept = [
            offer
            for place, offer in enumerate(found)
            if (not place and not problem) or all(word in offer.name.casefold() for word in words)
        ]
        seen: set[tuple[str, str]] = set()
        found = [one for one in kept if (key := (one.name, one.size)) not in seen and not seen.add(key)]  # type: ignore[func-returns-value]
    return found, "" if found else printable(problem)


def _line(offer: Offer) -> Content:
    return Content.assemble((f"{offer.name:{NAME}}", "bold"), f"{offer.size:>10}", (f"  {offer.note}", MUTED))
