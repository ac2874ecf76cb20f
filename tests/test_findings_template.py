"""What the template leaves out of a row is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sftui.data.findings.rows import RowFacts, inspect_row
from sftui.data.mask import trained_mask
from sftui.data.tokenizer import load_tokenizer
from sftui.data.turns import Span
from sftui.recipe import DataSection
from tests.data_fixtures import LLAMA3, chat_template, conversation, model_directory
from tests.findings_fixtures import Region, answer, found, user

CALL = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Paris"}}}
TOOL = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Tell what the weather is like"},
}


def test_tool_calls_that_the_template_drops_are_found() -> None:
    messages = (
        user("Weather?"),
        answer("", tool_calls=[CALL]),
        {"role": "tool", "content": "rainy, 12 degrees"},
    )
    rendered = "<|im_start|>user\nWeather?<|im_end|>\n<|im_start|>assistant\n<|im_end|>\n"
    details = found(*messages, tools=(TOOL,), rendered=rendered, spans=[], regions=())
    assert details["tool-calls-dropped"] == "get_weather in message 1"
    assert details["tool-definitions-dropped"] == "get_weather"


def test_tool_calls_that_the_template_quotes_are_left_alone() -> None:
    result = 'rainy, "12" degrees'
    messages = user("Weather?"), answer("", tool_calls=[CALL]), {"role": "tool", "content": result}
    rendered = f"{json.dumps(TOOL)}<s>Weather?\n{json.dumps(CALL)}<|im_end|>{json.dumps(result)}\n"
    codes = found(*messages, tools=(TOOL,), rendered=rendered, spans=[], regions=())
    assert not {"tool-calls-dropped", "tool-definitions-dropped"} & set(codes)


def test_a_name_that_only_the_definitions_have_is_not_a_call() -> None:
    rendered = f"{json.dumps(TOOL)}<s>Weather?<|im_end|>\n"
    at = rendered.index("<s>")
    messages = user("Weather?"), answer("", tool_calls=[CALL])
    regions = (Region(0, at, len(rendered) - 11), Region(1, len(rendered) - 11, len(rendered)))
    codes = found(*messages, tools=(TOOL,), rendered=rendered, spans=[], regions=regions)
    assert "tool-calls-dropped" in codes and "tool-definitions-dropped" not in codes


def test_messages_and_reasoning_that_the_template_drops_are_found() -> None:
    system = {"role": "system", "content": "Always answer in rhyming couplets."}
    messages = system, user("Hi"), answer("Ho.", reasoning_content="They greet me, hence greeting back.")
    rendered = "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHo.<|im_end|>\n"
    spans = [Span(rendered.index("Ho."), len(rendered) - 1, 2)]
    codes = found(*messages, rendered=rendered, spans=spans, regions=())
    assert codes["message-dropped"].startswith("system, message 0")
    assert codes["reasoning-dropped"] == "message 2: They greet me, hence greeting back."


def thinking(number: int, *, within: bool) -> dict[str, Any]:
    if within:
        return answer(f"<think>\nThey say {number}.\n</think>\n\nHo {number}.")
    return answer(f"Ho {number}.", reasoning_content=f"They say {number}.")


@pytest.mark.parametrize("within", [False, True])
def test_reasoning_of_any_trained_turn_may_be_dropped(within: bool) -> None:
    messages = user("Hi"), thinking(1, within=within), user("Hi"), thinking(2, within=within), user("Bye")
    rendered = "<s>HiHo 1.<|im_end|>Hi<think>They  say\n2.</think>Ho 2.<|im_end|>Bye"
    first, second = Span(5, 20, 1), Span(22, rendered.index("Bye"), 3)
    row: dict[str, Any] = {"rendered": rendered, "regions": ()}
    assert found(*messages, **row, spans=[first, second]) == {"reasoning-dropped": "message 1: They say 1."}
    assert found(*messages, **row, spans=[second]) == {}
    everything = found(*messages, **row, spans=[Span(0, len(rendered), -1)], train_on="everything")
    assert everything == {"reasoning-dropped": "message 1: They say 1."}
    # One cause is told once.
    rewritten = found(*messages, **row, spans=[first, second], rewritten=(1, 3))
    assert rewritten == {"template-rewrites-history": "messages 1, 3; reasoning is left out of 1"}


def test_the_last_answers_reasoning_is_not_dropped_for_being_history() -> None:
    messages = user("Hi"), thinking(1, within=False)
    codes = found(*messages, rewritten=(1,))
    assert codes["reasoning-dropped"] == "message 1: They say 1."


def test_an_answer_may_be_dropped_with_its_reasoning_or_without() -> None:
    content = "<think>Consider the question first.</think>Some quite different words come next."
    kept, lost = "Consider the question first.", "Some quite different words come next."
    for written, codes in ((content, []), (lost, ["reasoning-dropped"]), (kept, ["message-dropped"])):
        rendered = f"<s>Hi{written}<|im_end|>"
        spans = [Span(5, len(rendered), 1)]
        assert list(found(user("Hi"), answer(content), rendered=rendered, spans=spans, regions=())) == codes


def test_tools_that_the_template_never_writes_are_dropped_whatever_the_messages_say() -> None:
    described = "get_weather can tell what the weather is like."
    talk = user(described), answer("Ho.")
    assert found(*talk, tools=(TOOL,), writes_tools=True) == {}
    assert found(*talk, tools=(TOOL,), writes_tools=False) == {"tool-definitions-dropped": "get_weather"}
    assert found(*talk, writes_tools=False) == {}
    system = {"role": "system", "content": described}
    assert found(system, *talk, tools=(TOOL,), writes_tools=False) == {}
    other = {"name": "get_time", "description": "Tell what the clock says"}
    assert found(system, *talk, tools=(TOOL, other), writes_tools=False) == {
        "tool-definitions-dropped": "get_time"
    }


SAYS = "{% for m in messages %}{{ m.content }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "writes"),
    [
        (SAYS, False),
        ("{# never the tools #}" + SAYS, False),
        ("{% if tools %}You have tools.{% endif %}" + SAYS, False),
        ("{% for t in tools %}{{ t.function.name }}{% endfor %}" + SAYS, False),
        ("{% for t in tools %}{{ t.function.description }}{{ t.function.name }}{% endfor %}" + SAYS, True),
        ("{{ raise_exception('no') if messages[0].role == 'system' }}{{ tools | tojson }}" + SAYS, True),
        ("{{ raise_exception('no') if messages[0].role != 'system' }}{{ tools | tojson }}" + SAYS, True),
        ("{{ raise_exception('no') if messages[-1].role != 'assistant' }}{{ tools | tojson }}", True),
        ("{% if messages[0].role == 'system' %}{{ tools | tojson }}{% endif %}" + SAYS, True),
        ("{% if tools %}{{ raise_exception('no') }}{% endif %}" + SAYS, True),
    ],
)
def test_whether_a_template_writes_tools_is_seen_from_what_it_writes(template: str, writes: bool) -> None:
    assert chat_template(template).writes_tools is writes


def test_tools_that_a_models_template_leaves_out_are_found(tmp_path: Path) -> None:
    described = "Use get_weather to tell what the weather is like."
    talk = conversation(user(described), answer("Ho."), tools=(TOOL,))
    for template, codes in (
        (LLAMA3, ["tool-definitions-dropped"]),
        (LLAMA3.replace("{% for", "{{ tools | tojson if tools }}{% for", 1), []),
    ):
        tokenizer = load_tokenizer(str(model_directory(tmp_path / str(len(codes)), template)))
        marked = tokenizer.trained_text(talk, "assistant")
        ids, offsets = tokenizer.tokenize([marked.text])[0]
        trained = trained_mask(ids, offsets, marked.text, marked.spans, tokenizer.special_ids)
        data = DataSection.model_validate({"train": "train.jsonl"})
        row = RowFacts.of(talk, marked, ids, offsets, trained, (), (), tokenizer, data)
        assert [each.code for each in inspect_row(row)] == codes


def test_a_trimmed_message_is_not_dropped() -> None:
    assert (
        found(user("  Hi there \n"), answer("Ho."), rendered="<s>Hi there<|im_end|>", spans=[Span(3, 21, 1)])
        == {}
    )
