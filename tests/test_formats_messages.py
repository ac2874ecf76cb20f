"""Messages in OpenAI's form and in sharegpt's: parts, tool calls, reasoning, flags, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sftui.data.conversation import Conversation
from sftui.data.formats import read_conversation
from sftui.errors import InputError
from sftui.recipe import Source

USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "a"}
CALL = {"type": "function", "function": {"name": "f", "arguments": {"x": 1}}}
ARGUMENTS = '{"x": 1}'


def read(**row: Any) -> Conversation:
    return read_conversation(row, Source(path="train.jsonl"), "train.jsonl:7")


def answer(**message: Any) -> Any:
    return read(messages=[USER, {"role": "assistant", **message}]).messages[1]


def turns(*conversations: tuple[str, Any]) -> list[Any]:
    return list(
        read(conversations=[{"from": role, "value": value} for role, value in conversations]).messages
    )


def test_messages_without_anything_to_change_stay_what_they_are() -> None:
    found = read(messages=[{"role": "developer", "content": "é"}, USER, ANSWER])
    assert found.messages == ({"role": "developer", "content": "é"}, USER, ANSWER)
    assert found.weights is None


def test_unknown_keys_of_messages_reach_the_template() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [CALL], "reasoning_content": "r"}
    found = read(messages=[USER, call, {"role": "tool", "content": "t", "name": "f"}])
    assert found.messages[1] == call
    assert found.messages[2]["name"] == "f"


def test_the_old_function_role_is_tool() -> None:
    assert read(messages=[USER, {"role": "function", "name": "f", "content": "t"}]).messages[1] == {
        "role": "tool",
        "name": "f",
        "content": "t",
    }


@pytest.mark.parametrize(
    "parts",
    [
        [{"type": "text", "text": "a "}, {"type": "text", "text": "b"}],
        [{"type": "text", "value": "a "}, {"type": "text", "value": "b", "text": None}],
        [{"type": "output_text", "text": "a b"}],
    ],
)
def test_text_parts_are_joined_with_nothing_between(parts: list[Any]) -> None:
    assert answer(content=parts) == {"role": "assistant", "content": "a b"}


@pytest.mark.parametrize(
    "part",
    [
        {"type": "reasoning", "value": "r"},
        {"type": "reasoning", "text": "r"},
        {"type": "thinking", "thinking": "r"},
    ],
)
def test_reasoning_parts_become_reasoning_content(part: Any) -> None:
    assert answer(content=[part, {"type": "text", "text": "a"}]) == {
        "role": "assistant",
        "content": "a",
        "reasoning_content": "r",
    }
    with pytest.raises(InputError, match="reasoning in a part of the content and in thinking"):
        answer(content=[part, {"type": "text", "text": "a"}], thinking="s")


@pytest.mark.parametrize(
    "part",
    [
        {"type": "tool_call", "value": '{"name": "f", "arguments": {"x": 1}}'},
        {"type": "tool_call", "value": {"name": "f", "arguments": {"x": 1}}},
        {"type": "tool_calls", "value": [{"name": "f", "arguments": ARGUMENTS}]},
        {"type": "tool_call", "name": "f", "arguments": {"x": 1}},
        {"type": "tool_use", "name": "f", "input": {"x": 1}},
    ],
)
def test_tool_call_parts_become_tool_calls(part: Any) -> None:
    assert answer(content=[part]) == {"role": "assistant", "content": "", "tool_calls": [CALL]}
    text = {"type": "text", "text": "wait"}
    assert answer(content=[text, part, part]) == {
        "role": "assistant",
        "content": "wait",
        "tool_calls": [CALL, CALL],
    }


@pytest.mark.parametrize(
    "calls",
    [
        [CALL],
        json.dumps([CALL]),
        [json.dumps(CALL)],
        [{"type": "function", "function": {"name": "f", "arguments": ARGUMENTS}}],
        [{"id": None, "type": "function", "function": {"name": "f", "arguments": {"x": 1}}}],
        [{"function": {"name": "f", "arguments": {"x": 1}}}],
        [{"name": "f", "arguments": ARGUMENTS}],
        [{"name": "f", "parameters": {"x": 1}}],
    ],
)
def test_tool_calls_of_any_spelling_are_one(calls: object) -> None:
    assert answer(content=None, tool_calls=calls)["tool_calls"] == [CALL]


def test_tool_calls_keep_their_id() -> None:
    flat = {"id": "c1", "name": "f", "arguments": ARGUMENTS}
    assert answer(content=None, tool_calls=[flat])["tool_calls"] == [{"id": "c1", **CALL}]


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [(None, {}), ("", {}), ("[1]", "[1]"), ("x=1", "x=1"), ("{", "{"), ("[" * 100_000, "[" * 100_000)],
)
def test_arguments_that_are_no_object_stay_text(arguments: object, kept: object) -> None:
    call = {"function": {"name": "f", "arguments": arguments}}
    assert answer(content=None, tool_calls=[call])["tool_calls"][0]["function"]["arguments"] == kept


def test_openais_old_function_call_is_a_tool_call() -> None:
    message = {"content": None, "function_call": {"name": "f", "arguments": ARGUMENTS}}
    assert answer(**message) == {"role": "assistant", "content": None, "tool_calls": [CALL]}
    with pytest.raises(InputError, match=r"messages\[1\]: found tool calls in tool_calls and function_call"):
        answer(**message, tool_calls=[CALL])


@pytest.mark.parametrize("nothing", [None, [], "", "[]"])
def test_an_empty_list_of_tool_calls_is_no_key(nothing: object) -> None:
    assert answer(content="a", tool_calls=nothing, function_call=None) == ANSWER


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking"])
def test_reasoning_is_kept_under_its_name(name: str) -> None:
    assert answer(content="a", **{name: "r"}) == {**ANSWER, name: "r"}
    with pytest.raises(InputError, match=rf"messages\[1\]\.{name}: found false: expected text"):
        answer(content="a", **{name: False})


@pytest.mark.parametrize(
    ("flags", "weight"),
    [
        ({"train": True}, 1.0),
        ({"train": False}, 0.0),
        ({"training": False}, 0.0),
        ({"weight": 1}, 1.0),
        ({"weight": 0}, 0.0),
        ({"loss_weight": 0.25}, 0.25),
        ({"train": False, "loss_weight": 0.0, "weight": None}, 0.0),
    ],
)
def test_flags_of_a_message_are_its_weight_and_nothing_that_the_template_sees(
    flags: dict[str, Any], weight: float
) -> None:
    found = read(messages=[USER, {**ANSWER, **flags}])
    assert found.weights == (None, weight)
    assert found.messages == (USER, ANSWER)
    shared = read(conversations=[{"from": "human", "value": "q"}, {"from": "gpt", "value": "a", **flags}])
    assert (shared.weights, shared.messages) == ((None, weight), (USER, ANSWER))


def test_a_row_whose_flags_are_all_null_says_nothing() -> None:
    assert read(messages=[{**USER, "train": None}, {**ANSWER, "weight": None}]).weights is None


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"train": "yes"}, "train: found text 'yes': expected true or false"),
        ({"training": 0.5}, "training: found a number 0.5: expected true or false"),
        ({"weight": -1}, "weight: found a number -1: expected a finite number, 0 or more"),
        ({"weight": float("nan")}, "weight: found a number nan: expected a finite"),
        ({"loss_weight": 10**400}, "loss_weight: found a number 1000"),
        ({"weight": "1"}, "weight: found text '1': expected a finite number"),
        ({"train": True, "weight": 0}, "weight: found a number 0, but train says 1: expected one flag"),
    ],
)
def test_flags_that_cannot_be_meant_are_refused(flags: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError) as error:
        read(messages=[USER, {**ANSWER, **flags}])
    assert f"train.jsonl:7: messages[1].{message}" in str(error.value)


@pytest.mark.parametrize(
    ("messages", "message"),
    [
        ([], "messages: found an empty list: expected a list of messages"),
        ("hi", "messages: found text 'hi': expected a list of messages"),
        ('{"role": "user"}', "messages: found an object"),
        (["hi"], "messages[0]: found text 'hi': expected an object with role and content"),
        ([{"from": "user"}], "messages[0]: no role: found 'from'\n  from and value are sharegpt's"),
        ([{"role": "human", "content": "x"}], "messages[0].role: found text 'human': expected one of"),
        ([{"role": ["user"], "content": "x"}], "messages[0].role: found a list"),
        ([USER, {"role": "assistant"}], "messages[1]: no content: found 'role'"),
        ([{"role": "user", "content": None}], "messages[0].content: found null: expected text"),
        ([{"role": "assistant", "content": None, "tool_calls": []}], "content: found null: expected text"),
        ([{"role": "user", "content": None, "tool_calls": [CALL]}], "content: found null: expected text"),
        ([{"role": "user", "content": []}], "messages[0].content: found an empty list: expected text"),
        ([{"role": "user", "content": [{"type": "text"}]}], "messages[0].content[0]: no text: found 'type'"),
        ([{"role": "user", "content": [{"type": "text", "text": 3}]}], "content[0].text: found a number 3"),
        ([{"role": "user", "content": ["x"]}], "content[0]: found text 'x': expected a part {type: text"),
        (
            [{"role": "user", "content": [{"text": "x"}]}],
            "content[0]: no type: found 'text'; expected a part",
        ),
        ([{"role": "user", "content": [{"type": 3}]}], "content[0]: found a part whose type is a number 3"),
        (
            [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
            "messages[0].content[0]: found a part of type 'image_url': only text is trained",
        ),
        ([{"role": "user", "content": "\ud83d"}], "messages[0].content: character 1 is '\\ud83d', half of"),
        (
            [{**ANSWER, "tool_calls": [3]}],
            "messages[0].tool_calls[0]: found a number 3: expected a tool call",
        ),
        ([{**ANSWER, "tool_calls": "f()"}], "messages[0].tool_calls: found text that is not JSON ('f()')"),
        ([{**ANSWER, "tool_calls": [{"function": {}}]}], "tool_calls[0].function.name: found null: expected"),
        ([{**ANSWER, "tool_calls": [{"function": 3}]}], "tool_calls[0].function: found a number 3"),
        (
            [{**ANSWER, "tool_calls": [{"name": "f", "arguments": 3}]}],
            "messages[0].tool_calls[0].arguments: found a number 3: expected an object, or JSON text of one",
        ),
    ],
)
def test_an_unusable_message_is_named_with_what_was_found_and_expected(messages: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(messages=messages)
    assert str(error.value).startswith("train.jsonl:7: ")
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("spellings", "role"),
    [
        ("human user prompter User HUMAN", "user"),
        ("gpt assistant bot chatgpt bing bard model ai GPT", "assistant"),
        ("system system_prompt System-Prompt", "system"),
        ("tool observation function_response tool_response function-response function_output", "tool"),
    ],
)
def test_sharegpt_roles_of_all_spellings(spellings: str, role: str) -> None:
    for spelling in spellings.split():
        assert turns(("human", "q"), (spelling, "x"))[1] == {"role": role, "content": "x"}


def test_sharegpt_turns_may_be_called_role_and_content() -> None:
    found = read(conversations=[{"role": "human", "content": [{"type": "text", "text": "q"}]}, ANSWER])
    assert found.messages == (USER, ANSWER)
    assert read(conversations=[{"from": "human", "value": "q", "id": 3}]).messages == ({**USER, "id": 3},)


@pytest.mark.parametrize("role", ["function_call", "tool_call", "function-call"])
@pytest.mark.parametrize(
    "value",
    [
        '{"name": "f", "arguments": {"x": 1}}',
        '{"name": "f", "arguments": "{\\"x\\": 1}"}',
        '[{"name": "f", "parameters": {"x": 1}}]',
        {"name": "f", "arguments": {"x": 1}},
    ],
)
def test_sharegpt_function_calls_are_tool_calls(role: str, value: object) -> None:
    called = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    found = turns(("human", "q"), (role, value), ("observation", "t"), ("gpt", "a"))
    assert found == [USER, called, {"role": "tool", "content": "t"}, ANSWER]


def test_calls_that_follow_an_answer_belong_to_it() -> None:
    call = ("function_call", '{"name": "f", "arguments": {"x": 1}}')
    assert turns(("human", "q"), ("gpt", "a"), call, call) == [USER, {**ANSWER, "tool_calls": [CALL, CALL]}]
    assert turns(call, call) == [{"role": "assistant", "content": "", "tool_calls": [CALL, CALL]}]
    assert [m["role"] for m in turns(call, ("gpt", "a"), ("gpt", "b"))] == ["assistant"] * 3


def test_calls_with_a_weight_of_their_own_stay_apart() -> None:
    call = {"from": "function_call", "value": '{"name": "f"}'}
    said = {"from": "gpt", "value": "a", "weight": 0}
    assert read(conversations=[said, {**call, "weight": 1}]).weights == (0.0, 1.0)
    assert read(conversations=[said, {**call, "weight": 0}]).weights == (0.0,)


@pytest.mark.parametrize(
    ("conversations", "message"),
    [
        ([], "conversations: found an empty list: expected a list of turns"),
        ("hi", "conversations: found text 'hi'"),
        (["hi"], "conversations[0]: found text 'hi': expected an object with from and value"),
        ([{"value": "x"}], "conversations[0]: no from: found 'value'"),
        ([{"from": "human"}], "conversations[0]: no value: found 'from'"),
        ([{"from": "narrator", "value": "x"}], "conversations[0].from: found text 'narrator': expected"),
        ([{"from": None, "value": "x"}], "conversations[0].from: found null: expected a role"),
        ([{"from": "human", "value": 3}], "conversations[0].value: found a number 3: expected text"),
        (
            [{"from": "human", "value": "q"}, {"from": "function_call", "value": "f(1)"}],
            "conversations[1].value: found text that is not JSON ('f(1)'): expected a tool call",
        ),
        ([{"from": "function_call", "value": "[]"}], "conversations[0].value: found text '[]': expected"),
        ([{"from": "function_call", "value": '{"x": 1}'}], "conversations[0].value.name: found null"),
    ],
)
def test_an_unusable_turn_is_named_with_what_was_found_and_expected(conversations: Any, message: str) -> None:
    with pytest.raises(InputError) as error:
        read(conversations=conversations)
    assert str(error.value).startswith("train.jsonl:7: ")
    assert message in str(error.value)
