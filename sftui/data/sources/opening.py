"""Open whatever a source of the recipe names: a file, a pattern, a folder, a dataset of the Hub."""

from __future__ import annotations

import errno
import glob
import os
import stat
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from sftui.data.sources.arrow import open_arrow
from sftui.data.sources.chain import Chain
from sftui.data.sources.delimited import Delimited
from sftui.data.sources.descriptors import allow_open_files
from sftui.data.sources.hub import open_hub
from sftui.data.sources.json_array import open_json
from sftui.data.sources.json_lines import JsonLines
from sftui.data.sources.packed import open_packed
from sftui.data.sources.parquet import open_parquet
from sftui.data.sources.paths import (
    KINDS,
    LINE_SUFFIXES,
    PACKED_SUFFIXES,
    data_files,
    holds_rows,
    is_hub_id,
    is_pattern,
    kind,
    nearest_file,
)
from sftui.data.sources.rows import DataFile, Rows, file_identity, unreadable
from sftui.data.sources.saved import is_saved, open_saved
from sftui.errors import InputError
from sftui.recipe import Source

_OPENERS: dict[str, Callable[[DataFile], Rows]] = {
    ".jsonl": JsonLines,
    ".ndjson": JsonLines,
    ".json": open_json,
    ".csv": Delimited,
    ".tsv": Delimited,
    ".parquet": open_parquet,
    ".arrow": open_arrow,
    ".feather": open_arrow,
}
_OPENERS |= {
    plain + packed: partial(open_packed, opener=_OPENERS[plain])
    for plain in LINE_SUFFIXES
    for packed in PACKED_SUFFIXES
}
_NOT_FILES = (
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_WAITING_SECONDS = 60.0


def open_rows(source: Source, *, wait: bool = True) -> Rows:
    """Open `source.path`, at most `source.limit` rows of it.

    With `wait` all rows are known afterwards. Without, only the first are: at least one, about a
    megabyte of a file, of a Hub dataset that is not on this machine the beginning (a preview of 1,000
    rows); `read_on` goes on. Raises InputError if the source is missing, unreadable, of an unknown kind
    or without rows. A malformed row is reported when it is asked for, not here.
    """
    rows = _open(source, wait)
    while not rows.complete and (wait or not len(rows)):
        rows.read_on(_WAITING_SECONDS if wait else 0)
    if not len(rows):
        raise InputError("has no rows: expected at least one", file=source.path)
    return rows


def require_source(source: Source) -> None:
    """Raise InputError where there is nothing at `source.path`; nothing is read, no network is asked.

    Patterns and names of Hub datasets may have something.
    """
    _look(source, _expanded(source.path))


def _look(source: Source, path: Path) -> os.stat_result | None:
    """What is at `path`; None for a pattern and for a dataset of the Hub."""
    try:
        return path.stat()
    except FileNotFoundError:
        pass
    except NotADirectoryError:
        raise InputError("no such file", file=source.path, hint=nearest_file(path)) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise InputError("is a link that leads round in a circle", file=source.path) from error
        raise unreadable(source.path, error) from error
    if path.is_symlink():
        raise InputError("is a link to a file that does not exist", file=source.path)
    if is_pattern(_existing(path)[1]) or is_hub_id(source.path):
        return None
    raise InputError("no such file", file=source.path, hint=nearest_file(path))


def _open(source: Source, wait: bool) -> Rows:
    path = _expanded(source.path)
    found = _look(source, path)
    if found is None:
        folder, rest = _existing(path)
        if not is_pattern(rest):
            return open_hub(source, wait)
        _refuse_hub_options(source)
        return _open_pattern(source, folder, rest)
    if not stat.S_ISDIR(found.st_mode):
        _refuse_hub_options(source)
        return _open_file(source.path, path, source.limit)
    try:
        if is_saved(path):
            _refuse_hub_options(source, split=False)
            return open_saved(source, path)
        if source.name or source.split:
            return open_hub(source, wait)
        _refuse_hub_options(source)
        return _open_folder(source, path)
    except OSError as error:
        raise unreadable(source.path, error) from error


def _open_file(name: str, path: Path, limit: int | None) -> Rows:
    """The rows of one file that is called `name`."""
    try:
        mode = path.stat().st_mode
        for is_kind, what in _NOT_FILES:
            if is_kind(mode):
                raise InputError(f"is {what}: expected {KINDS}", file=name)
        suffix = kind(path.name)
        if suffix is None:
            raise InputError(
                f"unknown kind of file {''.join(path.suffixes[-2:])!r}: expected {KINDS}", file=name
            )
        return _OPENERS[suffix](DataFile.at(path, name, limit))
    except OSError as error:
        raise unreadable(name, error) from error


def _open_folder(source: Source, folder: Path) -> Rows:
    """All data files below a folder, sorted by their paths, as one."""
    files: list[Path] = []
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if name[:1] not in "._")
        files += [Path(place, name) for name in names if holds_rows(name)]
    if not files:
        raise InputError(f"is a directory without data files: expected {KINDS}", file=source.path)
    return _open_several(source, sorted(files))


def _open_pattern(source: Source, folder: Path, pattern: str) -> Rows:
    """All data files below `folder` that match, sorted, as one; several ways to one file count once."""
    # Not Path.glob: it does not follow links to folders.
    found = glob.glob(f"{glob.escape(str(folder))}/{pattern}", recursive=True)  # noqa: PTH207
    matches = sorted(Path(match) for match in found if os.path.isfile(match))  # noqa: PTH113
    if not matches:
        raise InputError("no file matches this pattern", file=source.path, hint=data_files(folder))
    files = [match for match in matches if holds_rows(match.name)]
    if not files:
        names = ", ".join(match.name for match in matches[:3])
        raise InputError(f"matches no data file: found {names}; expected {KINDS}", file=source.path)
    once: dict[str, Path] = {}
    for file in files:
        once.setdefault(os.path.realpath(file), file)
    return _open_several(source, list(once.values()))


def _open_several(source: Source, files: Sequence[Path]) -> Rows:
    """Files as one; empty ones, which writers of many parts leave, are passed over."""
    try:
        sizes = {file: file.stat().st_size for file in files}
        used = [file for file in files if sizes[file]]
        identities = [file_identity(file) for file in used]
    except OSError as error:
        raise unreadable(source.path, error) from error
    allow_open_files(len(used))
    return Chain(
        [partial(_open_file, str(file), file) for file in used],
        [sizes[file] for file in used],
        identities,
        source.limit,
    )


def _refuse_hub_options(source: Source, *, split: bool = True) -> None:
    """Refuse what a file does not have; the rows of one are a split `train`, as `datasets` has it."""
    for key, value in (("name", source.name), ("revision", source.revision), ("split", source.split)):
        if value is not None and (key != "split" or (split and value != "train")):
            raise InputError(
                f"found {value!r} for a file: expected it for a Hub dataset", file=source.path, key=key
            )


def _existing(path: Path) -> tuple[Path, str]:
    """The deepest folder of `path` that exists, and the rest: signs of a pattern may be in its name too."""
    parts = path.absolute().parts
    folder = Path(parts[0])
    for index, part in enumerate(parts[1:], start=1):
        if not os.path.isdir(folder / part):  # noqa: PTH112 -- False, not an error, for a name too long
            return folder, "/".join(parts[index:])
        folder /= part
    return folder, ""


def _expanded(path: str) -> Path:
    """With `~` written out; what names no user stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)
