"""Rows whose columns are not those of the rest of their source."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sftui.printable import printable

# A row without one of these says just what it means.
_OPTIONAL = frozenset({"tools", "system", "history", "input"})
_LISTED = 5  # columns that a message names


@dataclass(frozen=True, slots=True)
class ColumnSet:
    """`count` rows of one source that have the columns `names`; `rows` are some or all of them."""

    source: int
    names: tuple[str, ...]
    count: int
    rows: Sequence[int]


@dataclass(frozen=True, slots=True)
class OddColumns:
    """`count` rows with the finding `code`: `rows` are those known, `detail` is about each of them."""

    code: str
    count: int
    rows: Sequence[int]
    detail: str


def odd_columns(sets: Iterable[ColumnSet]) -> list[OddColumns]:
    """The sets that differ from their source's most common one, in columns that a row has to have."""
    sources: dict[int, dict[frozenset[str], list[ColumnSet]]] = defaultdict(lambda: defaultdict(list))
    for each in sets:
        sources[each.source][frozenset(each.names) - _OPTIONAL].append(each)
    found = []
    for kinds in sources.values():
        usual = max(kinds, key=lambda names: (sum(each.count for each in kinds[names]), sorted(names)))
        for names, members in kinds.items():
            lacking, more = usual - names, names - usual
            if not lacking and not more:
                continue
            code = "missing-column" if lacking else "mixed-columns"
            said = [f"no {_listed(lacking)}"] if lacking else []
            said += [f"has {_listed(more)}"] if more else []
            rows = sorted(row for each in members for row in each.rows)
            found.append(OddColumns(code, sum(each.count for each in members), rows, "; ".join(said)))
    return found


def _listed(names: frozenset[str]) -> str:
    ordered = sorted(names)
    return ", ".join(map(repr, map(printable, ordered[:_LISTED]))) + (
        ", .." if len(ordered) > _LISTED else ""
    )
