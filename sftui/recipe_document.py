"""The text of the open recipe: the one truth behind a form and a YAML view of it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticUndefined

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.recipe_edit import as_laid_out, unmarked, with_value, without_value
from sftui.recipe_errors import Key, field_of, found_mistakes, nearest_line
from sftui.recipe_file import resolve_paths
from sftui.recipe_override import get, parse_key, put
from sftui.recipe_tree import Tree, read_tree, require_values

_ABSENT = object()
# Stand in for what is required and missing or wrong, while other mistakes are looked for.
_PRESENT = {"model": {"name_or_path": "model"}, "data": {"train": [{"path": "rows.jsonl"}]}}


@dataclass(frozen=True, slots=True)
class Problem:
    """What keeps a text from being a recipe: where (1-based line, dotted key), and what was expected."""

    line: int | None
    key: str | None
    message: str
    hint: str | None = None


@dataclass(frozen=True)
class Document:
    """The text of a recipe and what it says. Edits give a new document.

    `file` is what it is called in errors; relative paths are relative to `base`, without one they stay as
    they are written. Keys are dotted, items of a list by number (`data.train.0.path`), or tuples where a
    name has a dot in it.
    """

    text: str
    file: str = "recipe"
    base: Path | None = None

    @property
    def recipe(self) -> Recipe | None:
        """The recipe, its paths absolute; None while the text is none. Not to be changed."""
        return self._checked[0]

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that keeps the text from being a recipe, in the order of the lines."""
        return self._checked[1]

    @property
    def view(self) -> str:
        """The text for an editor: lines ended by a newline, no byte order mark."""
        return unmarked(self.text)

    @property
    def values(self) -> dict[str, Any]:
        """What is written, as it is written, sources in their long form; {} for what is not YAML."""
        tree = self._tree
        return {} if isinstance(tree, InputError) else tree.copy()

    def is_written(self, key: str | Key) -> bool:
        """Whether the text itself has a value for `key`."""
        return self._written(key) is not _ABSENT

    def value(self, key: str | Key) -> Any:
        """What is written at `key`, be it wrong; else the default, None where there is none."""
        value = self._written(key)
        return default_of(key) if value is _ABSENT else copy.deepcopy(value)

    def line(self, key: str | Key) -> int | None:
        """The line of `key`, else of the section around it; None where that is not written either."""
        tree = self._tree
        return None if isinstance(tree, InputError) else nearest_line(as_key(key), tree.lines)

    def with_value(self, key: str | Key, value: Any) -> Document:
        """With `value` (plain Python types) at `key`, every other line as it is.

        Sections on the way are made, `adapter: null` becomes one; a number just behind the end of a list
        adds an item. The value may be wrong: that is a problem of the new document. Raises `InputError`
        where the text is not YAML, and for a key that cannot be.
        """
        return self._edited(with_value(self.text, as_key(key), value, self.file))

    def with_values(self, values: Mapping[str, Any]) -> Document:
        """With the values of several keys, one after the other."""
        document = self
        for key, value in values.items():
            document = document.with_value(key, value)
        return document

    def without_value(self, key: str | Key) -> Document:
        """Without `key`, so that its default holds; a list without that item.

        Where a merge key (<<) gives the section another value, the default is written instead.
        """
        parts = as_key(key)
        try:
            return self._edited(without_value(self.text, parts, self.file))
        except InputError:
            default = default_of(parts)
            if not self.is_written(parts) or default is None:
                raise
            return self.with_value(parts, default)

    def with_text(self, text: str) -> Document:
        """With another text, as an editor gives it back; byte order mark and line ends stay as they are."""
        return self if text == self.view else self._edited(as_laid_out(text, self.text))

    def _edited(self, text: str) -> Document:
        return self if text == self.text else Document(text, self.file, self.base)

    def _written(self, key: str | Key) -> Any:
        try:
            return _ABSENT if isinstance(self._tree, InputError) else get(self._tree.values, as_key(key))
        except (KeyError, IndexError, TypeError, ValueError):
            return _ABSENT

    @cached_property
    def _tree(self) -> Tree | InputError:
        try:
            # Without nodes, of which a history of documents would keep many megabytes.
            return replace(read_tree(self.view, self.file), node=None)
        except InputError as error:
            return error

    @cached_property
    def _checked(self) -> tuple[Recipe | None, tuple[Problem, ...]]:
        tree = self._tree
        try:
            if isinstance(tree, InputError):
                raise tree
            require_values(tree, self.file)
        except InputError as error:
            return None, (Problem(error.line, error.key, error.problem, error.hint),)
        values = tree.copy()
        if self.base is not None:
            resolve_paths(values, self.base)
        try:
            return Recipe.model_validate(values), ()
        except ValidationError as error:
            return None, _problems(error, values, tree)


def as_key(key: str | Key) -> Key:
    """A dotted key in parts, items of lists as numbers."""
    return key if isinstance(key, tuple) else parse_key(key)


def default_of(key: str | Key) -> Any:
    """The default of a field in plain Python types; None where it has none."""
    field = field_of(as_key(key))
    default = field.get_default(call_default_factory=True) if field is not None else None
    if default is PydanticUndefined:
        return None
    return default.model_dump() if isinstance(default, BaseModel) else default


def _problems(error: ValidationError, values: dict[str, Any], tree: Tree) -> tuple[Problem, ...]:
    """All mistakes; those between fields too, which pydantic looks for only where each field is right."""
    mistakes: list[InputError] = []
    seen: set[str] = set()
    left: ValidationError | None = error
    while left is not None:
        found = found_mistakes(left, "", tree.lines, {}, beside_fields=True)
        # What is said of a field that was wrong is said of its stand-in.
        names = {key.rsplit(".", 1)[-1] for key in seen}
        mistakes += [one for one in found if names.isdisjoint(re.findall(r"\w+", one.problem))]
        wrong = {one.key for one in found if one.key} - seen
        seen |= wrong
        for key in sorted(wrong, reverse=True):
            _take_out(values, as_key(key))
        left = _refusal(values) if wrong else None
    problems = dict.fromkeys(Problem(one.line, one.key, one.problem, _hint(one.key)) for one in mistakes)
    return tuple(sorted(problems, key=lambda one: one.line or 0))


def _refusal(values: dict[str, Any]) -> ValidationError | None:
    try:
        Recipe.model_validate(values)
    except ValidationError as error:
        return error
    return None


def _take_out(values: dict[str, Any], key: Key) -> None:
    try:
        parent = get(values, key[:-1])
        if isinstance(parent, dict):
            parent.pop(str(key[-1]), None)
        first = tuple(0 if isinstance(part, int) else part for part in key)
        if key[0] in _PRESENT and field_of(key) is not None and default_of(key) is None:
            put(values, key, get(_PRESENT, first))
    except (InputError, KeyError, IndexError, TypeError, ValueError):
        return  # within something that is itself taken out


def _hint(key: str | None) -> str | None:
    """What the field is, for who has not found the right value."""
    field = field_of(as_key(key)) if key else None
    return field.description if field is not None else None
