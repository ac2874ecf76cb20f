"""What a row says and the chat template leaves out without a word.

Templates quote, trim and reformat what they write, so a text counts as left out only if its own words
are not there either.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from typing import Any

from sftui.data.findings.facts import RowFacts, excerpt, reasoning
from sftui.data.views import RowFinding

_WORD = re.compile(r"\w{3,}")
_COMPARED = 12  # words


def messages_dropped(facts: RowFacts) -> Iterable[RowFinding]:
    """A message whose content is not in the text; tool results are `tool_calls_dropped`'s."""
    text = facts.text
    for index, message in enumerate(facts.conversation.messages):
        content, role = message.get("content"), message["role"]
        if not content or not isinstance(content, str) or content in text or role == "tool":
            continue
        # Templates part reasoning from an answer, and may drop it.
        if role == "assistant" and "</think>" in content:
            continue
        if not _says(text, content):
            return (RowFinding("message-dropped", f"{role}, message {index}: {excerpt(content.strip())}"),)
    return ()


def reasoning_dropped(facts: RowFacts) -> Iterable[RowFinding]:
    """The last answer's reasoning, of a column beside its content, is not in the text."""
    messages = facts.conversation.messages
    if not messages or messages[-1]["role"] != "assistant":
        return ()
    thought = reasoning(messages[-1])
    if not thought or thought in facts.text or _says(facts.text, thought):
        return ()
    return (RowFinding("reasoning-dropped", excerpt(thought.strip())),)


def tools_dropped(facts: RowFacts) -> Iterable[RowFinding]:
    """Tool definitions, calls or results that are not in the text."""
    found = []
    tools = facts.conversation.tools
    if tools and not any(_describes(facts.text, tool) for tool in tools):
        names = ", ".join(name for tool in tools[:3] if (name := _name(tool)))
        found.append(RowFinding("tool-definitions-dropped", excerpt(names)))
    for index, message in enumerate(facts.conversation.messages):
        content = message.get("content")
        if message["role"] == "tool":
            if isinstance(content, str) and content not in facts.text and not _says(facts.text, content):
                found.append(RowFinding("tool-calls-dropped", f"the result in message {index}"))
                break
        elif calls := message.get("tool_calls"):
            dropped = [name for call in calls if not _calls(facts, index, name := _name(call))]
            if dropped:
                found.append(RowFinding("tool-calls-dropped", f"{excerpt(dropped[0])} in message {index}"))
                break
    return found


def _says(text: str, content: str) -> bool:
    """Whether `content` is in `text`, quoted or trimmed, or at least half of its first words are."""
    content = content.strip()
    if not content or content in text or json.dumps(content, ensure_ascii=False)[1:-1] in text:
        return True
    words = _WORD.findall(content[:400])[:_COMPARED]
    return not words or 2 * sum(word in text for word in words) >= len(words)


def _name(entry: object) -> str:
    """The function's name, of a definition or a call, which may be wrapped in `function`."""
    inner = entry.get("function", entry) if isinstance(entry, Mapping) else None
    name = inner.get("name") if isinstance(inner, Mapping) else None
    return name if isinstance(name, str) else ""


def _describes(text: str, tool: Mapping[str, Any]) -> bool:
    """Whether a tool is written anywhere: its name, and the words that describe it if it has such."""
    inner = tool.get("function", tool)
    description = inner.get("description") if isinstance(inner, Mapping) else None
    if _name(tool) not in text:
        return False
    return not isinstance(description, str) or _says(text, description)


def _calls(facts: RowFacts, index: int, name: str) -> bool:
    """Whether the function's name is in the message's part of the text; in all of it if that is unknown."""
    region = next((region for region in facts.regions if region.index == index), None)
    if region is None or region.start == region.end:
        return name in facts.text
    return facts.text.find(name, region.start, region.end) >= 0
