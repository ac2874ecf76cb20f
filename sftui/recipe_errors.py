"""What is wrong with a recipe, in words: file, line, dotted key, what was found, what was expected."""

from __future__ import annotations

import difflib
import types
from collections.abc import Mapping
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from sftui.errors import InputError, shorten
from sftui.recipe import Recipe
from sftui.words import typed

Key = tuple[str | int, ...]


def explain(
    error: ValidationError, file: str, lines: Mapping[Key, int], overridden: Mapping[Key, str]
) -> InputError:
    """One `InputError` for all that pydantic found, each on a line with its own place."""
    mistakes = found_mistakes(error, file, lines, overridden)
    if len(mistakes) == 1:
        return mistakes[0]
    return InputError("\n".join([f"{len(mistakes)} mistakes", *(f"  {one}" for one in mistakes)]), file=file)


def found_mistakes(
    error: ValidationError,
    file: str,
    lines: Mapping[Key, int],
    overridden: Mapping[Key, str],
    *,
    beside_fields: bool = False,
) -> list[InputError]:
    """All that pydantic found, each with its own place.

    What fields of a section say against each other has the section's key; with `beside_fields`, that of
    the field it speaks of first.
    """
    found: dict[Key, list[str]] = {}
    for details in error.errors(include_url=False):
        key = _without_union_tags(tuple(part for part in details["loc"] if isinstance(part, str | int)))
        sentence = _sentence(details, key)
        found.setdefault(_blamed(key, sentence) if beside_fields else key, []).append(sentence)
    mistakes = []
    for key, sentences in found.items():
        if any(other != key and other[: len(key)] == key for other in found):
            continue  # a list with a wrong item was also tried as a text: the item says enough
        source = _override_of(key, lines, overridden)
        mistakes.append(
            InputError(
                _joined(sentences),
                file=f"in {source}" if source else file,
                line=None if source else nearest_line(key, lines),
                key=".".join(map(str, key)) or None,
            )
        )
    return mistakes


def _override_of(key: Key, lines: Mapping[Key, int], overridden: Mapping[Key, str]) -> str | None:
    """The override that a mistake at `key` came with: one of `key`, above it, or that made `key`."""
    names = tuple(map(str, key))
    for start, text in reversed(list(overridden.items())):
        above = tuple(map(str, start))
        made = key and key not in lines and above[: len(names)] == names
        if above == names[: len(above)] or made:
            return text
    return None


def _joined(sentences: list[str]) -> str:
    """One sentence for a field that may be of several types, each of which was tried and refused."""
    first, *others = sentences
    return " or ".join([first, *(other.rpartition(", expected ")[2] for other in others)])


def _blamed(section: Key, sentence: str) -> Key:
    """The field that a sentence on several fields of a section begins with; else the section."""
    key: Key = (*section, *sentence.split(" ", 1)[0].split("."))
    return key if field_of(key) is not None else section


def _without_union_tags(key: Key) -> Key:
    """Drop the parts that pydantic adds to say which member of a union it tried (`str`, `list[str]`)."""
    return tuple(part for part in key if part != "str" and not str(part).startswith("list["))


def nearest_line(key: Key, lines: Mapping[Key, int]) -> int | None:
    """The line of a key, else of the section it is in; None where that is not written either."""
    while key:
        if key in lines:
            return lines[key]
        key = key[:-1]
    return None


def _sentence(details: ErrorDetails, key: Key) -> str:
    """What was found and what was expected, in words."""
    kind, value = details["type"], details["input"]
    context: dict[str, Any] = details.get("ctx") or {}
    if kind == "extra_forbidden":
        known = known_keys(key[:-1])
        near = difflib.get_close_matches(str(key[-1]), known, n=1, cutoff=0.5)
        expected = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(known)}"
        return f"unknown key; {expected}"
    if kind == "missing":
        return f"is missing; expected {_description(key)}"
    if kind == "literal_error":
        expected = str(context["expected"]).replace("'", "").replace(" or ", ", ")
        near = difflib.get_close_matches(str(value), expected.split(", "), n=1)
        guess = f"; did you mean {near[0]}?" if near else ""
        return f"found {shorten(value)}, expected one of {expected}{guess}"
    if kind == "value_error":
        return str(context["error"])
    expected = details["msg"].removeprefix("Input should be ").removeprefix("a valid ").split(",", 1)[0]
    article = {
        "integer": "a whole number",
        "number": "a number",
        "string": "a text",
        "boolean": "true or false",
    }
    if kind.startswith("int_"):
        expected = "a whole number"
    elif kind.startswith(("greater", "less", "finite")):
        expected = f"a number {expected}".replace("a number a finite number", "a finite number")
    expected = article.get(expected, expected)
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        expected = f"a section with the keys {', '.join(known_keys(key))}"
    elif kind == "list_type":
        expected = "a list"
    elif kind == "too_short":
        expected = "at least one item"
    elif kind == "string_too_short":
        expected = _description(key)
    return f"found {shorten(typed(value) if isinstance(value, float) else value)}, expected {expected}"


def _description(key: Key) -> str:
    field = field_of(key)
    return (field.description if field is not None else None) or "a value"


def field_of(key: Key) -> FieldInfo | None:
    """The field of the typed model at a key, None if there is none; an item of a list has none of its own."""
    return _fields(key[:-1]).get(str(key[-1])) if key and isinstance(key[-1], str) else None


def known_keys(section: Key) -> list[str]:
    """The keys a section of the recipe may have; `section` as a path, () for the top."""
    return list(_fields(section))


def _fields(section: Key) -> dict[str, FieldInfo]:
    model: type[BaseModel] | None = Recipe
    for part in section:
        if isinstance(part, int):
            continue
        if model is None or part not in model.model_fields:
            return {}
        model = _model_in(model.model_fields[part].annotation)
    return dict(model.model_fields) if model is not None else {}


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The pydantic model within `X`, `X | None`, `list[X]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (list, Union, types.UnionType):
        return next(filter(None, map(_model_in, get_args(annotation))), None)
    return None
