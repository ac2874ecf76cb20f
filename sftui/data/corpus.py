"""The rows of several sources as one list of conversations."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from sftui.data.formats import Conversation, read_conversation
from sftui.data.sources import open_rows
from sftui.recipe import Source


class Corpus:
    """Conversations of `sources` in their order, each read when it is asked for.

    Raises InputError if a source cannot be opened, and on access if the row is unusable.
    """

    def __init__(self, sources: Sequence[Source]) -> None:
        self._sources = list(sources)
        self._rows = [open_rows(source) for source in sources]
        self._ends = list(accumulate(map(len, self._rows)))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> Conversation:
        source, row = self._find(index)
        rows = self._rows[source]
        return read_conversation(rows[row], self._sources[source], rows.where(row))

    def where(self, index: int) -> str:
        """Where row `index` stands: `train.jsonl:1205`."""
        source, row = self._find(index)
        return self._rows[source].where(row)

    def _find(self, index: int) -> tuple[int, int]:
        """The source of row `index`, and its number there."""
        if not 0 <= index < len(self):
            raise IndexError(f"row {index} of {len(self)}")
        source = bisect_right(self._ends, index)
        return source, index - (self._ends[source - 1] if source else 0)
