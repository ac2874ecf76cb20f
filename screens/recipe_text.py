"""The YAML view of the Recipe screen: the text itself, in step with the form."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import TextArea

from . import recipe_view as view
from .widgets.panel import Panel
from .widgets.yaml_editor import YamlEditor

if TYPE_CHECKING:
    from sftui.recipe_document import Document, Problem

    from .app import Workbench
    from .open_recipe import OpenRecipe

# After the last key before the text is read.
READ_SECONDS = 0.2


class TextPane(Vertical):
    """An editor, and below it what keeps its text from being a recipe."""

    app: Workbench

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.editor = YamlEditor(id="yaml")
        self._problems = Panel(id="yaml-problems")
        self._made: OpenRecipe | None = None
        self._loaded = ""
        self._shown: Document | None = None

    def compose(self) -> ComposeResult:
        """Editor and problems."""
        yield self.editor
        yield self._problems

    def open(self, made: OpenRecipe | None) -> None:
        """Another recipe."""
        self._made, self._shown = made, None

    @property
    def is_ahead(self) -> bool:
        """Whether something was typed that the recipe does not say yet."""
        return self._made is not None and self._shown is not None and self.editor.text != self._loaded

    def show(self, problems: Sequence[Problem]) -> None:
        """Show the text as it is now, unless one is typing."""
        made = self._made
        if made is None or not self.display:
            return
        document = made.document
        if document != self._shown and not self.is_ahead:
            self._load(document)
        self._problems.show(view.problem_lines(problems))
        self._problems.set_class(bool(problems), "-wrong")
        self.editor.show_problems(frozenset(one.line for one in problems if one.line is not None))
        self.border_title = "YAML"
        self.border_subtitle = "Esc: form" if self.editor.has_focus else "y edits it"

    def _load(self, document: Document) -> None:
        self._shown = document
        editor = self.editor
        if document.view != self._loaded or editor.text != self._loaded:
            cursor, scroll = editor.cursor_location, editor.scroll_offset
            editor.load_text(document.view)
            last = editor.document.line_count - 1
            row = min(cursor[0], last)
            editor.move_cursor((row, min(cursor[1], len(editor.document.get_line(row)))))
            editor.scroll_to(y=scroll.y, animate=False)
        self._loaded = editor.text

    def go_to(self, line: int | None) -> None:
        """Bring a line (1-based) into view."""
        if line is None or not self.display or self.editor.has_focus:
            return
        editor = self.editor
        row = min(line - 1, editor.document.line_count - 1)
        if editor.cursor_location[0] != row:
            editor.move_cursor((row, 0))

    @on(TextArea.Changed)
    def _changed(self) -> None:
        if self.is_ahead:
            self.run_worker(self._read(), group="read", exclusive=True)

    async def _read(self) -> None:
        await asyncio.sleep(READ_SECONDS)
        made, text = self._made, self.editor.text
        if made is None or text == self._loaded:
            return
        before = made.document
        document = await asyncio.to_thread(_checked, before, text)
        if made is self._made and made.document is before and self.editor.text == text:
            self._take(made, document, text)

    def flush(self) -> None:
        """Read at once what was typed."""
        if self._made is not None and self.is_ahead:
            self.workers.cancel_group(self, "read")
            made, text = self._made, self.editor.text
            self._take(made, made.document.with_text(text), text)

    def _take(self, made: OpenRecipe, document: Document, text: str) -> None:
        self._loaded, self._shown = text, document
        made.type_text(document)
        self.app.show_recipe()


def _checked(before: Document, text: str) -> Document:
    document = before.with_text(text)
    _ = document.recipe  # read here, and not where keys wait
    return document
