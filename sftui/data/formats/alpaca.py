"""Rows with an instruction, perhaps an input and a history, and the output."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftui.data.conversation import Conversation, Message
from sftui.data.formats.messages import Messages, with_system
from sftui.data.formats.tools import read_tools
from sftui.data.formats.values import checked_text, refuse, unpacked

_HISTORY = "a list of pairs, [what the user said, what the assistant said]"


def read(row: Mapping[str, Any], where: str) -> Conversation:
    """A row with the columns `instruction` and `output`; its last answer is the completion."""
    messages: list[Message] = []
    for question, answer in _history(row.get("history"), where):
        messages += ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
    asked = checked_text(row["instruction"], "instruction", where)
    given = row.get("input")
    if given is not None and checked_text(given, "input", where):
        asked = f"{asked}\n{given}" if asked else given
    answer = checked_text(row["output"], "output", where)
    messages += ({"role": "user", "content": asked}, {"role": "assistant", "content": answer})
    whole, _ = with_system(row, Messages(tuple(messages), None), where)
    return Conversation(whole, where, read_tools(row, where), len(whole) - 1, None, None, "alpaca")


def _history(value: object, where: str) -> list[tuple[str, str]]:
    value = unpacked(value, "history", where, _HISTORY)
    if value is None:
        return []
    if not isinstance(value, list):
        refuse(value, "history", where, _HISTORY)
    pairs = []
    for index, pair in enumerate(value):
        key = f"history[{index}]"
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            refuse(pair, key, where, "a pair, [what the user said, what the assistant said]")
        question, answer = pair
        pairs.append((checked_text(question, f"{key}[0]", where), checked_text(answer, f"{key}[1]", where)))
    return pairs
