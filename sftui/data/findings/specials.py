"""Special tokens where they should not be, or missing where they should be."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from sftui.data.findings.facts import RowFacts, finding, in_message, written
from sftui.data.views import RowFinding


def beginning_of_text(facts: RowFacts) -> Iterable[RowFinding]:
    """The token that begins a text, twice or not at all."""
    bos, ids = facts.bos_token_id, facts.ids
    if bos is None or not ids:
        return ()
    if ids[0] != bos:
        if not facts.adds_bos:
            return ()
        return (RowFinding("missing-bos", "the text begins without it", 0, facts.offsets[0][1]),)
    if len(ids) > 1 and ids[1] == bos:
        start, end = facts.offsets[1]
        return (RowFinding("double-bos", f"{facts.text[start:end]} again", start, end),)
    return ()


def special_tokens_in_content(facts: RowFacts) -> Iterable[RowFinding]:
    """A special token's text within a message; a plain text may have its own."""
    if facts.conversation.text is not None or not facts.special_strings:
        return ()
    first, pattern = _pattern(facts.special_strings)
    for index, text in written(facts.conversation):
        if any(char in text for char in first) and (match := pattern.search(text)):
            literal = match[0]
            return (finding(facts, "literal-special-token", f"{literal}{in_message(index)}", index, literal),)
    return ()


@lru_cache(maxsize=16)
def _pattern(special: frozenset[str]) -> tuple[str, re.Pattern[str]]:
    """The first characters of all special tokens, and a pattern of them, the longest first."""
    ordered = sorted(special, key=lambda token: (-len(token), token))
    return "".join({token[0] for token in ordered}), re.compile("|".join(map(re.escape, ordered)))
