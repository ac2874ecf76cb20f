"""The components of a step's memory, one under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import memory_view as view
from .part_list import PartList

if TYPE_CHECKING:
    from sftui.memory.answer import Answer


class ComponentList(PartList):
    """A line a component with bytes and share in a moment of the step, their sum, and what a run takes."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._answer: Answer | None = None
        self._moment = ""
        self._names: tuple[str, ...] = ()

    @property
    def name_at_cursor(self) -> str | None:
        """The component under the cursor."""
        return self._names[self.cursor] if self._names else None

    def show(self, found: Answer, moment: str) -> None:
        """Show a moment of an answer; the cursor stays on its component."""
        if found is self._answer and moment == self._moment:
            return
        here = self.name_at_cursor
        self._answer, self._moment = found, moment
        self._names = view.component_names(found)
        if here in self._names:
            self.cursor = self._names.index(here)
        self.set_count(len(self._names))

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """One component."""
        if self._answer is None:
            return []
        return view.component_line(self._answer, self._names[index], self._moment, width)
