"""Rows with `conversations`: turns of {from, value}, by the names that many tools have given the roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftui.data.conversation import Conversation, Message
from sftui.data.formats.calls import read_calls
from sftui.data.formats.flags import take_weight
from sftui.data.formats.messages import Messages, as_weights, read_message, with_system
from sftui.data.formats.tools import read_tools
from sftui.data.formats.values import listed, refuse, unpacked
from sftui.errors import InputError

_EXPECTED = "a list of turns, {from: .., value: ..}"

_ROLES = {
    **dict.fromkeys(("human", "user", "prompter"), "user"),
    **dict.fromkeys(("gpt", "assistant", "bot", "chatgpt", "bing", "bard", "model", "ai"), "assistant"),
    **dict.fromkeys(("system", "system_prompt"), "system"),
    "developer": "developer",
    **dict.fromkeys(
        ("tool", "observation", "function", "function_response", "tool_response", "function_output"), "tool"
    ),
}
_CALLS = ("function_call", "tool_call", "tool_calls")


def read(row: Mapping[str, Any], where: str) -> Conversation:
    """A row with the column `conversations`."""
    messages, weights = with_system(row, _turns(row["conversations"], where), where)
    return Conversation(messages, where, read_tools(row, where), None, weights, None, "sharegpt")


def _turns(value: object, where: str) -> Messages:
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        value = unpacked(value, "conversations", where, _EXPECTED)
    if not isinstance(value, list) or not value:
        refuse(value, "conversations", where, _EXPECTED)
    messages: list[Message] = []
    weights: list[float | None] = []
    for index, turn in enumerate(value):
        if type(turn) is dict and len(turn) == 2:
            content, spelling = turn.get("value"), turn.get("from")
            role = _ROLES.get(spelling) if type(spelling) is str else None
            if role is not None and type(content) is str and content.isascii():
                messages.append({"role": role, "content": content})
                weights.append(None)
                continue
        message, weight, called = _turn(turn, f"conversations[{index}]", where)
        if called and messages and messages[-1]["role"] == "assistant" and weights[-1] == weight:
            # One answer in several turns; as messages of their own, templates would refuse or distort them.
            calls = [*messages[-1].get("tool_calls", ()), *message["tool_calls"]]
            messages[-1] = {**messages[-1], "tool_calls": calls}
            continue
        messages.append(message)
        weights.append(weight)
    return Messages(tuple(messages), as_weights(weights))


def _turn(value: object, key: str, where: str) -> tuple[dict[str, Any], float | None, bool]:
    """The message of one turn, its weight, and whether it is nothing but tool calls."""
    if not isinstance(value, dict):
        refuse(value, key, where, "an object with from and value")
    role_key = _present(value, "from", "role", key, where)
    spelling = value[role_key]
    plain = spelling.strip().lower().replace("-", "_").replace(" ", "_") if isinstance(spelling, str) else ""
    if plain not in _CALLS and plain not in _ROLES:
        refuse(
            spelling,
            f"{key}.{role_key}",
            where,
            f"a role, such as {', '.join(('human', 'gpt', 'system', 'function_call', 'observation'))}",
        )
    content_key = "value" if value.get("value") is not None or "content" not in value else "content"
    rest = {name: item for name, item in value.items() if name not in (role_key, content_key)}
    if plain in _CALLS:
        return _called(value.get(content_key), rest, f"{key}.{content_key}", where, key)
    message: dict[str, Any] = {"role": _ROLES[plain]}
    if content_key in value:
        message["content"] = value[content_key]
    elif not value.get("tool_calls"):
        raise InputError(f"no {content_key}: found {listed(value)}", file=where, key=key)
    return (*read_message(message | rest, key, where, content_key), False)


def _called(
    value: object, rest: dict[str, Any], value_key: str, where: str, key: str
) -> tuple[dict[str, Any], float | None, bool]:
    weight = take_weight(rest, key, where)
    calls = read_calls(value, value_key, where)
    if not calls:
        refuse(value, value_key, where, "a tool call, {name: .., arguments: ..}")
    # Empty rather than null: templates that add contents to other text fail on null.
    return {"role": "assistant", "content": "", "tool_calls": calls}, weight, True


def _present(turn: dict[str, Any], name: str, other: str, key: str, where: str) -> str:
    """Which of the two keys `turn` has; raises InputError for neither."""
    if turn.get(name) is None and other in turn:
        return other
    if name not in turn:
        raise InputError(f"no {name}: found {listed(turn)}", file=where, key=key)
    return name
