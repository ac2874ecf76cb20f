"""How two recipes differ: line by line in their texts, field by field in what they say."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from sftui.recipe import Recipe
from sftui.recipe_document import Document
from sftui.recipe_edit import unmarked
from sftui.recipe_errors import Key
from sftui.recipe_file import dump_recipe
from sftui.recipe_tree import same

Comparable = str | Recipe | Document


@dataclass(frozen=True, slots=True)
class Line:
    """A line of one text or both; `removed` is only in the first, `added` only in the second."""

    kind: Literal["same", "added", "removed"]
    text: str


def difference(one: Comparable, other: Comparable) -> list[Line]:
    """All lines of two texts, in order; a recipe stands for its text with every field."""
    old, new = _text(one).splitlines(), _text(other).splitlines()
    lines: list[Line] = []
    matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
    for kind, begin, end, start, stop in matcher.get_opcodes():
        if kind == "equal":
            lines += [Line("same", text) for text in old[begin:end]]
        else:
            lines += [Line("removed", text) for text in old[begin:end]]
            lines += [Line("added", text) for text in new[start:stop]]
    return lines


def changed_fields(recipe: Recipe, other: Recipe) -> list[tuple[str, Any, Any]]:
    """The fields in which two recipes differ: dotted key, value in the first, value in the second.

    In the order of the typed model. None also stands for what only one of them has: a section, a source.
    """
    return [
        (".".join(map(str, key)), mine, theirs)
        for key, mine, theirs in _changed(recipe.model_dump(), other.model_dump(), ())
    ]


def _changed(mine: Any, theirs: Any, key: Key) -> Iterator[tuple[Key, Any, Any]]:
    if same(mine, theirs) or _is_one_number(mine, theirs):
        return
    mapped = isinstance(mine, dict) and isinstance(theirs, dict) and mine.keys() == theirs.keys()
    listed = isinstance(mine, list) and isinstance(theirs, list)
    if mapped:
        for name in mine:
            yield from _changed(mine[name], theirs[name], (*key, name))
    elif listed and any(isinstance(item, dict) for item in [*mine, *theirs]):
        for i in range(max(len(mine), len(theirs))):
            one, other = (items[i] if i < len(items) else None for items in (mine, theirs))
            yield from _changed(one, other, (*key, i))
    else:
        yield key, mine, theirs


def _is_one_number(mine: Any, theirs: Any) -> bool:
    """Whether both are the same number: a default that nobody wrote may be 32 where 32.0 is read."""
    numbers = {type(mine), type(theirs)} == {int, float}
    return numbers and bool(mine == theirs)


def _text(one: Comparable) -> str:
    if isinstance(one, Recipe):
        return dump_recipe(one)
    return unmarked(one.text if isinstance(one, Document) else one)
