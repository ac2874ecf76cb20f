"""The leak test: whether it has been run, how it goes, what came of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..leak_check import LeakCheck, refusal_of
from ..leak_view import leak_words
from .panel import Panel

if TYPE_CHECKING:
    from textual.content import Content
    from textual.notifications import SeverityLevel

    from sftui.recipe import Recipe


class LeakPanel(Panel):
    """A paragraph; a click shows all of it. A result holds for what the test depends on: with another model,
    adapter, data section, batch size or seed it is dropped.
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._check = LeakCheck(self._say)
        self._refusal: str | None = None
        self._recipe: Recipe | None = None
        self._holds_for: object = None
        self._asked: object = None

    def on_mount(self) -> None:
        """Say what this is."""
        self.border_title = "leak test"
        self._say()

    def on_unmount(self) -> None:
        """A test that is under way ends with the screen."""
        self._check.drop()

    def adopt(self, recipe: Recipe) -> None:
        """The recipe may be another."""
        self._recipe = recipe
        training = recipe.training
        batch = training.per_device_train_batch_size, training.seed
        holds_for = recipe.model, recipe.adapter, recipe.data, *batch
        if holds_for != self._holds_for:
            self._holds_for = holds_for
            self._check.drop()
            self._say()

    def toggle(self) -> None:
        """Run the test, or end it."""
        if self._check.state.state == "running":
            self._check.drop()
        elif self._refusal is not None:
            self._tell()
        elif self._packed and self._recipe is not None:
            self.run_worker(self._check.start(self._recipe.model_dump_json()), group="leak")

    def look(self) -> None:
        """Find out whether the model can be packed at all, once its files are there."""
        if self._recipe is None:
            return
        model = self._recipe.model.name_or_path, self._recipe.model.revision
        if model != self._asked:
            self._asked = model
            self.run_worker(self._ask(*model), group="refusal", exclusive=True)

    async def _ask(self, name: str, revision: str | None) -> None:
        self._refusal = await asyncio.to_thread(refusal_of, name, revision)
        self._say()

    def on_click(self) -> None:
        """There may be more of it than there is room for."""
        self._tell()

    def _tell(self) -> None:
        severity: SeverityLevel = "error" if self._refusal is not None else "information"
        self.notify(str(self._words), severity=severity, timeout=12, markup=False)

    def _say(self) -> None:
        if self.is_mounted:
            self.show(self._words)
            self.refresh(layout=True)  # it may take more lines than before

    @property
    def _words(self) -> Content:
        return leak_words(self._check.state, self._refusal, packed=self._packed)

    @property
    def _packed(self) -> bool:
        return self._recipe is None or self._recipe.data.packing != "none"
