"""Edits of the open recipe: in its values at once, in its text as a job for a thread."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.recipe_document import Document, Problem, as_key, default_of
from sftui.recipe_edit import REMOVED
from sftui.recipe_file import resolve_paths
from sftui.recipe_merge import ABSENT, merged
from sftui.recipe_override import get, put
from sftui.recipe_save import as_override
from sftui.recipe_tree import expand_sources, same

_WHOLE = 1e15  # floats up to here are whole numbers to the last digit


@dataclass(frozen=True, slots=True)
class Edit:
    """A value for a key; `REMOVED` for its default, or for an item of a list to go."""

    key: str
    value: Any


@dataclass(frozen=True, slots=True)
class Job:
    """Edits whose text is to be made, which takes tens of milliseconds: for a thread."""

    document: Document
    edits: tuple[Edit, ...]

    def made(self) -> Document:
        """The document with the edits in its text. Raises InputError where it is not YAML."""
        document = self.document
        for edit in self.edits:
            if edit.value is REMOVED:
                document = document.without_value(edit.key)
            else:
                document = document.with_value(edit.key, edit.value)
        _ = document.recipe  # checked here, and not where keys wait
        return document


def shortened(edits: Sequence[Edit]) -> tuple[Edit, ...]:
    """Edits that come to the same: of many steps of one field only the last."""
    last: dict[str, Edit] = {}
    for edit in edits:
        structural = edit.value is REMOVED or edit.value is None or isinstance(edit.value, dict | list)
        if structural or any(other.startswith(f"{edit.key}.") for other in last):
            return tuple(edits)
        last[edit.key] = edit
    return tuple(last.values())


def as_written(key: str, value: Any, read: Document | None) -> Any:
    """A value as it is written: whole numbers without a point, no default where the file `read` has none.

    So what is taken back leaves no trace.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < _WHOLE:
        value = int(value)
    if value is REMOVED or read is None or read.is_written(key):
        return value
    default = default_of(key)
    is_default = default == value and isinstance(default, bool) == isinstance(value, bool)
    return REMOVED if is_default and default is not None else value


def as_typed(key: str, value: Any) -> str:
    """A change as a person gives it on the command line: `adapter.lora_alpha=64`, which is a float."""
    if isinstance(value, bool):
        return as_override(key, str(value).lower())
    return as_override(key, int(value) if isinstance(value, float) and value.is_integer() else value)


def recipe_of(values: Mapping[str, Any], base: Path | None) -> Recipe:
    """The recipe that values are; raises ValidationError."""
    tree = copy.deepcopy(dict(values))
    if base is not None:
        resolve_paths(tree, base)
    return Recipe.model_validate(tree)


def value_at(values: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key; `ABSENT` where there is none."""
    try:
        return get(values, as_key(key))
    except (KeyError, IndexError, TypeError, ValueError):
        return ABSENT


def applied(tree: Any, edit: Edit) -> None:
    """Make an edit in a tree of values, in place. Raises InputError for a key that cannot be."""
    key = as_key(edit.key)
    if edit.value is not REMOVED:
        put(tree, key, copy.deepcopy(edit.value))
        expand_sources(tree)
    elif value_at(tree, edit.key) is not ABSENT:
        parent = get(tree, key[:-1])
        del parent[int(key[-1]) if isinstance(parent, list) else str(key[-1])]


def differences(document: Document, recipe: Recipe) -> dict[str, Any]:
    """The values that a recipe has otherwise than a document."""
    mine = document.recipe
    tree = recipe.model_dump(mode="json")
    old = {} if mine is None else mine.model_dump(mode="json")
    found: dict[str, Any] = {}
    for name, value in tree.items():
        before = old.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            found |= {f"{name}.{key}": new for key, new in value.items() if new != before.get(key)}
        elif value != before:
            found[name] = value
    return found


def remedy(values: Mapping[str, Any]) -> dict[str, Any]:
    """What mends fields that contradict each other: all weights can be trained unquantised only."""
    quantization = value_at(values, "model.quantization")
    quantised = (default_of("model.quantization") if quantization is ABSENT else quantization) != "none"
    return {"model.quantization": "none"} if value_at(values, "adapter") is None and quantised else {}


def with_section(document: Document, key: str, before: Document) -> Document:
    """`document` with a section that is null in it as `before` has it, comments too. Raises InputError."""
    both = merged(before.with_value(key, None), document, before)
    if both.conflicts or both.comments:
        return document.with_value(key, before.value(key))
    return both.document


def says_the_same(one: Document, other: Document) -> bool:
    """Whether they differ in layout alone."""
    return same(one.values, other.values) and _comments(one.view) == _comments(other.view)


def _comments(text: str) -> Counter[str]:
    lines: Iterable[str] = (line for line in text.split("\n") if "#" in line)
    return Counter(line[line.index("#") :].rstrip() for line in lines)


def error_of(document: Document) -> InputError:
    """All problems of a text in one error."""
    problems: Sequence[Problem] = document.problems
    first = problems[0]
    if len(problems) == 1:
        return InputError(first.message, file=document.file, line=first.line, key=first.key)
    lines = [f"{len(problems)} mistakes"]
    lines += [f"  {InputError(one.message, line=one.line, key=one.key)}" for one in problems]
    return InputError("\n".join(lines), file=document.file)
