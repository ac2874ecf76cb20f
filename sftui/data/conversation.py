"""One row, normalised: what every format is brought to and everything after works with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sftui.recipe import RowFormat

Message = Mapping[str, Any]

ROLES = ("system", "user", "assistant", "tool", "developer")


@dataclass(frozen=True, slots=True)
class Conversation:
    """One row, normalised.

    `messages` have a `role` of ROLES and string `content` (which an assistant message with
    `tool_calls` may lack); other keys are kept for the chat template. Messages from index
    `completion_start` on are the completion; None if the row does not say. `weights` has the row's
    own word on each message's share in the loss: None leaves it to `train_on`, 0 does not train it,
    any other number trains it with that weight; `weights` is None if the row says nothing. A plain
    text has no messages: `text` holds it, and all of it is trained. `format` is how the row was read.
    `where` names the row in messages to a person.
    """

    messages: tuple[Message, ...]
    where: str
    tools: tuple[Mapping[str, Any], ...] | None = None
    completion_start: int | None = None
    weights: tuple[float | None, ...] | None = None
    text: str | None = None
    format: RowFormat = "messages"

    def assistant_turns(self) -> list[int]:
        """Indices of the assistant's messages."""
        return [i for i, message in enumerate(self.messages) if message["role"] == "assistant"]
