"""A JSON file: one array of objects."""

from __future__ import annotations

import json
import re
import threading
import time
from array import array

from sftui.data.sources.json_lines import JsonLines
from sftui.data.sources.json_text import describe, parse_json, parse_json_at
from sftui.data.sources.rows import DataFile, Row, Rows, json_kind, known_index
from sftui.data.sources.text import decode, text_start
from sftui.errors import InputError, shorten

_SLICE_ITEMS = 64  # parsed between two looks at the clock
_SPACE = re.compile(r"[ \t\n\r]*")
_MAX_FIRST_LINE = 64 << 20


def open_json(file: DataFile) -> Rows:
    """An array of objects; a .json file that in truth holds JSON Lines is opened as such.

    Raises OSError, and InputError if it is neither.
    """
    return JsonLines(file) if _holds_lines(file) else JsonArray(file)


class JsonArray:
    """One array of objects. The text is held in memory; a row is parsed when it is asked for."""

    def __init__(self, file: DataFile) -> None:
        self.name, self._file = file.name, file
        data = file.path.read_bytes()
        text = decode(data[text_start(data[:4096], file.name) :], file.name, None)
        self._text = text
        start = self._skip_space(0)
        if start == len(text):
            raise InputError("is empty: expected a JSON array of objects", file=file.name)
        self._bounds = array("Q")  # where the items start and end, in characters
        self._position = start + 1
        self.complete = False
        self._lock = threading.Lock()
        if text[start] != "[":
            self._refuse()

    def __len__(self) -> int:
        return len(self._bounds) // 2

    def __getitem__(self, index: int) -> Row:
        try:
            row = parse_json(self.raw(index))
        except RecursionError as error:  # in a thread with less room for it than the one that indexed
            raise InputError("JSON nested too deeply", file=self.where(index)) from error
        if not isinstance(row, dict):
            raise InputError(
                f"found {json_kind(row)}: expected a JSON object with the row's columns",
                file=self.where(index),
            )
        return row

    def where(self, index: int) -> str:
        """`data.json[12]`, counted from 0 as in the array."""
        return f"{self.name}[{index}]"

    def raw(self, index: int) -> str:
        """The item's text."""
        known_index(index, len(self))
        return self._text[self._bounds[2 * index] : self._bounds[2 * index + 1]]

    @property
    def share(self) -> float:
        """How much of the text is parsed, 0 to 1."""
        return 1.0 if self.complete else self._position / len(self._text)

    @property
    def identity(self) -> str:
        """Changes with the file and with the limit."""
        return f"{self._file.identity}|{self._file.limit}"

    def read_on(self, seconds: float) -> None:
        """Find more items, for about so long. Raises InputError where the array breaks off."""
        until = time.monotonic() + seconds
        with self._lock:
            while not self.complete:
                try:
                    for _ in range(_SLICE_ITEMS):
                        self._next_item()
                except json.JSONDecodeError as error:
                    raise self._broken(error) from error
                except RecursionError as error:
                    raise InputError("JSON nested too deeply", file=self.name) from error
                if time.monotonic() >= until:
                    return

    def _next_item(self) -> None:
        """Find the next item, or the end of the array; does nothing after it."""
        if self.complete:
            return
        text, position = self._text, self._skip_space(self._position)
        first = not self._bounds
        if text[position : position + 1] == "]":
            end = self._skip_space(position + 1)
            if end < len(text):
                raise json.JSONDecodeError("Extra data", text, end)
            self.complete = True
            return
        if not first:
            if text[position : position + 1] != ",":
                raise json.JSONDecodeError("Expecting ',' delimiter", text, position)
            position = self._skip_space(position + 1)
        _, end = parse_json_at(text, position)
        self._position = end
        self._bounds.extend((position, end))
        if len(self) == self._file.limit:
            self.complete = True

    def _skip_space(self, position: int) -> int:
        found = _SPACE.match(self._text, position)
        return found.end() if found else position

    def _refuse(self) -> None:
        """Say what the file is, if no array."""
        try:
            value = parse_json(self._text)
        except json.JSONDecodeError as error:
            raise self._broken(error) from error
        except RecursionError as error:
            raise InputError("JSON nested too deeply", file=self.name) from error
        raise InputError(f"found {json_kind(value)}: expected an array of objects", file=self.name)

    def _broken(self, error: json.JSONDecodeError) -> InputError:
        found = shorten(self._text[error.pos : error.pos + 40])
        return InputError(
            f"not JSON: {describe(error)}: found {found}, expected an array of objects",
            file=self.name,
            line=error.lineno,
        )


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
