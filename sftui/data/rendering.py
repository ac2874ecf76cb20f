"""One conversation's full text, and where in it the contents of its messages stand.

A chat template may trim contents, drop earlier reasoning, merge the system message into the user's
or add text of its own, so contents are not searched for. Renderings are compared: a *probe* is a
content replaced by a unique word, and what stands before and after that word is the template's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from sftui.data.formats import Conversation, Message
from sftui.data.template import ChatTemplate
from sftui.errors import InputError


class Place(NamedTuple):
    """Characters text[start:end] of a message's content; None for an end that could not be found."""

    start: int | None
    end: int | None


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
        self._places: dict[int, Place] | None = None

    def place(self, index: int) -> Place:
        """Where the content of message `index` stands."""
        if self._places is None:
            self._places = self._align()
        if index not in self._places:
            self._places[index] = self._search(index)
        return self._places[index]

    def part(self, stop: int, *, add_generation_prompt: bool = False) -> str | None:
        """The text of the messages before `stop` alone; None if the template refuses them."""
        return self._try(self.conversation.messages[:stop], add_generation_prompt)

    def lead(self, stop: int) -> str | None:
        """What the prompt for message `stop` has after the content of the message before it, if known."""
        messages = self._with_probes([stop - 1])[:stop]
        if not messages or self.conversation.messages[stop - 1].get("content") is None:
            return None
        fixed, order = self._split(self._try(messages, add_generation_prompt=True) or "")
        return fixed[1] if order == [stop - 1] else None

    def _align(self) -> dict[int, Place]:
        """All places from a single rendering with a probe in every message, if it leads to the full text.

        System messages keep their content: templates read switches from it. Empty contents stay empty:
        templates branch on them. Those are found by `_search`, when asked for.
        """
        contents = {
            i: message["content"]
            for i, message in enumerate(self.conversation.messages)
            if message["role"] not in ("system", "developer") and (message.get("content") or "").strip()
        }
        probed = self._try(self._with_probes(contents))
        if probed is None:
            return {}
        fixed, order = self._split(probed)
        if sorted(order) != list(contents) or not self.text.startswith(fixed[0]):
            return {}
        places: dict[int, Place] = {}
        at = len(fixed[0])
        for index, following in zip(order, fixed[1:], strict=True):
            content = contents[index]
            for variant in (content, content.strip(), content.rstrip(), content.lstrip()):
                end = at + len(variant)
                if self.text.startswith(variant, at) and self.text.startswith(following, end):
                    break
            else:
                return {}
            places[index] = Place(at, end)
            at = end + len(following)
        return places if at == len(self.text) else {}

    def _search(self, index: int) -> Place:
        """The place of one content, from a rendering with a probe in its stead alone."""
        if self.conversation.messages[index].get("content") is None:
            return _UNKNOWN
        probed = self._try(self._with_probes([index]))
        fixed, order = self._split(probed or "")
        if order != [index]:
            return _UNKNOWN
        # One side may be known without the other: reasoning within the content changes what is before it.
        before, after = fixed
        start = len(before) if self.text.startswith(before) else None
        end = len(self.text) - len(after) if self.text.endswith(after) else None
        return _UNKNOWN if start is not None and end is not None and end < start else Place(start, end)

    def _with_probes(self, indices: Collection[int]) -> list[Message]:
        return [
            {**message, "content": f"{self._stem}{i}end"} if i in indices else message
            for i, message in enumerate(self.conversation.messages)
        ]

    def _split(self, probed: str) -> tuple[list[str], list[int]]:
        """The template's text around the probes (one more than they), and the probes' messages, in order."""
        pieces = re.split(rf"{self._stem}(\d+)end", probed)
        return pieces[::2], [int(number) for number in pieces[1::2]]

    def _try(self, messages: Sequence[Message], add_generation_prompt: bool = False) -> str | None:
        """None if the template refuses: it may, for a part of a conversation."""
        try:
            return self.template.render(
                messages, self.conversation.tools, add_generation_prompt=add_generation_prompt
            )
        except InputError:
            return None
