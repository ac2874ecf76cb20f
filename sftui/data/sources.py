"""Open a dataset file so that row i is reached in O(1) without parsing the rows before it."""

from __future__ import annotations

import difflib
import json
import os
import weakref
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, Protocol

from sftui.errors import InputError, shorten
from sftui.recipe import Source

Row = dict[str, Any]

_BLOCK_BYTES = 4 << 20
_UTF8_BOM = b"\xef\xbb\xbf"


class Rows(Protocol):
    """The rows of one source, in the order of the file."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Row:
        """Row `index`, parsed now. Raises InputError naming the place if it is not a JSON object."""
        ...

    def where(self, index: int) -> str:
        """Where row `index` stands, as a person would write it: `train.jsonl:1205`."""
        ...


def open_rows(source: Source) -> Rows:
    """Open `source.path`, at most `source.limit` rows of it.

    Raises InputError if the file is missing, unreadable, of an unknown kind or without rows. A
    malformed row of a JSONL file is reported when it is asked for, not here.
    """
    path = Path(source.path).expanduser()
    opener = _OPENERS.get(path.suffix.lower())
    if path.is_dir():
        raise InputError(f"is a directory: expected {_KINDS}", file=source.path)
    if not path.exists():
        raise InputError("no such file", file=source.path, hint=_nearest_file(path))
    if opener is None:
        raise InputError(f"unknown kind of file {path.suffix!r}: expected {_KINDS}", file=source.path)
    try:
        rows = opener(source.path, path, source.limit)
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=source.path) from error
    if not len(rows):
        raise InputError("has no rows: expected at least one", file=source.path)
    return rows


@dataclass(frozen=True, slots=True, weakref_slot=True)
class JsonLines:
    """A .jsonl file: one JSON object a line; blank lines are not rows.

    Rows are read with `pread` at indexed offsets rather than through a memory map: a map of a file
    that somebody truncates meanwhile ends the process with SIGBUS.
    """

    path: str
    descriptor: int = field(repr=False)  # open for as long as this object lives
    offsets: array[int] = field(repr=False)  # of each row's first byte; one more at the end
    lines: array[int] = field(repr=False)  # 1-based line of each row

    @classmethod
    def open(cls, name: str, path: Path, limit: int | None) -> JsonLines:
        """Index the file at `path`, called `name` in messages, up to `limit` rows."""
        with path.open("rb", buffering=0) as file:
            offsets, lines = _index(file, limit)
            rows = cls(name, os.dup(file.fileno()), offsets, lines)
        weakref.finalize(rows, os.close, rows.descriptor)
        return rows

    def __len__(self) -> int:
        return len(self.lines)

    def __getitem__(self, index: int) -> Row:
        start, end = self.offsets[index], self.offsets[index + 1]
        line = self.lines[index]
        data = os.pread(self.descriptor, end - start, start)
        # Blank lines may follow; without the line's end, an error at it has the column of the end.
        text = _decode(data, self.path, line).partition("\n")[0].removesuffix("\r")
        try:
            row = _parse(text)
        except json.JSONDecodeError as error:
            cut = index == len(self) - 1 and not data.endswith(b"\n")
            raise InputError(
                f"not JSON, {_describe(error)}: found {shorten(text.strip())}, expected an object a line",
                file=self.path,
                line=line,
                hint="the last line does not end in a newline: the file may have been cut off"
                if cut
                else None,
            ) from error
        except RecursionError as error:
            raise InputError("JSON nested too deeply", file=self.path, line=line) from error
        if not isinstance(row, dict):
            raise InputError(
                f"found {_kind(row)}: expected a JSON object with the row's columns",
                file=self.path,
                line=line,
            )
        return row

    def where(self, index: int) -> str:
        """`train.jsonl:1205`, the line 1-based."""
        return f"{self.path}:{self.lines[index]}"


@dataclass(frozen=True, slots=True)
class JsonArray:
    """A .json file: one array of objects, held in memory."""

    path: str
    items: list[Any] = field(repr=False)

    @classmethod
    def open(cls, name: str, path: Path, limit: int | None) -> JsonArray:
        """Read the file at `path`, called `name` in messages; keep `limit` rows."""
        text = _decode(path.read_bytes().removeprefix(_UTF8_BOM), name, None)
        if not text.strip():
            raise InputError("is empty: expected a JSON array of objects", file=name)
        try:
            items = _parse(text)
        except json.JSONDecodeError as error:
            raise InputError(
                f"not JSON: {_describe(error)}: expected an array of objects",
                file=name,
                line=error.lineno,
                hint="it looks like JSON Lines: name it .jsonl" if error.msg == "Extra data" else None,
            ) from error
        except RecursionError as error:
            raise InputError("JSON nested too deeply", file=name) from error
        if not isinstance(items, list):
            raise InputError(f"found {_kind(items)}: expected an array of objects", file=name)
        return cls(name, items[:limit])

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Row:
        row = self.items[index]
        if not isinstance(row, dict):
            raise InputError(
                f"found {_kind(row)}: expected a JSON object with the row's columns", file=self.where(index)
            )
        return row

    def where(self, index: int) -> str:
        """`data.json[12]`, counted from 0 as in the array."""
        return f"{self.path}[{index}]"


_OPENERS: dict[str, Callable[[str, Path, int | None], Rows]] = {
    ".jsonl": JsonLines.open,
    ".json": JsonArray.open,
}
_KINDS = "a .jsonl or .json file"


def _index(file: FileIO, limit: int | None) -> tuple[array[int], array[int]]:
    """Byte offset (and, at the end, where the last row stops) and line number of every row of `file`."""
    offsets, lines = array("Q"), array("Q")
    offset = len(_UTF8_BOM) if file.read(len(_UTF8_BOM)) == _UTF8_BOM else 0
    file.seek(offset)
    number, rest, ended = 0, b"", False
    while not ended:
        block = file.read(_BLOCK_BYTES)
        ended = not block
        *whole, rest = (rest + block).split(b"\n")
        for line in [rest] if ended else whole:
            number += 1
            if line and not line.isspace():
                if len(lines) == limit:
                    offsets.append(offset)
                    return offsets, lines
                offsets.append(offset)
                lines.append(number)
            offset += len(line) + 1
    # The last line may lack its newline; reading past the end of the file returns what there is.
    offsets.append(offset)
    return offsets, lines


def _decode(data: bytes, path: str, line: int | None) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"byte {error.start + 1} is 0x{data[error.start]:02x}, which is not UTF-8: expected UTF-8 text",
            file=path,
            line=line,
        ) from error


def _parse(text: str) -> Any:
    """Parse JSON; NaN and infinities are accepted, integers of any length too (the longest as text)."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # Python refuses to convert integers of more than 4,300 digits
        return json.loads(text, parse_int=str)


def _describe(error: json.JSONDecodeError) -> str:
    return f"{error.msg[:1].lower()}{error.msg[1:]} at column {error.colno}"


def _kind(value: object) -> str:
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    return shorten(value)


def _nearest_file(path: Path) -> str | None:
    """A hint naming the most similar file beside `path`, or the folder that does not exist."""
    if not path.parent.is_dir():
        return f"there is no directory {str(path.parent)!r}"
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return None
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {str(path.parent / close[0])!r}?" if close else None
