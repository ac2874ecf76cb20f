"""Parquet: row groups, decoded when a row of them is asked for."""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from sftui.data.sources.arrow import ArrowRows, map_table, table_rows
from sftui.data.sources.plain_copy import open_plain_copy
from sftui.data.sources.rows import DataFile
from sftui.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

_LARGE_GROUP_BYTES = 256 << 20  # decoded; a file with a larger row group is copied into the cache
_COPIED_ROWS = 1024  # in one batch of such a copy


def open_parquet(file: DataFile) -> ArrowRows:
    """A .parquet file. Raises OSError, and InputError if it is none.

    To read one row, its row group has to be decoded; where that would take too much time and memory,
    the file is copied once into the cache as Arrow, which gives any row at once.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        parquet = pq.ParquetFile(file.path)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        first = str(error).split("\n", 1)[0]
        raise InputError(f"is not a Parquet file: {first}", file=file.name) from error
    groups = [parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups)]
    identity = f"{file.identity}|{file.limit}"
    if any(group.total_byte_size > _LARGE_GROUP_BYTES for group in groups):
        return open_plain_copy(
            file,
            ".arrow",
            lambda path, require_room: _copy(parquet, path, require_room),
            lambda path: table_rows(file.name, identity, map_table(path, file.name), file.limit),
        )
    rows = parquet.metadata.num_rows
    count = rows if file.limit is None else min(file.limit, rows)
    return ArrowRows(file.name, identity, _Groups(parquet, [group.num_rows for group in groups]), count)


class _Groups:
    """Reads rows of a file group by group; the last group is kept."""

    def __init__(self, parquet: pq.ParquetFile, sizes: list[int]) -> None:
        self._parquet = parquet
        self._ends = list(accumulate(sizes))
        self._kept: tuple[int, pa.Table | None] = (-1, None)
        self._lock = threading.Lock()

    def __call__(self, begin: int, end: int) -> pa.Table:
        import pyarrow as pa

        parts = []
        while begin < end:
            group = bisect_right(self._ends, begin)
            start = self._ends[group - 1] if group else 0
            stop = min(end, self._ends[group])
            parts.append(self._group(group).slice(begin - start, stop - begin))
            begin = stop
        return pa.concat_tables(parts)

    def _group(self, group: int) -> pa.Table:
        with self._lock:
            kept, table = self._kept
            if kept != group or table is None:
                table = self._parquet.read_row_group(group, use_threads=False)
                self._kept = group, table
            return table


def _copy(parquet: pq.ParquetFile, path: Path, require_room: Callable[[], None]) -> None:
    """Write the rows of `parquet` as an Arrow IPC file."""
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, parquet.schema_arrow) as writer:
        for batch in parquet.iter_batches(_COPIED_ROWS):
            require_room()
            writer.write_batch(batch)
