"""What the checks look at: one sequence of one row, rendered, tokenised and masked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from sftui.data.conversation import Conversation
from sftui.data.cut import kept_range
from sftui.data.turns import Span, TrainedText
from sftui.data.views import RowFinding
from sftui.printable import printable
from sftui.recipe import DataSection, Overlength, TrainOn

if TYPE_CHECKING:
    from sftui.data.tokenizer import ChatTokenizer

_EXCERPT = 40  # characters
_REASONING = ("reasoning_content", "thinking", "reasoning")


class Region(Protocol):
    """Characters text[start:end] that the template made of message number `index`."""

    @property
    def index(self) -> int: ...  # noqa: D102
    @property
    def start(self) -> int: ...  # noqa: D102
    @property
    def end(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class RowFacts:
    """One sequence of a row.

    `ids`, `offsets` (characters of `text`) and `trained` (one byte a token, 1 for trained) are of the
    whole sequence, before any cut; `kept` are the first and end token that remain of it, (0, 0) if it
    is dropped. `adds_bos` tells whether the tokenizer itself puts `bos_token_id` before a plain text.
    `rewritten` are messages that the model would be asked for, or would write, otherwise than they are
    trained. `writes_tools` tells whether the template writes tool definitions. Without `regions`, places in
    the text are looked for in all of it.
    """

    conversation: Conversation
    text: str
    spans: tuple[Span, ...]
    ids: Sequence[int]
    offsets: Sequence[tuple[int, int]]
    trained: bytes
    kept: tuple[int, int]
    special_strings: frozenset[str]
    special_ids: frozenset[int]
    bos_token_id: int | None
    adds_bos: bool
    train_on: TrainOn
    max_length: int
    overlength: Overlength
    regions: Sequence[Region] = ()
    rewritten: tuple[int, ...] = ()
    writes_tools: bool = True

    @classmethod
    def of(
        cls,
        conversation: Conversation,
        marked: TrainedText,
        ids: Sequence[int],
        offsets: Sequence[tuple[int, int]],
        trained: bytes,
        regions: Sequence[Region],
        rewritten: tuple[int, ...],
        tokenizer: ChatTokenizer,
        data: DataSection,
    ) -> RowFacts:
        """The facts of a sequence under the recipe's `data`."""
        writes_tools = not conversation.tools or tokenizer.templates.choose(conversation).writes_tools
        return cls(
            conversation=conversation,
            text=marked.text,
            spans=marked.spans,
            ids=ids,
            offsets=offsets,
            trained=trained,
            kept=kept_range(len(ids), data),
            special_strings=tokenizer.special_strings,
            special_ids=tokenizer.special_ids,
            bos_token_id=tokenizer.bos_token_id,
            adds_bos=tokenizer.adds_bos,
            train_on=data.train_on,
            max_length=data.max_length,
            overlength=data.overlength,
            regions=regions,
            rewritten=rewritten,
            writes_tools=writes_tools,
        )


def written(conversation: Conversation) -> Iterator[tuple[int, str]]:
    """Every text that the row itself brings: message number and content or reasoning; -1 for a plain text."""
    if conversation.text is not None:
        yield -1, conversation.text
    for index, each in enumerate(conversation.messages):
        content, thought = each.get("content"), reasoning(each)
        if content and isinstance(content, str):
            yield index, content
        if thought:
            yield index, thought


def reasoning(each: object) -> str:
    """The reasoning that a message keeps beside its content, under whichever of its names."""
    if isinstance(each, dict):
        for name in _REASONING:
            value = each.get(name)
            if value and isinstance(value, str):
                return value
    return ""


def thought_of(message: object) -> str:
    """The reasoning of a message, kept beside its content or before </think> within it."""
    beside = reasoning(message)
    content = message.get("content") if isinstance(message, dict) else None
    if beside or not isinstance(content, str) or "</think>" not in content:
        return beside
    return content.partition("</think>")[0].rpartition("<think>")[2]


def place(facts: RowFacts, index: int, literal: str) -> tuple[int | None, int | None]:
    """Where `literal` of message `index` stands in the rendered text; (None, None) if it does not."""
    region = next((region for region in facts.regions if region.index == index), None)
    start = (
        facts.text.find(literal, region.start, region.end) if region is not None else facts.text.find(literal)
    )
    return (None, None) if start < 0 else (start, start + len(literal))


def finding(facts: RowFacts, code: str, detail: str, index: int, literal: str) -> RowFinding:
    """A finding about `literal`, a piece of message `index`, with its place in the rendered text."""
    return RowFinding(code, detail, *place(facts, index, literal))


def in_message(index: int) -> str:
    """` in message 3`; nothing for a plain text."""
    return f" in message {index}" if index >= 0 else ""


def excerpt(text: str, *, end: bool = False) -> str:
    """A few words of a text, safe to show: its first, or its last with `end`."""
    if len(text) <= _EXCERPT:
        return printable(text)
    return f"…{printable(text[-_EXCERPT:])}" if end else f"{printable(text[:_EXCERPT])}…"
