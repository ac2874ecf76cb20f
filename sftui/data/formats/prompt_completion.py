"""Rows with a prompt and its completion, as texts or as messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftui.data.conversation import Conversation
from sftui.data.formats.messages import Messages, read_messages, with_system
from sftui.data.formats.tools import read_tools
from sftui.data.formats.values import checked_text


def read(row: Mapping[str, Any], where: str) -> Conversation:
    """A row with the columns `prompt` and `completion`."""
    prompt = with_system(row, _turns(row["prompt"], "prompt", "user", where), where)
    completion = _turns(row["completion"], "completion", "assistant", where)
    weights = None
    if prompt.weights is not None or completion.weights is not None:
        weights = sum((part.weights or (None,) * len(part.messages) for part in (prompt, completion)), ())
    return Conversation(
        prompt.messages + completion.messages,
        where,
        read_tools(row, where),
        len(prompt.messages),
        weights,
        None,
        "prompt_completion",
    )


def _turns(value: object, column: str, role: str, where: str) -> Messages:
    """A text as one message of `role`, or a list of messages."""
    if isinstance(value, list):
        return read_messages(value, column, where)
    content = checked_text(value, column, where, "text or a list of messages")
    return Messages(({"role": role, "content": content},), None)
