"""Reading JSON as people write it."""

from __future__ import annotations

import json
from typing import Any

_DECODER = json.JSONDecoder()
_LENIENT = json.JSONDecoder(parse_int=str)  # Python refuses to convert integers of more than 4,300 digits


def parse_json(text: str) -> Any:
    """One value; NaN and infinities are accepted, integers of any length too (the longest as text)."""
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return _LENIENT.decode(text)


def parse_json_at(text: str, position: int) -> tuple[Any, int]:
    """The value that starts at `position`, and where it ends."""
    try:
        return _DECODER.raw_decode(text, position)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return _LENIENT.raw_decode(text, position)


def describe(message: str, column: int) -> str:
    """What is wrong, as a JSONDecodeError says it, and in which column."""
    # Some of them end in "at": "Unterminated string starting at".
    return f"{message[:1].lower()}{message[1:].removesuffix(' at')} at column {column}"
