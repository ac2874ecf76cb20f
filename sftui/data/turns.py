"""Find, in the one full text of a conversation, what the model is trained to produce.

A trained turn begins where the generation prompt before it ends, and ends with the token that ends
the turn. Both are found by comparing the full text with renderings of a part of the conversation;
such renderings are never joined, for templates write history otherwise than the last turn.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from sftui.data.bounds import OutOfTime, bounded
from sftui.data.conversation import Conversation
from sftui.data.rendering import Rendering
from sftui.data.template import ChatTemplate
from sftui.errors import InputError
from sftui.recipe import TrainOn


class Span(NamedTuple):
    """Trained characters text[start:end] of message number `turn`, and their weight in the loss."""

    start: int
    end: int
    turn: int
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class TrainedText:
    """A conversation's full text and its trained spans, in order and without overlap."""

    text: str
    spans: tuple[Span, ...]


def trained_text(template: ChatTemplate, conversation: Conversation, train_on: TrainOn) -> TrainedText:
    """Render `conversation` and locate what `train_on` selects.

    A span runs from where the generation prompt ends through the token that ends the turn, or through
    the content if no special token follows it. The template's `{% generation %}` blocks decide if it has
    them. `everything` is of turn -1, and one span unless the row has weights; so is a plain text.

    A row's own weights win over `train_on`: 0 leaves a message out, another number trains it, also if it
    is not the assistant's. Of such a message, the content and a special token that ends it are trained.

    Raises InputError, naming the row, if the template refuses the conversation or a turn cannot be found
    in its text.
    """
    try:
        with bounded(template.seconds):
            return _trained_text(template, conversation, train_on)
    except OutOfTime as error:
        raise OutOfTime(error.problem, file=conversation.where) from error


def _trained_text(template: ChatTemplate, conversation: Conversation, train_on: TrainOn) -> TrainedText:
    if conversation.text is not None:
        message = {"role": "text", "content": conversation.text}
        return _whole(template.render([message], where=conversation.where))
    if train_on == "everything":
        return _everything(template, conversation)
    weights = trained_turns(conversation, train_on)
    rendering = Rendering(template, conversation)
    spans: list[Span] = []
    if template.marks_generation and weights:
        spans += (
            Span(start, end, turn, weights[turn])
            for turn, start, end in _marked(rendering)
            if turn in weights
        )
    for turn, weight in weights.items():
        if conversation.messages[turn]["role"] != "assistant":
            spans.append(Span(*_other(rendering, turn), turn, weight))
        elif not template.marks_generation:
            spans.append(Span(*_compared(rendering, turn), turn, weight))
    spans.sort()
    for span, following in pairwise(spans):
        if following.start < span.end:
            raise _not_located(conversation, following.turn)
    return TrainedText(rendering.text, tuple(spans))


def trained_turns(conversation: Conversation, train_on: TrainOn) -> dict[int, float]:
    """The messages that are trained, ascending, and their weights; for `everything`, as for `assistant`.

    Raises InputError if `completion` is asked of a row that does not tell where it begins.
    """
    weights = conversation.weights or (None,) * len(conversation.messages)
    turns = conversation.assistant_turns()
    if train_on == "last_assistant":
        turns = turns[-1:]
    if train_on == "completion" and any(weights[turn] is None for turn in turns):
        start = conversation.completion_start
        if start is None:
            raise InputError(
                "the row does not tell prompt from completion, as train_on: completion needs: "
                "expected columns prompt and completion, or train_on: assistant or last_assistant",
                file=conversation.where,
            )
        turns = [turn for turn in turns if turn >= start]
    chosen = {turn: 1.0 for turn in turns if weights[turn] is None}
    chosen |= {turn: weight for turn, weight in enumerate(weights) if weight}
    return dict(sorted(chosen.items()))


def _whole(text: str) -> TrainedText:
    return TrainedText(text, (Span(0, len(text), -1),) if text else ())


def _everything(template: ChatTemplate, conversation: Conversation) -> TrainedText:
    """The whole text; where messages have weights, each has its own with its header."""
    from sftui.data.regions import regions  # which needs what is above

    text = template.render(conversation.messages, conversation.tools, where=conversation.where)
    weights = conversation.weights
    if weights is None or all(weight is None for weight in weights):
        return _whole(text)
    spans: list[Span] = []
    for region in regions(template, conversation, text, ()):
        own = weights[region.index] if region.index >= 0 else None
        weight = 1.0 if own is None else own
        if not weight or region.start == region.end:
            continue
        if spans and spans[-1].end == region.start and spans[-1].weight == weight:
            spans[-1] = spans[-1]._replace(end=region.end)
        else:
            spans.append(Span(region.start, region.end, -1, weight))
    return TrainedText(text, tuple(spans))


def _not_located(conversation: Conversation, turn: int) -> InputError:
    role = conversation.messages[turn]["role"]
    return InputError(
        f"cannot tell where message {turn}, {'an' if role == 'assistant' else 'a'} {role} turn, "
        "stands in the chat template's text",
        file=conversation.where,
        hint="a template that marks it with {% generation %}..{% endgeneration %} would say",
    )


def _marked(rendering: Rendering) -> list[tuple[int, int, int]]:
    """The template's `{% generation %}` blocks: turn that it belongs to, start and end of each."""
    conversation = rendering.conversation
    blocks = rendering.template.generation_spans(conversation.messages, conversation.tools, rendering.text)
    turns = conversation.assistant_turns()
    if not turns:
        return []
    if blocks is None:
        raise _not_located(conversation, turns[0])
    if len(blocks) == len(turns):
        return [(turn, *block) for block, turn in zip(blocks, turns, strict=True)]
    # Some turns have no block or several: a block belongs to the first turn that ends after it begins.
    ends = [(rendering.place(turn).end or 0, turn) for turn in turns]
    return [
        (next((turn for known, turn in ends if known >= start), turns[-1]), start, end)
        for start, end in blocks
    ]


def _other(rendering: Rendering, index: int) -> tuple[int, int]:
    """Start and end of a message that is not the assistant's: content, and special token that ends it."""
    start, end = rendering.place(index)
    if start is None or end is None:
        raise _not_located(rendering.conversation, index)
    following = rendering.text[end : limit_of(rendering, index)]
    return start, end + first_special(following, rendering.template.special_strings)[1]


def _compared(rendering: Rendering, turn: int) -> tuple[int, int]:
    """Start and end of a turn of the assistant."""
    start = _start(rendering, turn)
    end = None if start is None else _end(rendering, turn, start)
    if start is None or end is None or end < start:
        raise _not_located(rendering.conversation, turn)
    return start, end


def _start(rendering: Rendering, turn: int) -> int | None:
    """Where the generation prompt before `turn` ends."""
    text, cue = rendering.text, frame_of(rendering.template).cue
    place = rendering.aligned(turn)
    if place is not None and cue and text.endswith(cue, 0, place.start):
        return place.start
    before = rendering.aligned(turn - 1)
    if before is not None and before.end is not None and rendering.usual():
        lead = rendering.usual_lead(turn)
        if lead and text.startswith(lead, before.end):
            return before.end + len(lead)
    return _compared_start(rendering, turn, cue)


def _compared_start(rendering: Rendering, turn: int, cue: str) -> int | None:
    """The same from the prompt itself, whatever the contents are."""
    text, place = rendering.text, rendering.place(turn)
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
        # Calls that nothing leads in to, as DeepSeek V3 writes them after the first of a conversation.
        if rendering.conversation.messages[turn].get("tool_calls") and place.start is None:
            return len(before)
    # The prompt's history is written otherwise: compare only what follows the message before.
    floor = rendering.place(turn - 1).end if turn else 0
    if floor is None:
        return None
    lead = rendering.lead(turn)
    if lead and text.startswith(lead, floor):
        # It may have more after these very words than after a probe: templates look for switches in them.
        asked = rendering.conversation.messages[turn - 1].get("content") or ""
        for words in filter(None, (asked, asked.strip())):
            more = (prompt or "").rpartition(words)[2]
            if more.startswith(lead) and text.startswith(more, floor):
                return floor + len(more)
        return floor + len(lead)
    ceiling = next((at for at in (*place, limit_of(rendering, turn)) if at is not None), None)
    found = text.find(cue, floor, ceiling) if cue and ceiling is not None else -1
    return None if found < 0 else found + len(cue)


def _end(rendering: Rendering, turn: int, start: int) -> int | None:
    """Where the token ends that ends `turn`, whose trained text begins at `start`."""
    text, special = rendering.text, rendering.template.special_strings
    message = rendering.conversation.messages[turn]
    calls = message.get("tool_calls") if rendering.template.writes_calls else None
    content_end = rendering.place(turn).end if message.get("content") or not calls else None
    limit = limit_of(rendering, turn)
    if content_end is not None and not calls:
        return content_end + first_special(text[content_end:limit], special)[1]
    # Tool calls follow the content and may hold special tokens themselves: look for the one that ends
    # a plain turn, or else for the last that the turn has when it is the last.
    after = start if content_end is None else max(start, content_end)
    closing = frame_of(rendering.template).closing
    if closing and limit is not None:
        within = json.dumps(calls, ensure_ascii=False, default=str).count(closing) if calls else 0
        found = _find_after(text, closing, after, limit, within)
        if found >= 0:
            return found + len(closing)
    alone = rendering.part(turn + 1)
    shared = 0 if alone is None else _shared_length(text, alone)
    length = _last_special(text[after:shared], special) or len(text[after:shared].rstrip())
    return after + length if length else None


def _find_after(text: str, word: str, start: int, end: int, skipped: int) -> int:
    """Where `word` stands in text[start:end] after `skipped` others, if there are so many; else the last."""
    found = text.find(word, start, end)
    while found >= 0 and skipped and (following := text.find(word, found + len(word), end)) >= 0:
        found, skipped = following, skipped - 1
    return found


def limit_of(rendering: Rendering, index: int) -> int | None:
    """Before what message `index` ends: the next message's content, or the header of the assistant's."""
    messages = rendering.conversation.messages
    if index + 1 == len(messages):
        return len(rendering.text)
    limit = rendering.place(index + 1).start
    if limit is None or messages[index]["role"] == "assistant" or messages[index + 1]["role"] != "assistant":
        return limit
    return limit - len(frame_of(rendering.template).header(rendering.text, 0, limit) or "")


@dataclass(frozen=True, slots=True)
class Frame:
    """What a template writes around plain turns; empty where that cannot be told."""

    cue: str = ""  # the last words before an answer: the generation prompt, or what follows the user's words
    headers: tuple[str, ...] = ()  # what belongs to the answer of what is before it, in the text or a prompt
    closing: str = ""  # the special token that ends an answer
    asking: str = ""  # what stands between an answer's end and the next question

    def header(self, text: str, start: int, end: int) -> str | None:
        """The header in which text[start:end] ends; None if it is unknown, empty if there are none."""
        if not self.headers:
            return ""
        return next((header for header in self.headers if text.endswith(header, start, end)), None)


@lru_cache(maxsize=16)
def frame_of(template: ChatTemplate) -> Frame:
    """What `template` writes around plain turns."""
    user, answer = {"role": "user", "content": "userprobe"}, {"role": "assistant", "content": "answerprobe"}
    try:
        asked = template.render([user])
        prompt = template.render([user], add_generation_prompt=True)
        answered = template.render([user, answer])
    except InputError:
        return Frame()
    added = prompt.removeprefix(asked) if prompt.startswith(asked) else ""
    rest = answered.partition("answerprobe")[2]
    start, end = first_special(rest, template.special_strings)
    closing = rest[start:end]
    cue = added or prompt.partition("userprobe")[2]
    if added and answered.startswith(asked):
        headers = {added, answered.removeprefix(asked).partition("answerprobe")[0]}
    elif added:
        headers = {added}
    else:  # what follows the question is there always: it ends the question, and may begin the answer then
        headers = {cue.removeprefix(closing)} if closing and cue.startswith(closing) else set()
    longest = tuple(sorted(filter(None, headers), key=len, reverse=True))
    return Frame(cue, longest, closing, _asking(template, end))


def _asking(template: ChatTemplate, end: int) -> str:
    """What follows the first `end` characters after an answer, up to the next question."""
    user, answer = {"role": "user", "content": "askprobe"}, {"role": "assistant", "content": "answerprobe"}
    try:
        text = template.render([{**user, "content": "first"}, answer, user])
    except InputError:
        return ""
    return text.partition("answerprobe")[2].partition("askprobe")[0][end:].lstrip()


@lru_cache(maxsize=512)  # the text between two contents is the same in every row
def first_special(text: str, special: frozenset[str]) -> tuple[int, int]:
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
