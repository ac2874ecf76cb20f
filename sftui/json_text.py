"""JSON for stdout: what it quotes from others cannot drive the terminal that it is printed on."""

from __future__ import annotations

import json
import re
from typing import Any

# Control characters that JSON itself leaves as they are, marks that reorder or hide text, and half
# surrogate pairs, which no output can encode.
_UNSAFE = re.compile("[\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ud800-\udfff]")


def json_text(value: Any, indent: int | None = None) -> str:
    """`value` as JSON, with such characters as escapes; the same value to whoever parses it."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
