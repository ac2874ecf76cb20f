"""Tool calls are given to each template in the form that it can write."""

from __future__ import annotations

import json
from typing import Any

import pytest

from sftui.data.conversation import Message
from sftui.data.turns import trained_text
from tests.data_fixtures import assistant, chat_template, conversation, user

VALUE = {"city": "Zürich", "note": 'a "b" \\ <|im_end|> \n'}
JSON = json.dumps(VALUE, ensure_ascii=False)

_REST = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
_HEAD = (
    "{% for m in messages %}{% if m.role != 'assistant' %}<|user|>{{ m.content }}"
    "{% elif not m.tool_calls %}<|assistant|>{{ m.content }}</s>{% else %}<|assistant|>{{ m.content or '' }}"
)
AS_JSON = (
    _HEAD
    + "{% for c in m.tool_calls %}{{ c.function.name }}({{ c.function.arguments | tojson }}){% endfor %}"
    "</s>{% endif %}{% endfor %}" + _REST
)
AS_TEXT = AS_JSON.replace("c.function.arguments | tojson", "c.function.arguments")
JOINED = AS_JSON.replace(
    "{{ c.function.name }}({{ c.function.arguments | tojson }})",
    "{{ c.function.name + '(' + c.function.arguments + ')' }}",
)
EITHER = AS_JSON.replace(
    "c.function.arguments | tojson",
    "c.function.arguments if c.function.arguments is string else c.function.arguments | tojson",
)
WHOLE = AS_JSON.replace(
    "{{ c.function.name }}({{ c.function.arguments | tojson }})", "{{ c.function | tojson }}"
)
PARAMETERS = AS_JSON.replace(
    "({{ c.function.arguments | tojson }})",
    "{% for k, v in c.function.arguments.items() %}<{{ k }}>{{ v }}</{{ k }}>{% endfor %}",
)
NULL = AS_TEXT.replace("not m.tool_calls", "m.content is not none")
WANTS_CONTENT = AS_JSON.replace("m.content or ''", "m.content + ''")
WANTS_NONE = AS_JSON.replace("not m.tool_calls", "m.content is defined")

WRITTEN = {
    "AS_JSON": f"f({JSON})</s>",
    "AS_TEXT": f"f({JSON})</s>",
    "JOINED": f"f({JSON})</s>",
    "EITHER": f"f({JSON})</s>",
    "WHOLE": json.dumps({"name": "f", "arguments": VALUE}, ensure_ascii=False) + "</s>",
    "PARAMETERS": f"f<city>{VALUE['city']}</city><note>{VALUE['note']}</note></s>",
    "NULL": f"f({JSON})</s>",
    "WANTS_CONTENT": f"f({JSON})</s>",
    "WANTS_NONE": f"f({JSON})</s>",
}


@pytest.mark.parametrize("arguments", [VALUE, JSON], ids=["object", "text"])
@pytest.mark.parametrize("content", ["", None], ids=["empty", "null"])
@pytest.mark.parametrize("name", WRITTEN)
def test_calls_are_written_well_and_trained(name: str, content: str | None, arguments: Any) -> None:
    called: Message = assistant(
        content, tool_calls=[{"type": "function", "function": {"name": "f", "arguments": arguments}}]
    )
    talk = conversation(user("a"), called, {"role": "tool", "content": "t"}, assistant("b"))
    located = trained_text(chat_template(globals()[name]), talk, "assistant")
    assert [located.text[span.start : span.end] for span in located.spans] == [WRITTEN[name], "b</s>"]


def test_a_call_whose_arguments_hold_the_end_of_turn_is_trained_to_its_own_end() -> None:
    words = {"q": "</s></s>"}
    called = assistant("", tool_calls=[{"type": "function", "function": {"name": "f", "arguments": words}}])
    talk = conversation(user("a"), called, user("c"), called)
    located = trained_text(chat_template(AS_JSON), talk, "assistant")
    expected = f"f({json.dumps(words)})</s>"
    assert [located.text[span.start : span.end] for span in located.spans] == [expected, expected]


@pytest.mark.parametrize("calls", [[None], ["f"], [{"function": 3}], [{"name": "f"}], {"a": 1}, "f"])
def test_calls_that_are_none_are_left_to_the_template(calls: Any) -> None:
    template = chat_template("{{ messages[0].tool_calls | tojson }}")
    assert template.render([assistant("", tool_calls=calls)]) == json.dumps(calls)


def test_arguments_that_are_no_json_stay_as_they_are() -> None:
    call = {"function": {"name": "f", "arguments": "{broken"}}
    assert '"{broken"' in chat_template(AS_JSON).render([assistant("", tool_calls=[call])])


def test_whether_calls_and_tools_reach_the_text_is_known() -> None:
    assert chat_template(AS_JSON).writes_calls
    assert not chat_template("{% for m in messages %}{{ m.content }}{% endfor %}").writes_calls
    assert not chat_template("{% for m in messages %}{{ m.content }}{% endfor %}").writes_tools
    assert chat_template("{{ tools | tojson }}").writes_tools
