"""What the Packing screen asks and shows in boxes of their own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from .bin_view import attention_words, bin_title
from .dialog import Dialog
from .figures import figure
from .packing_pictures import attention
from .widgets.panel import Panel

if TYPE_CHECKING:
    from sftui.data.packing.bins import BinView

    from .widgets.braille import GlyphName


class Target(NamedTuple):
    """A bin by its number, or the bin of a row."""

    kind: Literal["bin", "row"]
    number: int


class GoToBin(Dialog[Target | None]):
    """The number of a bin, or `row` and the number of a row."""

    BINDINGS = [Binding("escape", "dismiss", "leave", show=False, id="gotobin.leave")]

    def __init__(self, bins: int, rows: int) -> None:
        super().__init__()
        self._bins, self._rows = bins, rows
        self._problem = Panel(id="goto-problem")

    def compose(self) -> ComposeResult:
        """A field."""
        with Vertical(id="goto-bin") as box:
            yield Input(placeholder=f"0 to {self._bins - 1:,}, or row 17", max_length=24, compact=True)
            yield self._problem
        box.border_title = "go to bin, or to the bin of a row"

    @on(Input.Submitted)
    def _go(self, event: Input.Submitted) -> None:
        target = target_of(event.value)
        problem = target_problem(target, self._bins, self._rows)
        if problem is None:
            self.dismiss(target)
        else:
            self._problem.show(Content.styled(problem, "$text-error"))

    @on(Input.Changed)
    def _typed(self) -> None:
        self._problem.show(Content(""))


def target_problem(target: Target | None, bins: int, rows: int) -> str | None:
    """Why there is no such bin or row, of so many; None where there is."""
    if target is None:
        return "expected a number, or row and a number"
    count = rows if target.kind == "row" else bins
    if target.number < count:
        return None
    number = figure(target.number)
    return f"there is no {target.kind} {number}: the last is {count - 1:,}"


def target_of(text: str) -> Target | None:
    """`742` is a bin, `row 742` a row."""
    found = re.fullmatch(r"\s*(r(?:ow?)?)?\s*([0-9][0-9,_]*)\s*", text)
    if found is None:
        return None
    number = int(re.sub("[,_]", "", found[2]))
    return Target("row" if found[1] else "bin", number)


class AttentionScreen(Dialog[None]):
    """The attention pattern of a bin, as large as the terminal allows."""

    BINDINGS = [Binding("escape,enter,a,q", "dismiss", "close", show=False, id="attention.close")]

    def __init__(self, view: BinView, glyphs: GlyphName) -> None:
        super().__init__()
        self._view, self._glyphs = view, glyphs

    def compose(self) -> ComposeResult:
        """A square."""
        box = Vertical(Panel(id="pattern"), id="attention-box")
        box.border_title = Content("attention")
        box.border_subtitle = "Esc closes"
        yield box

    def on_mount(self) -> None:
        """Draw it."""
        self._draw()

    def on_resize(self) -> None:
        """Another size."""
        self._draw()

    def _draw(self) -> None:
        width, height = self.app.size
        rows = max(4, min(height * 9 // 10 - 7, (width * 94 // 100 - 6) // 2))
        lines = attention(self._view, rows, self._glyphs)
        words = f"{bin_title(self._view, width - 10)}\n{attention_words(self._view)}"
        picture = Content.styled("\n".join(lines), "$accent")
        self.query_one("#pattern", Panel).show(Content.assemble(picture, f"\n\n{words}"))
