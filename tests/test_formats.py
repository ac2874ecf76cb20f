"""Rows of every format become conversations, and what cannot is named with row and column."""

from __future__ import annotations

from typing import Any

import pytest

from sftui.data.formats import Conversation, read_conversation, recognise
from sftui.errors import InputError
from sftui.recipe import Source

TALK = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def read(row: dict[str, Any], **source: Any) -> Conversation:
    return read_conversation(row, Source(path="train.jsonl", **source), "train.jsonl:7")


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ({"messages": TALK}, "messages"),
        ({"prompt": "q", "completion": "a"}, "prompt_completion"),
        ({"question": "q", "answer": "a"}, "question_answer"),
        ({"id": 3, "question": "q", "answer": "a", "source": "x"}, "question_answer"),
    ],
)
def test_formats_are_recognised_by_their_columns(row: dict[str, Any], name: str) -> None:
    assert recognise(row, Source(path="train.jsonl"), "train.jsonl:7") == name
    assert [message["content"] for message in read(row).messages] == ["q", "a"]
    assert [message["role"] for message in read(row, format=name).messages] == ["user", "assistant"]


def test_prompt_and_completion_may_be_messages() -> None:
    found = read({"prompt": [{"role": "system", "content": "s"}, TALK[0]], "completion": [TALK[1]]})
    assert [message["role"] for message in found.messages] == ["system", "user", "assistant"]
    assert found.completion_start == 2
    assert read({"prompt": [TALK[0]], "completion": "a"}).messages == tuple(TALK)


def test_only_rows_that_tell_prompt_from_completion_have_a_completion() -> None:
    assert read({"messages": TALK}).completion_start is None
    assert read({"question": "q", "answer": "a"}).completion_start == 1


def test_the_columns_mapping_renames_and_wins() -> None:
    columns = {"prompt": "question", "completion": "answer"}
    found = read({"question": "q", "answer": "a", "prompt": 3}, columns=columns)
    assert [message["content"] for message in found.messages] == ["q", "a"]
    assert found.completion_start == 1


def test_unknown_keys_of_messages_reach_the_template() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"function": {}}], "reasoning_content": "r"}
    found = read({"messages": [TALK[0], call, {"role": "tool", "content": "t", "name": "f"}]})
    assert found.messages[1] == call
    assert found.messages[2]["name"] == "f"


def test_tools_may_be_a_list_or_json_in_a_string() -> None:
    assert read({"messages": TALK, "tools": [{"name": "f"}]}).tools == ({"name": "f"},)
    assert read({"messages": TALK, "tools": '[{"name": "f"}]'}).tools == ({"name": "f"},)
    for nothing in (None, [], "", "[]"):
        assert read({"messages": TALK, "tools": nothing}).tools is None


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (
            {"promt": "q", "completion": "a"},
            "format not recognised: found columns 'promt', 'completion'; expected messages; "
            "prompt and completion; question and answer\n  'promt': did you mean 'prompt'?",
        ),
        ({}, "found columns none"),
        ({"prompt": "q", "completion": None}, "completion: found null: expected text or a list of messages"),
        ({"prompt": 3, "completion": "a"}, "prompt: found a number 3: expected text or a list of messages"),
        ({"question": "q", "answer": ["a"]}, "answer: found a list ['a']: expected text"),
        ({"messages": []}, "messages: found an empty list: expected a list of messages"),
        ({"messages": "hi"}, "messages: found text 'hi': expected a list of messages"),
        ({"messages": ["hi"]}, "messages[0]: found text 'hi': expected an object with role and content"),
        ({"messages": [{"from": "user"}]}, "messages[0]: no role: found 'from'"),
        (
            {"messages": [{"role": "human", "content": "x"}]},
            "messages[0].role: found text 'human': expected one",
        ),
        ({"messages": [{"role": ["user"], "content": "x"}]}, "messages[0].role: found a list"),
        ({"messages": [TALK[0], {"role": "assistant"}]}, "messages[1]: no content: found 'role'"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content: found null: expected text"),
        (
            {"messages": [{"role": "assistant", "content": None, "tool_calls": []}]},
            "found null: expected text",
        ),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "found a list [{'type': 'text'}]"),
        ({"messages": TALK, "tools": "{"}, "tools: found text that is not JSON ('{'): expected a list"),
        ({"messages": TALK, "tools": {"name": "f"}}, "tools: found an object"),
        ({"prompt": [{"role": "user"}], "completion": "a"}, "prompt[0]: no content"),
    ],
)
def test_an_unusable_row_is_named_with_what_was_found_and_expected(row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        read(row)
    assert str(error.value).startswith("train.jsonl:7: ")
    assert message in str(error.value)


def test_a_format_that_is_asked_for_needs_its_columns() -> None:
    with pytest.raises(InputError, match=r"train\.jsonl:7: no column 'completion': found .*\n.*'complation'"):
        read({"prompt": "q", "complation": "a", "messages": TALK}, format="prompt_completion")


def test_a_mapping_names_columns_that_exist() -> None:
    with pytest.raises(
        InputError, match=r"no column 'questoin' \(columns\.prompt\).*\n.*did you mean 'question'"
    ):
        read({"question": "q", "answer": "a"}, columns={"prompt": "questoin", "completion": "answer"})
    with pytest.raises(
        InputError, match=r"columns\.promt: unknown column 'promt'.*\n.*did you mean 'prompt'"
    ):
        read({"question": "q", "answer": "a"}, columns={"promt": "question"})
