"""What the Recipe screen asks in boxes of their own: where to save, what to compare with."""

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

from .data_choices import Item
from .dialog import Dialog
from .recipe_completion import paths
from .widgets.panel import Panel
from .widgets.value_input import ValueInput

if TYPE_CHECKING:
    from .open_recipe import OpenRecipe
    from .recipe_offers import Offer

THE_FILE = "file"


class SaveAs(Dialog[str | None]):
    """A path; what is there already is written over by a second Enter. Gives the path that was written."""

    CSS_PATH = "recipe_boxes.tcss"

    def __init__(self, made: OpenRecipe, here: Path) -> None:
        super().__init__()
        self._made, self._here = made, here
        self._warned = ""
        self._words = Panel(id="save-words")

    def compose(self) -> ComposeResult:
        """A field, and what is wrong below it."""
        with Vertical(id="save-as") as box:
            yield ValueInput(id="save-path", placeholder="my.yaml")
            yield self._words
        box.border_title = "save as"
        box.border_subtitle = "Tab completes, Enter saves, Esc leaves"

    def on_mount(self) -> None:
        """Begin with a name that is free, or its own."""
        field = self.query_one(ValueInput)
        field.value = suggested(self._made, self._here)
        field.cursor_position = len(field.value)
        field.focus()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._warned = ""
        self._words.show(Content(""))
        self._complete(event.value)

    @work(exclusive=True, group="completions")
    async def _complete(self, text: str) -> None:
        self.query_one(ValueInput).offer(await asyncio.to_thread(paths, text, self._here))

    @on(ValueInput.Left)
    def _left(self) -> None:
        self.dismiss(None)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        path = event.value.strip()
        if path:
            self._save(path)

    @work(exclusive=True, group="save")
    async def _save(self, path: str) -> None:
        overwrite = self._warned == path
        try:
            await asyncio.to_thread(self._made.save_as, path, overwrite=overwrite)
        except InputError as error:
            words = printable_lines(str(error))
            if error.problem == "is there already":
                self._warned = path
                words = f"{path} is there already: Enter once more writes over it"
            self._words.show(Content.styled(words, "$text-error"))
        else:
            self.dismiss(path)


def suggested(made: OpenRecipe, here: Path) -> str:
    """A name to save under: the file's own, or one that is not taken here."""
    if made.has_own_file:
        return made.name
    stem = Path(made.name).name.removesuffix(".yaml")
    names = [f"{stem}.yaml", *(f"{stem}-{number}.yaml" for number in range(2, 100))]
    return next((name for name in names if not (here / name).exists()), f"{stem}.yaml")


def comparisons(offers: list[Offer]) -> list[Item]:
    """What the difference can be shown against."""
    found = [Item(THE_FILE, "the file", "as it was last read or saved")]
    found += [
        Item(f"{offer.kind}:{offer.value}", offer.label, offer.note or "a recipe here")
        for offer in offers
        if offer.kind in ("file", "ready", "run")
    ]
    return found
