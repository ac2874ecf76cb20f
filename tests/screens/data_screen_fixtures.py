"""A workbench on a recipe with made-up rows."""

from __future__ import annotations

import time
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from sftui.data.overview import Overview
from sftui.data.views import Finding, RowView, Side
from sftui.recipe_file import load_recipe
from sftui.screens.app import Workbench
from sftui.screens.widgets.conversation import Conversation
from sftui.screens.widgets.row_list import RowList

from .desk_fixtures import FakeDesk
from .workbench_fixtures import screen_text

RECIPE = """\
model: {name_or_path: owner/tiny-model}
data:
  train: rows.jsonl
  max_length: 400   # short
  overlength: truncate
"""
SIZES = [(60, 20), (80, 24), (120, 40), (250, 70)]


class Open:
    """A workbench on a recipe with made-up rows, and the desks that it has opened."""

    def __init__(
        self, folder: Path, text: str = RECIPE, overrides: tuple[str, ...] = (), **options: Any
    ) -> None:
        self.desks: list[FakeDesk] = []
        self.kind = options.pop("desk", FakeDesk)
        self.options = options
        self.file = folder / "my.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text)
        self.app = Workbench(
            folder,
            refresh=0.1,
            recipe=load_recipe(self.file, overrides),
            recipe_name=str(self.file),
            open_desk=self.open,
        )

    def open(self, recipe: Any, changed: Any) -> FakeDesk:
        self.desks.append(self.kind(recipe, changed, **self.options))
        return self.desks[-1]

    @property
    def desk(self) -> FakeDesk:
        return self.desks[-1]

    def run_test(self, size: tuple[int, int] = (120, 40), **options: Any) -> Any:
        return self.app.run_test(size=size, notifications=True, **options)

    @property
    def rows(self) -> RowList:
        return self.app.screen_stack[0].query_one(RowList)

    @property
    def tokens(self) -> Conversation:
        return self.app.screen_stack[0].query_one(Conversation)


async def settle(opened: Open, pilot: Pilot[None], row: int) -> str:
    """Wait until `row` is shown."""
    for _ in range(200):
        await pilot.pause(0.02)
        if opened.tokens.row is not None and opened.tokens.row.row == row:
            await pilot.pause(0.05)
            return screen_text(opened.app)
    raise AssertionError(f"row {row} did not come:\n{screen_text(opened.app)}")


class Slow(FakeDesk):
    """A million rows of which nothing is known yet, and words that take their time."""

    def _analyse(self, generation: int) -> None:
        for side in self.sides:
            self._overviews[side] = replace(
                self._overviews[side],
                state="analysing",
                rows=self.rows,
                counted=True,
                lengths=array("I", bytes(4 * self.rows)),
                trained=array("I", bytes(4 * self.rows)),
                flags=array("Q", bytes(8 * self.rows)),
                known=bytearray(self.rows),
            )
        while generation == self._generation and not self.closed.is_set():
            overview = self._overviews["train"]
            for row in range(overview.analysed, min(overview.analysed + 1000, self.rows)):
                overview.lengths[row], overview.known[row] = 100 + row % 50, 1
            self._overviews["train"] = replace(overview, analysed=overview.analysed + 1000)
            self.changed()
            time.sleep(0.02)


class Whole(FakeDesk):
    """With a finding about the dataset before all others."""

    def overview(self, side: Side) -> Overview:
        overview = super().overview(side)
        about = Finding("trained-share", "error", 1, (), (), "much is not trained", "why", "remedy")
        return replace(overview, findings=(about, *overview.findings)) if overview.analysed else overview


class Capped(FakeDesk):
    """Shows the first thousand tokens of a row."""

    def _view(self, side: Side, row: int, sequence: int) -> RowView:
        whole = super()._view(side, row, sequence)
        return replace(whole, tokens=whole.tokens[:1000], more=len(whole.tokens) - 1000)


class HeldOut(FakeDesk):
    """With what row 7 lacks as a finding of held-out rows alone."""

    def overview(self, side: Side) -> Overview:
        overview = super().overview(side)
        if overview.state != "done":
            return overview
        found = replace(overview.findings[0], rows=(), eval_rows=(7,), eval_count=1)
        return replace(overview, findings=(found,))
