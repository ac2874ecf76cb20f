"""Chat templates render as transformers renders them, and what is trained is found in the text."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftui.data.conversation import Conversation, Message
from sftui.data.template import ChatTemplates
from sftui.data.turns import trained_text
from sftui.errors import InputError
from sftui.recipe import TrainOn
from tests import data_fixtures as given_templates
from tests.data_fixtures import assistant, chat_template, conversation, user

CALL = [{"type": "function", "function": {"name": "f", "arguments": {"q": "Zürich <b>"}}}]
TOOLS = ({"type": "function", "function": {"name": "f", "description": "it's <b>"}},)
RESULT: Message = {"role": "tool", "content": '{"t": 3}'}

# What must be trained of an assistant's words, in a turn that is the last or not.
EXPECTED: dict[str, Callable[[str, bool], str]] = {
    "CHATML": lambda words, last: words + "<|im_end|>",
    "MARKED": lambda words, last: words + "<|im_end|>",
    "LLAMA3": lambda words, last: words.strip() + "<|eot_id|>",
    "GEMMA": lambda words, last: words.strip() + "<end_of_turn>",
    "LLAMA2": lambda words, last: " " + words.strip() + " </s>",
    "NEMO": lambda words, last: words + "</s>",
    "PHI3": lambda words, last: words + "<|end|>",
    "QWEN3": lambda words, last: ("<think>\n\n</think>\n\n" if last else "") + words + "<|im_end|>",
    "FORCED_THINK": lambda words, last: words + "</s>",
    "HARMONY": lambda words, last: f"<|channel|>final<|message|>{words}<|{'return' if last else 'end'}|>",
    "PLAIN": lambda words, last: words,
}


def trained(template: str, talk: Conversation, train_on: TrainOn = "assistant") -> list[tuple[int, str]]:
    """Turn and text of each trained span."""
    located = trained_text(chat_template(getattr(given_templates, template)), talk, train_on)
    return [(turn, located.text[start:end]) for start, end, turn, _ in located.spans]


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
talks = st.tuples(st.none() | words, st.lists(st.tuples(words, words), min_size=1, max_size=4))


@pytest.mark.parametrize("template", EXPECTED)
@settings(max_examples=40, deadline=None)
@given(talk=talks)
def test_exactly_the_assistants_words_and_their_end_are_trained(
    template: str, talk: tuple[str | None, list[tuple[str, str]]]
) -> None:
    system, exchanges = talk
    messages: list[Message] = [] if system is None else [{"role": "system", "content": system}]
    expected = []
    for number, (question, answer) in enumerate(exchanges, start=1):
        messages += [user(question), assistant(answer)]
        expected.append((len(messages) - 1, EXPECTED[template](answer, number == len(exchanges))))
    assert trained(template, conversation(*messages)) == expected


@pytest.mark.parametrize("template", EXPECTED)
def test_equal_contents_in_every_turn_are_told_apart(template: str) -> None:
    talk = conversation(user("x"), assistant("x"), user("x"), assistant("x"))
    assert [turn for turn, _ in trained(template, talk)] == [1, 3]
    assert [text for _, text in trained(template, talk)] == [
        EXPECTED[template]("x", False),
        EXPECTED[template]("x", True),
    ]


def test_the_newline_after_the_end_of_turn_is_not_trained() -> None:
    located = trained_text(
        chat_template(given_templates.CHATML), conversation(user("a"), assistant("b")), "assistant"
    )
    assert located.text.endswith("<|im_end|>\n")
    assert located.spans[-1].end == len(located.text) - 1


def test_an_end_of_text_after_the_end_of_turn_is_not_trained() -> None:
    located = trained_text(
        chat_template(given_templates.PHI3), conversation(user("a"), assistant("b")), "assistant"
    )
    assert located.text.endswith("<|end|>\n</s>")
    assert trained("PHI3", conversation(user("a"), assistant("b"))) == [(1, "b<|end|>")]


def test_reasoning_is_trained_where_the_template_keeps_it_and_only_there() -> None:
    in_content = conversation(
        user("a"),
        assistant("<think>\nold\n</think>\n\nb"),
        user("c"),
        assistant("<think>\nnew\n</think>\n\nd"),
    )
    beside = conversation(
        user("a"), assistant("b", reasoning_content="old"), user("c"), assistant("d", reasoning="new")
    )
    expected = [(1, "b<|im_end|>"), (3, "<think>\nnew\n</think>\n\nd<|im_end|>")]
    assert trained("QWEN3", in_content) == trained("QWEN3", beside) == expected


def test_reasoning_in_a_turn_of_several_messages_is_trained_to_the_last_end() -> None:
    talk = conversation(user("a"), assistant("b", reasoning_content="why"))
    text = "<|channel|>analysis<|message|>why<|end|><|start|>assistant<|channel|>final<|message|>b<|return|>"
    assert trained("HARMONY", talk) == [(1, text)]


def test_a_generation_prompt_that_opens_reasoning_is_left_where_the_turn_parts_from_it() -> None:
    talk = conversation(user("a"), assistant("<think>\nwhy\n</think>b"), user("c"), assistant("<t>d"))
    assert trained("FORCED_THINK", talk) == [(1, "b</s>"), (3, "<t>d</s>")]


WRITTEN = '{"type": "function", "function": {"name": "f", "arguments": {"q": "Zürich <b>"}}}'


@pytest.mark.parametrize(
    ("template", "content", "called"),
    [
        ("QWEN3", "", f"<tool_call>\n{WRITTEN}\n</tool_call><|im_end|>"),
        ("QWEN3", "Let me see.", f"Let me see.\n<tool_call>\n{WRITTEN}\n</tool_call><|im_end|>"),
        ("HARMONY", None, f" to=f<|channel|>commentary<|message|>[{WRITTEN}]<|call|>"),
        ("NEMO", None, f"[CALLS][{WRITTEN}]</s>"),
    ],
)
def test_tool_calls_are_trained_and_tool_results_are_not(
    template: str, content: str | None, called: str
) -> None:
    talk = conversation(
        user("w"),
        assistant(content, tool_calls=CALL),
        RESULT,
        assistant("3"),
        user("t"),
        assistant("np"),
        tools=TOOLS,
    )
    found = dict(trained(template, talk))
    assert list(found) == [1, 3, 5]
    assert found[1] == called
    assert found[3] == EXPECTED[template]("3", False)


def test_a_prompt_that_writes_history_otherwise_does_not_hide_the_turn() -> None:
    talk = conversation(
        {"role": "system", "content": "brief"}, user("a"), assistant("b"), user("c"), assistant("d")
    )
    assert trained("NEMO", talk) == [(2, "b</s>"), (4, "d</s>")]


@pytest.mark.parametrize("template", ["CHATML", "LLAMA3", "QWEN3", "PHI3", "HARMONY", "FORCED_THINK"])
def test_a_conversation_may_begin_with_the_assistant_and_repeat_it(template: str) -> None:
    talk = conversation(assistant("a"), assistant("b"), user("c"), assistant("d"))
    found = dict(trained(template, talk))
    assert list(found) == [0, 1, 3]
    assert found[0] == EXPECTED[template]("a", False)
    assert found[3] == EXPECTED[template]("d", True)


def test_training_data_that_speaks_of_probes_is_no_obstacle() -> None:
    talk = conversation(
        user("probe1end probex"), assistant("probe0end"), user("probe2end"), assistant("probe")
    )
    assert trained("CHATML", talk) == [(1, "probe0end<|im_end|>"), (3, "probe<|im_end|>")]


def test_an_end_of_turn_within_the_words_does_not_end_the_turn() -> None:
    talk = conversation(user("a"), assistant("say <|im_end|> twice"))
    assert trained("CHATML", talk) == [(1, "say <|im_end|> twice<|im_end|>")]


def test_generation_markers_decide() -> None:
    template = given_templates.MARKED.replace(
        "{{ message['content'] + '<|im_end|>' }}{% endgen", "{{ message['content'] }}{% endgen"
    )
    talk = conversation(user("a"), assistant("b"), user("a"), assistant("c"))
    located = trained_text(chat_template(template), talk, "assistant")
    assert [(turn, located.text[start:end]) for start, end, turn, _ in located.spans] == [(1, "b"), (3, "c")]


def test_generation_markers_may_leave_out_turns() -> None:
    template = given_templates.MARKED.replace("== 'assistant'", "== 'assistant' and loop.last")
    talk = conversation(user("a"), assistant("b"), user("a"), assistant("c"))
    located = trained_text(chat_template(template), talk, "assistant")
    assert [(turn, located.text[start:end]) for start, end, turn, _ in located.spans] == [(3, "c<|im_end|>")]


def test_train_on_selects_turns() -> None:
    messages = (user("a"), assistant("b"), user("c"), assistant("d"), user("e"), assistant("f"))
    talk = Conversation(messages, "x:1", completion_start=3)
    assert [turn for turn, _ in trained("CHATML", talk)] == [1, 3, 5]
    assert [turn for turn, _ in trained("CHATML", talk, "last_assistant")] == [5]
    assert [turn for turn, _ in trained("CHATML", talk, "completion")] == [3, 5]
    [(turn, text)] = trained("CHATML", talk, "everything")
    assert turn == -1
    assert text == chat_template(given_templates.CHATML).render(messages)


def test_completion_needs_to_know_where_the_prompt_ends() -> None:
    with pytest.raises(InputError, match=r"train\.jsonl:1: the row does not tell prompt from completion"):
        trained("CHATML", conversation(user("a"), assistant("b")), "completion")


def test_a_conversation_without_the_assistant_has_nothing_to_train() -> None:
    for template in EXPECTED:
        assert trained(template, conversation(user("a"))) == []


def test_a_turn_that_is_not_in_the_text_is_an_error() -> None:
    template = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
    with pytest.raises(InputError, match=r"train\.jsonl:1: cannot tell where message 1"):
        trained_text(chat_template(template), conversation(user("a"), assistant("b")), "assistant")


def test_a_template_that_refuses_is_quoted_with_its_line_and_the_row() -> None:
    with pytest.raises(InputError) as error:
        trained("GEMMA", conversation(user("a"), user("b"), assistant("c")))
    assert str(error.value) == (
        "train.jsonl:1: the chat template "
        "refuses this conversation: roles must alternate (line 7 of the template)"
    )


def test_a_template_that_fails_is_quoted_too() -> None:
    with pytest.raises(
        InputError, match=r"train\.jsonl:1: the chat template fails on .*line 2 of the template"
    ):
        trained_text(chat_template("x\n{{ messages[9].content }}"), conversation(user("a")), "assistant")


def test_a_template_that_is_no_jinja_is_an_error() -> None:
    with pytest.raises(InputError, match=r"not valid Jinja: .*line 2 of the template"):
        chat_template("x\n{% if %}").render([user("a")])


@pytest.mark.parametrize(
    "escape",
    [
        "{{ messages.append(1) }}",
        "{{ ''.__class__.__mro__ }}",
        "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    ],
)
def test_templates_are_kept_in_a_sandbox(escape: str) -> None:
    with pytest.raises(InputError, match="the chat template fails"):
        chat_template(escape).render([user("a")])


def test_the_tool_use_template_is_chosen_for_tools() -> None:
    default, tool_use = chat_template("a"), chat_template("b")
    both = ChatTemplates({"default": default, "tool_use": tool_use}, "here")
    assert both.choose(conversation(user("a"))) is default
    assert both.choose(conversation(user("a"), tools=TOOLS)) is tool_use
    assert ChatTemplates({"default": default}, "here").choose(conversation(user("a"), tools=TOOLS)) is default


def test_a_model_without_a_chat_template_says_where_it_was_sought() -> None:
    with pytest.raises(InputError, match="no chat template: looked in here, found only rag"):
        ChatTemplates({"rag": chat_template("a")}, "here").choose(conversation(user("a")))


def test_templates_are_told_one_moment() -> None:
    assert chat_template("{{ strftime_now('%d %b %Y') }}").render([user("a")]) == "20 Nov 2025"


FEATURES = """\
{%- macro said(m) %}{{ m.role }}: {{ m.content }}{% endmacro %}
{%- set ns = namespace(n=0) %}
{% for m in messages %}
    {% if m.role == 'system' %}{% continue %}{% endif %}
  {% set ns.n = ns.n + 1 %}
    {{ said(m) }} {{ m.reasoning_content }} {{ m.thinking }} {{ 'name' in m }}
    {% if ns.n > 2 %}{% break %}{% endif %}
{% endfor %}
{{ ns.n }} {{ tools | tojson }} {{ tools | tojson(indent=2, sort_keys=true) }} {{ documents is none }}
{{ dict(a=1) }} {{ bos_token }}{{ eos_token }}{{ pad_token }} {{ add_generation_prompt }}
{{ "é<'>" | tojson }}
{% generation %}g{% endgeneration %}
"""


@pytest.mark.parametrize("template", [*EXPECTED, "FEATURES"])
@pytest.mark.parametrize("add_generation_prompt", [False, True])
def test_rendering_equals_transformers(template: str, add_generation_prompt: bool) -> None:
    reference = pytest.importorskip("transformers.utils.chat_template_utils")
    text = FEATURES if template == "FEATURES" else getattr(given_templates, template)
    messages = [
        {"role": "system", "content": " é "},
        user(" a\n"),
        assistant("<b>", reasoning="r", name=None),
        user("c"),
        assistant("d", thinking="t"),
    ]
    plain = [{k: v for k, v in m.items() if v is not None} for m in messages]
    [expected], _ = reference.render_jinja_template(
        [plain], list(TOOLS), chat_template=text, add_generation_prompt=add_generation_prompt,
        bos_token="<s>", eos_token="</s>",
    )  # fmt: skip
    assert (
        chat_template(text).render(messages, TOOLS, add_generation_prompt=add_generation_prompt) == expected
    )


def test_the_data_room_imports_no_heavy_library() -> None:
    code = (
        "import sys, sftui.data.sequences, sftui.data.sources; "
        "print(*sorted({'torch', 'transformers', 'datasets', 'numpy', 'textual', 'jinja2', 'tokenizers', "
        "'huggingface_hub'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
