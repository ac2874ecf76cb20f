"""A value typed in the place where it stands, with what it can be completed to."""

from __future__ import annotations

from collections.abc import Sequence

from textual.binding import Binding
from textual.message import Message
from textual.widgets import Input


class ValueInput(Input):
    """An `Input` whose Tab completes; it tells when it is left by Esc."""

    BINDINGS = [
        Binding(
            "tab",
            "complete(1)",
            "complete",
            key_display="Tab",
            priority=True,
            tooltip="complete what is typed, then the next",
            id="value.complete",
        ),
        Binding("shift+tab", "complete(-1)", "the one before", show=False, priority=True, id="value.before"),
        Binding("enter", "submit", "take", key_display="Enter", id="value.take"),
        Binding("escape", "leave", "leave", key_display="Esc", id="value.leave"),
    ]

    class Left(Message):
        """Esc: the value stays as it was."""

    def __init__(self, *, id: str | None = None, placeholder: str = "") -> None:
        super().__init__(id=id, compact=True, select_on_focus=False, placeholder=placeholder)
        self._offered: tuple[str, ...] = ()
        self._at = -1

    def offer(self, texts: Sequence[str]) -> None:
        """What is typed can be completed to these."""
        if tuple(texts) != self._offered and self.value not in self._offered:
            self._offered, self._at = tuple(texts), -1

    def action_complete(self, step: int) -> None:
        """What all have in common first, then one after the other."""
        offered = self._offered
        if not offered:
            return
        common = _common(offered)
        if self._at < 0 and len(common) > len(self.value):
            text = common
        else:
            self._at = (self._at + step) % len(offered) if self._at >= 0 else 0 if step > 0 else -1
            text = offered[self._at]
        if len(offered) == 1 or self._at < 0:
            self._offered, self._at = (), -1  # what comes next is completed anew
        self.value = text
        self.cursor_position = len(text)

    def action_leave(self) -> None:
        """Leave it."""
        self.post_message(self.Left())


def _common(texts: Sequence[str]) -> str:
    """What all begin with."""
    first, last = min(texts), max(texts)
    same = next((at for at, (one, other) in enumerate(zip(first, last, strict=False)) if one != other), None)
    return first if same is None else first[:same]
