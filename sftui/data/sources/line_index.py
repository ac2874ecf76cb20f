"""Where the rows of a text file start: eight bytes a row, found while the first are already read."""

from __future__ import annotations

import os
import threading
import time
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from operator import add
from typing import Protocol

from sftui.data.sources.rows import MAX_ROW_BYTES, known_index

_BLOCK_BYTES = 1 << 20


class LineRule(Protocol):
    """Which lines start a row; one that is `inside` a row wants the next line as part of it."""

    inside: bool

    def __call__(self, lines: list[bytes]) -> Sequence[bool] | None:
        """For each of the next lines (without their ends) whether it starts a row; None: all do."""
        ...


class LineIndex:
    """The rows of the bytes `begin` to `end` of an open file, at most `limit` of them.

    Lines end in LF; which of them start a row says `rule`; `lines` come before `begin`. Reading goes
    on in `read_on`, in one thread at a time; what is known can be read in others meanwhile. Only what
    deviates from a row a line is noted beside the offsets. A row that would be longer than `max_row`
    bytes and one that never ends take their first line alone.
    """

    def __init__(
        self,
        descriptor: int,
        begin: int,
        end: int,
        limit: int | None,
        rule: LineRule,
        lines: int = 0,
        max_row: int = MAX_ROW_BYTES,
    ) -> None:
        self.offsets = array("Q")  # of each row's first byte
        self.changes = array("Q")  # rows from which on more lines than before are not the first of a row
        self.surplus = array("Q")  # how many such lines come before those rows
        self.end = begin  # of the last known row, or later
        self.complete = begin >= end
        self._descriptor, self._begin, self._stop = descriptor, begin, end
        self._limit, self._rule, self._max_row = limit, rule, max_row
        self._position, self._lines = begin, lines  # of the next line to take
        self._read = begin  # the bytes up to here were read, of which these are held:
        self._held: list[bytes] = []
        self._after_row = (begin, lines)  # the line that follows the first line of the last row
        self._known = 0  # rows that are found whole
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self._known

    @property
    def share(self) -> float:
        """How much of the bytes is indexed, 0 to 1."""
        return 1.0 if self.complete else (self._read - self._begin) / (self._stop - self._begin)

    def span(self, index: int) -> tuple[int, int]:
        """First byte of row `index` and the first after it; blank lines that follow are included."""
        known_index(index, self._known)
        # The end is set before rows are added: at worst it is too late, and more than the row is read.
        after = index + 1
        return self.offsets[index], self.offsets[after] if after < len(self.offsets) else self.end

    def line(self, index: int) -> int:
        """The 1-based line on which row `index` starts."""
        change = bisect_right(self.changes, index)
        return index + 1 + (self.surplus[change - 1] if change else 0)

    def read_on(self, seconds: float) -> None:
        """Index for about so long, at least one block. Raises OSError if the file cannot be read."""
        until = time.monotonic() + seconds
        with self._lock:
            while not self.complete:
                self._read_block()
                if time.monotonic() >= until:
                    return

    def restore(self, offsets: array[int], changes: array[int], surplus: array[int], end: int) -> None:
        """Take over what an earlier index of the same bytes found."""
        self.offsets, self.changes, self.surplus, self.end = offsets, changes, surplus, end
        self._known, self.complete = len(offsets), True

    def _read_block(self) -> None:
        block = os.pread(self._descriptor, min(_BLOCK_BYTES, self._stop - self._read), self._read)
        self._read += len(block)
        ended = not block or self._read >= self._stop
        *whole, rest = block.split(b"\n")
        if whole:
            first = whole.pop(0)
            length = self._read - len(block) - self._position + len(first)
            held = b"".join([*self._held, first])
            # An overlong line is known by its beginning; its length is known all the same.
            self._take([held], length)
            if whole and not self.complete:
                self._take(whole, None)
            self._held = []
        if self._read - self._position <= self._max_row:
            self._held.append(rest)
        if ended and not self.complete and self._position < self._read:
            self._take([b"".join(self._held)], self._read - self._position)
            self._held = []
        too_long = self._rule.inside and self._position - self.offsets[-1] > self._max_row
        if self._rule.inside and (ended or too_long) and not self.complete:
            self._begin_again()
        elif ended:
            self.complete = True
        self._known = len(self.offsets) - self._rule.inside

    def _begin_again(self) -> None:
        """Give a row that does not end its first line alone, and read on from the second."""
        self._rule.inside = False
        self._position, self._lines = self._after_row
        self._read, self._held = self._position, []
        self.complete = self._read >= self._stop

    def _take(self, lines: list[bytes], length: int | None) -> None:
        """Add the rows that start in `lines`, the next of the file; `length` is that of a single one."""
        starts = self._rule(lines)
        lengths = [length] if length is not None else list(map(len, lines))
        rows = len(self.offsets)
        if starts is None and (self._limit is None or rows + len(lines) <= self._limit):
            found = array("Q", map(add, accumulate(lengths, initial=self._position), range(len(lines))))
            self._note_surplus(rows)
            self._position = found[-1] + lengths[-1] + 1
            self._lines += len(lines)
            self._after_row = (self._position, self._lines)
            self.end = self._position
            self.offsets.extend(found)
            return
        for start, size in zip(starts or [True] * len(lines), lengths, strict=True):
            if start:
                if len(self.offsets) == self._limit:
                    self._rule.inside, self.complete = False, True
                    return
                self._note_surplus(len(self.offsets))
                self.end = self._position + size + 1
                self.offsets.append(self._position)
                self._after_row = (self.end, self._lines + 1)
            self._position += size + 1
            self._lines += 1
            self.end = self._position

    def _note_surplus(self, row: int) -> None:
        """Note how many lines before the next are not the first of a row, if that has changed."""
        surplus = self._lines - row
        if surplus != (self.surplus[-1] if self.surplus else 0):
            self.surplus.append(surplus)
            self.changes.append(row)
