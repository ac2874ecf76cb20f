"""One conversation's full text, and where in it the contents of its messages stand.

A chat template may trim contents, drop earlier reasoning, merge the system message into the user's
or add text of its own, so contents are not searched for. Renderings are compared: a *probe* is a
content replaced by a unique word, and what stands before and after that word is the template's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from sftui.data.bounds import OutOfTime
from sftui.data.conversation import Conversation, Message
from sftui.data.template import ChatTemplate
from sftui.errors import InputError

_REMEMBERED = 512  # renderings with probes of one template
_MEMORABLE = 20_000  # characters of one that is kept


class Place(NamedTuple):
    """Characters text[start:end] of a message's content; None for an end that could not be found."""

    start: int | None
    end: int | None


class _Fixed(NamedTuple):
    """The template's text around probes (one piece more than they), and the probes' messages, in order."""

    pieces: list[str]
    order: list[int]


_UNKNOWN = Place(None, None)


class Rendering:
    """The `text` of `conversation`; raises InputError, naming the row, if the template refuses it."""

    def __init__(self, template: ChatTemplate, conversation: Conversation) -> None:
        self.template = template
        self.conversation = conversation
        self.text = template.render(conversation.messages, conversation.tools, where=conversation.where)
        self._stem = "probe"
        while self._stem in self.text:
            self._stem += "x"
        self._found: dict[int, Place] = {}
        self._aligned: dict[int, Place] | None = None
        self._probed: dict[int, str] = {}  # the contents that are replaced in `_align`
        shape: list[Any] = []  # all that a rendering with probes depends on
        for index, message in enumerate(conversation.messages):
            content = message.get("content")
            if content and not content.isspace() and message["role"] not in ("system", "developer"):
                self._probed[index] = content
                shape.append(_shape(message, None))
            else:
                shape.append(_shape(message, content))
        self._shape = tuple(shape)
        self._tools = repr(conversation.tools) if conversation.tools else ""

    def place(self, index: int) -> Place:
        """Where the content of message `index` stands."""
        aligned = self.aligned(index)
        if aligned is not None:
            return aligned
        if index not in self._found:
            self._found[index] = self._search(index)
        return self._found[index]

    def part(self, stop: int, *, add_generation_prompt: bool = False) -> str | None:
        """The text of the messages before `stop` alone; None if the template refuses them."""
        return self._try(self.conversation.messages[:stop], add_generation_prompt)

    def lead(self, stop: int) -> str | None:
        """What the prompt for message `stop` has after the content of the message before it, if known."""
        messages = self._with_probes([stop - 1])[:stop]
        if not messages or self.conversation.messages[stop - 1].get("content") is None:
            return None
        pieces, order = self._split(self._try(messages, add_generation_prompt=True) or "")
        return pieces[1] if order == [stop - 1] else None

    def usual_lead(self, stop: int) -> str | None:
        """The same for other contents: it is this row's if the row is `usual`."""
        fixed = self._fixed(stop, add_generation_prompt=True)
        return fixed.pieces[-1] if fixed is not None and fixed.order[-1:] == [stop - 1] else None

    def usual(self) -> bool:
        """Whether the template cannot tell the contents from probes, but by their length.

        Templates look for words in a content, such as </think>, or compare it with another message.
        """
        contents = [message.get("content") or "" for message in self.conversation.messages]
        together = "\0".join(contents).lower()
        sought = self.template.words_sought
        return len({*contents}) == len(contents) and not any(word in together for word in sought)

    def aligned(self, index: int) -> Place | None:
        """Where the content of message `index` stands if that takes no rendering of its own to see."""
        if self._aligned is None:
            self._aligned = self._align()
        return self._aligned.get(index)

    def _align(self) -> dict[int, Place]:
        """All places from one rendering with a probe in every message, if it leads to the full text.

        System messages keep their content: templates read switches from it. Empty contents stay empty:
        templates branch on them. The rendering with probes is that of all rows of the same shape, but
        whether it holds is seen from this row's own text: to the last character, that is the template's
        pieces with the contents between.
        """
        text, contents = self.text, self._probed
        fixed = self._fixed(len(self.conversation.messages))
        if fixed is None or len(fixed.order) != len(contents) or not text.startswith(fixed.pieces[0]):
            return {}
        places: dict[int, Place] = {}
        at = len(fixed.pieces[0])
        for index, following in zip(fixed.order, fixed.pieces[1:], strict=True):
            content = contents.get(index)
            if content is None or index in places:
                return {}
            end = at + len(content)
            if not (text.startswith(content, at) and text.startswith(following, end)):
                for trimmed in (content.strip(), content.rstrip(), content.lstrip()):
                    end = at + len(trimmed)
                    if text.startswith(trimmed, at) and text.startswith(following, end):
                        break
                else:
                    return {}
            places[index] = Place(at, end)
            at = end + len(following)
        return places if at == len(text) else {}

    def _fixed(self, stop: int, *, add_generation_prompt: bool = False) -> _Fixed | None:
        """The template's text around the contents of the messages before `stop`; None if it refuses."""
        key = (self._stem, add_generation_prompt, self._shape[:stop], self._tools)
        remembered = self.template.remembered
        if key in remembered:
            found: _Fixed | None = remembered[key]
            return found
        text = self._try(self._with_probes(self._probed)[:stop], add_generation_prompt)
        fixed = None if text is None else self._split(text)
        if len(text or "") <= _MEMORABLE:
            if len(remembered) >= _REMEMBERED:
                remembered.clear()
            remembered[key] = fixed
        return fixed

    def _search(self, index: int) -> Place:
        """The place of one content, from a rendering with a probe in its stead alone."""
        if self.conversation.messages[index].get("content") is None:
            return _UNKNOWN
        probed = self._try(self._with_probes([index]))
        pieces, order = self._split(probed or "")
        if order != [index]:
            return _UNKNOWN
        # One side may be known without the other: reasoning within the content changes what is before it.
        before, after = pieces
        start = len(before) if self.text.startswith(before) else None
        end = len(self.text) - len(after) if self.text.endswith(after) else None
        return _UNKNOWN if start is not None and end is not None and end < start else Place(start, end)

    def _with_probes(self, indices: Collection[int]) -> list[Message]:
        return [
            {**message, "content": f"{self._stem}{i}end"} if i in indices else message
            for i, message in enumerate(self.conversation.messages)
        ]

    def _split(self, probed: str) -> _Fixed:
        pieces = re.split(rf"{self._stem}(\d+)end", probed)
        return _Fixed(pieces[::2], [int(number) for number in pieces[1::2]])

    def _try(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> str | None:
        """None if the template refuses: it may, for a part of a conversation."""
        try:
            return self.template.render(
                messages, self.conversation.tools, add_generation_prompt=add_generation_prompt
            )
        except OutOfTime:
            raise
        except InputError:
            return None


def _shape(message: Message, kept: str | None) -> Any:
    """A message but for its content, or with the content that is `kept`; hashable."""
    if len(message) == 2 and next(iter(message)) == "role" and "content" in message:
        return (message["role"], kept)
    return repr({name: kept if name == "content" else value for name, value in message.items()})
