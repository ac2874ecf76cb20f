"""A sequence: token ids, and for each token whether it is trained, and with what weight."""

from __future__ import annotations

from array import array
from collections.abc import Set
from dataclasses import dataclass

from sftui.data.conversation import Conversation
from sftui.data.tokenizer import ChatTokenizer
from sftui.errors import InputError

IGNORED = -100  # the label that the loss leaves out


@dataclass(frozen=True, slots=True)
class Sequence:
    """One sequence as tokens.

    `trained` has one byte a token, 1 for trained. `row` is its number in the corpus that it comes
    from, `where` the same for a person. `weights` has one number a token, or is None where every
    trained token counts 1.
    """

    input_ids: array[int]
    trained: bytes
    row: int
    where: str
    weights: array[float] | None = None

    def __len__(self) -> int:
        return len(self.input_ids)


def labels(sequence: Sequence) -> list[int]:
    """The ids, with IGNORED where a token is not trained; the first never is: nothing predicts it."""
    return [
        token if trained else IGNORED
        for token, trained in zip(sequence.input_ids, sequence.trained, strict=True)
    ]


def prompt_of(conversation: Conversation, tokenizer: ChatTokenizer) -> tuple[list[int], str]:
    """What the model is asked for the last assistant turn, as ids, and the answer that is expected.

    The answer is the turn's trained text without the special token that ends it. Raises InputError if
    the conversation has no assistant turn or the template refuses it.
    """
    turns = conversation.assistant_turns()
    if not turns:
        raise InputError("no assistant turn to answer", file=conversation.where)
    prompt = tokenizer.encode(tokenizer.prompt_text(conversation, turns[-1]))
    located = tokenizer.trained_text(conversation, "last_assistant")
    answer = "".join(located.text[start:end] for start, end, *_ in located.spans)
    return prompt, _without_end(answer, tokenizer.special_strings).strip()


def _without_end(answer: str, special: Set[str]) -> str:
    """`answer` less the special token that it ends with, if it does."""
    ending = max((token for token in special if answer.endswith(token)), key=len, default="")
    return answer.removesuffix(ending)
