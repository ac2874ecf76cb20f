"""Find, in the one full text of a conversation, what the model is trained to produce.

A trained turn begins where the generation prompt before it ends, and ends with the token that ends
the turn. Both are found by comparing the full text with renderings of a part of the conversation;
such renderings are never joined, for templates write history otherwise than the last turn.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from sftui.data.formats import Conversation
from sftui.data.rendering import Rendering
from sftui.data.template import ChatTemplate
from sftui.errors import InputError
from sftui.recipe import TrainOn


class Span(NamedTuple):
    """Trained characters text[start:end] of message number `turn`."""

    start: int
    end: int
    turn: int


@dataclass(frozen=True, slots=True)
class TrainedText:
    """A conversation's full text and its trained spans, in order and without overlap."""

    text: str
    spans: tuple[Span, ...]


def trained_text(template: ChatTemplate, conversation: Conversation, train_on: TrainOn) -> TrainedText:
    """Render `conversation` and locate what `train_on` selects.

    A span runs from where the generation prompt ends through the token that ends the turn, or through
    the content if no special token follows it. `everything` is one span, of turn -1. The template's
    `{% generation %}` blocks decide if it has them. Raises InputError, naming the row, if the template
    refuses the conversation or a turn cannot be found in its text.
    """
    turns = _selected(conversation, train_on)
    rendering = Rendering(template, conversation)
    if train_on == "everything":
        return TrainedText(rendering.text, (Span(0, len(rendering.text), -1),))
    if template.marks_generation:
        spans = [span for span in _marked(rendering) if span.turn in turns]
    else:
        spans = [_compared(rendering, turn) for turn in turns]
    for span, following in pairwise(spans):
        if following.start < span.end:
            raise _not_located(conversation, following.turn)
    return TrainedText(rendering.text, tuple(spans))


def _selected(conversation: Conversation, train_on: TrainOn) -> list[int]:
    turns = conversation.assistant_turns()
    if train_on == "last_assistant":
        return turns[-1:]
    if train_on == "completion":
        if conversation.completion_start is None:
            raise InputError(
                "the row does not tell prompt from completion, as train_on: completion needs: "
                "expected columns prompt and completion, or train_on: assistant or last_assistant",
                file=conversation.where,
            )
        return [turn for turn in turns if turn >= conversation.completion_start]
    return turns


def _not_located(conversation: Conversation, turn: int) -> InputError:
    return InputError(
        f"cannot tell where message {turn}, an assistant turn, stands in the chat template's text",
        file=conversation.where,
        hint="a template that marks it with {% generation %}..{% endgeneration %} would say",
    )


def _marked(rendering: Rendering) -> list[Span]:
    """The template's `{% generation %}` blocks, each with the turn that it belongs to."""
    conversation = rendering.conversation
    blocks = rendering.template.generation_spans(
        conversation.messages, conversation.tools, conversation.where
    )
    turns = conversation.assistant_turns()
    if not turns:
        return []
    if len(blocks) == len(turns):
        return [Span(*block, turn) for block, turn in zip(blocks, turns, strict=True)]
    # Some turns have no block or several: a block belongs to the first turn that ends after it begins.
    ends = [(rendering.place(turn).end or 0, turn) for turn in turns]
    return [
        Span(start, end, next((turn for known, turn in ends if known >= start), turns[-1]))
        for start, end in blocks
    ]


def _compared(rendering: Rendering, turn: int) -> Span:
    start = _start(rendering, turn)
    end = None if start is None else _end(rendering, turn, start)
    if start is None or end is None or end < start:
        raise _not_located(rendering.conversation, turn)
    return Span(start, end, turn)


def _start(rendering: Rendering, turn: int) -> int | None:
    """Where the generation prompt before `turn` ends."""
    text, place, cue = rendering.text, rendering.place(turn), _frame(rendering.template).cue
    if cue and place.start is not None and text.endswith(cue, 0, place.start):
        return place.start
    prompt = rendering.part(turn, add_generation_prompt=True)
    if prompt is not None and text.startswith(prompt):
        return len(prompt)
    # The generation prompt may hold more than the template writes before this turn, such as the <think>
    # that opens reasoning: the turn begins where the two part, at the last whole line or token.
    before = None if prompt is None else rendering.part(turn)
    if prompt is not None and before is not None and text.startswith(before) and prompt.startswith(before):
        parting = _shared_length(text, prompt)
        if place.start is not None and place.start <= parting:
            return place.start
        shared = prompt[len(before) : parting]
        whole = max(shared.rfind("\n") + 1, _last_special(shared, rendering.template.special_strings))
        if whole:
            return len(before) + whole
    # The prompt's history is written otherwise: compare only what follows the message before.
    floor = rendering.place(turn - 1).end if turn else 0
    if floor is None:
        return None
    lead = rendering.lead(turn)
    if lead and text.startswith(lead, floor):
        return floor + len(lead)
    ceiling = next((at for at in (*place, _limit(rendering, turn)) if at is not None), None)
    found = text.find(cue, floor, ceiling) if cue and ceiling is not None else -1
    return None if found < 0 else found + len(cue)


def _end(rendering: Rendering, turn: int, start: int) -> int | None:
    """Where the token ends that ends `turn`, whose trained text begins at `start`."""
    text, special = rendering.text, rendering.template.special_strings
    messages = rendering.conversation.messages
    content_end = rendering.place(turn).end
    limit = _limit(rendering, turn)
    if content_end is not None and not messages[turn].get("tool_calls"):
        return content_end + _first_special(text[content_end:limit], special)[1]
    # Tool calls follow the content and may hold special tokens themselves: look for the one that ends
    # a plain turn, or else for the last that the turn has when it is the last.
    after = start if content_end is None else max(start, content_end)
    closing = _frame(rendering.template).closing
    found = text.find(closing, after, limit) if closing and limit is not None else -1
    if found >= 0:
        return found + len(closing)
    alone = rendering.part(turn + 1)
    shared = 0 if alone is None else _shared_length(text, alone)
    length = _last_special(text[after:shared], special)
    return after + length if length else None


def _limit(rendering: Rendering, turn: int) -> int | None:
    """Before what the turn ends: the next message's content, or the end of the text."""
    last = turn + 1 == len(rendering.conversation.messages)
    return len(rendering.text) if last else rendering.place(turn + 1).start


@dataclass(frozen=True, slots=True)
class _Frame:
    """What a template writes around a plain turn; empty where that cannot be told."""

    cue: str = ""  # the last words before it: the generation prompt, or what follows the user's words
    closing: str = ""  # the special token that ends it


@lru_cache(maxsize=16)
def _frame(template: ChatTemplate) -> _Frame:
    user, answer = {"role": "user", "content": "userprobe"}, {"role": "assistant", "content": "answerprobe"}
    try:
        asked = template.render([user])
        prompt = template.render([user], add_generation_prompt=True)
        answered = template.render([user, answer])
    except InputError:
        return _Frame()
    added = prompt.removeprefix(asked) if prompt.startswith(asked) else ""
    rest = answered.partition("answerprobe")[2]
    start, end = _first_special(rest, template.special_strings)
    return _Frame(cue=added or prompt.partition("userprobe")[2], closing=rest[start:end])


@lru_cache(maxsize=512)  # the text between two contents is the same in every row
def _first_special(text: str, special: frozenset[str]) -> tuple[int, int]:
    """Start and end of the first special token in `text`, the longest of several; (0, 0) for none."""
    found = [(text.find(token), -len(token)) for token in special if token in text]
    start, length = min(found, default=(0, 0))
    return start, start - length


def _last_special(text: str, special: frozenset[str]) -> int:
    """Where the last special token in `text` ends; 0 for none."""
    return max((text.rfind(token) + len(token) for token in special if token in text), default=0)


def _shared_length(one: str, other: str) -> int:
    """Length of the longest common prefix."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one.startswith(other[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low
