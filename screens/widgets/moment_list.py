"""The moments of a step as bars, one under the cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import memory_view as view
from .part_list import PartList

if TYPE_CHECKING:
    from sftui.memory.answer import Answer


class MomentList(PartList):
    """A line a moment, in the order in which they come; the peak's is marked."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._answer: Answer | None = None
        self._moments: tuple[str, ...] = ()

    @property
    def moment(self) -> str | None:
        """The one under the cursor."""
        return self._moments[self.cursor] if self._moments else None

    def show(self, found: Answer) -> None:
        """Show an answer; the cursor stays on its moment."""
        if found is self._answer:
            return
        from sftui.memory.moment_words import NAMES

        here = self.moment
        self._answer = found
        self._moments = tuple(name for name in NAMES if name in found.estimate.moments)
        if here in self._moments:
            self.cursor = self._moments.index(here)
        self.set_count(len(self._moments))

    def go_to_peak(self) -> None:
        """Where most is allocated."""
        if self._answer is not None:
            self.go_to(self._moments.index(self._answer.estimate.peak_moment))

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """One moment."""
        if self._answer is None:
            return []
        return view.moment_line(self._answer, self._moments[index], width)
