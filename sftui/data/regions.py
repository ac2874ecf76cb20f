"""Which part of a conversation's text belongs to which message, for showing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sftui.data.bounds import bounded
from sftui.data.conversation import Conversation
from sftui.data.rendering import Place, Rendering
from sftui.data.template import ChatTemplate
from sftui.data.turns import Span, first_special, frame_of, limit_of
from sftui.errors import InputError


@dataclass(frozen=True, slots=True)
class Region:
    """Characters text[start:end] of message `index` with its header; of none of them if that is -1.

    The content is text[content_start:content_end], where it is known.
    """

    start: int
    end: int
    index: int
    role: str
    content_start: int | None = None
    content_end: int | None = None


def turn_regions(
    template: ChatTemplate, conversation: Conversation, text: str, spans: Sequence[Span]
) -> tuple[Region, ...]:
    """One region for each message, in order, after one of index -1 if text precedes the first message.

    They cover `text`, the rendering of `conversation`, without a gap; a message that does not stand where
    its turn is (a system message moved into a later one, say) has an empty region. `spans` are what
    `trained_text` found; they help. Never raises: what cannot be told is left to the message before.
    """
    try:
        with bounded(template.seconds):
            return regions(template, conversation, text, spans)
    except InputError:
        return (Region(0, len(text), -1, ""),)


def regions(
    template: ChatTemplate, conversation: Conversation, text: str, spans: Sequence[Span]
) -> tuple[Region, ...]:
    """The same; raises InputError if the template refuses the conversation or takes too long."""
    messages = conversation.messages
    if not messages or conversation.text is not None:
        return (Region(0, len(text), -1, "", 0, len(text)),)
    rendering = Rendering(template, conversation)
    if rendering.text != text:
        return (Region(0, len(text), -1, ""),)
    trained: dict[int, Span] = {}  # from the first span of a turn to its last
    for span in spans:
        trained[span.turn] = trained.get(span.turn, span)._replace(end=span.end)
    places = _ordered([rendering.place(index) for index in range(len(messages))], trained)
    starts = [_first_header(rendering, places)]
    for index in range(1, len(messages)):
        starts.append(max(starts[-1], _boundary(rendering, places, trained, index, starts[-1])))
    found = [Region(0, starts[0], -1, "")] if starts[0] else []
    for index, (start, end) in enumerate(zip(starts, [*starts[1:], len(text)], strict=True)):
        content = places[index]
        if content.start is None or content.end is None or not start <= content.start <= content.end <= end:
            content = Place(None, None)
        found.append(Region(start, end, index, messages[index]["role"], *content))
    return tuple(found)


def _ordered(places: list[Place], trained: dict[int, Span]) -> list[Place]:
    """The places without those that stand after a later message's: these were moved elsewhere."""
    kept: list[Place] = []
    floor = None
    for index, place in reversed(list(enumerate(places))):
        at = place.start if index not in trained else trained[index].start
        moved = at is not None and floor is not None and at > floor
        kept.append(Place(None, None) if moved else place)
        if at is not None and not moved:
            floor = at
    return kept[::-1]


def _first_header(rendering: Rendering, places: list[Place]) -> int:
    """Where the first message's header begins: after a bos_token, or a preamble that ends like a turn."""
    text, template = rendering.text, rendering.template
    head = places[0].start
    if head is None:
        return 0
    lead, frame = text[:head], frame_of(template)
    if rendering.conversation.messages[0]["role"] == "assistant":
        header = frame.header(text, 0, head)
    else:
        header = frame.asking if lead.endswith(frame.asking) else None
    if header:
        return head - len(header)
    closed = lead.rfind(frame.closing) + len(frame.closing) if frame.closing and frame.closing in lead else 0
    bos = template.special_tokens.get("bos_token")
    if not closed and bos and lead.startswith(bos):
        closed = len(bos)
    return closed + len(lead[closed:]) - len(lead[closed:].lstrip())


def _boundary(
    rendering: Rendering, places: list[Place], trained: dict[int, Span], index: int, floor: int
) -> int:
    """Where the header of message `index` begins, not before `floor`."""
    text, template = rendering.text, rendering.template
    before = trained[index - 1].end if index - 1 in trained else places[index - 1].end
    head = trained[index].start if index in trained else places[index].start
    if head is None and before is None:
        return floor
    if rendering.conversation.messages[index]["role"] == "assistant" and head is not None:
        header = frame_of(template).header(text, floor, head)
        if header is not None:  # without headers, all before is the question's
            return head - len(header)
        if before is None:
            return head
    if before is None:
        return floor if head is None else _after_last_end(rendering, floor, head)
    before = max(before, floor)
    head = limit_of(rendering, index - 1) if head is None else head
    gap = text[before : head if head is not None else len(text)]
    ended = 0 if index - 1 in trained else first_special(gap, template.special_strings)[1]
    rest = gap[ended:]
    return before + ended + len(rest) - len(rest.lstrip())


def _after_last_end(rendering: Rendering, floor: int, head: int) -> int:
    """After the last end of a turn before `head`, for want of the message before; else `floor`."""
    closing = frame_of(rendering.template).closing
    found = rendering.text.rfind(closing, floor, head) if closing else -1
    if found < 0:
        return floor
    rest = rendering.text[found + len(closing) : head]
    return head - len(rest.lstrip())
