"""Weights of messages, turns that templates rewrite, one sequence for each turn, and regions for showing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sftui.data.conversation import Conversation, Message
from sftui.data.history import conversations_per_turn, rewritten_turns
from sftui.data.regions import Region, turn_regions
from sftui.data.template import ChatTemplate
from sftui.data.template_files import OURS
from sftui.data.tokenizer import load_tokenizer
from sftui.data.turns import trained_text, trained_turns
from sftui.errors import InputError
from sftui.recipe import TrainOn
from tests import data_fixtures
from tests.data_fixtures import (
    CHATML,
    GEMMA,
    MARKED,
    NEMO,
    QWEN3,
    assistant,
    chat_template,
    conversation,
    user,
)

SYSTEM: Message = {"role": "system", "content": "s"}
TALK = conversation(SYSTEM, user("a"), assistant("b"), user("c"), assistant("d"))


def spans(template: str, talk: Conversation, train_on: TrainOn = "assistant") -> list[tuple[int, str, float]]:
    located = trained_text(chat_template(template), talk, train_on)
    return [(turn, located.text[start:end], weight) for start, end, turn, weight in located.spans]


def weighted(*weights: float | None) -> Conversation:
    return replace(TALK, weights=weights)


@pytest.mark.parametrize("template", [CHATML, MARKED], ids=["found", "marked"])
@pytest.mark.parametrize("train_on", ["assistant", "last_assistant", "completion"])
def test_a_rows_own_weights_win(template: str, train_on: TrainOn) -> None:
    talk = weighted(0, 0.5, 0, 0, 2.0)
    assert spans(template, talk, train_on) == [(1, "a<|im_end|>", 0.5), (4, "d<|im_end|>", 2.0)]
    talk = weighted(1.0, None, 1.0, None, 0.0)
    assert spans(template, talk, train_on) == [(0, "s<|im_end|>", 1.0), (2, "b<|im_end|>", 1.0)]


def test_messages_without_a_weight_of_their_own_follow_train_on() -> None:
    talk = weighted(None, None, 0, None, None)
    assert spans(CHATML, talk) == [(4, "d<|im_end|>", 1.0)]
    assert spans(CHATML, weighted(None, None, 3.0, None, None), "last_assistant") == [
        (2, "b<|im_end|>", 3.0),
        (4, "d<|im_end|>", 1.0),
    ]
    with pytest.raises(InputError, match="does not tell prompt from completion"):
        spans(CHATML, weighted(None, None, 0, None, None), "completion")


def test_flags_may_leave_nothing_to_train() -> None:
    assert spans(CHATML, weighted(0, 0, 0, 0, 0)) == []
    assert spans(CHATML, weighted(0, 0, 0, 0, 0), "everything") == []


def test_a_message_within_anothers_turn_is_trained_by_its_content() -> None:
    talk = weighted(1.0, 1.0, 0, 0, 0)
    assert spans(GEMMA, talk) == [(0, "s", 1.0), (1, "a<end_of_turn>", 1.0)]


def test_what_ends_a_question_is_not_what_begins_an_answer() -> None:
    always = data_fixtures.LLAMA3.replace("{% if add_generation_prompt %}", "").replace("{% endif %}", "")
    assert spans(always, weighted(0, 1.0, 0, 0, 0)) == [(1, "a<|eot_id|>", 1.0)]
    forced = data_fixtures.FORCED_THINK
    assert spans(forced, replace(TALK, messages=TALK.messages[1:], weights=(1.0, 0, 0, 0))) == [(0, "a", 1.0)]


def test_a_message_that_the_template_leaves_out_cannot_be_trained() -> None:
    template = CHATML.replace(
        "{% for message in messages %}", "{% for message in messages if message.role != 'tool' %}"
    )
    talk = conversation(user("a"), {"role": "tool", "content": "t"}, assistant("b"))
    with pytest.raises(InputError, match=r"train\.jsonl:1: cannot tell where message 1, a tool turn, stands"):
        spans(template, replace(talk, weights=(0, 1.0, 1.0)))


def test_everything_has_a_span_for_each_weight() -> None:
    [(turn, text, weight)] = spans(CHATML, TALK, "everything")
    assert (turn, weight) == (-1, 1.0)
    found = spans(CHATML, weighted(None, 0, 2.0, 1.0, None), "everything")
    assert found == [
        (-1, "<|im_start|>system\ns<|im_end|>\n", 1.0),
        (-1, "<|im_start|>assistant\nb<|im_end|>\n", 2.0),
        (-1, "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\nd<|im_end|>\n", 1.0),
    ]
    assert text == chat_template(CHATML).render(TALK.messages)


def test_consecutive_and_lone_messages() -> None:
    double = conversation(user("a"), user("b"), assistant("c"), assistant("d"), assistant("d"))
    assert spans(CHATML, double) == [(i, f"{w}<|im_end|>", 1.0) for i, w in ((2, "c"), (3, "d"), (4, "d"))]
    assert spans(CHATML, conversation(SYSTEM)) == []
    assert spans(CHATML, conversation()) == []


def test_turns_that_the_model_would_be_asked_for_otherwise() -> None:
    assert rewritten_turns(chat_template(CHATML), TALK, "assistant") == ()
    assert rewritten_turns(chat_template(NEMO), TALK, "assistant") == (2, 4)
    assert rewritten_turns(chat_template(NEMO), TALK, "last_assistant") == (4,)
    assert rewritten_turns(chat_template(NEMO), TALK, "everything") == ()
    assert rewritten_turns(chat_template(NEMO), weighted(1.0, None, 0, None, None), "assistant") == (4,)
    forced = chat_template(data_fixtures.FORCED_THINK)
    assert rewritten_turns(forced, conversation(user("a"), assistant("b")), "assistant") == (1,)
    assert rewritten_turns(chat_template("x"), Conversation((), "x:1", text="a"), "assistant") == ()


BESIDE = conversation(
    *(user("a"), assistant("b", reasoning_content="l")),
    *(user("c"), assistant("d", reasoning_content="m")),
    *(user("e"), assistant("f", reasoning_content="n")),
)
WITHIN = conversation(
    *(user("a"), assistant("<think>\nl\n</think>\n\nb")),
    *(user("c"), assistant("<think>\nm\n</think>\n\nd")),
    *(user("e"), assistant("<think>\nn\n</think>\n\nf")),
)
WITHOUT = conversation(user("a"), assistant("b"), user("c"), assistant("d"), user("e"), assistant("f"))


@pytest.mark.parametrize("talk", [BESIDE, WITHIN, WITHOUT], ids=["beside", "within", "without"])
def test_turns_that_are_written_otherwise_once_others_follow(talk: Conversation) -> None:
    template = chat_template(QWEN3)
    # Of all but the last, the full text has dropped the reasoning, or the empty block in its stead.
    assert [text for _, text, _ in spans(QWEN3, talk)][:2] == ["b<|im_end|>", "d<|im_end|>"]
    assert rewritten_turns(template, talk, "assistant") == (1, 3)
    assert rewritten_turns(template, talk, "last_assistant") == ()
    asked = replace(talk, messages=(*talk.messages, user("g")))
    assert rewritten_turns(template, asked, "assistant") == (1, 3, 5)
    assert rewritten_turns(template, asked, "last_assistant") == (5,)
    for each in conversations_per_turn(asked, "assistant"):
        assert rewritten_turns(template, each, "assistant") == ()
    for kept in (CHATML, MARKED, data_fixtures.LLAMA3, GEMMA, data_fixtures.PHI3, data_fixtures.PLAIN):
        assert rewritten_turns(chat_template(kept), talk, "assistant") == ()


def test_turns_that_end_otherwise_while_they_are_the_last() -> None:
    assert rewritten_turns(chat_template(data_fixtures.HARMONY), WITHOUT, "assistant") == (1, 3)
    ended = data_fixtures.PLAIN.replace(
        "+ '\n\n' }}", "}}{{ eos_token if m.role == 'assistant' and loop.last }}"
    )
    assert spans(ended, WITHOUT, "last_assistant") == [(5, "f</s>", 1.0)]
    assert rewritten_turns(chat_template(ended), WITHOUT, "assistant") == (1, 3)
    # What comes after the end of a turn is no part of it.
    padded = CHATML.replace(
        "{% endfor %}", "{{ eos_token if loop.last and not add_generation_prompt }}{% endfor %}"
    )
    assert rewritten_turns(chat_template(padded), WITHOUT, "assistant") == ()


def test_what_the_template_does_not_mark_may_differ() -> None:
    unmarked = MARKED.replace("{% generation %}", "{{ '<think></think>' if loop.last }}{% generation %}")
    assert spans(unmarked, WITHOUT)[0] == (1, "b<|im_end|>", 1.0)
    assert rewritten_turns(chat_template(unmarked), WITHOUT, "assistant") == ()
    marked = MARKED.replace("{% generation %}", "{% generation %}{{ '<think></think>' if loop.last }}")
    assert rewritten_turns(chat_template(marked), WITHOUT, "assistant") == (1, 3)


def test_turns_that_the_template_refuses_to_end_with_tell_nothing() -> None:
    short = "messages | length < 6 and not add_generation_prompt"
    refusing = f"{{% if {short} %}}{{{{ raise_exception('short') }}}}{{% endif %}}"
    assert rewritten_turns(chat_template(refusing + QWEN3), WITHOUT, "assistant") == ()
    hiding = f"{{% if {short} %}}x{{% else %}}{CHATML}{{% endif %}}"
    assert rewritten_turns(chat_template(hiding), WITHOUT, "assistant") == ()


def test_a_conversation_of_one_turn_costs_two_renderings(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    render = ChatTemplate.render

    def counted(*args: Any, **options: Any) -> str:
        made.append(options)
        return render(*args, **options)

    monkeypatch.setattr(ChatTemplate, "render", counted)
    assert rewritten_turns(chat_template(QWEN3), conversation(user("a"), assistant("b")), "assistant") == ()
    assert len(made) == 2


def test_reasoning_in_the_middle_of_tool_calls_is_seen_otherwise_later() -> None:
    call = [{"type": "function", "function": {"name": "f", "arguments": {}}}]
    talk = conversation(
        user("a"),
        assistant("", tool_calls=call, reasoning_content="r"),
        {"role": "tool", "content": "t"},
        assistant("b"),
        user("c"),
        assistant("d"),
    )
    assert rewritten_turns(chat_template(QWEN3), talk, "assistant") == (1, 3)
    for each in conversations_per_turn(talk, "assistant"):
        assert rewritten_turns(chat_template(QWEN3), each, "assistant") == ()


def test_one_conversation_for_each_trained_turn() -> None:
    talk = replace(weighted(None, 0.5, None, None, 2.0), tools=({"type": "function"},), completion_start=4)
    made = conversations_per_turn(talk, "assistant")
    assert [each.messages for each in made] == [TALK.messages[:2], TALK.messages[:3], TALK.messages]
    assert [each.weights for each in made] == [(0, 0.5), (0, 0, 1.0), (0, 0, 0, 0, 2.0)]
    assert all((each.tools, each.where) == (talk.tools, talk.where) for each in made)
    for each in made:
        for train_on in ("assistant", "last_assistant", "completion"):
            assert list(trained_turns(each, train_on)) == [len(each.messages) - 1]


def test_rows_without_turns_stay_one() -> None:
    text = Conversation((), "x:1", text="a")
    assert conversations_per_turn(text, "assistant") == [text]
    assert conversations_per_turn(TALK, "everything") == [TALK]
    assert conversations_per_turn(conversation(user("a")), "assistant") == []


def regions(
    template: str, talk: Conversation, train_on: TrainOn = "assistant"
) -> list[tuple[int, str, str | None]]:
    located = trained_text(chat_template(template), talk, train_on)
    found = turn_regions(chat_template(template), talk, located.text, located.spans)
    check(found, talk, located.text)
    return [
        (region.index, located.text[region.start : region.end], content_of(located.text, region))
        for region in found
    ]


def content_of(text: str, region: Region) -> str | None:
    return None if region.content_start is None else text[region.content_start : region.content_end]


def check(found: Sequence[Region], talk: Conversation, text: str) -> None:
    assert [region.index for region in found if region.index >= 0] == list(range(len(talk.messages)))
    assert [region.start for region in found] == [0, *(region.end for region in found[:-1])]
    assert found[-1].end == len(text)


def test_regions_have_header_content_and_end() -> None:
    assert regions(CHATML, TALK) == [
        (0, "<|im_start|>system\ns<|im_end|>\n", "s"),
        (1, "<|im_start|>user\na<|im_end|>\n", "a"),
        (2, "<|im_start|>assistant\nb<|im_end|>\n", "b"),
        (3, "<|im_start|>user\nc<|im_end|>\n", "c"),
        (4, "<|im_start|>assistant\nd<|im_end|>\n", "d"),
    ]
    assert regions(CHATML, TALK, "last_assistant") == regions(CHATML, TALK)


def test_a_preamble_is_no_messages() -> None:
    default = "<|im_start|>system\nBe good.<|im_end|>\n"
    assert regions(default + CHATML, conversation(user("a"), assistant("b"))) == [
        (-1, default, None),
        (0, "<|im_start|>user\na<|im_end|>\n", "a"),
        (1, "<|im_start|>assistant\nb<|im_end|>\n", "b"),
    ]


def test_a_message_within_anothers_turn_has_its_part_of_it() -> None:
    assert regions(GEMMA, TALK) == [
        (-1, "<s>", None),
        (0, "<start_of_turn>user\ns\n\n", "s"),
        (1, "a<end_of_turn>\n", "a"),
        (2, "<start_of_turn>model\nb<end_of_turn>\n", "b"),
        (3, "<start_of_turn>user\nc<end_of_turn>\n", "c"),
        (4, "<start_of_turn>model\nd<end_of_turn>\n", "d"),
    ]


TEMPLATES = (
    "CHATML",
    "MARKED",
    "LLAMA3",
    "GEMMA",
    "LLAMA2",
    "NEMO",
    "PHI3",
    "QWEN3",
    "FORCED_THINK",
    "HARMONY",
    "PLAIN",
)
SHAPES = {
    "all roles": TALK,
    "no system": conversation(*TALK.messages[1:]),
    "one user": conversation(user("a")),
    "equal": conversation(user("a"), assistant("a"), user("a"), assistant("a")),
    "empty": conversation(user(""), assistant(""), user(" \n"), assistant("\t")),
    "calls": conversation(
        user("a"),
        assistant("", tool_calls=[{"type": "function", "function": {"name": "f", "arguments": {}}}]),
        {"role": "tool", "content": "t"},
        assistant("b"),
    ),
    "none": conversation(),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", TEMPLATES)
def test_regions_cover_every_text(name: str, shape: str) -> None:
    template, talk = chat_template(getattr(data_fixtures, name)), SHAPES[shape]
    try:
        located = trained_text(template, talk, "assistant")
    except InputError:
        [region] = turn_regions(template, talk, "abc", ())
        assert (region.start, region.end, region.index) == (0, 3, -1)
        return
    found = turn_regions(template, talk, located.text, located.spans)
    if talk.messages:
        check(found, talk, located.text)
    for span in located.spans:
        region = next(region for region in found if region.index == span.turn)
        assert region.start <= span.start <= span.end <= region.end


@pytest.mark.parametrize("name", OURS)
def test_regions_of_our_templates(tmp_path: Path, name: str) -> None:
    tokenizer = load_tokenizer(str(data_fixtures.model_directory(tmp_path, None)), chat_template=name)
    template = tokenizer.templates.choose(TALK)
    located = tokenizer.trained_text(TALK, "assistant")
    found = turn_regions(template, TALK, located.text, located.spans)
    check(found, TALK, located.text)
    assert [content_of(located.text, region) for region in found if region.index >= 0] == list("sabcd")
    for span in located.spans:
        region = next(region for region in found if region.index == span.turn)
        assert region.start <= span.start <= span.end <= region.end
    headers = [
        located.text[region.start : region.content_start] for region in found if region.index in (2, 4)
    ]
    assert headers[0] == headers[1]


def test_a_plain_text_is_one_region() -> None:
    talk = Conversation((), "x:1", text="a")
    assert turn_regions(chat_template(CHATML), talk, "<s>a</s>", ()) == (Region(0, 8, -1, "", 0, 8),)
