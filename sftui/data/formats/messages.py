"""A list of messages, each brought to a role of ours and text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sftui.data.conversation import ROLES, Conversation, Message
from sftui.data.formats.calls import read_calls
from sftui.data.formats.flags import take_weight
from sftui.data.formats.parts import Parts, read_parts
from sftui.data.formats.tools import read_tools
from sftui.data.formats.values import checked_text, listed, refuse, unpacked
from sftui.errors import InputError

_EXPECTED = "a list of messages, {role: .., content: ..}"
_REASONING = ("reasoning_content", "reasoning", "thinking")

Weights = tuple[float | None, ...]


class Messages(NamedTuple):
    """Normalised messages and the weights that their flags give; None if none has a flag."""

    messages: tuple[Message, ...]
    weights: Weights | None


def read(row: Mapping[str, Any], where: str) -> Conversation:
    """A row with the column `messages`."""
    messages, weights = with_system(row, read_messages(row["messages"], "messages", where), where)
    return Conversation(messages, where, read_tools(row, where), None, weights)


def read_messages(value: object, column: str, where: str) -> Messages:
    """The messages in `column`, a list or JSON text of one.

    Raises InputError, naming row, message and key, for what is no message.
    """
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        value = unpacked(value, column, where, _EXPECTED)
    if not isinstance(value, list) or not value:
        refuse(value, column, where, _EXPECTED)
    messages: list[Message] = []
    weights: list[float | None] = []
    for index, message in enumerate(value):
        # Nearly all messages are a role and an ASCII text: nothing else is to be looked at.
        if type(message) is dict and len(message) == 2 and message.get("role") in ROLES:
            content = message.get("content")
            if type(content) is str and content.isascii():
                messages.append(message)
                weights.append(None)
                continue
        message, weight = read_message(message, f"{column}[{index}]", where)
        messages.append(message)
        weights.append(weight)
    return Messages(tuple(messages), as_weights(weights))


def as_weights(weights: list[float | None]) -> Weights | None:
    """`weights`, or None if no message has one."""
    return tuple(weights) if any(weight is not None for weight in weights) else None


def with_system(row: Mapping[str, Any], read: Messages, where: str) -> Messages:
    """`read` with the column `system` of `row` as its first message, unless it has a system message."""
    system = row.get("system")
    if system is None or system == "":
        return read
    content = checked_text(system, "system", where)
    if any(message["role"] in ("system", "developer") for message in read.messages):
        return read
    first: Message = {"role": "system", "content": content}
    return Messages((first, *read.messages), None if read.weights is None else (None, *read.weights))


def read_message(
    value: object, key: str, where: str, content_key: str = "content"
) -> tuple[dict[str, Any], float | None]:
    """One message without its flags, and its weight; keys that are unknown here are kept.

    `content_key` is what the row calls the content. Raises InputError naming `key` for what is no message.
    """
    if not isinstance(value, dict):
        refuse(value, key, where, "an object with role and content")
    message = dict(value)
    role = message["role"] = _role(message, key, where)
    weight = take_weight(message, key, where)
    parts = Parts(None, None, [])
    content = message.get("content")
    if isinstance(content, list) and content:
        parts = read_parts(content, f"{key}.{content_key}", where)
        # Empty rather than null: templates that add contents to other text fail on null.
        content = message["content"] = parts.text or ""
    calls = _take_calls(message, parts, key, where)
    if calls:
        message["tool_calls"] = calls
    _check_reasoning(message, parts, key, where)
    if content is None and role == "assistant" and calls:
        return message, weight
    if "content" not in message:
        raise InputError(f"no {content_key}: found {listed(value)}", file=where, key=key)
    checked_text(content, f"{key}.{content_key}", where, "text or a list of text parts")
    return message, weight


def _role(message: dict[str, Any], key: str, where: str) -> str:
    if "role" not in message:
        named = "from" in message
        raise InputError(
            f"no role: found {listed(message)}",
            file=where,
            key=key,
            hint="from and value are sharegpt's: name the column conversations in columns" if named else None,
        )
    role = message["role"]
    if role == "function":  # what OpenAI called tool before
        return "tool"
    if role not in ROLES:
        refuse(role, f"{key}.role", where, f"one of {', '.join(ROLES)}")
    return str(role)


def _take_calls(message: dict[str, Any], parts: Parts, key: str, where: str) -> list[dict[str, Any]]:
    """The calls of `message`, removed from it; at most one of the ways to write them may be used."""
    ways = {"content": parts.calls}
    for name in ("tool_calls", "function_call"):
        if name in message:
            # Without calls the key goes too: templates ask whether it is there.
            ways[name] = read_calls(message.pop(name), f"{key}.{name}", where)
    used = [name for name, calls in ways.items() if calls]
    if len(used) > 1:
        raise InputError(
            f"found tool calls in {' and '.join(used)}: expected them in one place", file=where, key=key
        )
    return ways[used[0]] if used else []


def _check_reasoning(message: dict[str, Any], parts: Parts, key: str, where: str) -> None:
    for name in _REASONING:
        if message.get(name) is not None:
            checked_text(message[name], f"{key}.{name}", where)
            if parts.reasoning is not None:
                raise InputError(
                    f"found reasoning in a part of the content and in {name}: expected it in one place",
                    file=where,
                    key=key,
                )
    if parts.reasoning is not None:
        message["reasoning_content"] = parts.reasoning
