"""Recognise how a row is written and bring it to the one form the rest works with."""

from __future__ import annotations

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sftui.errors import InputError, shorten
from sftui.recipe import RowFormat, Source

Message = Mapping[str, Any]

ROLES = ("system", "user", "assistant", "tool", "developer")


@dataclass(frozen=True, slots=True)
class Conversation:
    """One row, normalised.

    `messages` have a `role` of ROLES and string `content` (which an assistant message with
    `tool_calls` may lack); other keys are kept for the chat template. Messages from index
    `completion_start` on are the completion; None if the row does not say. `where` names the row in
    messages to a person.
    """

    messages: tuple[Message, ...]
    where: str
    tools: tuple[Mapping[str, Any], ...] | None = None
    completion_start: int | None = None

    def assistant_turns(self) -> list[int]:
        """Indices of the assistant's messages."""
        return [i for i, message in enumerate(self.messages) if message["role"] == "assistant"]


def read_conversation(row: Mapping[str, Any], source: Source, where: str) -> Conversation:
    """Normalise `row` of `source`; `where` names it in errors.

    Raises InputError naming the row, the column, what was found and what was expected.
    """
    columns = _rename(row, source.columns, where)
    shape = _recognise(columns, where) if source.format == "auto" else _SHAPES[source.format]
    _require(shape.columns, columns, where)
    return shape.read(columns, where)


def recognise(row: Mapping[str, Any], source: Source, where: str) -> RowFormat:
    """The format of `row`, from its columns; raises InputError if it matches none."""
    return _recognise(_rename(row, source.columns, where), where).name


def _read_messages(row: Mapping[str, Any], where: str) -> Conversation:
    return Conversation(_messages(row["messages"], "messages", where), where, _tools(row, where))


def _read_prompt_completion(row: Mapping[str, Any], where: str) -> Conversation:
    prompt = _turns(row["prompt"], "prompt", "user", where)
    completion = _turns(row["completion"], "completion", "assistant", where)
    return Conversation(prompt + completion, where, _tools(row, where), len(prompt))


def _read_question_answer(row: Mapping[str, Any], where: str) -> Conversation:
    question = _text(row["question"], "question", where)
    answer = _text(row["answer"], "answer", where)
    messages = ({"role": "user", "content": question}, {"role": "assistant", "content": answer})
    return Conversation(messages, where, completion_start=1)


@dataclass(frozen=True, slots=True)
class _Shape:
    """A format: the columns that it needs and how they are read."""

    name: RowFormat
    columns: tuple[str, ...]
    read: Callable[[Mapping[str, Any], str], Conversation]


# In order of precedence: a row that has the columns of several is read as the first.
_SHAPES: dict[RowFormat, _Shape] = {
    shape.name: shape
    for shape in (
        _Shape("messages", ("messages",), _read_messages),
        _Shape("prompt_completion", ("prompt", "completion"), _read_prompt_completion),
        _Shape("question_answer", ("question", "answer"), _read_question_answer),
    )
}
_OUR_COLUMNS = tuple(dict.fromkeys([*(c for shape in _SHAPES.values() for c in shape.columns), "tools"]))


def _rename(row: Mapping[str, Any], names: Mapping[str, str], where: str) -> Mapping[str, Any]:
    """`row` under our column names; a column that `names` maps is not also kept under its own name."""
    if not names:
        return row
    for ours, theirs in names.items():
        if ours not in _OUR_COLUMNS:
            raise InputError(
                f"unknown column {ours!r}: expected one of {', '.join(_OUR_COLUMNS)}",
                key=f"columns.{ours}",
                hint=_did_you_mean(ours, _OUR_COLUMNS),
            )
        if theirs not in row:
            raise InputError(
                f"no column {theirs!r} (columns.{ours}): found {_listed(row)}",
                file=where,
                hint=_did_you_mean(theirs, row),
            )
    kept = {name: value for name, value in row.items() if name not in names.values() and name not in names}
    return kept | {ours: row[theirs] for ours, theirs in names.items()}


def _recognise(row: Mapping[str, Any], where: str) -> _Shape:
    for shape in _SHAPES.values():
        if all(column in row for column in shape.columns):
            return shape
    expected = "; ".join(" and ".join(shape.columns) for shape in _SHAPES.values())
    hints = [hint for name in row if name not in _OUR_COLUMNS and (hint := _did_you_mean(name, _OUR_COLUMNS))]
    raise InputError(
        f"format not recognised: found columns {_listed(row)}; expected {expected}",
        file=where,
        hint=hints[0] if hints else "name them in the recipe: columns: {prompt: .., completion: ..}",
    )


def _require(columns: Sequence[str], row: Mapping[str, Any], where: str) -> None:
    for column in columns:
        if column not in row:
            raise InputError(
                f"no column {column!r}: found {_listed(row)}", file=where, hint=_did_you_mean(column, row)
            )


def _turns(value: object, column: str, role: str, where: str) -> tuple[Message, ...]:
    """A string as one message of `role`, or a list of messages as it is."""
    if isinstance(value, list):
        return _messages(value, column, where)
    return ({"role": role, "content": _text(value, column, where, "text or a list of messages")},)


def _text(value: object, column: str, where: str, expected: str = "text") -> str:
    if not isinstance(value, str):
        raise InputError(f"found {_found(value)}: expected {expected}", file=where, key=column)
    return value


def _messages(value: object, column: str, where: str) -> tuple[Message, ...]:
    if not isinstance(value, list) or not value:
        raise InputError(
            f"found {_found(value)}: expected a list of messages, {{role: .., content: ..}}",
            file=where,
            key=column,
        )
    for index, message in enumerate(value):
        _check_message(message, f"{column}[{index}]", where)
    return tuple(value)


def _check_message(message: object, key: str, where: str) -> None:
    if not isinstance(message, dict):
        raise InputError(
            f"found {_found(message)}: expected an object with role and content", file=where, key=key
        )
    if "role" not in message:
        raise InputError(f"no role: found {_listed(message)}", file=where, key=key)
    role, content = message["role"], message.get("content")
    if role not in ROLES:
        raise InputError(
            f"found {_found(role)}: expected one of {', '.join(ROLES)}", file=where, key=f"{key}.role"
        )
    if isinstance(content, str) or (content is None and role == "assistant" and message.get("tool_calls")):
        return
    if "content" not in message:
        raise InputError(f"no content: found {_listed(message)}", file=where, key=key)
    raise InputError(f"found {_found(content)}: expected text", file=where, key=f"{key}.content")


def _tools(row: Mapping[str, Any], where: str) -> tuple[Mapping[str, Any], ...] | None:
    """The row's tool schemas. Files that cannot hold nested columns keep them as JSON in a string."""
    tools = row.get("tools")
    if isinstance(tools, str) and tools.strip():
        try:
            tools = json.loads(tools)
        except ValueError as error:
            raise InputError(
                f"found text that is not JSON ({shorten(tools)}): expected a list of tool schemas",
                file=where,
                key="tools",
            ) from error
    if not tools:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise InputError(f"found {_found(tools)}: expected a list of tool schemas", file=where, key="tools")
    return tuple(tools)


def _found(value: object) -> str:
    """`value` in JSON's words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and not value:
        return "an empty list"
    kind = {dict: "an object", list: "a list", str: "text", int: "a number", float: "a number"}[type(value)]
    return f"{kind} {shorten(value)}"


def _listed(names: Mapping[str, Any]) -> str:
    return ", ".join(map(repr, names)) or "none"


def _did_you_mean(name: str, names: Sequence[str] | Mapping[str, Any]) -> str | None:
    close = difflib.get_close_matches(name, list(names), n=1)
    return f"{name!r}: did you mean {close[0]!r}?" if close else None
