"""Characters broken by reading UTF-8 as something else."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sftui.data.findings.facts import RowFacts, excerpt, finding, in_message, written
from sftui.data.views import RowFinding

# What the second and later bytes of a UTF-8 character (80 to BF) look like in Latin-1 and in Windows-1252.
_TAIL = "\x80-\xbf" + "".join(bytes(range(0x80, 0xA0)).decode("cp1252", "ignore"))
# The first bytes: of Latin and Greek letters (two bytes), of punctuation (three), of emoji (four). Those
# before ordinary words of French or Portuguese (Â, Ã) need a tail that no such word goes on with.
_BROKEN = re.compile(
    f"Ã[{_TAIL}]|Â[\x80-\xbf]|â€[{_TAIL}]|â\x80[\x80-\xbf]|ðŸ[{_TAIL}]|ð\x9f[\x80-\xbf]|\ufffd"
)
_FIRST = ("Ã", "Â", "â€", "â\x80", "ðŸ", "ð\x9f", "\ufffd")


def mojibake(facts: RowFacts) -> Iterable[RowFinding]:
    """UTF-8 that was decoded as Windows-1252 or Latin-1, or replaced by U+FFFD."""
    text = facts.text
    if text.isascii() or not any(first in text for first in _FIRST):
        return ()
    for index, content in written(facts.conversation):
        for match in _BROKEN.finditer(content):
            broken = match[0]
            # A closing French quotation mark stands behind a space that does not break.
            if broken == "\ufffd" or _was_character(content, match.start()):
                around = content[max(0, match.start() - 12) : match.end() + 12]
                return (finding(facts, "mojibake", f"{excerpt(around)}{in_message(index)}", index, broken),)
    return ()


def _was_character(content: str, start: int) -> bool:
    """Whether the characters from `start` on are the bytes of one UTF-8 character."""
    raw = bytearray()
    for char in content[start : start + 4]:
        try:
            raw += char.encode("cp1252")
        except UnicodeEncodeError:
            if ord(char) > 0xFF:
                break
            raw.append(ord(char))
    length = 2 if raw[0] < 0xE0 else 3 if raw[0] < 0xF0 else 4
    try:
        return len(raw[:length].decode("utf-8")) == 1
    except UnicodeDecodeError:
        return False
