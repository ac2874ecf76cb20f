"""Whatever a row holds, it is a conversation or an InputError that names the row; never another error."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftui.data.conversation import ROLES
from sftui.data.formats import read_conversation
from sftui.data.formats.recognition import OUR_COLUMNS
from sftui.errors import InputError
from sftui.recipe import Source

FORMATS = ("auto", "messages", "sharegpt", "alpaca", "prompt_completion", "question_answer", "text")
KEYS = (
    *("role", "content", "from", "value", "type", "text", "tool_calls", "function_call", "function", "name"),
    *("arguments", "parameters", "id", "train", "training", "weight", "loss_weight", "thinking", "input"),
)
WORDS = (
    *ROLES,
    "human",
    "gpt",
    "function_call",
    "observation",
    "text",
    "thinking",
    "tool_call",
    "image",
    "{}",
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(st.characters())  # lone surrogates too
    | st.binary(max_size=3)
    | st.sampled_from(WORDS)
    | st.sampled_from(('{"name": "f", "arguments": "{}"}', "[[", '[{"role": "user", "content": "x"}]'))
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)
messages = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(WORDS) | values, "content": values},
        optional={key: values for key in KEYS if key not in ("role", "content")},
    ),
    max_size=4,
)
turns = st.lists(
    st.fixed_dictionaries(
        {"from": st.sampled_from(WORDS) | values, "value": values}, optional={"weight": values, "id": values}
    ),
    max_size=4,
)
columns = st.sampled_from(OUR_COLUMNS)
rows = st.dictionaries(columns | st.text(max_size=4), values | messages | turns, max_size=5)


def read_or_refuse(row: dict[str, Any], source: Source) -> None:
    try:
        found = read_conversation(row, source, "train.jsonl:7")
    except InputError as error:
        assert str(error).startswith("train.jsonl:7: ") or (error.key or "").startswith("columns.")
        assert len(str(error)) < 2000
        return
    assert all(message["role"] in ROLES for message in found.messages)
    assert all(isinstance(message.get("content"), str) or message["tool_calls"] for message in found.messages)
    assert (found.text is not None) == (not found.messages) == (found.format == "text")
    assert found.weights is None or len(found.weights) == len(found.messages)
    "".join(message.get("content") or "" for message in found.messages).encode()


@settings(max_examples=120)
@given(rows, st.sampled_from(FORMATS))
def test_any_row_is_a_conversation_or_an_input_error(row: dict[str, Any], wanted: Any) -> None:
    read_or_refuse(row, Source(path="train.jsonl", format=wanted))


@settings(max_examples=80)
@given(
    messages | turns | values,
    st.sampled_from(("messages", "conversations", "prompt", "tools", "history")),
    values,
)
def test_any_value_in_a_column_that_is_read(value: Any, column: str, other: Any) -> None:
    row = {"completion": "a", "instruction": "q", "output": "a"}
    if column == "tools":
        row = {"messages": [{"role": "user", "content": "q"}], "system": other}
    read_or_refuse({**row, column: value}, Source(path="train.jsonl"))


@settings(max_examples=50)
@given(rows, st.dictionaries(columns | st.text(max_size=8), columns | st.text(max_size=4), max_size=3))
def test_any_mapping_of_columns(row: dict[str, Any], mapping: dict[str, str]) -> None:
    read_or_refuse(row, Source(path="train.jsonl", columns=mapping))


def nested(depth: int, shape: str) -> Any:
    value: Any = "x"
    for _ in range(depth):
        value = [value] if shape == "list" else {"function": value, "content": value}
    return value


@pytest.mark.parametrize("shape", ["list", "object"])
@pytest.mark.parametrize("column", OUR_COLUMNS)
def test_deep_nesting_is_refused_or_kept(column: str, shape: str) -> None:
    row = {
        "messages": [{"role": "user", "content": "q"}],
        "conversations": [],
        "prompt": "q",
        "completion": "a",
    }
    row |= {"instruction": "q", "output": "a", "question": "q", "answer": "a", "text": "t"}
    for wanted in FORMATS:
        read_or_refuse({**row, column: nested(10_000, shape)}, Source(path="train.jsonl", format=wanted))
        read_or_refuse({**row, column: "[" * 100_000}, Source(path="train.jsonl", format=wanted))


@pytest.mark.parametrize("name", ["x", "é", "messages"])
def test_a_huge_value_costs_its_reader_little(name: str) -> None:
    huge = name * 1_000_000
    start = time.perf_counter()
    for row in (
        {"question": "q", "answer": huge},
        {"question": "q", "answer": [huge]},
        {"messages": [{"role": huge, "content": "q"}]},
        {"messages": huge},
        {"messages": [{"role": "user", "content": [{"type": huge}]}]},
        {huge: 1, "prompt": "q"},
        {f"column {number}": 1 for number in range(5000)},
    ):
        read_or_refuse(row, Source(path="train.jsonl"))
    assert time.perf_counter() - start < 10
