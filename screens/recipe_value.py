"""A value of the recipe's form that is typed in the place where it stands."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on, work
from textual.content import Content
from textual.message import Message
from textual.widgets import Input

from sftui.errors import InputError

from . import recipe_view as view
from .widgets.value_input import ValueInput

if TYPE_CHECKING:
    from sftui.recipe_fields import FieldInfo

SHOWN = 12  # completions


class Said(Message):
    """There are other words on the field under the cursor."""


class FieldInput(ValueInput):
    """Reads what is typed as a value of its field, completes it, and says why it is none."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.at: int | None = None
        """The line of the form that it stands in; None while it is closed."""
        self._of: tuple[str, FieldInfo] | None = None
        self._before = ""
        self._base = Path()
        self._refusal: str | None = None
        self._found: list[str] = []

    @property
    def is_open(self) -> bool:
        """Whether a value is being typed."""
        return self._of is not None

    def open(self, key: str, field: FieldInfo, text: str, *, at: int, base: Path) -> None:
        """Begin with `text`, the value that stands in line `at`; relative paths are relative to `base`."""
        self._of, self.at, self._before, self._base = (key, field), at, text, base
        self._refusal, self._found = None, []
        self.add_class("-open")
        with self.prevent(Input.Changed):
            self.value = text
        self.cursor_position = len(text)
        self.screen.set_focus(self)  # at once: the next key is of the value
        self._complete(text)

    def place(self, column: int, line: int, width: int) -> None:
        """Over the value, in cells of the form."""
        self.styles.offset = (column, line)
        self.styles.width = width

    def close(self) -> None:
        """Nothing is typed any more."""
        self._of = self.at = self._refusal = None
        self.remove_class("-open")

    def words(self) -> Content:
        """What is wrong with what is typed, what it can be completed to, what the field is."""
        if self._of is None:
            return Content("")
        return view.typing_words(
            self._of[1], self._refusal, self._found[:SHOWN], self.value, before=self._before
        )

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._refusal = self._parsed(event.value)[1]
        self._complete(event.value)
        self.post_message(Said())

    def take(self) -> tuple[str, Any] | None:
        """Key and value, and the input closes; None where what is typed means no value."""
        if self._of is None:
            return None
        key = self._of[0]
        value, self._refusal = self._parsed(self.value)
        if self._refusal is not None:
            self.post_message(Said())
            return None
        self.close()
        return key, value

    def _parsed(self, text: str) -> tuple[Any, str | None]:
        """The value that a text means, or why it means none."""
        from sftui.recipe_values import parse_value

        if self._of is None:
            return None, None
        try:
            return parse_value(self._of[1], text), None
        except InputError as error:
            return None, error.problem

    @work(exclusive=True, group="completions")
    async def _complete(self, text: str) -> None:
        from .recipe_completion import completions

        of = self._of
        if of is None:
            return
        found = await asyncio.to_thread(completions, of[1], text, self._base)
        if of is self._of and found != self._found:
            self._found = found
            self.offer(found)
            self.post_message(Said())
