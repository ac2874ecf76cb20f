"""A question that wants a yes, or one of two."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Static

from .dialog import Dialog


class Other(NamedTuple):
    """A third answer: `save and leave`, and what it does."""

    words: str
    act: Callable[[], object]


class Confirm(Dialog[bool]):
    """Asks `question`; the safe answer has the focus. Dismisses with True for yes.

    Where there is something else to do, `other`, it has a button too, and is called in place of an answer.
    """

    BINDINGS = [
        Binding("y", "answer(True)", "yes", show=False, id="confirm.yes"),
        Binding("s", "other", "the other thing", show=False, id="confirm.else"),
        Binding("n,escape", "answer(False)", "no", show=False, id="confirm.no"),
        Binding("right,l", "app.focus_next", "next answer", show=False, id="confirm.other"),
        Binding("left,h", "app.focus_previous", "answer before", show=False, id="confirm.before"),
    ]

    def __init__(
        self, question: str, yes: str, no: str = "no", *, danger: bool = False, other: Other | None = None
    ) -> None:
        super().__init__()
        self._other = other
        self._question, self._yes, self._no, self._danger = question, yes, no, danger

    def compose(self) -> ComposeResult:
        """The question and two buttons."""
        with Vertical(id="confirm"):
            yield Static(Content(self._question), id="question")
            with Horizontal(id="answers"):
                yield Button(
                    f"{self._yes} (y)", id="yes", variant="error" if self._danger else "primary", flat=True
                )
                if self._other is not None:
                    yield Button(f"{self._other.words} (s)", id="other", flat=True)
                yield Button(f"{self._no} (n)", id="no", flat=True)

    def on_mount(self) -> None:
        """Enter must not do harm."""
        self.query_one("#no", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A click or Enter."""
        if event.button.id == "other":
            self.action_other()
        else:
            self.dismiss(event.button.id == "yes")

    def action_other(self) -> None:
        """Neither yes nor no."""
        if self._other is not None and self.is_active:
            self.dismiss(False)
            self._other.act()

    def action_answer(self, yes: bool) -> None:
        """A key."""
        self.dismiss(yes)
