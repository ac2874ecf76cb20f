"""What the rows of a dataset are: how many, of which format, under which columns."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sftui.data.conversation import Conversation
from sftui.data.formats import read_conversation
from sftui.data.formats.recognition import Misfit, layout
from sftui.data.sources import Rows, open_rows
from sftui.data.sources.paths import is_hub_id
from sftui.errors import InputError
from sftui.proposal.draft import path_from, scalar
from sftui.recipe import RowFormat, Source

SAMPLE = 2000  # rows that are looked at, spread over all

# Names that other people give to what is asked and to what is answered, the more telling first.
_ASKED = ("prompt", "question", "query", "instruction", "problem", "user", "human", "input", "source")
_ANSWERED = (
    *("completion", "answer", "response", "output", "solution", "assistant", "reply", "target", "label"),
    *("summary", "chosen"),
)
_TEXT = ("text", "content", "document", "body", "story")

_BYTES_A_TOKEN = 3.0  # of English with numbers, or code; more of prose
_TOKENS_A_MESSAGE = 10  # that a chat template writes around one


@dataclass(frozen=True, slots=True)
class RowFacts:
    """What is known of a dataset before a tokenizer looks at it.

    `count` is how many rows there are, or at least are where not `counted` (a dataset of the Hub that is not
    on this machine). `unreadable` of the `sampled` rows cannot be read, `problem` says why the first cannot.
    `guesses` are tokens of each readable one, by its characters. `renamed` says which columns were taken for
    which, where that is a guess.
    """

    sources: tuple[Source, ...]
    count: int
    counted: bool
    sampled: int
    unreadable: int
    problem: str | None
    formats: tuple[RowFormat, ...]
    guesses: tuple[int, ...]
    several_turns: bool
    tools: bool
    reasoning: bool
    completions: bool
    renamed: Mapping[str, str]


def look_at_rows(sources: Sequence[Source]) -> RowFacts:
    """The facts of some sources. Raises InputError where one cannot be opened, or not one row can be read."""
    opened = [_open(source) for source in sources]
    named: list[Source] = []
    renamed: dict[str, str] = {}
    for source, rows in zip(sources, opened, strict=True):
        columns = _columns(source, rows)
        renamed |= columns
        named.append(source.model_copy(update={"columns": columns}) if columns else source)
    found, sampled, first_error = _conversations(named, opened)
    if not found and first_error is not None:
        raise _with_a_command(first_error, named, opened)
    return RowFacts(
        sources=tuple(named),
        count=sum(map(len, opened)),
        counted=all(rows.complete for rows in opened),
        sampled=sampled,
        unreadable=sampled - len(found),
        problem=None if first_error is None else first_error.render(),
        formats=tuple(dict.fromkeys(each.format for each in found)),
        guesses=tuple(map(_tokens, found)),
        several_turns=any(len(each.assistant_turns()) > 1 for each in found),
        tools=any(each.tools for each in found),
        reasoning=any(map(_reasons, found)),
        completions=bool(found) and all(each.completion_start is not None for each in found),
        renamed=renamed,
    )


def _open(source: Source) -> Rows:
    rows = open_rows(source, wait=False)
    while not rows.complete and not is_hub_id(source.path):
        rows.read_on(60.0)
    return rows


def _conversations(
    sources: Sequence[Source], opened: Sequence[Rows]
) -> tuple[list[Conversation], int, InputError | None]:
    """The readable ones of a sample, how many rows that has, and why the first unreadable one is."""
    found: list[Conversation] = []
    sampled, first_error = 0, None
    total = sum(map(len, opened))
    for source, rows in zip(sources, opened, strict=True):
        wanted = min(len(rows), max(1, SAMPLE * len(rows) // total))
        for place in range(wanted):
            row = place * len(rows) // wanted
            sampled += 1
            try:
                found.append(read_conversation(rows[row], source, rows.where(row)))
            except InputError as error:
                first_error = first_error or error
    return found, sampled, first_error


def _columns(source: Source, rows: Rows) -> dict[str, str]:
    """What the first row's columns probably are, where no format has them by their names."""
    if source.columns or source.format != "auto":
        return {}
    try:
        row = rows[0]
    except InputError:
        return {}
    try:
        read_conversation(row, source, rows.where(0))
    except InputError:
        pass
    else:
        return {}
    try:
        columns = _by_name(row)
        read_conversation(row, source.model_copy(update={"columns": columns}), rows.where(0))
    except InputError:
        return {}
    return columns


def _by_name(row: Mapping[str, Any]) -> dict[str, str]:
    lists = _lists(row)
    if len(lists) == 1:
        return lists[0]
    asked, answered, whole = (_called(names, row) for names in (_ASKED, _ANSWERED, _TEXT))
    if asked and answered:
        return {"prompt": asked, "completion": answered}
    return {"text": whole} if whole and not asked and not answered else {}


def _lists(row: Mapping[str, Any]) -> list[dict[str, str]]:
    """The columns that are lists of turns, each under our name for it."""
    lists = [name for name, value in row.items() if _is_chat(value)]
    return [{"conversations" if "from" in row[name][0] else "messages": name} for name in lists]


def _called(names: Sequence[str], row: Mapping[str, Any]) -> str | None:
    """The column of texts that has the first of these names."""
    by_plain = {name.casefold(): name for name, value in row.items() if isinstance(value, str)}
    return next((by_plain[name] for name in names if name in by_plain), None)


def _by_place(row: Mapping[str, Any]) -> dict[str, str]:
    """What columns may be where no name tells: of texts, the first is asked, the longest other answered."""
    if lists := _lists(row):
        return lists[0]
    texts = [name for name, value in row.items() if isinstance(value, str)]
    if len(texts) < 2:
        return {"text": texts[0]} if texts else {}
    answered = _called(_ANSWERED, row)
    asked = _called(_ASKED, row) or next(name for name in texts if name != answered)
    others = [name for name in texts if name != asked]
    return {"prompt": asked, "completion": answered or max(others, key=lambda name: len(row[name]))}


def _with_a_command(error: InputError, sources: Sequence[Source], opened: Sequence[Rows]) -> InputError:
    """`error`, with a command that says which column is which where no format was recognised."""
    for number, (source, rows) in enumerate(zip(sources, opened, strict=True)):
        if not len(rows):
            continue
        try:
            row = rows[0]
        except InputError:
            break
        recognised = not isinstance(layout(tuple(row), (), "auto"), Misfit)
        if source.columns or source.format != "auto" or recognised:
            break  # it is another mistake
        hint = "none of its columns holds texts or lists of turns"
        if columns := _by_name(row) or _by_place(row):
            given = shlex.quote(f"data.train.{number}.columns={scalar(columns)}")
            command = f"sftui new {shlex.quote(path_from(source.path, Path.cwd()))} {given}"
            hint = f"say which column is which, such as: {command if len(sources) == 1 else given}"
        return InputError(error.problem, file=error.file, line=error.line, key=error.key, hint=hint)
    return error


def _is_chat(value: Any) -> bool:
    if not isinstance(value, list) or not value or not isinstance(value[0], dict):
        return False
    return {"role", "content"} <= value[0].keys() or {"from", "value"} <= value[0].keys()


def _reasons(conversation: Conversation) -> bool:
    return any(
        message.get("reasoning_content") or "<think>" in str(message.get("content") or "")
        for message in conversation.messages
        if message["role"] == "assistant"
    )


def _tokens(conversation: Conversation) -> int:
    """About how many tokens it has."""
    if conversation.text is not None:
        return 1 + round(_bytes(conversation.text) / _BYTES_A_TOKEN)
    said = _bytes(conversation.tools) if conversation.tools else 0
    for message in conversation.messages:
        said += sum(_bytes(value) for key, value in message.items() if key != "role" and value)
    return _TOKENS_A_MESSAGE * (1 + len(conversation.messages)) + round(said / _BYTES_A_TOKEN)


def _bytes(value: Any) -> int:
    return len(str(value).encode(errors="replace"))
