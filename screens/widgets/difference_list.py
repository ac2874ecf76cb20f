"""What differs between two texts, line by line; what is the same is folded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sftui.printable import printable

from .word_list import WordList

if TYPE_CHECKING:
    from sftui.recipe_difference import Line

NOTHING = "nothing differs; c compares with another recipe"
AROUND = 2  # lines of the same around a change
SIGNS = {"removed": ("-", "error"), "added": ("+", "success"), "same": (" ", "muted")}


class DifferenceList(WordList):
    """Removed lines with a minus, added ones with a plus."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: tuple[tuple[str, str], ...] = ()
        self.says_nothing = True

    def show(self, lines: Sequence[Line]) -> None:
        """Show the lines of a difference."""
        folded = tuple(fold(lines)) or (("folded", NOTHING),)
        self.says_nothing = folded[0][1] == NOTHING
        if folded != self._lines:
            self._lines = folded
            self.set_count(len(folded))

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """One line."""
        kind, text = self._lines[index]
        sign, style = SIGNS.get(kind, (" ", "muted"))
        return [(f"{sign} ", style), (printable(text), style)]


def fold(lines: Sequence[Line]) -> list[tuple[str, str]]:
    """The lines that differ with those around them: (kind, text); others as `⋯ 12 lines`."""
    near = [False] * len(lines)
    for place, line in enumerate(lines):
        if line.kind != "same":
            for other in range(max(0, place - AROUND), min(len(lines), place + AROUND + 1)):
                near[other] = True
    found: list[tuple[str, str]] = []
    left_out = 0
    for place, line in enumerate(lines):
        left_out += not near[place]
        if left_out and (near[place] or place == len(lines) - 1):
            found.append(("folded", f"⋯ {left_out} line{'' if left_out == 1 else 's'}"))
            left_out = 0
        if near[place]:
            found.append((line.kind, line.text))
    return found if any(near) else []
