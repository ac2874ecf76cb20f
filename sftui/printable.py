"""Text of others (logs, dataset rows, answers) made safe to show: nothing in it is ever interpreted."""

from __future__ import annotations

import unicodedata

# Marks that reorder or hide neighbouring text without being control characters.
_HIDDEN = frozenset("\u200b\u200c\u200d\u2060\ufeff\u061c")


def printable(text: str) -> str:
    """`text` with every control, bidirectional and zero-width character replaced by a visible symbol.

    One character stays one character: ESC becomes ␛, a line break ⏎, the rest of the invisible ⍰.
    """
    if text.isascii() and text.isprintable():
        return text
    return "".join(char if char.isprintable() and char not in _HIDDEN else _symbol(char) for char in text)


def printable_lines(text: str) -> str:
    """Several lines, each made safe to show."""
    return "\n".join(map(printable, text.splitlines()))


def _symbol(char: str) -> str:
    if char == "\n":
        return "⏎"
    if char == "\t":
        return "→"
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if code == 0x7F:
        return "␡"
    return " " if unicodedata.category(char) == "Zs" else "⍰"
