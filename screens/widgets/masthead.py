"""The line on top of every screen: the screens by digit, the open recipe, the device."""

from __future__ import annotations

import re
from typing import NamedTuple

from textual.content import Content
from textual.geometry import Size
from textual.reactive import reactive
from textual.widget import Widget

# What is used of the memory, with the word before it, and alone; nothing.
_SHORTER = re.compile(r"\S+ \S+/\S+ GiB$"), re.compile(r"\S+/\S+ GiB$"), re.compile(r"$")
_NAMED = 20  # cells of the recipe's name that the device leaves
_STAR = 2  # cells
# What tells that the recipe's text has a mistake, the first that there is room for.
_MISTAKE = "✗ mistake: 4 shows it", "✗ mistake: 4", "✗ 4"


class Form(NamedTuple):
    """How much of the screens is told: the program's name, the title of each or only of the one in front."""

    named: bool
    titles: bool


# The first that there is room for.
FORMS = Form(True, True), Form(False, True), Form(False, False)


class Masthead(Widget):
    """` sftui  5 Train  [6 Runs]      gsm8k.yaml      H200 12.3/139 GiB`; screens can be clicked."""

    DEFAULT_CSS = """
    Masthead {
        dock: top;
        height: 1;
        background: $surface;
        color: $foreground;
        link-style: none;
        link-color: $foreground;
        link-background: $surface;
        link-style-hover: bold;
    }
    """

    ALLOW_SELECT = False

    device = reactive("")
    """This machine in short."""

    recipe = reactive("")
    """The open recipe's file, with a star while changes to it are unsaved."""

    has_mistake = reactive(False)
    """Whether its text is no recipe now."""

    def __init__(self, tabs: list[tuple[str, str, str]], current: str) -> None:
        """`tabs` are (digit, title, mode)."""
        super().__init__()
        self._tabs = tabs
        self._current = current

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """As wide as the screen."""
        return container.width

    def render(self) -> Content:
        """One line. Where it is narrow the device gives way first, then the recipe's folders and name."""
        width, least = self.size.width, len(_MISTAKE[-1]) + 3 if self.has_mistake else 1
        lefts = [one for one in map(self._left, FORMS) if one.cell_length + least <= width]
        left = lefts[0] if lefts else Content("")
        room = width - left.cell_length
        name = self.recipe.rpartition("/")[2]
        mistake = (
            next((one for one in _MISTAKE if len(one) + _STAR + 2 <= room), "") if self.has_mistake else ""
        )
        needed = min(len(name), _NAMED) + 4 + (len(mistake) + 2 if mistake else 0)
        right = Content(f"{self.device} " if self.device else "")
        for shorter in _SHORTER:
            if right.cell_length + (needed if name or mistake else 0) > room:
                memory = shorter.search(self.device)
                right = Content(memory[0] if memory else "")
        room -= right.cell_length
        told = room - 4 - (len(mistake) + 2 if mistake else 0)
        middle = Content.assemble(
            (_fitting(self.recipe if len(self.recipe) <= told else name, told), "$foreground-muted"),
            (f"  {mistake}" if mistake else "", "bold $text-error"),
        )
        gap = max(1, room - middle.cell_length)
        return Content.assemble(left, " " * (gap // 2), middle, " " * (gap - gap // 2), right)

    def _left(self, form: Form) -> Content:
        """The name and the screens."""
        parts = [Content.styled(" sftui ", "bold $accent")] if form.named else []
        for digit, title, mode in self._tabs:
            here = mode == self._current
            words = f" {digit} {title} " if here or form.titles else f" {digit} "
            parts.append(
                Content.from_markup(f"[@click=app.show('{mode}')]$label[/]", label=words).stylize(
                    "bold reverse" if here else "$foreground-muted"
                )
            )
        return Content("").join(parts)


def _fitting(name: str, room: int) -> str:
    """The end of a name that is too long, so that its star stays; the star alone where there is no room."""
    if len(name) <= room:
        return name
    return f"…{name[len(name) - room + 1 :]}" if room > 7 else "*" if name.endswith("*") else ""
