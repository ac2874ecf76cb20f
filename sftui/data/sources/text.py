"""Text files by their bytes: what is UTF-8, what is not, and how a part of one is read."""

from __future__ import annotations

import os

from sftui.data.sources.rows import MAX_ROW_BYTES, unreadable
from sftui.errors import InputError

_UTF8_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")
_BINARY = {  # how files begin that are not the text that their name says
    b"\x1f\x8b": "gzip data: expected text (name it .gz)",
    b"\x28\xb5\x2f\xfd": "zstd data: expected text (name it .zst)",
    b"PAR1": "Parquet: expected text (name it .parquet)",
    b"ARROW1": "Arrow: expected text (name it .arrow)",
}


def text_start(head: bytes, name: str) -> int:
    """How many bytes a byte order mark takes of a file that begins with `head`.

    Raises InputError if the file `name` is not in UTF-8 as a whole: UTF-16, or no text at all.
    """
    even, odd = head[:64:2], head[1:64:2]
    if head.startswith(_UTF16_BOMS) or (len(odd) > 3 and any(even) != any(odd)):
        raise InputError(
            "is UTF-16 or UTF-32 text: expected UTF-8",
            file=name,
            hint="convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW",
        )
    for start, found in _BINARY.items():
        if head.startswith(start):
            raise InputError(f"is {found}", file=name)
    return len(_UTF8_BOM) if head.startswith(_UTF8_BOM) else 0


def decode(data: bytes, name: str, line: int | None) -> str:
    """UTF-8 text. Raises InputError naming the first byte that is none."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            f"byte {error.start + 1} is 0x{data[error.start]:02x}, which is not UTF-8: expected UTF-8 text",
            file=name,
            line=line,
        ) from error


def read_part(descriptor: int, begin: int, end: int, name: str, line: int) -> bytes:
    """The bytes of a row; fewer if the file has become shorter. Raises InputError if it is overlong."""
    if end - begin > MAX_ROW_BYTES:
        raise InputError(
            f"the row takes {(end - begin) / 2**20:,.0f} MiB: expected at most {MAX_ROW_BYTES >> 20}",
            file=name,
            line=line,
        )
    try:
        return os.pread(descriptor, end - begin, begin)
    except OSError as error:
        raise unreadable(name, error) from error


def shown(data: bytes) -> str:
    """Bytes as text, those that are not UTF-8 as `\\xff`."""
    return data.decode("utf-8", "backslashreplace")
