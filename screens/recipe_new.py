"""A recipe for somebody who has only a dataset: its path is typed, the rest is chosen to fit this machine."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Input

from sftui.errors import InputError
from sftui.printable import printable_lines

from .dialog import Dialog
from .recipe_completion import paths
from .widgets.panel import Panel
from .widgets.value_input import ValueInput

if TYPE_CHECKING:
    from .open_recipe import OpenRecipe

MUTED = "$foreground-muted"
ABOUT = "a file (.jsonl, .csv, .parquet), a pattern, a folder, or owner/name on the Hub"


class NewRecipe(Dialog["OpenRecipe | None"]):
    """Gives the recipe that was made; it is in no file yet."""

    def __init__(self, here: Path) -> None:
        """Relative paths are relative to `here`."""
        super().__init__()
        self._here = here
        self._busy = False
        self._words = Panel(id="new-words")

    def compose(self) -> ComposeResult:
        """A field, and below it what can be meant or is wrong."""
        with Vertical(id="new-recipe") as box:
            yield ValueInput(id="new-path", placeholder=ABOUT)
            yield self._words
        box.border_title = "a recipe for your dataset"
        box.border_subtitle = "Tab completes, Enter makes it, Esc leaves"

    def on_mount(self) -> None:
        """What lies here."""
        self.query_one(ValueInput).focus()
        self._complete("")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._complete(event.value)

    @work(exclusive=True, group="completions")
    async def _complete(self, text: str) -> None:
        found = await asyncio.to_thread(paths, text, self._here)
        self.query_one(ValueInput).offer(found)
        shown = "   ".join(each for each in found[:12] if each != text)
        self._words.show(Content.styled(shown or ABOUT, MUTED))

    @on(ValueInput.Left)
    def _left(self) -> None:
        self.workers.cancel_all()
        self.dismiss(None)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        if event.value.strip() and not self._busy:
            self._busy = True
            self._make(event.value.strip())

    @work(group="make")
    async def _make(self, path: str) -> None:
        self._words.show(Content.styled("looking at the rows, the models at hand and this machine…", MUTED))
        try:
            made = await asyncio.to_thread(_proposed, path, self._here)
        except InputError as error:
            self._words.show(Content.styled(printable_lines(str(error)), "$text-error"))
        else:
            self.dismiss(made)
        finally:
            self._busy = False


def _proposed(path: str, here: Path) -> OpenRecipe:
    from sftui.devices import look
    from sftui.proposal import propose

    from .open_recipe import OpenRecipe

    device = next(iter(look(here).devices), None)
    found = propose(path, device=device, folder=here)
    stem = Path(path.rstrip("/*")).name.partition(".")[0].strip("*") or "new"
    return OpenRecipe.of_text(f"{stem}.yaml", found.text, here, is_new=True)
