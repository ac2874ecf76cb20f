"""Names of keys as they stand on a keyboard."""

from __future__ import annotations

from textual.binding import Binding

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


def key_name(binding: Binding) -> str:
    """The keys of a binding for people: `← h`."""
    return " ".join(NAMES.get(key.strip(), key.strip()) for key in binding.key.split(","))
