"""A question that wants a yes."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Button, Static

from .dialog import Dialog


class Confirm(Dialog[bool]):
    """Asks `question`; the safe answer has the focus. Dismisses with True for yes."""

    BINDINGS = [
        Binding("y", "answer(True)", "yes", show=False, id="confirm.yes"),
        Binding("n,escape", "answer(False)", "no", show=False, id="confirm.no"),
        Binding("left,right,h,l", "app.focus_next", "other answer", show=False, id="confirm.other"),
    ]

    def __init__(self, question: str, yes: str, no: str = "no", *, danger: bool = False) -> None:
        super().__init__()
        self._question, self._yes, self._no, self._danger = question, yes, no, danger

    def compose(self) -> ComposeResult:
        """The question and two buttons."""
        with Vertical(id="confirm"):
            yield Static(Content(self._question), id="question")
            with Horizontal(id="answers"):
                yield Button(
                    f"{self._yes} (y)", id="yes", variant="error" if self._danger else "primary", flat=True
                )
                yield Button(f"{self._no} (n)", id="no", flat=True)

    def on_mount(self) -> None:
        """Enter must not do harm."""
        self.query_one("#no", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """A click or Enter."""
        self.dismiss(event.button.id == "yes")

    def action_answer(self, yes: bool) -> None:
        """A key."""
        self.dismiss(yes)
