"""Trained turns: whether there are any, what ends them, what stands before them."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import lru_cache

from sftui.data.findings.facts import RowFacts, excerpt
from sftui.data.findings.omissions import turns_without_reasoning
from sftui.data.views import RowFinding

_THINK = (("<think>", "</think>"), ("<thinking>", "</thinking>"))


def no_trained_tokens(facts: RowFacts) -> Iterable[RowFinding]:
    """The mask of the whole sequence is empty."""
    if 1 in facts.trained:
        return ()
    turns = facts.conversation.assistant_turns()
    weights = facts.conversation.weights
    if facts.conversation.text is not None or facts.train_on == "everything":
        detail = "the text is empty or one token long"
    elif not turns:
        detail = "no assistant turn"
    elif weights is not None and all(weights[turn] == 0 for turn in turns):
        detail = "the row gives every assistant turn a weight of 0"
    elif facts.spans:
        detail = "the trained turns have no tokens"
    else:
        detail = f"train_on: {facts.train_on} selects none of its assistant turns"
    return (RowFinding("no-trained-tokens", detail),)


def end_of_turn(facts: RowFacts) -> Iterable[RowFinding]:
    """A trained turn whose last token is no special one, or is not trained."""
    text = facts.text
    endings = _as_tuple(facts.special_strings)
    for start, end, turn, weight in facts.spans:
        if turn < 0 or weight == 0 or start == end:
            continue
        if text.endswith(endings, start, end):
            last = bisect_left(facts.offsets, end, key=_end_of) if facts.offsets else 0
            if last < len(facts.trained) and not facts.trained[last]:
                detail = f"message {turn} ends with {excerpt(text[start:end], end=True)}, untrained"
                return (RowFinding("end-of-turn-untrained", detail, end, end),)
        elif (after := text[end : end + 64].lstrip()).startswith(endings) and _ends_turn(facts, end):
            token = max((each for each in endings if after.startswith(each)), key=len)
            detail = f"{token} after message {turn} is not trained"
            return (RowFinding("end-of-turn-untrained", detail, start, end),)
        else:
            detail = f"message {turn} ends with {excerpt(text[start:end], end=True)!r}"
            return (RowFinding("end-of-turn-not-special", detail, start, end),)
    return ()


def rewritten_history(facts: RowFacts) -> Iterable[RowFinding]:
    """Turns that are asked for, or written, otherwise than they are trained, and what that leaves out."""
    if not facts.rewritten:
        return ()
    plural = "s" if len(facts.rewritten) > 1 else ""
    detail = f"message{plural} {_listed(facts.rewritten)}"
    if without := [turn for turn in turns_without_reasoning(facts) if turn in facts.rewritten]:
        detail += f"; reasoning is left out of {_listed(without)}"
    return (RowFinding("template-rewrites-history", detail),)


def think_tags(facts: RowFacts) -> Iterable[RowFinding]:
    """Tags that do not match in an answer, nor after the template has had its way with it."""
    text = facts.text
    if "think" not in text:
        return ()
    for opening, closing in _THINK:
        if text.count(opening) == text.count(closing):
            continue
        for index in facts.conversation.assistant_turns():
            content = facts.conversation.messages[index].get("content")
            if not isinstance(content, str):
                continue
            opened, closed = content.count(opening), content.count(closing)
            if opened != closed:
                detail = f"{opened} {opening} and {closed} {closing} in message {index}"
                at = text.find(opening if opened > closed else closing)
                return (RowFinding("unbalanced-think", detail, at, at + len(opening)),)
    return ()


def _listed(turns: Sequence[int]) -> str:
    return ", ".join(map(str, turns[:5])) + (", .." if len(turns) > 5 else "")


def _ends_turn(facts: RowFacts, end: int) -> bool:
    """Whether what follows belongs to the turn: after it, something else follows or the text ends.

    A special token that only begins the next message comes first in that message's region.
    """
    return all(region.start < end or facts.text[end : region.start].strip() for region in facts.regions)


def _end_of(offset: tuple[int, int]) -> int:
    return offset[1]


@lru_cache(maxsize=16)
def _as_tuple(special: frozenset[str]) -> tuple[str, ...]:
    return tuple(sorted(special))
