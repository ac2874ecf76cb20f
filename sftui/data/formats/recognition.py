"""Which format a row has, from the names of its columns, and which column is which."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sftui.data.conversation import Conversation
from sftui.data.formats import (
    alpaca,
    messages,
    plain_text,
    prompt_completion,
    question_answer,
    sharegpt,
)
from sftui.data.formats.values import listed, nearest
from sftui.errors import InputError
from sftui.recipe import RowFormat

Columns = tuple[tuple[str, str], ...]  # our column name, the file's


@dataclass(frozen=True, slots=True)
class Shape:
    """A format and how it is read.

    Its rows have all of `columns`. `optional` columns are read where a row has them; `system` and `tools`
    are read by every format but plain text where the recipe's `columns` name them.
    """

    name: RowFormat
    columns: tuple[str, ...]
    optional: tuple[str, ...]
    read: Callable[[Mapping[str, Any], str], Conversation]

    @property
    def known(self) -> tuple[str, ...]:
        """All columns that the recipe may name for it."""
        asked = () if self.name == "text" else ("system", "tools")
        return tuple(dict.fromkeys((*self.columns, *self.optional, *asked)))


# In order of precedence: a row that has the columns of several is read as the first.
SHAPES: tuple[Shape, ...] = (
    Shape("messages", ("messages",), ("tools",), messages.read),
    Shape("sharegpt", ("conversations",), ("system", "tools"), sharegpt.read),
    Shape("alpaca", ("instruction", "output"), ("input", "history", "system", "tools"), alpaca.read),
    Shape("prompt_completion", ("prompt", "completion"), ("tools",), prompt_completion.read),
    Shape("question_answer", ("question", "answer"), (), question_answer.read),
    Shape("text", ("text",), (), plain_text.read),
)
OUR_COLUMNS = tuple(dict.fromkeys(column for shape in SHAPES for column in shape.known))


@dataclass(frozen=True, slots=True)
class Layout:
    """How rows with certain columns are read: `picks` pairs our column names with the file's.

    `needed` are the file's columns that the format cannot do without. `as_it_is` says that a row can be
    read without renaming or hiding any.
    """

    shape: Shape
    picks: Columns
    needed: tuple[str, ...]
    as_it_is: bool

    def ours(self, row: Mapping[str, Any]) -> Mapping[str, Any]:
        """`row` under our column names."""
        return row if self.as_it_is else {ours: row[theirs] for ours, theirs in self.picks}


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why rows with certain columns cannot be read: parts of an InputError, but for the row."""

    problem: str
    key: str | None = None
    hint: str | None = None

    def at(self, where: str) -> InputError:
        """The error for the row `where`."""
        return InputError(self.problem, file=where, key=self.key, hint=self.hint)


@lru_cache(maxsize=512)  # nearly all rows of a file have the same columns
def layout(names: tuple[str, ...], columns: Columns, wanted: RowFormat) -> Layout | Misfit:
    """How a row with the columns `names` is read, under the recipe's `columns` and `format`."""
    shapes = _candidates(columns, wanted)
    if isinstance(shapes, Misfit):
        return shapes
    mapped = dict(columns)
    present = set(names)
    for ours, theirs in columns:
        if theirs not in present and (gone := _missing(ours, theirs, shapes, names, mapped)):
            return gone
    taken = set(mapped.values())
    available = {ours: theirs for ours, theirs in columns if theirs in present}
    # A column that the recipe maps to another of ours is not read under its own name too.
    available |= {name: name for name in names if name in OUR_COLUMNS and name not in taken | mapped.keys()}
    for shape in shapes:
        if all(column in available for column in shape.columns):
            return _picked(shape, available, mapped)
    if len(shapes) == 1:
        return _lacking(shapes[0], available, names)
    return _unrecognised(shapes, names)


def _candidates(columns: Columns, wanted: RowFormat) -> tuple[Shape, ...] | Misfit:
    """The formats that use every column that the recipe names."""
    shapes = tuple(shape for shape in SHAPES if wanted in ("auto", shape.name))
    for ours, _ in columns:
        if ours not in OUR_COLUMNS:
            return Misfit(
                f"unknown column {ours!r}: expected one of {', '.join(OUR_COLUMNS)}",
                f"columns.{ours}",
                _did_you_mean(ours, OUR_COLUMNS),
            )
        fitting = tuple(shape for shape in shapes if ours in shape.known)
        if not fitting and wanted != "auto":
            return Misfit(
                f"format {wanted} has no column {ours!r}: expected {', '.join(shapes[0].known)}",
                f"columns.{ours}",
            )
        if not fitting:
            others = ", ".join(other for other, _ in columns if other != ours)
            return Misfit(
                f"no format has the column {ours!r} with {others}: expected the columns of one format",
                f"columns.{ours}",
                _needs(SHAPES),
            )
        shapes = fitting
    return shapes


def _missing(
    ours: str, theirs: str, shapes: tuple[Shape, ...], names: tuple[str, ...], mapped: Mapping[str, str]
) -> Misfit | None:
    """A column that the recipe names is not in the row: an error unless the row may do without it."""
    close = nearest(theirs, (name for name in names if name not in mapped.values()))
    needed = any(ours in shape.columns for shape in shapes)
    if not needed and close is None:
        return None
    hint = f"{theirs!r}: did you mean {close!r}?" if close else None
    return Misfit(f"no column {theirs!r} (columns.{ours}): found {listed(names)}", None, hint)


def _picked(shape: Shape, available: Mapping[str, str], mapped: Mapping[str, str]) -> Layout:
    by_itself = (*shape.columns, *shape.optional)
    picks = tuple(
        (ours, available[ours])
        for ours in shape.known
        if ours in available and (ours in by_itself or ours in mapped)
    )
    hidden = any(ours in available for ours in shape.known if ours not in dict(picks))
    needed = tuple(available[ours] for ours in shape.columns)
    return Layout(shape, picks, needed, as_it_is=not mapped and not hidden)


def _lacking(shape: Shape, available: Mapping[str, str], names: tuple[str, ...]) -> Misfit:
    column = next(column for column in shape.columns if column not in available)
    needs = " and ".join(shape.columns)
    return Misfit(
        f"no column {column!r}: found {listed(names)}; format {shape.name} needs {needs}",
        None,
        _mapping_hint(column, nearest(column, names)),
    )


def _unrecognised(shapes: tuple[Shape, ...], names: tuple[str, ...]) -> Misfit:
    return Misfit(
        f"format not recognised: found columns {listed(names)}; expected {_needs(shapes)}",
        None,
        _likely(shapes, names) or "name them in the recipe: columns: {prompt: .., completion: ..}",
    )


def _likely(shapes: tuple[Shape, ...], names: tuple[str, ...]) -> str | None:
    """A hint naming the column that was probably meant, or the one that a format lacks."""
    unknown = [name for name in names if name not in OUR_COLUMNS]
    for column in dict.fromkeys(column for shape in shapes for column in shape.columns):
        if column not in names and (close := nearest(column, unknown)):
            return _mapping_hint(column, close)
    for shape in shapes:
        lacking = [column for column in shape.columns if column not in names]
        if len(lacking) < len(shape.columns):
            return f"for {shape.name} only {lacking[0]} is missing: columns: {{{lacking[0]}: ..}} can name it"
    return None


def _needs(shapes: Iterable[Shape]) -> str:
    """What rows of each format must have: `instruction and output (alpaca); ..`."""
    return "; ".join(f"{' and '.join(shape.columns)} ({shape.name})" for shape in shapes)


def _mapping_hint(ours: str, theirs: str | None) -> str | None:
    if theirs is None:
        return None
    plain = theirs.replace("-", "_").isidentifier()
    return f"if {theirs!r} is meant: columns: {{{ours}: {theirs if plain else repr(theirs)}}}"


def _did_you_mean(name: str, names: Iterable[str]) -> str | None:
    close = nearest(name, names)
    return f"{name!r}: did you mean {close!r}?" if close else None
