"""Copies in the cache directory of files that give no row at once: unpacked, or turned into Arrow."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sftui.data.cache import PLAIN, cache_directory, mark_used, prune, unfinished
from sftui.data.sources.rows import DataFile
from sftui.errors import InputError

_Opened = TypeVar("_Opened")
Write = Callable[[Path, Callable[[], None]], None]

_SPARE_BYTES = 512 << 20  # of the disk, left for others
_LIMIT_BYTES = 64 << 30  # of all copies; above it those used longest ago are removed
_ATTEMPTS = 3


def open_plain_copy(file: DataFile, suffix: str, write: Write, opened: Callable[[Path], _Opened]) -> _Opened:
    """What `opened` makes of the copy of `file`, which `write(path, require_room)` makes if there is none.

    The copy's name ends in `suffix`. `write` calls `require_room` every now and then. Raises InputError
    if the disk is full or the cache directory cannot be written, and what the two raise.
    """
    key = f"{file.identity}|{suffix}"
    digest = hashlib.blake2b(key.encode(errors="surrogateescape"), digest_size=16).hexdigest()
    entry = cache_directory() / PLAIN / (digest + suffix)
    for _ in range(_ATTEMPTS):
        if not entry.exists():
            _make(entry, file, write)
        mark_used(entry)
        try:
            return opened(entry)
        except FileNotFoundError:  # removed by another process just now
            continue
    raise InputError(f"its copy in {entry.parent} is removed again and again", file=file.name)


def _make(entry: Path, file: DataFile, write: Write) -> None:
    hint = "SFTUI_CACHE names another directory to use"

    def require_room() -> None:
        free = shutil.disk_usage(entry.parent).free
        if free < _SPARE_BYTES:
            raise InputError(
                f"no room to unpack it: {free / 2**20:,.0f} MiB are free in {entry.parent}, "
                f"expected at least {_SPARE_BYTES >> 20}",
                file=file.name,
                hint=hint,
            )

    try:
        new = unfinished(entry)
        try:
            require_room()
            write(new, require_room)
            new.replace(entry)
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        problem = f"cannot be unpacked into {entry.parent}: {error.strerror or error}"
        raise InputError(problem, file=file.name, hint=hint) from error
    prune(_LIMIT_BYTES, PLAIN, keep=[entry])
