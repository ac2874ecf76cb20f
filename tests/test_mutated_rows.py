"""Ten thousand damaged rows among good ones: every bad one is named, no good one is lost, nothing crashes."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sftui.data.formats import read_conversation
from sftui.data.sources import open_rows
from sftui.errors import InputError
from sftui.recipe import Source

MUTATED = 10_000
CALL = {"name": "look_up", "arguments": {"word": "tiraña"}}
TOOL = {"name": "look_up", "description": "d", "parameters": {"type": "object", "properties": {}}}
GOOD: tuple[dict[str, Any], ...] = (
    {"question": "How many eggs are 3 and 4?", "answer": "3 + 4 = <<3+4=7>>7\n#### 7"},
    {"instruction": "Name a colour.", "input": "", "output": "Blue."},
    {"instruction": "Sort.", "input": "b, a", "output": "a, b", "history": [["hi", "hello"]], "system": "s"},
    {"prompt": "Say hi.", "completion": [{"role": "assistant", "content": "hi"}]},
    {"text": "Es war einmal … 🙂"},
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [{"type": "text", "text": "What is "}, {"type": "text", "value": "up?"}],
            },
            {"role": "assistant", "content": "Nothing.", "loss_weight": 0.5, "reasoning_content": "Hm."},
            {"role": "user", "content": "Look.", "train": False},
            {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": CALL}]},
            {"role": "tool", "content": "[]", "name": "look_up"},
        ],
        "tools": [TOOL],
    },
    {
        "conversations": [
            {"from": "human", "value": "Find me a word."},
            {"from": "function_call", "value": json.dumps(CALL)},
            {"from": "observation", "value": "{}"},
            {"from": "gpt", "value": "Found."},
        ],
        "tools": json.dumps([TOOL]),
    },
)
ODD: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        1e308,
        float("nan"),
        "",
        " ",
        "\x00\x1b]0;x\x07",
        "\ud800",
        [],
        {},
        [[]],
        [None],
        "[",
        "{}",
    ),
    *("function_call", "user", {"role": "user"}, [{"from": "gpt"}], [{"type": "image", "image": "x"}]),
)


class Line(NamedTuple):
    """A line of the file, how it came about, and whether it is known to be readable."""

    data: bytes
    made: str
    reads: bool | None


def plain(row: object) -> bytes:
    return json.dumps(row, ensure_ascii=False).encode(errors="surrogatepass")


def place(row: Any, chance: random.Random) -> tuple[Any, Any]:
    """A container somewhere in `row`, and the key or index of one of its items."""
    while True:
        key = chance.choice(list(row) if isinstance(row, dict) else range(len(row)))
        item = row[key]
        if not isinstance(item, dict | list) or not item or chance.random() < 0.3:
            return row, key
        row = item


def copied(chance: random.Random) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(json.dumps(chance.choice(GOOD)))
    return row


def cut(chance: random.Random) -> Line:
    data = json.dumps(copied(chance)).encode()
    return Line(data[: chance.randrange(1, len(data))], "cut", False)


def another_value(chance: random.Random) -> Line:
    row = copied(chance)
    holder, key = place(row, chance)
    holder[key] = chance.choice(ODD)
    return Line(json.dumps(row).encode(), "another value", None)


def wrong_type(chance: random.Random) -> Line:
    row = {**chance.choice(GOOD[:5])}
    column = next(iter(row))
    row[column] = chance.choice([None, 3, True, {}, 1.5, {"role": "user"}])
    return Line(json.dumps(row).encode(), "wrong type", False)


def gone(chance: random.Random) -> Line:
    row = copied(chance)
    holder, key = place(row, chance)
    del holder[key]
    return Line(json.dumps(row).encode(), "gone", None)


def no_columns(chance: random.Random) -> Line:
    row = {f"{name}_": value for name, value in copied(chance).items()}
    return Line(json.dumps(row).encode(), "no columns", False)


def huge(chance: random.Random) -> Line:
    row = copied(chance)
    holder, key = place(row, chance)
    kind = chance.randrange(100)
    if kind == 0:
        holder[key] = chance.choice(["x", "é"]) * 1_000_000
    elif kind < 5:
        return Line(b'{"text": ' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested", False)
    elif kind < 20:
        holder[key] = "@"
        return Line(json.dumps(row).encode().replace(b'"@"', b"9" * 5_000, 1), "huge number", None)
    else:
        holder[key] = [chance.choice(ODD)] * chance.randrange(1_000)
    return Line(json.dumps(row).encode(), "huge", None)


def not_utf8(chance: random.Random) -> Line:
    data = json.dumps(copied(chance)).encode()
    at = chance.randrange(len(data))
    return Line(
        data[:at] + bytes([chance.choice([0x80, 0xBF, 0xC0, 0xFE, 0xFF])]) + data[at:], "not UTF-8", False
    )


def binary(chance: random.Random) -> Line:
    return Line(b"\xff" + chance.randbytes(chance.randrange(200)), "binary", False)


def other_byte(chance: random.Random) -> Line:
    data = bytearray(json.dumps(copied(chance)).encode())
    for _ in range(chance.randrange(1, 4)):
        data[chance.randrange(len(data))] = chance.randrange(256)
    return Line(bytes(data), "other byte", None)


def swapped_roles(chance: random.Random) -> Line:
    row = copied(chance)
    for messages in (row.get("messages"), row.get("conversations")):
        for message in messages or ():
            key = "role" if "role" in message else "from"
            message[key] = chance.choice(
                ["user", "gpt", "tool", "function_call", "system", "observation", ""]
            )
    return Line(json.dumps(row).encode(), "swapped roles", None)


def twice(chance: random.Random) -> Line:
    row = copied(chance)
    column = chance.choice(list(row))
    data = json.dumps(row).encode()
    return Line(data[:-1] + b", " + json.dumps({column: chance.choice(ODD)}).encode()[1:], "twice", None)


def no_object(chance: random.Random) -> Line:
    return Line(
        chance.choice([b"[]", b"3", b'"text"', b"null", b"NaN", b"[{}]", b"}", b"//"]), "no object", False
    )


MUTATIONS: tuple[Callable[[random.Random], Line], ...] = (
    *(cut, another_value, another_value, another_value, wrong_type, gone, no_columns, huge),
    *(not_utf8, binary, other_byte, swapped_roles, twice, no_object),
)


def written(path: Path, chance: random.Random) -> list[tuple[int, Line]]:
    """Write mutated rows, as many good ones and blank lines; the rows with their line numbers."""
    lines: list[Line | None] = [chance.choice(MUTATIONS)(chance) for _ in range(MUTATED)]
    lines += [Line(plain(chance.choice(GOOD)), "good", True) for _ in range(MUTATED)]
    lines += [None] * 500
    chance.shuffle(lines)
    rows, whole = [], [plain(GOOD[0])]  # what the file begins with must be text
    for number, line in enumerate(lines, 2):
        data = b"" if line is None else line.data.replace(b"\n", b"?")
        whole.append(data)
        if line is not None:
            rows.append((number, line))
    path.write_bytes(b"\n".join(whole) + b"\n")
    return [(1, Line(whole[0], "good", True)), *rows]


def test_every_damaged_row_is_read_or_named_and_no_good_row_is_lost(tmp_path: Path) -> None:
    start = time.perf_counter()
    path = tmp_path / "train.jsonl"
    expected = written(path, random.Random(20_251_120))
    source = Source(path=str(path))
    rows = open_rows(source)
    assert len(rows) == len(expected)
    outcome: Counter[tuple[str, bool]] = Counter()
    for index, (number, line) in enumerate(expected):
        assert rows.where(index) == f"{path}:{number}"
        try:
            found = read_conversation(rows[index], source, rows.where(index))
        except InputError as error:
            assert str(error).startswith(f"{path}:{number}: "), (line.made, str(error)[:200])
            assert len(str(error)) < 2_000
            read = False
        else:
            assert found.where == f"{path}:{number}"
            assert found.messages or found.text is not None
            read = True
        assert line.reads in (None, read), (line.made, line.data[:200])
        outcome[line.made, read] += 1
    assert outcome["good", True] == MUTATED + 1
    bad = sum(count for (_, read), count in outcome.items() if not read)
    assert MUTATED / 2 < bad < MUTATED
    for damage in ("another value", "gone", "huge", "huge number", "other byte", "swapped roles", "twice"):
        assert outcome[damage, True] and outcome[damage, False], outcome
    assert time.perf_counter() - start < 30
