"""The messages of a conversation as texts, for showing and for searching."""

from __future__ import annotations

import json

from sftui.data.conversation import Conversation


def messages_of(conversation: Conversation) -> tuple[tuple[str, str], ...]:
    """(role, text) of each message; reasoning and tool calls are written out."""
    if conversation.text is not None:
        return (("text", conversation.text),)
    result = []
    for message in conversation.messages:
        parts = []
        for name in ("reasoning_content", "reasoning", "thinking"):
            if isinstance(message.get(name), str):
                parts.append(f"({name}) {message[name]}")
                break
        if message.get("content"):
            parts.append(str(message["content"]))
        calls = message.get("tool_calls") or ()
        parts += (f"(tool call) {as_json(call.get('function', call))}" for call in calls)
        result.append((str(message["role"]), "\n".join(parts)))
    return tuple(result)


def as_json(value: object) -> str:
    """As JSON, whatever it holds."""
    return json.dumps(value, ensure_ascii=False, default=str)
