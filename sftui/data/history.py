"""Turns that a template shows otherwise once they are history, and one conversation for each turn instead."""

from __future__ import annotations

from dataclasses import replace

from sftui.data.bounds import OutOfTime, bounded
from sftui.data.conversation import Conversation
from sftui.data.rendering import Rendering
from sftui.data.template import ChatTemplate
from sftui.data.turns import trained_turns
from sftui.recipe import TrainOn


def rewritten_turns(template: ChatTemplate, conversation: Conversation, train_on: TrainOn) -> tuple[int, ...]:
    """The trained turns of the assistant that the model would be asked for with another prompt.

    Such a prompt, the messages before the turn with the generation prompt, is not how the full text
    begins: reasoning of earlier turns is dropped from it or kept in it, a system message stands
    elsewhere. A turn before which the template makes no prompt is not one of them. Renders a prompt for
    each trained turn. Raises InputError if the template refuses the conversation.
    """
    if conversation.text is not None or train_on == "everything":
        return ()
    try:
        with bounded(template.seconds):
            rendering = Rendering(template, conversation)
            turns = assistant_turns(conversation, train_on)
            prompts = [(turn, rendering.part(turn, add_generation_prompt=True)) for turn in turns]
    except OutOfTime as error:
        raise OutOfTime(error.problem, file=conversation.where) from error
    return tuple(turn for turn, prompt in prompts if prompt and not rendering.text.startswith(prompt))


def conversations_per_turn(conversation: Conversation, train_on: TrainOn) -> list[Conversation]:
    """One conversation for each trained turn, which ends with it and trains nothing else.

    A plain text, and a row of which everything is trained, stay as they are.
    """
    if conversation.text is not None or train_on == "everything":
        return [conversation]
    weights = trained_turns(conversation, train_on)
    return [
        replace(
            conversation,
            messages=conversation.messages[: turn + 1],
            weights=(*(0.0,) * turn, weight),
        )
        for turn, weight in weights.items()
    ]


def assistant_turns(conversation: Conversation, train_on: TrainOn) -> list[int]:
    """The trained turns that are the assistant's."""
    messages = conversation.messages
    return [turn for turn in trained_turns(conversation, train_on) if messages[turn]["role"] == "assistant"]
