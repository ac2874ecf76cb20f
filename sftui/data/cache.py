"""The cache directory: what can be made again from its originals, and may be deleted at any time."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Collection
from pathlib import Path
from uuid import uuid4

PLAIN, INDEX, ENCODED = "plain", "index", "encoded"  # its sub-folders; an entry is a file or folder in one
LOCKS = "locks"  # files to lock, of no content

_UNFINISHED = ".part"  # ends the name of what is still being written
_ABANDONED_SECONDS = 24 * 3600  # after which an unfinished entry has no writer, and a lock no taker
_IN_USE_SECONDS = 3600  # in which an entry that was used may still be in use


def cache_directory() -> Path:
    """`$SFTUI_CACHE`, else `$XDG_CACHE_HOME/sftui`, else `~/.cache/sftui`; it need not exist."""
    own = os.environ.get("SFTUI_CACHE")
    if own:
        return Path(own).expanduser()
    shared = os.environ.get("XDG_CACHE_HOME")
    return (Path(shared) if shared else Path.home() / ".cache") / "sftui"


def unfinished(entry: Path) -> Path:
    """A path of this writer alone to write `entry` at, before it is renamed; its folder is made.

    Raises OSError if the folder cannot be made.
    """
    entry.parent.mkdir(parents=True, exist_ok=True)
    return entry.with_name(f"{entry.name}.{os.getpid()}-{uuid4().hex[:8]}{_UNFINISHED}")


def mark_used(entry: Path) -> None:
    """Note that `entry` was used now; `prune` removes what was used longest ago."""
    try:
        os.utime(entry)
    except OSError:  # read-only, or removed meanwhile
        return


def prune(limit_bytes: int, kind: str, keep: Collection[Path] = ()) -> None:
    """Remove the least recently used entries of a sub-folder until they take at most `limit_bytes`.

    Entries in `keep`, those used in the last hour and those still being written stay; one used earlier
    may vanish for another process: whoever opens one keeps it open. What cannot be removed is left.
    """
    now = time.time()
    entries: list[tuple[float, int, Path]] = []
    for path in _listed(cache_directory() / kind):
        try:
            used = path.stat().st_mtime
        except OSError:  # removed by another process
            continue
        if not path.name.endswith(_UNFINISHED) or now - used > _ABANDONED_SECONDS:
            entries.append((used, _bytes(path), path))
    total = sum(size for _, size, _ in entries)
    for used, size, path in sorted(entries):
        if total <= limit_bytes or now - used < _IN_USE_SECONDS:
            return
        if path not in keep and _remove(path):
            total -= size


def prune_locks() -> None:
    """Remove lock files that were last taken more than a day ago and that nobody holds."""
    for path in _listed(cache_directory() / LOCKS):
        try:
            if time.time() - path.stat().st_mtime < _ABANDONED_SECONDS:
                continue
            with path.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink()
        except OSError:  # held, or removed by another process
            continue


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []


def _bytes(path: Path) -> int:
    """Of a file, or of all files below a folder; what vanishes meanwhile counts nothing."""
    total = 0
    files = (
        [path] if not path.is_dir() else (Path(at, name) for at, _, names in os.walk(path) for name in names)
    )
    for file in files:
        try:
            total += file.stat().st_size
        except OSError:
            continue
    return total


def _remove(path: Path) -> bool:
    """Whether it is gone. A folder is renamed first: no other process finds half of it."""
    try:
        if not path.is_dir():
            path.unlink()
            return True
        away = unfinished(path)
        path.rename(away)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    shutil.rmtree(away, ignore_errors=True)
    return True
