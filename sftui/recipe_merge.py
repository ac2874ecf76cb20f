"""Two changes of one recipe brought together: what was changed here, and what was in its file."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

from sftui.errors import InputError
from sftui.recipe_document import Document
from sftui.recipe_edit import as_laid_out, without_value
from sftui.recipe_errors import Key
from sftui.recipe_tree import read_tree, same

ABSENT = object()  # in place of the value of a key that is not written


@dataclass(frozen=True, slots=True)
class Conflict:
    """A key changed on both sides, differently; a value is `ABSENT` where the key is not written."""

    key: str
    base: Any
    mine: Any
    theirs: Any


@dataclass(frozen=True, slots=True)
class Merged:
    """Their text with my changes in it, but for those in conflict, where theirs stand.

    `comments` are lines of mine with a comment that found no place in it.
    """

    document: Document
    conflicts: tuple[Conflict, ...]
    comments: tuple[str, ...]


def merged(base: Document, mine: Document, theirs: Document) -> Merged:
    """Bring together what was made of `base` on two sides, by keys.

    Where the changed lines are apart the lines of both stay, else the lines of theirs with values of mine.
    Raises `InputError` where one of the texts is not YAML.
    """
    trees = [read_tree(one.view, one.file).values for one in (base, mine, theirs)]
    changes: list[tuple[Key, Any]] = []
    conflicts: list[Conflict] = []
    _compare((trees[0], trees[1], trees[2]), (), changes, conflicts)
    document = theirs
    for key, value in changes:
        if value is ABSENT:
            document = Document(without_value(document.text, key, theirs.file), theirs.file, theirs.base)
        else:
            document = document.with_value(key, value)
    lines = _by_lines(base.view, mine.view, theirs.view)
    if lines is not None:
        try:
            by_lines = Document(as_laid_out(lines, theirs.text), theirs.file, theirs.base)
            if same(read_tree(by_lines.view, theirs.file).values, document.values):
                document = by_lines
        except InputError:
            pass
    old, new = base.view.split("\n"), document.view
    comments = [line.strip() for line in mine.view.split("\n") if "#" in line and line not in old]
    left_out = tuple(line for line in comments if line[line.index("#") :] not in new)
    return Merged(document, tuple(conflicts), left_out)


def _compare(
    sides: tuple[Any, Any, Any], key: Key, changes: list[tuple[Key, Any]], conflicts: list[Conflict]
) -> None:
    """Find what mine changes of theirs, and where both changed; `sides`: base, mine, theirs."""
    base, mine, theirs = sides
    if _same(mine, theirs) or _same(base, mine):
        return
    old = {} if base is ABSENT or base is None else base
    # Two sections where there was none are compared key by key as well.
    if isinstance(old, dict) and isinstance(mine, dict) and isinstance(theirs, dict):
        for name in dict.fromkeys((*old, *theirs, *mine)):
            parts = (old.get(name, ABSENT), mine.get(name, ABSENT), theirs.get(name, ABSENT))
            _compare(parts, (*key, name), changes, conflicts)
    elif _same(base, theirs):
        changes.append((key, mine))
    elif all(isinstance(side, list) for side in sides) and len({len(side) for side in sides}) == 1:
        for i, parts in enumerate(zip(*sides, strict=True)):
            _compare(parts, (*key, i), changes, conflicts)
    else:
        conflicts.append(Conflict(".".join(map(str, key)), base, mine, theirs))


def _same(one: Any, other: Any) -> bool:
    return one is other or (one is not ABSENT and other is not ABSENT and same(one, other))


def _by_lines(base: str, mine: str, theirs: str) -> str | None:
    """The lines of both changes in the places of `base`; None where they overlap."""
    old = base.split("\n")
    edits = []
    for side in (mine, theirs):
        new = side.split("\n")
        matcher = difflib.SequenceMatcher(None, old, new, autojunk=False)
        edits += [(i, j, new[k:m]) for kind, i, j, k, m in matcher.get_opcodes() if kind != "equal"]
    edits.sort(key=lambda edit: edit[:2])
    merged_lines: list[str] = []
    at, last = 0, None
    for begin, end, lines in edits:
        if (begin, end, lines) == last:
            continue  # both sides made it
        if begin < at:
            return None
        merged_lines += [*old[at:begin], *lines]
        at, last = end, (begin, end, lines)
    return "\n".join([*merged_lines, *old[at:]])
