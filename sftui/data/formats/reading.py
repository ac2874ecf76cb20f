"""Bring a row to the one form that everything after works with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftui.data.conversation import Conversation
from sftui.data.formats.recognition import Columns, Layout, Misfit, layout
from sftui.errors import InputError
from sftui.recipe import RowFormat, Source


def read_conversation(row: Mapping[str, Any], source: Source, where: str) -> Conversation:
    """Normalise `row` of `source`; `where` names it in errors.

    Raises InputError, and nothing else, naming the row, the column, what was found and what was
    expected.
    """
    chosen = _layout(row, source, where)
    try:
        return chosen.shape.read(chosen.ours(row), where)
    except InputError as error:
        if not source.columns or error.key is None:
            raise
        raise InputError(
            error.problem, file=error.file, line=error.line, key=_theirs(error.key, chosen), hint=error.hint
        ) from error


def recognise(row: Mapping[str, Any], source: Source, where: str) -> RowFormat:
    """The format that `row` is read as; raises InputError if it has the columns of none."""
    return _layout(row, source, where).shape.name


def _layout(row: Mapping[str, Any], source: Source, where: str) -> Layout:
    columns: Columns = tuple(source.columns.items()) if source.columns else ()
    chosen = layout(tuple(row), columns, source.format)
    if isinstance(chosen, Misfit):
        raise chosen.at(where)
    if source.format == "auto" and all(row[theirs] is None for theirs in chosen.needed):
        # Where all rows have the columns of several formats, those that a row does not use are null.
        used = tuple(name for name, value in row.items() if value is not None)
        other = layout(used, columns, source.format)
        if isinstance(other, Layout):
            return other
    return chosen


def _theirs(key: str, chosen: Layout) -> str:
    """`key` of an error with the column as the file calls it: `dialogue[2].role`."""
    for ours, theirs in chosen.picks:
        rest = key.removeprefix(ours)
        if key.startswith(ours) and rest[:1] in ("", "[", "."):
            return theirs + rest
    return key
