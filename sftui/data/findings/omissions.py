"""What a row says and the chat template leaves out without a word.

Templates quote, trim and reformat what they write, so a content counts as left out only if its own words
are not there either. Reasoning is written as it is or not at all.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sftui.data.findings.facts import RowFacts, excerpt, thought_of
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
        if role == "assistant":  # whose reasoning is `reasoning_dropped`'s
            content = content.rpartition("</think>")[2]
        if not _says(text, content):
            return (RowFinding("message-dropped", f"{role}, message {index}: {excerpt(content.strip())}"),)
    return ()


def reasoning_dropped(facts: RowFacts) -> Iterable[RowFinding]:
    """A trained turn's reasoning is not in the text, and not for being history: see `rewritten_history`."""
    messages = facts.conversation.messages
    for index in turns_without_reasoning(facts):
        if index not in facts.rewritten or index + 1 == len(messages):
            detail = f"message {index}: {excerpt(thought_of(messages[index]).strip())}"
            return (RowFinding("reasoning-dropped", detail),)
    return ()


def turns_without_reasoning(facts: RowFacts) -> list[int]:
    """The trained turns whose reasoning, beside the content or within it, is not in the text."""
    conversation, weights = facts.conversation, facts.conversation.weights
    turns = {span.turn for span in facts.spans if span.weight}
    if -1 in turns:
        turns = {turn for turn in conversation.assistant_turns() if weights is None or weights[turn] != 0}
    thoughts = {turn: thought_of(conversation.messages[turn]) for turn in sorted(turns)}
    return [turn for turn, thought in thoughts.items() if not _quotes(facts.text, thought)]


def tools_dropped(facts: RowFacts) -> Iterable[RowFinding]:
    """Tool definitions, calls or results that are not in the text."""
    found = []
    if undefined := _undefined(facts):
        names = ", ".join(name for tool in undefined[:3] if (name := _name(tool)))
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


def _undefined(facts: RowFacts) -> Sequence[Mapping[str, Any]]:
    """The tools that neither the template nor the row's own system message defines."""
    tools = facts.conversation.tools or ()
    if facts.writes_tools:
        return () if any(_describes(facts.text, tool) for tool in tools) else tools
    said = "\n".join(
        str(message.get("content") or "")
        for message in facts.conversation.messages
        if message["role"] in ("system", "developer")
    )
    return [tool for tool in tools if not said or not _describes(said, tool)]


def _quotes(text: str, thought: str) -> bool:
    """Whether `thought` is in `text`, however spaced or as JSON, or is empty."""
    if thought in text or json.dumps(thought.strip(), ensure_ascii=False)[1:-1] in text:
        return True
    return " ".join(thought.split()) in " ".join(text.split())


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
    """Whether a tool is written in `text`: its name, and the words that describe it if it has such."""
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
