"""A JSON file: one array of objects."""

from __future__ import annotations

import json
import re
import threading
import time
from array import array
from bisect import bisect_left
from functools import cached_property

from sftui.data.sources.json_elements import NESTED_TOO_DEEPLY, BrokenElement, Elements, Lines
from sftui.data.sources.json_lines import JsonLines
from sftui.data.sources.json_text import describe, parse_json
from sftui.data.sources.rows import DataFile, Row, Rows, json_kind, known_index
from sftui.data.sources.text import decode, shown, text_start
from sftui.errors import InputError, shorten

_SLICE_ITEMS = 64  # parsed between two looks at the clock
_MAX_FIRST_LINE = 64 << 20
_SHOWN = 40  # characters
_CUT_OFF = "the array does not end in ]: the file may have been cut off"
_UNDECODED = re.compile("[\udc80-\udcff]")  # how bytes that are not UTF-8 stand in the text


def open_json(file: DataFile) -> Rows:
    """An array of objects; a .json file that in truth holds JSON Lines is opened as such.

    Raises OSError, and InputError if it is neither.
    """
    return JsonLines(file) if _holds_lines(file) else JsonArray(file)


class JsonArray:
    """One array of objects. The text is held in memory; a row is parsed when it is asked for.

    What is broken in it is a row that cannot be read, also what is missing at its end.
    """

    def __init__(self, file: DataFile) -> None:
        self.name, self._file = file.name, file
        data = file.path.read_bytes()
        data = data[text_start(data[:4096], file.name) :]
        # Bytes that are no text are found again when their row is asked for.
        self._text = data.decode(errors="surrogateescape")
        self._elements = Elements(self._text)
        start = self._elements.skip_space(0)
        if start == len(self._text):
            raise InputError("is empty: expected a JSON array of objects", file=file.name)
        self._bounds = array("Q")  # where the items start and end, in characters
        self._broken = array("Q")  # the rows among them that are not JSON, where that shows, and how
        self._positions = array("Q")
        self._messages: list[str] = []
        self._position = start + 1
        self._failure: InputError | None = None
        self.complete = False
        self._lock = threading.Lock()
        if self._text[start] != "[":
            decode(data, file.name, None)
            self._refuse()

    def __len__(self) -> int:
        return len(self._bounds) // 2

    def __getitem__(self, index: int) -> Row:
        text = self._item(index)
        number = self._broken_number(index)
        if number is not None:
            raise self._error(number)
        undecoded = None if text.isascii() else _UNDECODED.search(text)
        if undecoded is not None:
            line, column = self._lines.place(self._bounds[2 * index] + undecoded.start())
            raise InputError(
                f"the byte at column {column} is 0x{ord(undecoded[0]) & 0xFF:02x}, which is not UTF-8: "
                "expected UTF-8 text",
                file=self.name,
                line=line,
            )
        try:
            row = parse_json(text)
        except RecursionError as error:  # in a thread with less room for it than the one that indexed
            raise InputError(f"JSON {NESTED_TOO_DEEPLY}", file=self.where(index)) from error
        if not isinstance(row, dict):
            line, column = self._lines.place(self._bounds[2 * index])
            raise InputError(
                f"found {json_kind(row)} (line {line}, column {column}): "
                "expected a JSON object with the row's columns",
                file=self.where(index),
            )
        return row

    def where(self, index: int) -> str:
        """`data.json[12]`, counted from 0 as in the array; of what is not JSON the line: `data.json:812`."""
        known_index(index, len(self))
        number = self._broken_number(index)
        if number is not None:
            return f"{self.name}:{self._lines.place(self._positions[number])[0]}"
        return f"{self.name}[{index}]"

    def raw(self, index: int) -> str:
        """The item's text; bytes that are not UTF-8 as escapes."""
        text = self._item(index)
        return text if text.isascii() else shown(text.encode(errors="surrogateescape"))

    @property
    def share(self) -> float:
        """How much of the text is parsed, 0 to 1."""
        return 1.0 if self.complete else self._position / len(self._text)

    @property
    def identity(self) -> str:
        """Changes with the file and with the limit."""
        return f"{self._file.identity}|{self._file.limit}"

    def read_on(self, seconds: float) -> None:
        """Find more items, for about so long. Raises InputError at the end if all of them are broken."""
        until = time.monotonic() + seconds
        with self._lock:
            if self._failure is not None:
                raise self._failure
            while not self.complete:
                for _ in range(_SLICE_ITEMS):
                    if not self.complete:
                        self._next_item()
                if time.monotonic() >= until:
                    return

    @cached_property
    def _lines(self) -> Lines:
        return Lines(self._text)

    def _item(self, index: int) -> str:
        known_index(index, len(self))
        return self._text[self._bounds[2 * index] : self._bounds[2 * index + 1]]

    def _next_item(self) -> None:
        """Find the next item, or the end of the array."""
        start = self._elements.skip_space(self._position)
        if self._text[start : start + 1] == "]" and not self._bounds:
            self._go_on(start)
            return
        try:
            end = self._elements.read(start)
        except BrokenElement as error:
            self._go_on(self._add_broken(start, error.message, error.position))
        else:
            self._add(start, end)
            self._go_on(self._elements.skip_space(end))

    def _go_on(self, position: int) -> None:
        """Go on at a comma, at the next item, or at what ends the array or the text."""
        while not self.complete:
            sign = self._text[position : position + 1]
            if sign not in ("]", ""):
                self._position = position + (sign == ",")
                return
            position = self._elements.skip_space(position + 1)
            if position < len(self._text):  # what follows the array, or was still in it
                position = self._add_broken(position, "Extra data", position)
                continue
            if not sign and not self._is_broken(len(self) - 1):
                self._add_broken(len(self._text), "Expecting ',' delimiter", len(self._text))
            self._end()

    def _end(self) -> None:
        """No item follows. Raises InputError if there are some but none of them is JSON."""
        if self._broken and len(self._broken) == len(self):
            self._failure = self._error(0)
            raise self._failure
        self.complete = True

    def _add(self, start: int, end: int) -> None:
        self._bounds.extend((start, end))
        self.complete = len(self) == self._file.limit

    def _add_broken(self, start: int, message: str, position: int) -> int:
        """Add what is broken from `start` on as a row; where to go on."""
        end, after = self._elements.after_broken(start)
        self._messages.append(message)
        self._positions.append(position)
        self._broken.append(len(self))
        self._add(start, end)
        return after

    def _is_broken(self, index: int) -> bool:
        return self._broken_number(index) is not None

    def _broken_number(self, index: int) -> int | None:
        """Which of the broken rows it is, if it is one."""
        number = bisect_left(self._broken, index)
        return number if number < len(self._broken) and self._broken[number] == index else None

    def _refuse(self) -> None:
        """Say what the file is, if no array."""
        try:
            value = parse_json(self._text)
        except json.JSONDecodeError as error:
            raise self._not_json(error.msg, error.pos) from error
        except RecursionError as error:
            raise InputError(f"JSON {NESTED_TOO_DEEPLY}", file=self.name) from error
        raise InputError(f"found {json_kind(value)}: expected an array of objects", file=self.name)

    def _error(self, number: int) -> InputError:
        """What is wrong with one of the broken rows."""
        cut_off = self._broken[number] == len(self) - 1 and not self._text[-_SHOWN:].rstrip().endswith("]")
        return self._not_json(self._messages[number], self._positions[number], _CUT_OFF if cut_off else None)

    def _not_json(self, message: str, position: int, hint: str | None = None) -> InputError:
        line, column = self._lines.place(position)
        at_end = position >= len(self._text)
        found = "the end of the file" if at_end else shorten(self._text[position : position + _SHOWN])
        kind = "JSON" if message == NESTED_TOO_DEEPLY else "not JSON,"
        problem = f"{kind} {describe(message, column)}: found {found}, expected an array of objects"
        return InputError(problem, file=self.name, line=line, hint=hint)


def _holds_lines(file: DataFile) -> bool:
    """Whether the first line that is not blank is a JSON object of its own and another follows."""
    with file.path.open("rb") as lines:
        lines.seek(text_start(lines.read(4096), file.name))
        for line in iter(lambda: lines.readline(_MAX_FIRST_LINE), b""):
            if line.isspace():
                continue
            if not line.lstrip().startswith(b"{") or not any(not more.isspace() for more in lines):
                return False
            try:
                return isinstance(parse_json(line.decode()), dict)
            except (ValueError, RecursionError):
                return False
    return False
