"""What can be tried, a line a field; the value of the one under the cursor is changed by the screen."""

from __future__ import annotations

from ..memory_fields import FIELDS, Field
from ..memory_trial import Trial, field_line
from .part_list import PartList


class FieldList(PartList):
    """Names and values; what differs from the open recipe is marked, with what that says."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._trial: Trial | None = None
        self.count = len(FIELDS)

    @property
    def field(self) -> Field:
        """The one under the cursor."""
        return FIELDS[self.cursor]

    def show(self, trial: Trial) -> None:
        """Show what is tried."""
        if trial != self._trial:
            self._trial = trial
            self.set_count(len(FIELDS))

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """One field."""
        if self._trial is None:
            return []
        return field_line(FIELDS[index], self._trial, width, here=index == self.cursor)
