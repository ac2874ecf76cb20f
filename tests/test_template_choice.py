"""Which chat template is used: the model's own, one of ours, or a file that the recipe names."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftui.data.conversation import Conversation
from sftui.data.template_files import OURS, available_names
from sftui.data.tokenizer import ChatTokenizer, load_tokenizer
from sftui.errors import InputError
from tests.data_fixtures import CHATML, MARKED, assistant, conversation, model_directory, user

TOOLS = ({"type": "function", "function": {"name": "f", "parameters": {}}},)
TALK = conversation(
    {"role": "system", "content": "be brief"}, user("one"), assistant("1"), user("two"), assistant("2")
)


def load(directory: Path, chosen: str | None, template: str | None = None) -> ChatTokenizer:
    return load_tokenizer(str(model_directory(directory / "model", template)), chat_template=chosen)


TEXTS = {
    "chatml": "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\none<|im_end|>\n"
    "<|im_start|>assistant\n1<|im_end|>\n<|im_start|>user\ntwo<|im_end|>\n<|im_start|>assistant\n2<|im_end|>\n",
    "llama2": "<s>[INST] <<SYS>>\nbe brief\n<</SYS>>\n\none [/INST] 1 </s><s>[INST] two [/INST] 2 </s>",
    "gemma": "<s><start_of_turn>user\nbe brief\n\none<end_of_turn>\n<start_of_turn>model\n1<end_of_turn>\n"
    "<start_of_turn>user\ntwo<end_of_turn>\n<start_of_turn>model\n2<end_of_turn>\n",
    "mistral": "<s>[INST] be brief\n\none[/INST] 1</s>[INST] two[/INST] 2</s>",
    "plain": "<s>### System:\nbe brief\n\n### User:\none\n\n### Assistant:\n1</s>\n\n"
    "### User:\ntwo\n\n### Assistant:\n2</s>\n\n",
    "raw": "<s>be briefone1</s>two2</s>",
}
PROMPTS = {
    "chatml": "<|im_start|>assistant\n",
    "gemma": "<start_of_turn>model\n",
    "plain": "### Assistant:\n",
}
TRAINED = {
    "chatml": ["1<|im_end|>", "2<|im_end|>"],
    "llama2": [" 1 </s>", " 2 </s>"],
    "gemma": ["1<end_of_turn>", "2<end_of_turn>"],
    "mistral": [" 1</s>", " 2</s>"],
    "plain": ["1</s>", "2</s>"],
    "raw": ["1</s>", "2</s>"],
}


@pytest.mark.parametrize("name", OURS)
def test_ours_write_the_published_formats_and_train_the_answers(tmp_path: Path, name: str) -> None:
    tokenizer = load(tmp_path, name)
    located = tokenizer.trained_text(TALK, "assistant")
    assert located.text == TEXTS[name]
    assert [located.text[span.start : span.end] for span in located.spans] == TRAINED[name]
    assert tokenizer.templates.chosen == name
    before = tokenizer.templates.choose(TALK).render(TALK.messages[:4])
    assert tokenizer.prompt_text(TALK, 4) == before + PROMPTS.get(name, "")
    assert TEXTS[name].startswith(tokenizer.prompt_text(TALK, 4))


@pytest.mark.parametrize("name", ["chatml", "gemma"])
def test_what_ends_a_turn_is_trained_also_where_it_is_no_token_of_the_model(
    tmp_path: Path, name: str
) -> None:
    tokenizer = load(tmp_path, name)
    template = tokenizer.templates.choose(TALK)
    assert {"<|im_end|>", "<end_of_turn>"} & template.special_strings >= {TRAINED[name][0][1:]}


def test_ours_begin_a_text_as_the_models_tokenizer_does(tmp_path: Path) -> None:
    from tokenizers import Tokenizer

    load(tmp_path, None)
    path = tmp_path / "model" / "tokenizer.json"
    backend = Tokenizer.from_file(str(path))
    backend.post_processor = None
    backend.save(str(path))
    tokenizer = load_tokenizer(str(tmp_path / "model"), chat_template="raw")
    assert tokenizer.trained_text(TALK, "assistant").text == "be briefone1</s>two2</s>"
    assert tokenizer.trained_text(Conversation((), "x:1", text="a"), "assistant").text == "a</s>"


CALLED = assistant("", tool_calls=[{"type": "function", "function": {"name": "f", "arguments": {"q": "ü"}}}])
REFUSED = {
    "a role": conversation(user("a"), assistant("b"), {"role": "tool", "content": "c"}),
    "tools": conversation(user("a"), assistant("b"), tools=TOOLS),
    "tool calls": conversation(user("a"), CALLED),
}
OUT_OF_TURN = {
    "users in a row": conversation(user("a"), user("b"), assistant("c")),
    "assistant first": conversation(assistant("a")),
    "system late": conversation(user("a"), {"role": "system", "content": "b"}),
    "system alone": conversation({"role": "system", "content": "b"}),
}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        *((name, what) for name in ("llama2", "gemma", "mistral") for what in (*REFUSED, *OUT_OF_TURN)),
        *(("plain", what) for what in REFUSED),
        *(("raw", what) for what in ("tools", "tool calls")),
    ],
)
def test_ours_refuse_what_they_cannot_express(tmp_path: Path, name: str, what: str) -> None:
    with pytest.raises(InputError, match=r"the chat template refuses this conversation: .*\(line \d+ of"):
        load(tmp_path, name).trained_text((REFUSED | OUT_OF_TURN)[what], "assistant")


def test_chatml_writes_tools_and_calls(tmp_path: Path) -> None:
    talk = conversation(
        {"role": "system", "content": "s"}, user("a"), CALLED, {"role": "tool", "content": "3"}, tools=TOOLS
    )
    located = load(tmp_path, "chatml").trained_text(talk, "assistant")
    assert located.text.startswith("<|im_start|>system\ns\n\n# Tools\n")
    assert '<tools>\n{"type": "function", "function": {"name": "f"' in located.text
    assert located.text.count("<|im_start|>system") == 1
    [span] = located.spans
    assert located.text[span.start : span.end] == (
        '<tool_call>\n{"name": "f", "arguments": {"q": "ü"}}\n</tool_call><|im_end|>'
    )
    assert located.text.endswith("<|im_start|>user\n<tool_response>\n3\n</tool_response><|im_end|>\n")


def test_the_models_own_templates_come_first(tmp_path: Path) -> None:
    config = [{"name": "default", "template": CHATML}, {"name": "gemma", "template": "own"}]
    directory = str(model_directory(tmp_path, None, chat_template=config))
    tokenizer = load_tokenizer(directory, chat_template="gemma")
    assert tokenizer.templates.choose(TALK).render([user("a")]) == "own"
    assert available_names(tokenizer.templates) == (
        "default",
        "gemma",
        "chatml",
        "llama2",
        "mistral",
        "plain",
        "raw",
    )
    assert load_tokenizer(directory).templates.chosen == "default"


def test_a_chosen_template_is_used_for_rows_with_tools_too(tmp_path: Path) -> None:
    config = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    directory = str(model_directory(tmp_path, None, chat_template=config))
    talk = conversation(user("x"), tools=TOOLS)
    for chosen, text in ((None, "b"), ("default", "a"), ("tool_use", "b")):
        template = load_tokenizer(directory, chat_template=chosen).templates.choose(talk)
        assert template.render(talk.messages, talk.tools) == text


def test_a_template_may_be_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.jinja").write_text(MARKED, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for chosen in ("mine.jinja", str(tmp_path / "mine.jinja")):
        tokenizer = load(tmp_path, chosen)
        assert tokenizer.templates.chosen == "mine.jinja"
        assert len(tokenizer.trained_text(TALK, "assistant").spans) == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"mine\.jinja: data\.chat_template: no such file: expected a Jinja template"),
        (b"\xff\xfe", r"mine\.jinja: cannot be read as text"),
        (b"a\n{% if %}", r"mine\.jinja:2: the chat template is not valid Jinja: .*line 2 of .*mine\.jinja"),
    ],
)
def test_a_file_that_is_no_template_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "mine.jinja"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        load(tmp_path, str(path))


def test_a_file_that_fails_on_a_row_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.jinja").write_text("a\n\n{{ messages[9].content }}", encoding="utf-8")
    tokenizer = load(tmp_path, str(tmp_path / "mine.jinja"))
    with pytest.raises(
        InputError, match=r"train\.jsonl:1: the chat template fails .*line 3 of .*mine\.jinja"
    ):
        tokenizer.trained_text(TALK, "assistant")


def test_an_unknown_template_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        load(tmp_path, "chatlm", CHATML)
    assert str(error.value) == (
        "data.chat_template: no chat template 'chatlm': expected null (the model's own), default, chatml, "
        "llama2, gemma, mistral, plain, raw, or the path of a .jinja file\n  did you mean chatml?"
    )


def test_a_model_without_a_template_is_told_of_ours(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no chat template: .*\n  set data\.chat_template: chatml"):
        load(tmp_path, None).trained_text(TALK, "assistant")


@pytest.mark.parametrize(
    ("text", "rendered"),
    [
        ("a", "<s>a</s>"),
        ("a</s>", "<s>a</s>"),
        ("<s>a", "<s>a</s>"),
        ("", "<s></s>"),
        ("{{ x }}\n", "<s>{{ x }}\n</s>"),
    ],
)
def test_plain_text_needs_no_template_and_is_trained_whole(tmp_path: Path, text: str, rendered: str) -> None:
    tokenizer = load(tmp_path, None)
    for train_on in ("assistant", "last_assistant", "completion", "everything"):
        located = tokenizer.trained_text(Conversation((), "x:1", text=text), train_on)
        assert located.text == rendered
        assert [tuple(span) for span in located.spans] == [(0, len(rendered), -1, 1.0)]
