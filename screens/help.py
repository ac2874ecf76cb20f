"""The keys of a screen, made from the bindings themselves."""

from __future__ import annotations

from typing import Any

from textual.actions import parse
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from .dialog import Dialog
from .frame import Frame
from .keys import key_name


class HelpScreen(Dialog[None]):
    """Every key that does something on the screen below, with what it does."""

    BINDINGS = [Binding("escape,question_mark,q", "dismiss", "close", show=False, id="help.close")]

    def __init__(self, screen: Screen[Any]) -> None:
        super().__init__()
        self._about = screen

    def compose(self) -> ComposeResult:
        """A titled box with one line a key."""
        box = VerticalScroll(Static(self._table(), markup=False), id="help")
        box.border_title = "keys"
        box.border_subtitle = "Esc closes"
        yield box

    def _table(self) -> Content:
        own: list[tuple[str, str]] = []
        general: list[tuple[str, str]] = []
        for binding in bindings_of(self._about):
            line = (key_name(binding), binding.tooltip or binding.description)
            (general if binding.id and binding.id.startswith("app.") else own).append(line)
        width = max(len(key) for key, _ in own + general)
        parts: list[Content | tuple[str, str]] = []
        for title, lines in (("this screen", own), ("everywhere", general)):
            parts.append((f"{title}\n", "bold $accent"))
            for key, text in lines:
                parts += [(f"  {key.ljust(width)}  ", "bold"), Content(f"{text}\n")]
            parts.append(Content("\n"))
        return Content.assemble(*parts).rstrip()


def bindings_of(screen: Screen[Any]) -> list[Binding]:
    """The screen's and the app's own bindings that may apply, each once, as they were declared."""

    def can_apply(binding: Binding) -> bool:
        return not isinstance(screen, Frame) or screen.can_apply(parse(binding.action)[1])

    found: dict[str, Binding] = {}
    for source in (type(screen), type(screen.app)):
        for base in source.__mro__:
            if not base.__module__.startswith(("sftui.", "screens.")):
                continue
            for declared in base.__dict__.get("BINDINGS", ()):
                if isinstance(declared, Binding) and not declared.system and can_apply(declared):
                    found.setdefault(declared.id or declared.action, declared)
    return list(found.values())
