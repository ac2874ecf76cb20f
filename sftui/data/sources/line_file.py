"""A file of lines: open, indexed as far as is known, its rows' bytes read when they are asked for."""

from __future__ import annotations

import os
import weakref

from sftui.data.sources.index_file import load_index, save_index
from sftui.data.sources.line_index import LineIndex, LineRule
from sftui.data.sources.rows import MAX_ROW_BYTES, DataFile, unreadable
from sftui.data.sources.text import read_part, shown, text_start

_HEAD_BYTES = 4096
_KEPT_INDEX_BYTES = 64 << 20  # the index of a longer file is kept in the cache


class LineFile:
    """What `Rows` of a file of lines have in common; a subclass says how a row is parsed.

    Rows are read with `pread` at indexed offsets rather than through a memory map: a map of a file
    that somebody truncates meanwhile ends the process with SIGBUS.
    """

    def __init__(self, file: DataFile) -> None:
        """Open the file; what it begins with must be UTF-8 text. Raises OSError, InputError."""
        self.name = file.name
        self._file = file
        self._descriptor = os.open(file.path, os.O_RDONLY | os.O_CLOEXEC)
        weakref.finalize(self, os.close, self._descriptor)
        self._size = os.fstat(self._descriptor).st_size
        self._begin = text_start(os.pread(self._descriptor, _HEAD_BYTES, 0), file.name)

    def _start_index(self, rule: LineRule, begin: int, lines: int = 0, max_row: int = MAX_ROW_BYTES) -> None:
        """Index from byte `begin` on, before which there are so many lines; at once if it was done before."""
        limit = self._file.limit
        self._index = LineIndex(self._descriptor, begin, self._size, limit, rule, lines, max_row)
        self._kept = self._size < _KEPT_INDEX_BYTES or load_index(self._index, self._index_key())

    def __len__(self) -> int:
        return len(self._index)

    @property
    def complete(self) -> bool:
        """Whether the whole file is indexed."""
        return self._index.complete

    @property
    def share(self) -> float:
        """How much of the file is indexed, 0 to 1."""
        return self._index.share

    @property
    def identity(self) -> str:
        """Changes with the file and with the limit."""
        return f"{self._file.identity}|{self._file.limit}"

    def read_on(self, seconds: float) -> None:
        """Index on for about so long. Raises InputError if the file cannot be read."""
        try:
            self._index.read_on(seconds)
        except OSError as error:
            raise unreadable(self.name, error) from error
        if self._index.complete and not self._kept:
            self._kept = True
            if not self._file.has_changed():
                save_index(self._index, self._index_key())

    def where(self, index: int) -> str:
        """`train.jsonl:1205`, the line 1-based."""
        return f"{self.name}:{self._index.line(index)}"

    def raw(self, index: int) -> str:
        """The row's text, without the line's end; bytes that are not UTF-8 as escapes."""
        start, end = self._index.span(index)
        try:
            data = os.pread(self._descriptor, min(end - start, MAX_ROW_BYTES), start)
        except OSError as error:
            return f"({unreadable(self.name, error)})"
        return shown(self._row_bytes(data))

    def _read(self, index: int) -> tuple[bytes, int]:
        """The bytes of row `index` and its line."""
        start, end = self._index.span(index)
        line = self._index.line(index)
        return read_part(self._descriptor, start, end, self.name, line), line

    def _row_bytes(self, data: bytes) -> bytes:
        """`data` without blank lines that follow the row."""
        return data.rstrip(b"\r\n")

    def _index_key(self) -> str:
        return f"{type(self).__name__}|{self.identity}"
