"""Names of keys as they stand on a keyboard."""

from __future__ import annotations

from collections.abc import Iterable

from textual.actions import parse
from textual.binding import Binding, BindingType

NAMES = {
    "question_mark": "?",
    "slash": "/",
    "space": "Space",
    "enter": "Enter",
    "escape": "Esc",
    "left": "←",
    "right": "→",
    "up": "↑",
    "down": "↓",
    "shift+left": "Shift ←",
    "shift+right": "Shift →",
    "pageup": "PgUp",
    "pagedown": "PgDn",
    "home": "Home",
    "end": "End",
    "tab": "Tab",
    "shift+tab": "Shift Tab",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "ctrl+p": "Ctrl P",
    "ctrl+r": "Ctrl R",
    "delete": "Del",
    "backspace": "⌫",
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
}


def key(
    id: str, keys: str, action: str, words: str, tooltip: str, *, show: bool = False, first: bool = False
) -> Binding:
    """A binding by the name that a person can give it other keys by; `first`: before what has the focus."""
    display = NAMES[keys] if keys in ("enter", "escape", "tab") else None
    return Binding(
        keys, action, words, show=show, tooltip=tooltip, id=id, priority=first, key_display=display
    )


def actions_of(bindings: Iterable[BindingType]) -> frozenset[str]:
    """What bindings do, by name."""
    return frozenset(parse(binding.action)[1] for binding in bindings if isinstance(binding, Binding))


def movement(mode: str, panes: str, *, letters: bool = True, show: bool = False) -> list[BindingType]:
    """The keys that lead through a screen of panes, `panes` in words; with `letters` j and k as well.

    With `show` the footer has the one that leads to the next pane.
    """
    down, up = ("down,j", "up,k") if letters else ("down", "up")
    return [
        key(f"{mode}.pane", "tab", "pane(1)", "pane", panes, show=show, first=True),
        key(f"{mode}.pane-before", "shift+tab", "pane(-1)", "pane before", "the other way round", first=True),
        key(f"{mode}.down", down, "move(1)", "down", "next line"),
        key(f"{mode}.up", up, "move(-1)", "up", "the one before"),
        key(f"{mode}.page-down", "pagedown", "page(1)", "page down", "a screenful down"),
        key(f"{mode}.page-up", "pageup", "page(-1)", "page up", "a screenful up"),
        key(f"{mode}.home", "home", "edge(False)", "home", "the first line"),
        key(f"{mode}.end", "end", "edge(True)", "end", "the last line"),
    ]


def key_name(binding: Binding) -> str:
    """The keys of a binding for people: `← h`."""
    return " ".join(NAMES.get(key.strip(), key.strip()) for key in binding.key.split(","))
