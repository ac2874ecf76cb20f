"""Rows of every format become conversations, and what cannot is named with row and column."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sftui.data.conversation import Conversation
from sftui.data.formats import read_conversation, recognise
from sftui.errors import InputError
from sftui.recipe import Source

TALK = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
TURNS = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
REAL = Path(__file__).parents[2] / "shared" / "data"


def read(row: dict[str, Any], **source: Any) -> Conversation:
    return read_conversation(row, Source(path="train.jsonl", **source), "train.jsonl:7")


def roles(conversation: Conversation) -> list[str]:
    return [message["role"] for message in conversation.messages]


def contents(conversation: Conversation) -> list[str]:
    return [message["content"] for message in conversation.messages]


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"messages": TALK}, "messages"),
        ({"conversations": TURNS}, "sharegpt"),
        ({"instruction": "q", "output": "a"}, "alpaca"),
        ({"prompt": "q", "completion": "a"}, "prompt_completion"),
        ({"question": "q", "answer": "a"}, "question_answer"),
        ({"id": 3, "question": "q", "answer": "a", "source": "x"}, "question_answer"),
        ({"text": "rendered", "messages": TALK}, "messages"),
        ({"text": "rendered", "instruction": "q", "input": "", "output": "a"}, "alpaca"),
    ],
)
def test_formats_are_recognised_by_their_columns(row: dict[str, Any], name: str) -> None:
    assert recognise(row, Source(path="train.jsonl"), "train.jsonl:7") == name
    for found in (read(row), read(row, format=name)):
        assert found.format == name
        assert contents(found) == ["q", "a"]
        assert roles(found) == ["user", "assistant"]


def test_a_plain_text_has_no_messages() -> None:
    found = read({"text": "once", "tools": [{"name": "f"}]})
    assert (found.messages, found.text, found.format, found.tools) == ((), "once", "text", None)


def test_columns_that_a_row_leaves_null_do_not_decide() -> None:
    row = {"messages": None, "prompt": "q", "completion": "a", "text": None}
    assert read(row).format == "prompt_completion"
    assert read({**row, "messages": TALK}).format == "messages"
    with pytest.raises(InputError, match="messages: found null"):
        read({**row, "prompt": None, "completion": None})
    with pytest.raises(InputError, match="output: found null"):
        read({"instruction": "q", "output": None, "text": "q a"})


def test_prompt_and_completion_may_be_messages() -> None:
    found = read({"prompt": [{"role": "system", "content": "s"}, TALK[0]], "completion": [TALK[1]]})
    assert roles(found) == ["system", "user", "assistant"]
    assert found.completion_start == 2
    assert read({"prompt": [TALK[0]], "completion": "a"}).messages == tuple(TALK)
    weighted = read({"prompt": "q", "completion": [{**TALK[1], "weight": 0.5}]})
    assert weighted.weights == (None, 0.5)
    assert weighted.messages == tuple(TALK)


def test_only_rows_that_tell_prompt_from_completion_have_a_completion() -> None:
    assert read({"messages": TALK}).completion_start is None
    assert read({"conversations": TURNS}).completion_start is None
    assert read({"question": "q", "answer": "a"}).completion_start == 1
    row = {"instruction": "q", "output": "a", "history": [["x", "y"]], "system": "s"}
    assert read(row).completion_start == 4


def test_messages_may_be_json_in_a_string() -> None:
    assert read({"messages": json.dumps(TALK)}).messages == tuple(TALK)
    assert contents(read({"conversations": json.dumps(TURNS)})) == ["q", "a"]
    with pytest.raises(
        InputError, match=r"messages: found text that is not JSON \('\[\{\.\.'\): expected a list"
    ):
        read({"messages": "[{.."})


def test_the_columns_mapping_renames_and_wins() -> None:
    columns = {"prompt": "question", "completion": "answer"}
    found = read({"question": "q", "answer": "a", "prompt": 3}, columns=columns)
    assert contents(found) == ["q", "a"]
    assert (found.completion_start, found.format) == (1, "prompt_completion")
    assert (
        read({"question": "q", "answer": "a", "messages": 3}, columns=columns).format == "prompt_completion"
    )
    dialogue = read({"dialogue": TALK, "functions": [{"name": "f"}]}, columns={"messages": "dialogue"})
    assert (dialogue.messages, dialogue.tools) == (tuple(TALK), None)


def test_errors_name_a_column_as_the_file_does() -> None:
    with pytest.raises(InputError, match=r"train\.jsonl:7: dialogue\[0\]\.role: found text 'x'"):
        read({"dialogue": [{"role": "x"}]}, columns={"messages": "dialogue"})
    with pytest.raises(InputError, match=r"train\.jsonl:7: reply: found null"):
        read({"question": "q", "reply": None}, columns={"answer": "reply"})


def test_a_system_column_becomes_the_system_message_if_there_is_none() -> None:
    assert contents(read({"conversations": TURNS, "system": "s"})) == ["s", "q", "a"]
    assert contents(read({"instruction": "q", "output": "a", "system": "s"})) == ["s", "q", "a"]
    own = [{"from": "system", "value": "own"}, *TURNS]
    assert contents(read({"conversations": own, "system": "s"})) == ["own", "q", "a"]
    for nothing in (None, ""):
        assert contents(read({"conversations": TURNS, "system": nothing})) == ["q", "a"]
    weighted = [TURNS[0], {**TURNS[1], "weight": 2}]
    assert read({"conversations": weighted, "system": "s"}).weights == (None, None, 2.0)


def test_elsewhere_a_system_column_is_the_rows_own_business_unless_it_is_mapped() -> None:
    for row in ({"messages": TALK}, {"prompt": "q", "completion": "a"}, {"question": "q", "answer": "a"}):
        assert contents(read({**row, "system": {"os": "linux"}})) == ["q", "a"]
        assert contents(read({**row, "system": "s"}, columns={"system": "system"})) == ["s", "q", "a"]
        found = read(
            {**row, "preamble": "s", "fns": '[{"name": "f"}]'}, columns={"system": "preamble", "tools": "fns"}
        )
        assert contents(found) == ["s", "q", "a"]
        assert found.tools == ({"type": "function", "function": {"name": "f"}},)


def test_an_optional_column_that_is_mapped_may_be_missing_from_a_row() -> None:
    columns = {"instruction": "ask", "output": "reply", "input": "context"}
    assert contents(read({"ask": "q", "reply": "a"}, columns=columns)) == ["q", "a"]
    assert contents(read({"ask": "q", "reply": "a", "context": "c"}, columns=columns)) == ["q\nc", "a"]
    with pytest.raises(
        InputError, match=r"no column 'context' \(columns\.input\).*\n.*did you mean 'contex'"
    ):
        read({"ask": "q", "reply": "a", "contex": "c"}, columns=columns)


@pytest.mark.parametrize(
    ("row", "asked"),
    [
        ({"instruction": "i", "input": "x"}, "i\nx"),
        ({"instruction": "i", "input": ""}, "i"),
        ({"instruction": "i", "input": None}, "i"),
        ({"instruction": "", "input": "x"}, "x"),
    ],
)
def test_alpaca_joins_instruction_and_input(row: dict[str, Any], asked: str) -> None:
    assert contents(read({**row, "output": "a"})) == [asked, "a"]


@pytest.mark.parametrize("history", [[["h", "r"]], [("h", "r")], '[["h", "r"]]'])
def test_alpaca_history_comes_first(history: object) -> None:
    found = read({"instruction": "i", "output": "a", "history": history})
    assert contents(found) == ["h", "r", "i", "a"]
    assert roles(found) == ["user", "assistant"] * 2
    for nothing in (None, [], ""):
        assert contents(read({"instruction": "i", "output": "a", "history": nothing})) == ["i", "a"]


def test_tools_may_be_a_list_or_json_in_a_string() -> None:
    wrapped = {"type": "function", "function": {"name": "f", "parameters": {}}}
    flat = {"name": "f", "parameters": {}}
    text = json.dumps(flat)
    for tools in (
        [flat],
        f"[{text}]",
        [text],
        [wrapped],
        [{"type": "function", **flat}],
        [{"function": flat}],
    ):
        assert read({"messages": TALK, "tools": tools}).tools == (wrapped,)
    for nothing in (None, [], "", " ", "[]", "null"):
        assert read({"messages": TALK, "tools": nothing}).tools is None


def test_coheres_own_tool_schemas_are_left_to_its_templates() -> None:
    tool = {"name": "f", "description": "d", "parameter_definitions": {}}
    assert read({"messages": TALK, "tools": [tool]}).tools == (tool,)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"promt": "q", "completion": "a"},
            "format not recognised: found columns 'promt', 'completion'; expected messages (messages); "
            "conversations (sharegpt); instruction and output (alpaca); prompt and completion "
            "(prompt_completion); question and answer (question_answer); text (text)\n"
            "  if 'promt' is meant: columns: {prompt: promt}",
        ),
        ({}, "found columns none"),
        ({"prompt\x1b": 1}, "if 'prompt\\x1b' is meant: columns: {prompt: 'prompt\\x1b'}"),
        ({"input": "q", "output": "a"}, "for alpaca only instruction is missing: columns: {instruction: ..}"),
        ({"query": 1, "reply": 2}, "name them in the recipe: columns: {prompt: .., completion: ..}"),
        ({f"c{i}": 1 for i in range(30)}, "'c19' and 10 more; expected"),
        ({"prompt": "q", "completion": None}, "completion: found null: expected text or a list of messages"),
        ({"prompt": 3, "completion": "a"}, "prompt: found a number 3: expected text or a list of messages"),
        ({"prompt": [{"role": "user"}], "completion": "a"}, "prompt[0]: no content"),
        ({"question": "q", "answer": ["a"]}, "answer: found a list ['a']: expected text"),
        ({"text": b"x"}, "text: found a value of type bytes b'x': expected text"),
        ({"text": "a\ud800"}, "text: character 2 is '\\ud800', half of a surrogate pair"),
        ({"text": 10**5000}, "text: found a number too large to show: expected text"),
        ({"messages": TALK, "tools": "{"}, "tools: found text that is not JSON ('{'): expected a list"),
        ({"messages": TALK, "tools": {"name": "f"}}, "tools: found an object"),
        ({"messages": TALK, "tools": [3]}, "tools[0]: found a number 3: expected a tool schema"),
        ({"messages": TALK, "tools": [{"nmae": "f"}]}, "tools[0]: no name: found 'nmae'"),
        ({"messages": TALK, "tools": [{"name": 3}]}, "tools[0].name: found a number 3"),
        ({"messages": TALK, "tools": [{"function": "f"}]}, "tools[0].function: found text 'f'"),
        (
            {"instruction": "q", "output": "a", "history": ["h"]},
            "history[0]: found text 'h': expected a pair",
        ),
        ({"instruction": "q", "output": "a", "history": [["h", 3]]}, "history[0][1]: found a number 3"),
        ({"instruction": "q", "output": "a", "history": {"h": 3}}, "history: found an object"),
        ({"instruction": "q", "output": "a", "input": 3}, "input: found a number 3: expected text"),
        ({"instruction": "q", "output": "a", "system": 3}, "system: found a number 3: expected text"),
    ],
)
def test_an_unusable_row_is_named_with_what_was_found_and_expected(row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        read(row)
    assert str(error.value).startswith("train.jsonl:7: ")
    assert message in str(error.value)


def test_a_format_that_is_asked_for_needs_its_columns() -> None:
    row = {"prompt": "q", "complation": "a", "messages": TALK}
    with pytest.raises(
        InputError, match=r"train\.jsonl:7: no column 'completion': found .*\n.*\{completion: complation\}"
    ):
        read(row, format="prompt_completion")


@pytest.mark.parametrize(
    ("columns", "wanted", "message"),
    [
        (
            {"prompt": "questoin", "completion": "answer"},
            "auto",
            r"no column 'questoin' \(columns\.prompt\).*\n.*'question'",
        ),
        ({"promt": "question"}, "auto", r"columns\.promt: unknown column 'promt'.*\n.*did you mean 'prompt'"),
        (
            {"history": "question"},
            "messages",
            r"columns\.history: format messages has no column .*: expected messages, tools, system",
        ),
        (
            {"prompt": "question", "output": "answer"},
            "auto",
            r"columns\.output: no format has the column 'output' with prompt",
        ),
        (
            {"prompt": "question"},
            "auto",
            r"no column 'completion': found .*; format prompt_completion needs prompt and completion",
        ),
    ],
)
def test_a_mapping_names_columns_that_exist(columns: dict[str, str], wanted: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read({"question": "q", "answer": "a"}, columns=columns, format=wanted)


@pytest.mark.parametrize(
    ("name", "format", "count"),
    [
        ("gsm8k_train.jsonl", "question_answer", 7473),
        ("gsm8k_test.jsonl", "question_answer", 1319),
        ("alpaca_en_demo.json", "alpaca", 999),
        ("identity.json", "alpaca", 91),
        ("glaive_toolcall_en_demo.json", "sharegpt", 300),
        ("v1_sft_demo.jsonl", "messages", 500),
    ],
)
def test_every_row_of_real_data_is_read(name: str, format: str, count: int) -> None:
    path = REAL / name
    if not path.exists():
        pytest.skip(f"no {path}")
    text = path.read_text()
    rows = json.loads(text) if path.suffix == ".json" else [json.loads(line) for line in text.splitlines()]
    conversations = [read(row) for row in rows]
    assert len(conversations) == count
    assert {conversation.format for conversation in conversations} == {format}
    assert all(conversation.assistant_turns() for conversation in conversations)
    if name.startswith("v1"):
        assert {conversation.weights for conversation in conversations} == {(0.0, 1.0)}
        assert {tuple(message) for c in conversations for message in c.messages} == {("role", "content")}
    if name.startswith("glaive"):
        calls = [call for c in conversations for m in c.messages for call in m.get("tool_calls", ())]
        assert len(calls) == sum(text.count(f'"{role}"') for role in ("function_call",))
        assert all(type(call["function"]["arguments"]) is dict for call in calls)
