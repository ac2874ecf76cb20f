"""What all kinds of sources have in common: rows by number, found where they stand."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sftui.errors import InputError, shorten

Row = dict[str, Any]

MAX_ROW_BYTES = 256 << 20  # of a row in a file of lines: a longer one is no row but a mistake


class Rows(Protocol):
    """The rows of one source, in the order of the file.

    Rows may be read in several threads, also while another goes on indexing: the number of rows only
    grows, and a row keeps its number.
    """

    def __len__(self) -> int:
        """How many rows are known by now; all of them once `complete`."""
        ...

    def __getitem__(self, index: int) -> Row:
        """Row `index`, parsed now. Raises InputError naming the place if it is not a row."""
        ...

    def where(self, index: int) -> str:
        """Where row `index` stands, as a person would write it: `train.jsonl:1205`."""
        ...

    def raw(self, index: int) -> str:
        """Row `index` as the file has it (what is binary, as JSON); bytes that are no text as escapes."""
        ...

    @property
    def complete(self) -> bool:
        """Whether all rows are known."""
        ...

    @property
    def share(self) -> float:
        """How much of the source is known, 0 to 1."""
        ...

    @property
    def identity(self) -> str:
        """A text that changes whenever the rows could have."""
        ...

    def read_on(self, seconds: float) -> None:
        """Come to know more rows, for about so long (but at least a block of them).

        Does nothing when complete. Raises InputError if the source cannot be read further.
        """
        ...


class WholeRows:
    """What `Rows` say that are all known from the beginning."""

    complete = True
    share = 1.0

    def read_on(self, seconds: float) -> None:
        """Does nothing: all rows are known."""


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file to read rows from.

    `name` is what a person calls it. `path` is where its bytes are: at `origin`, unless it was unpacked
    into the cache. `identity` is the origin's. At most `limit` rows are wanted.
    """

    name: str
    path: Path
    origin: Path
    limit: int | None
    identity: str

    @classmethod
    def at(cls, path: Path, name: str, limit: int | None) -> DataFile:
        """The file at `path` as it is now. Raises OSError if it is not there."""
        return cls(name, path, path, limit, file_identity(path))

    def has_changed(self) -> bool:
        """Whether the file is another by now, or gone."""
        try:
            return file_identity(self.origin) != self.identity
        except OSError:
            return True


def file_identity(path: Path) -> str:
    """Changes whenever the file's content could have: its real path, size, mtime and inode."""
    found = path.stat()
    return f"{os.path.realpath(path)}|{found.st_size}|{found.st_mtime_ns}|{found.st_ino}"


def known_index(index: int, count: int) -> int:
    """`index`, if it is the number of a known row; else raises IndexError."""
    if not 0 <= index < count:
        raise IndexError(f"row {index} of {count}")
    return index


def unreadable(name: str, error: OSError) -> InputError:
    """What the system said about the file `name`, for a person."""
    return InputError(f"cannot be read: {error.strerror or error}", file=name)


def json_kind(value: object) -> str:
    """What a parsed JSON value that is no row is, for a message."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if value is None or isinstance(value, bool):
        return "null" if value is None else str(value).lower()
    return shorten(value)
