"""What all screens share: the line on top, the footer, and a word where the terminal is too small."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Footer, Static

from .widgets.masthead import Masthead

if TYPE_CHECKING:
    from .app import Workbench

TABS = [
    ("1", "Data", "data"),
    ("2", "Packing", "packing"),
    ("3", "Memory", "memory"),
    ("4", "Recipe", "recipe"),
    ("5", "Train", "train"),
    ("6", "Runs", "runs"),
]
LEAST = (60, 20)


class Frame(Screen[None]):
    """A screen of the workbench. Subclasses set `MODE` and give their content in `compose_body`."""

    MODE: ClassVar[str] = ""
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (24, "-low"), (34, "-high")]
    app: Workbench

    def compose(self) -> ComposeResult:
        """Top line and content."""
        yield Masthead(TABS, self.MODE)
        yield from self.compose_body()
        yield Static(id="too-small", markup=False)

    def on_mount(self) -> None:
        """The footer costs as much as the rest of a plain screen: it comes right after the first paint."""
        self.call_after_refresh(self._add_footer)

    async def _add_footer(self) -> None:
        await self.mount(Footer(compact=True, show_command_palette=False))
        # It shows what bindings there are when it is told that they have changed.
        self.refresh_bindings()

    def compose_body(self) -> ComposeResult:
        """The content of the screen."""
        yield from ()

    def on_resize(self, event: events.Resize) -> None:
        """Below 60 x 20 one line says how much room is needed."""
        width, height = event.size
        tiny = width < LEAST[0] or height < LEAST[1]
        self.set_class(tiny, "-tiny")
        if tiny:
            words = f"sftui needs {LEAST[0]} x {LEAST[1]} characters; this terminal has {width} x {height}."
            self.query_one("#too-small", Static).update(Content(words))

    def on_screen_resume(self) -> None:
        """Show what has changed while another screen was in front."""
        self.refresh_masthead()
        self.adopt()

    def adopt(self) -> None:
        """Take up what the app has opened."""

    def can_apply(self, action: str) -> bool:
        """Whether a key may do something while this recipe is open: the others are not explained."""
        return True

    def rebind(self) -> None:
        """The recipe is another: other keys may apply. The footer is made anew, which takes a while."""
        self.refresh_bindings()

    def follow(self) -> None:
        """More is known of the dataset: told some ten times a second."""

    def refresh_masthead(self) -> None:
        """Device and recipe as the app knows them now."""
        for masthead in self.query(Masthead):
            masthead.device = self.app.device_text
            masthead.recipe = f"{self.app.recipe_name}{' *' if self.app.unsaved else ''}"
            masthead.has_mistake = self.app.opened.has_mistake
