"""A message's content as a list of parts: text, reasoning and tool calls."""

from __future__ import annotations

from typing import Any, NamedTuple

from sftui.data.formats.calls import read_calls
from sftui.data.formats.values import checked_text, found, listed, refuse
from sftui.errors import InputError

_TEXT = ("text", "input_text", "output_text")
_REASONING = ("reasoning", "thinking")
_CALLS = ("tool_call", "tool_calls")
_MEDIA = ("image", "audio", "video", "file")


class Parts(NamedTuple):
    """What the parts of one message come to; None for what they have none of."""

    text: str | None
    reasoning: str | None
    calls: list[dict[str, Any]]


def read_parts(parts: list[Any], key: str, where: str) -> Parts:
    """Text and reasoning joined in their order, with nothing between, and all tool calls.

    Raises InputError naming the part for images, sounds and films, and for what is unknown.
    """
    text: list[str] = []
    reasoning: list[str] = []
    calls: list[dict[str, Any]] = []
    for index, part in enumerate(parts):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind in _TEXT:
            text.append(_text(part, ("text", "value"), f"{key}[{index}]", where))
        elif kind in _REASONING:
            names = (str(kind), "text", "value")
            reasoning.append(_text(part, names, f"{key}[{index}]", where))
        elif kind in _CALLS:
            value = next((part[name] for name in ("value", kind) if part.get(name) is not None), part)
            calls += read_calls(value, f"{key}[{index}]", where)
        elif kind == "tool_use":
            call = {"id": part.get("id"), "name": part.get("name"), "arguments": part.get("input")}
            calls += read_calls(call, f"{key}[{index}]", where)
        else:
            _refuse_part(part, kind, f"{key}[{index}]", where)
    return Parts("".join(text) if text else None, "".join(reasoning) if reasoning else None, calls)


def _text(part: dict[str, Any], names: tuple[str, ...], key: str, where: str) -> str:
    for name in names:
        if part.get(name) is not None:
            return checked_text(part[name], f"{key}.{name}", where)
    raise InputError(f"no {names[0]}: found {listed(part)}", file=where, key=key)


def _refuse_part(part: object, kind: object, key: str, where: str) -> None:
    expected = "a part {type: text, text: ..}"
    if not isinstance(part, dict):
        refuse(part, key, where, expected)
    if isinstance(kind, str) and any(medium in kind for medium in _MEDIA):
        raise InputError(
            f"found a part of type {kind[:40]!r}: only text is trained; expected {expected}",
            file=where,
            key=key,
        )
    if "type" not in part:
        raise InputError(f"no type: found {listed(part)}; expected {expected}", file=where, key=key)
    raise InputError(f"found a part whose type is {found(kind)}: expected {expected}", file=where, key=key)
