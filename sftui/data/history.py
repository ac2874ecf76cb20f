"""Turns that a template rewrites once they are history, and one conversation for each turn instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sftui.data.bounds import OutOfTime, bounded
from sftui.data.conversation import Conversation
from sftui.data.rendering import Rendering
from sftui.data.template import ChatTemplate
from sftui.data.turns import Span, TrainedText, trained_text, trained_turns
from sftui.errors import InputError
from sftui.recipe import TrainOn


def rewritten_turns(template: ChatTemplate, conversation: Conversation, train_on: TrainOn) -> tuple[int, ...]:
    """The trained turns of the assistant that the model would be asked for, or would write, otherwise.

    Either the prompt for the turn, the messages before it with the generation prompt, is not how the full
    text begins: reasoning of earlier turns is dropped from it or kept in it, a system message stands
    elsewhere. Or the turn is not trained as it is written while it is the last: its reasoning is dropped
    once others follow, the last alone is given an empty one or another end. What the template refuses to
    write tells nothing. Renders a prompt for each trained turn, and the text up to it for all but the last
    message. Raises InputError if the template refuses the conversation.
    """
    if conversation.text is not None or train_on == "everything":
        return ()
    try:
        with bounded(template.seconds):
            return _rewritten(Rendering(template, conversation), train_on)
    except OutOfTime as error:
        raise OutOfTime(error.problem, file=conversation.where) from error


def conversations_per_turn(conversation: Conversation, train_on: TrainOn) -> list[Conversation]:
    """One conversation for each trained turn, which ends with it and trains nothing else.

    A plain text, and a row of which everything is trained, stay as they are.
    """
    if conversation.text is not None or train_on == "everything":
        return [conversation]
    weights = trained_turns(conversation, train_on)
    return [_up_to(conversation, turn, weight) for turn, weight in weights.items()]


def assistant_turns(conversation: Conversation, train_on: TrainOn) -> list[int]:
    """The trained turns that are the assistant's."""
    messages = conversation.messages
    return [turn for turn in trained_turns(conversation, train_on) if messages[turn]["role"] == "assistant"]


def _up_to(conversation: Conversation, turn: int, weight: float) -> Conversation:
    return replace(conversation, messages=conversation.messages[: turn + 1], weights=(*(0.0,) * turn, weight))


def _rewritten(rendering: Rendering, train_on: TrainOn) -> tuple[int, ...]:
    conversation = rendering.conversation
    last = len(conversation.messages) - 1
    marked: TrainedText | None = None
    found = []
    for turn in assistant_turns(conversation, train_on):
        prompt = rendering.part(turn, add_generation_prompt=True)
        if prompt and not rendering.text.startswith(prompt):
            found.append(turn)
        elif turn != last:
            marked = marked or trained_text(rendering.template, conversation, train_on)
            spans = [span for span in marked.spans if span.turn == turn]
            if spans and _written_otherwise(rendering, turn, prompt, spans):
                found.append(turn)
    return tuple(found)


def _written_otherwise(rendering: Rendering, turn: int, prompt: str | None, spans: Sequence[Span]) -> bool:
    """Whether `turn` is written otherwise while it is the last; `spans` are what is trained of it."""
    text, template = rendering.text, rendering.template
    special = tuple(template.special_strings)
    start, end = spans[0].start, spans[-1].end
    own = rendering.part(turn + 1)
    if own is None:
        return False
    if own.startswith(text[:end]):
        # The same up to a token that ends it is the same; without one, the last turn alone may have it.
        if text.endswith(special, start, end) or not any(token in own[end:] for token in special):
            return False
    elif prompt and len(prompt) == start and own.startswith(prompt) and not template.marks_generation:
        return True  # both begin here, and then differ
    try:
        alone = trained_text(template, _up_to(rendering.conversation, turn, 1.0), "assistant")
    except OutOfTime:
        raise
    except InputError:
        return False
    return _texts(alone.text, alone.spans) != _texts(text, spans)


def _texts(text: str, spans: Sequence[Span]) -> list[str]:
    return [text[span.start : span.end] for span in spans]
