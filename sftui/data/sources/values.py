"""Values of Arrow and of the Hub as plain JSON-able Python."""

from __future__ import annotations

from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

from sftui.data.sources.rows import Row
from sftui.errors import InputError


def plain_row(row: Row, where: str) -> Row:
    """`row` with plain values, and without the nulls that Arrow put into its objects.

    In a column of objects Arrow gives each object the keys of all: `tools` of one row have the
    parameters of every other, null. Within objects a null is therefore absent; a whole column's null
    stays. Raises InputError naming the column with a value that has no plain form.
    """
    plain = {}
    for column, value in row.items():
        try:
            plain[column] = _plain(value)
        except (TypeError, ValueError) as error:
            raise InputError(
                f"found {error}: expected text, numbers, lists, objects", file=where, key=column
            ) from None
    return plain


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        if value and all(isinstance(item, tuple) for item in value):  # a map of Arrow
            return _plain(dict(value))
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise ValueError(f"{len(value):,} bytes that are not UTF-8 text") from None
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta | UUID):
        return str(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if hasattr(value, "tolist"):  # numpy's scalars and arrays
        return _plain(value.tolist())
    raise TypeError(f"a value of type {type(value).__name__}")
