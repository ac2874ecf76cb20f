"""A finished index of a large file, kept in the cache directory for the next time."""

from __future__ import annotations

import hashlib
import zlib
from array import array
from pathlib import Path

from sftui.data.cache import INDEX, cache_directory, mark_used, prune, unfinished
from sftui.data.sources.line_index import LineIndex

_VERSION = b"sftui index 1\n"
_HEAD_NUMBERS = 4  # rows, changes, the end, the checksum of all numbers after these
_BYTES = 8
_LIMIT_BYTES = 4 << 30  # of all of them


def load_index(index: LineIndex, key: str) -> bool:
    """Fill `index` with what was kept under `key`; False if nothing (undamaged) was."""
    entry = _entry(key)
    try:
        data = entry.read_bytes()
    except OSError:
        return False
    numbers = array("Q")
    if not data.startswith(_VERSION) or (len(data) - len(_VERSION)) % _BYTES:
        return False
    numbers.frombytes(memoryview(data)[len(_VERSION) :])
    if len(numbers) < _HEAD_NUMBERS:
        return False
    rows, changes, end, checksum = numbers[:_HEAD_NUMBERS]
    body = numbers[_HEAD_NUMBERS:]
    if len(body) != rows + 2 * changes or zlib.crc32(body) != checksum:
        return False
    index.restore(body[:rows], body[rows : rows + changes], body[rows + changes :], end)
    mark_used(entry)
    return True


def save_index(index: LineIndex, key: str) -> None:
    """Keep a complete `index` under `key`; a cache directory that cannot be written is no error."""
    body = index.offsets + index.changes + index.surplus
    head = array("Q", [len(index.offsets), len(index.changes), index.end, zlib.crc32(body)])
    entry = _entry(key)
    try:
        new = unfinished(entry)
    except OSError:
        return
    try:
        with new.open("wb") as file:
            file.write(_VERSION + head.tobytes())
            file.write(memoryview(body))
        new.replace(entry)
    except OSError:
        new.unlink(missing_ok=True)
        return
    prune(_LIMIT_BYTES, INDEX, keep=[entry])


def _entry(key: str) -> Path:
    digest = hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=16).hexdigest()
    return cache_directory() / INDEX / digest
