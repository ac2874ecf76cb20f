"""gzip and zstd: unpacked once into the cache, then read as the plain file."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

from sftui.data.sources.plain_copy import open_plain_copy
from sftui.data.sources.rows import DataFile, Rows, unreadable
from sftui.errors import InputError

_PART_BYTES = 4 << 20
_PARTS_A_CHECK = 16  # of the room on the disk


def open_packed(file: DataFile, opener: Callable[[DataFile], Rows]) -> Rows:
    """A file such as `train.jsonl.gz`: unpacked, then opened by `opener` under its own name.

    Raises InputError naming the archive if it is broken, or if there is no room to unpack it.
    """
    suffix = Path(file.path.stem).suffix.lower()
    return open_plain_copy(
        file,
        suffix,
        lambda path, require_room: _unpack(file, path, require_room),
        lambda path: opener(replace(file, path=path)),
    )


def _unpack(file: DataFile, path: Path, require_room: Callable[[], None]) -> None:
    with path.open("wb") as out:
        for number, part in enumerate(_parts(file)):
            out.write(part)
            if number % _PARTS_A_CHECK == 0:
                require_room()


def _parts(file: DataFile) -> Iterator[bytes]:
    """The unpacked bytes."""
    import pyarrow as pa

    kind = "gzip" if file.path.suffix.lower() == ".gz" else "zstd"
    try:
        with _unpacked(file.path, kind) as source:
            while part := source.read(_PART_BYTES):
                yield part
    except (gzip.BadGzipFile, EOFError, zlib.error, pa.ArrowException) as error:
        raise _broken(file, kind, error) from error
    except OSError as error:
        # What pyarrow finds wrong with an archive is an OSError without a number.
        raise (_broken(file, kind, error) if error.errno is None else unreadable(file.name, error)) from error


@contextmanager
def _unpacked(path: Path, kind: str) -> Iterator[IO[bytes] | Any]:
    if kind == "gzip":
        with gzip.open(path, "rb") as source:
            yield source
        return
    import pyarrow as pa

    with pa.OSFile(str(path), "rb") as packed, pa.CompressedInputStream(packed, kind) as source:
        yield source


def _broken(file: DataFile, kind: str, error: Exception) -> InputError:
    first = str(error).split("\n", 1)[0]
    return InputError(
        f"is not a whole {kind} file: {first}", file=file.name, hint="was it downloaded or copied to its end?"
    )
