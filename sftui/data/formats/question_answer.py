"""Rows with a question and its answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftui.data.conversation import Conversation, Message
from sftui.data.formats.messages import Messages, with_system
from sftui.data.formats.tools import read_tools
from sftui.data.formats.values import checked_text


def read(row: Mapping[str, Any], where: str) -> Conversation:
    """A row with the columns `question` and `answer`."""
    question = checked_text(row["question"], "question", where)
    answer = checked_text(row["answer"], "answer", where)
    messages: tuple[Message, ...] = (
        {"role": "user", "content": question},
        {"role": "assistant", "content": answer},
    )
    if "system" in row:
        messages, _ = with_system(row, Messages(messages, None), where)
    tools = read_tools(row, where)
    return Conversation(messages, where, tools, len(messages) - 1, None, None, "question_answer")
