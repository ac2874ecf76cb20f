"""Several sources of rows, one after the other."""

from __future__ import annotations

import hashlib
import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Sequence

from sftui.data.sources.rows import Row, Rows, known_index

OpenPart = Callable[[int | None], Rows]


class Chain:
    """The rows of several parts, numbered one after the other, at most `limit`.

    A part is opened, with the rows that are still wanted as its limit, when all before it are complete:
    so a row keeps its number. `sizes` say how much of the whole each part is.
    """

    def __init__(
        self,
        parts: Sequence[OpenPart],
        sizes: Sequence[int],
        identities: Sequence[str],
        limit: int | None = None,
    ) -> None:
        self._openers, self._sizes, self._limit = list(parts), list(sizes), limit
        self._opened: list[Rows] = []
        self._ends: list[int] = []  # of the complete parts
        self._lock = threading.Lock()
        self.complete = not parts
        digest = hashlib.blake2b("\n".join((*identities, str(limit))).encode(errors="surrogateescape"))
        self.identity = digest.hexdigest()

    def __len__(self) -> int:
        ends, opened = self._ends, self._opened
        done = len(ends)
        known = ends[done - 1] if done else 0
        return known + (len(opened[done]) if done < len(opened) else 0)

    def __getitem__(self, index: int) -> Row:
        part, row = self.find(index)
        return self._opened[part][row]

    def where(self, index: int) -> str:
        """Where the row stands, in the words of its part."""
        part, row = self.find(index)
        return self._opened[part].where(row)

    def raw(self, index: int) -> str:
        """The row as its part has it."""
        part, row = self.find(index)
        return self._opened[part].raw(row)

    def read(self, index: int) -> tuple[int, Row, str]:
        """The part of row `index`, the row, and where it stands."""
        part, row = self.find(index)
        rows = self._opened[part]
        return part, rows[row], rows.where(row)

    def find(self, index: int) -> tuple[int, int]:
        """The part of row `index`, and its number there."""
        known_index(index, len(self))
        part = bisect_right(self._ends, index)
        return part, index - (self._ends[part - 1] if part else 0)

    @property
    def share(self) -> float:
        """How much of all parts is known, 0 to 1."""
        total = sum(self._sizes)
        if self.complete or not total:
            return 1.0
        done = len(self._ends)
        now = self._sizes[done] * self._opened[done].share if done < len(self._opened) else 0
        return (sum(self._sizes[:done]) + now) / total

    def read_on(self, seconds: float) -> None:
        """Read on in the present part, open the next. Raises InputError if a part cannot be read."""
        until = time.monotonic() + seconds
        with self._lock:
            while not self.complete:
                self._step(max(0.0, until - time.monotonic()))
                if time.monotonic() >= until:
                    return

    def _step(self, seconds: float) -> None:
        done = len(self._ends)
        if done == len(self._opened):
            before = self._ends[-1] if self._ends else 0
            self._opened.append(self._openers[done](None if self._limit is None else self._limit - before))
        part = self._opened[done]
        if not part.complete:
            part.read_on(seconds)
        if part.complete:
            end = (self._ends[-1] if self._ends else 0) + len(part)
            self._ends.append(end)
            self.complete = len(self._ends) == len(self._openers) or end == self._limit
