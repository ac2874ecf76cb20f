"""Arrow: IPC files and streams, and whatever else gives its rows as Arrow tables."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftui.data.sources.rows import DataFile, Row, WholeRows, known_index
from sftui.data.sources.values import plain_row
from sftui.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

_BLOCK_ROWS = 64  # converted together: a row at a time costs several times as much

ReadRows = Callable[[int, int], "pa.Table"]


class ArrowBlocks:
    """Rows as Python values, a block of them at a time; the last block is kept.

    `read(begin, end)` gives these rows as a table; `count()` says how many there are by now. Calls
    from several threads wait for each other.
    """

    def __init__(self, name: str, read: ReadRows, count: Callable[[], int]) -> None:
        self.name = name
        self._read, self._count = read, count
        self._lock = threading.Lock()
        self._kept: tuple[int, list[Row]] = (0, [])

    def where(self, index: int) -> str:
        """`data.parquet[12]`, counted from 0."""
        return f"{self.name}[{index}]"

    def row(self, index: int) -> Row:
        """Row `index`. Raises InputError naming the column with a value that has no plain form."""
        return plain_row(self._values(index), self.where(index))

    def raw(self, index: int) -> str:
        """Row `index` as JSON, indented; what is not JSON as Python writes it."""
        try:
            row = self._values(index)
        except InputError as error:
            return f"({error})"
        return json.dumps(row, indent=2, ensure_ascii=False, default=_as_text)

    def _values(self, index: int) -> Row:
        known_index(index, self._count())
        with self._lock:
            first, block = self._kept
            if not first <= index < first + len(block):
                first = index - index % _BLOCK_ROWS
                block = self._convert(first, min(first + _BLOCK_ROWS, self._count()), index)
                if len(block) == 1:
                    first = index
                self._kept = first, block
            return block[index - first]

    def _convert(self, begin: int, end: int, wanted: int) -> list[Row]:
        """The rows from `begin` to `end`; the wanted one alone if another of them has no Python form."""
        import pyarrow as pa

        try:
            table = self._read(begin, end)
        except (pa.ArrowException, OSError) as error:
            raise InputError(f"cannot be read: {_first_line(error)}", file=self.where(wanted)) from error
        try:
            return _rows(table)
        except (pa.ArrowException, ValueError, OverflowError):
            pass
        try:
            return _rows(table.slice(wanted - begin, 1))
        except (pa.ArrowException, ValueError, OverflowError) as error:
            raise InputError(
                f"has a value that cannot be read: {_first_line(error)}", file=self.where(wanted)
            ) from error


class ArrowRows(WholeRows):
    """The first `count` rows of a table that `read` gives in parts."""

    def __init__(self, name: str, identity: str, read: ReadRows, count: int) -> None:
        self.identity = identity
        self._count = count
        self._blocks = ArrowBlocks(name, read, lambda: count)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Row:
        return self._blocks.row(index)

    def where(self, index: int) -> str:
        """`data.parquet[12]`, counted from 0."""
        return self._blocks.where(index)

    def raw(self, index: int) -> str:
        """The row as indented JSON."""
        return self._blocks.raw(index)


def open_arrow(file: DataFile) -> ArrowRows:
    """An IPC file or stream (.arrow, .feather). Raises OSError, and InputError if it is neither.

    It is mapped, as `datasets` does it: nobody writes to such a file in place.
    """
    return table_rows(file.name, f"{file.identity}|{file.limit}", map_table(file.path, file.name), file.limit)


def table_rows(name: str, identity: str, table: pa.Table, limit: int | None) -> ArrowRows:
    """The first rows of a table in memory, or mapped."""
    count = table.num_rows if limit is None else min(limit, table.num_rows)
    return ArrowRows(name, identity, lambda begin, end: table.slice(begin, end - begin), count)


def map_table(path: Path, name: str) -> pa.Table:
    """The table of an IPC file or stream, mapped into memory. Raises OSError, InputError."""
    import pyarrow as pa

    with path.open("rb") as file:
        start = file.read(6)
    try:
        source = pa.memory_map(str(path))
        if start == b"ARROW1":
            return pa.ipc.open_file(source).read_all()
        return pa.ipc.open_stream(source).read_all()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"is not an Arrow file: {_first_line(error)}", file=name) from error


def _rows(table: pa.Table) -> list[Row]:
    """As Python values; the columns that hold JSON text, as `datasets` marks them, parsed."""
    rows: list[Row] = table.to_pylist()
    for field in table.schema:
        if _holds_json(field.type):
            for row in rows:
                row[field.name] = _parsed(row[field.name], field.type)
    return rows


def _holds_json(kind: pa.DataType) -> bool:
    return _is_json(kind) or any(_holds_json(kind.field(i).type) for i in range(kind.num_fields))


def _is_json(kind: pa.DataType) -> bool:
    return getattr(kind, "extension_name", "") == "arrow.json"


def _parsed(value: Any, kind: pa.DataType) -> Any:
    """`value` of a column of type `kind`, with the JSON text in it parsed where it is JSON."""
    if _is_json(kind) and isinstance(value, str):
        try:
            return json.loads(value)
        except ValueError:
            return value
    if isinstance(value, dict):
        types = {kind.field(i).name: kind.field(i).type for i in range(kind.num_fields)}
        return {key: _parsed(item, types[key]) for key, item in value.items()}
    if isinstance(value, list) and kind.num_fields == 1:
        return [_parsed(item, kind.field(0).type) for item in value]
    return value


def _as_text(value: object) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n", 1)[0][:200] or type(error).__name__
