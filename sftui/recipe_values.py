"""Values of the recipe's fields as a person types and sees them: `2.0e-4`, `null`, `q_proj, v_proj`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML

from sftui.errors import InputError, shorten
from sftui.recipe import Recipe, Source, source_list
from sftui.recipe_errors import found_mistakes
from sftui.recipe_fields import FieldInfo
from sftui.recipe_override import parse_override, put
from sftui.recipe_tree import plain
from sftui.words import exact

_NULL = ("null", "~")
_TRUE, _FALSE = ("true", "yes", "on"), ("false", "no", "off")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
# An item up to a comma that is not within quotes; a key up to such a colon.
_ITEM = re.compile(rf"((?:{_QUOTED}|[^,])*)(?:,|$)", re.DOTALL)
_PAIR = re.compile(rf"\s*({_QUOTED}|[^:]*):(.*)", re.DOTALL)


def parse_value(field: FieldInfo, text: str) -> Any:
    """What `text` means as the value of a field: what `format_value` writes, and what people write as well.

    Lists and mappings with or without brackets, texts with commas in double quotes; an empty text is null,
    no items, or nothing. Sources come as the recipe's file holds them: mappings with a `path`. Raises
    `InputError` in the words of the recipe's own errors for what the field cannot hold by itself; what other
    fields say against it is not looked at.
    """
    stripped = text.strip()
    if field.optional and (not stripped or stripped.lower() in _NULL):
        return None
    try:
        value = _READERS[field.kind](field, stripped)
    except InputError as error:
        raise InputError(error.problem, key=field.key) from None
    _require_valid(field, value)
    return value


def format_value(field: FieldInfo, value: Any) -> str:
    """A value of the field as one line, which `parse_value` reads back."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if field.kind == "sources":
        return _sources_text(value)
    if isinstance(value, float):
        return exact(value)
    if isinstance(value, Mapping):
        pairs = (f"{_quoted(str(k), ',:')}: {_quoted(str(v), ',:')}" for k, v in value.items())
        return ", ".join(pairs) or "{}"
    if isinstance(value, list | tuple):
        items = ", ".join(_quoted(str(item), ",") for item in value)
        return f"[{items}]" if not value or (field.or_text and len(value) == 1) else items
    if isinstance(value, str) and field.kind != "choice":
        return _quoted(value, "," if field.or_text else "", null=field.optional)
    return str(value)


def _require_valid(field: FieldInfo, value: Any) -> None:
    """Raise what the typed model says of a value at this key, and of nothing else."""
    parts, _ = parse_override(f"{field.key}=")
    # Any source stands for itself as the first one.
    key = tuple(0 if isinstance(part, int) else part for part in parts)
    dotted = ".".join(map(str, key))
    tree: dict[str, Any] = {}
    put(tree, key, value)
    try:
        Recipe.model_validate(tree)
    except ValidationError as error:
        for mistake in found_mistakes(error, "", {}, {}):
            at = mistake.key or ""
            if at == dotted or at.startswith(f"{dotted}."):
                raise InputError(mistake.problem, key=field.key + at.removeprefix(dotted)) from None


# -- texts to values


def _read_choice(field: FieldInfo, text: str) -> str:
    return next((choice for choice in field.choices if choice.lower() == text.lower()), text)


def _read_switch(field: FieldInfo, text: str) -> bool:
    word = text.lower()
    if word not in _TRUE + _FALSE:
        raise InputError(f"found {shorten(text)}, expected true or false")
    return word in _TRUE


def _read_integer(field: FieldInfo, text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"found {shorten(text)}, expected a whole number")
    return int(number) if number.is_integer() else number  # 4.5 is refused when it is validated


def _read_number(field: FieldInfo, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"found {shorten(text)}, expected a number") from None


def _read_text(field: FieldInfo, text: str) -> str:
    return _unquoted(text)


def _read_list(field: FieldInfo, text: str) -> Any:
    inner = _within(text, "[", "]")
    items = [_unquoted(item) for item in _split(text if inner is None else inner)]
    return items[0] if field.or_text and inner is None and len(items) == 1 else items


def _read_mapping(field: FieldInfo, text: str) -> dict[str, str]:
    inner = _within(text, "{", "}")
    found = {}
    for item in _split(text if inner is None else inner):
        pair = _PAIR.fullmatch(item)
        if pair is None:
            raise InputError(f"found {shorten(item)}, expected our name: theirs, our name: theirs")
        found[_unquoted(pair[1].strip())] = _unquoted(pair[2].strip())
    return found


def _read_sources(field: FieldInfo, text: str) -> Any:
    if not text.startswith(("[", "{")):
        return source_list([_unquoted(item) for item in _split(text)])
    try:
        value = json.loads(text)
    except ValueError:
        value = _read_yaml(text)
    return source_list([value] if isinstance(value, dict) else value)


def _read_yaml(text: str) -> Any:
    try:
        return plain(YAML(typ="safe", pure=True).load(text))
    except Exception:  # beside its own, the library lets others through: a month 13, `!!bool maybe`
        raise InputError(f"found {shorten(text)}, expected paths, or sources as in the file") from None


_READERS: Mapping[str, Callable[[FieldInfo, str], Any]] = {
    "choice": _read_choice,
    "switch": _read_switch,
    "integer": _read_integer,
    "number": _read_number,
    "text": _read_text,
    "path": _read_text,
    "model": _read_text,
    "list": _read_list,
    "mapping": _read_mapping,
    "sources": _read_sources,
}


def _within(text: str, opening: str, closing: str) -> str | None:
    """What stands between brackets around all of `text`; None without them."""
    return text[1:-1] if len(text) > 1 and text[0] == opening and text[-1] == closing else None


def _split(text: str) -> list[str]:
    """The items between commas, without the blanks around them; none of a blank text, nor after the last."""
    items, at = [], 0
    while at < len(text):
        match = _ITEM.match(text, at)
        if match is None:
            break
        items.append(match[1].strip())
        at = match.end()
    return items if any(items) else []


def _unquoted(text: str) -> str:
    """A text without its double quotes, where it stands in them."""
    if not re.fullmatch(_QUOTED, text, re.DOTALL):
        return text
    try:
        return str(json.loads(text))
    except ValueError:
        return text


# -- values to texts


def _quoted(text: str, separators: str, *, null: bool = False) -> str:
    """`text`, in double quotes where it would be read otherwise without them."""
    plain_enough = (
        text != ""
        and text == text.strip()
        and text.isprintable()
        and '"' not in text
        and not any(char in text for char in separators)
        and not (separators and text[0] in "[{")
        and not (null and text.lower() in _NULL)
    )
    return text if plain_enough else _json(text)


def _sources_text(value: Any) -> str:
    """Paths by commas where there is nothing else to say, else the sources as JSON, which YAML reads too."""
    trees = [
        item.model_dump(mode="json", exclude_defaults=True) if isinstance(item, Source) else item
        for item in source_list(value)
    ]
    if trees and all(tree.keys() == {"path"} for tree in trees):
        return ", ".join(_quoted(tree["path"], ",") for tree in trees)
    return _json(trees)


def _json(value: Any) -> str:
    """As JSON on one line; characters that cannot be seen are written as escapes."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)
