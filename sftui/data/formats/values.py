"""Values as a row holds them: checked, parsed, and named in messages to a person."""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable
from itertools import islice
from typing import Any, NoReturn

from sftui.data.sources.json_text import parse_json
from sftui.errors import InputError

_NAMES_SHOWN = 20
_NAMES_COMPARED = 100
_LONGEST_NAME_COMPARED = 60
_SHOWN = 60  # characters of a value

# Bounded in depth and width: a row's value may be of any size.
_BRIEF = reprlib.Repr()
_BRIEF.maxstring = _BRIEF.maxother = _BRIEF.maxlong = _SHOWN
_BRIEF.maxlevel = 4


def found(value: object) -> str:
    """`value` in JSON's words, of bounded length, whatever it is."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    kind = _kind(value)
    if isinstance(value, str | list | dict) and not value:
        return f"an empty {kind.split()[-1]}"
    try:
        shown = _BRIEF.repr(value)
    except (ValueError, RecursionError):  # Python does not print integers of more than 4,300 digits
        return f"{kind} too large to show"
    if len(shown) > _SHOWN:
        shown = f"{shown[: _SHOWN // 2]}…{shown[-_SHOWN // 2 + 1 :]}"
    return f"{kind} {shown}"


def _kind(value: object) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return "a number" if isinstance(value, int | float) else f"a value of type {type(value).__name__}"


def listed(names: Iterable[str]) -> str:
    """`names`, quoted, the first of many; `none` if there are none."""
    names = list(names)
    shown = ", ".join(_BRIEF.repr(name) for name in names[:_NAMES_SHOWN]) or "none"
    return f"{shown} and {len(names) - _NAMES_SHOWN:,} more" if len(names) > _NAMES_SHOWN else shown


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The one of `names` that is most like `name`, if any is."""
    if len(name) > _LONGEST_NAME_COMPARED:
        return None
    sought = [other for other in islice(names, _NAMES_COMPARED) if len(other) <= _LONGEST_NAME_COMPARED]
    close = difflib.get_close_matches(name, sought, n=1)
    return close[0] if close else None


def refuse(value: object, key: str, where: str, expected: str, hint: str | None = None) -> NoReturn:
    """Raise InputError: what was found at `key` of row `where`, and what was expected."""
    raise InputError(f"found {found(value)}: expected {expected}", file=where, key=key, hint=hint)


def checked_text(value: object, key: str, where: str, expected: str = "text") -> str:
    """`value` if it is text that can be encoded; raises InputError otherwise."""
    if not isinstance(value, str):
        refuse(value, key, where, expected)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise InputError(
                f"character {error.start + 1:,} is {value[error.start]!r}, half of a surrogate pair, which "
                "no tokenizer can read: expected whole characters",
                file=where,
                key=key,
            ) from error
    return value


def parsed(text: str) -> Any:
    """The value of JSON `text`; raises ValueError if it is not JSON or is nested too deeply."""
    try:
        return parse_json(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def unpacked(value: object, key: str, where: str, expected: str) -> object:
    """`value`, parsed if it is JSON in a text, as in files that cannot nest; blank text is None."""
    if not isinstance(value, str):
        return value
    if not value.strip():
        return None
    try:
        return parsed(value)
    except ValueError as error:
        raise InputError(
            f"found text that is not JSON ({_BRIEF.repr(value)}): expected {expected}", file=where, key=key
        ) from error
