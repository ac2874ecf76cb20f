"""What differs between two recipes: setting by setting, then line by line; what is the same is folded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from sftui.printable import printable

from .word_list import WordList

if TYPE_CHECKING:
    from sftui.recipe_difference import Line

NOTHING = "nothing differs; c compares with another recipe"
AROUND = 2  # lines of the same around a change
ARROW = " → "
SIGNS = {"removed": ("-", "error"), "added": ("+", "success"), "same": (" ", "muted")}


class Setting(NamedTuple):
    """A dotted key, and both values as they are typed."""

    key: str
    theirs: str
    here: str


class DifferenceList(WordList):
    """Settings as `key  theirs → here`; removed lines with a minus, added ones with a plus."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: tuple[Setting | tuple[str, str], ...] = ()
        self.says_nothing = True

    def show(self, settings: Sequence[Setting], lines: Sequence[Line]) -> None:
        """Show the settings and the lines that differ."""
        texts = fold(lines)
        self.says_nothing = not settings and not texts
        shown: list[Setting | tuple[str, str]] = []
        if settings:
            many = "1 setting" if len(settings) == 1 else f"{len(settings)} settings"
            shown += [("bold", f"{many}, theirs{ARROW}here"), *settings]
        if texts:
            shown += [*([("same", "")] if settings else []), ("bold", "text"), *texts]
        new = tuple(shown) or (("folded", NOTHING),)
        if new != self._lines:
            self._lines = new
            self.set_count(len(new))

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """One line."""
        line = self._lines[index]
        if isinstance(line, Setting):
            names = (one.key for one in self._lines if isinstance(one, Setting))
            return setting_line(line, width, max(map(len, names)))
        kind, text = line
        if kind == "bold":
            return [(text, "bold")]
        sign, style = SIGNS.get(kind, (" ", "muted"))
        return [(f"{sign} ", style), (printable(text), style)]


def setting_line(setting: Setting, width: int, longest: int) -> list[tuple[str, str]]:
    """`key  theirs → here`, of values and keys that are too long the end; `longest` key of all."""
    name = min(longest, max(12, width // 2))
    room = width - name - 2 - len(ARROW)
    theirs, here = setting.theirs, setting.here
    least = max(1, room // 2)
    if len(theirs) + len(here) > room:
        of_theirs = min(len(theirs), max(least, room - len(here)))
        theirs, here = _end(theirs, of_theirs), _end(here, max(1, room - of_theirs))
    return [
        (f"{_end(setting.key, name):{name}}  ", ""),
        (theirs, "error"),
        (ARROW, "muted"),
        (here, "success"),
    ]


def _end(text: str, cells: int) -> str:
    return text if len(text) <= cells else f"…{text[len(text) - cells + 1 :]}"


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
