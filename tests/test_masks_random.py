"""Whatever the words are: the mask covers what the assistant says, as the template writes it, and its end.

The truth is computed beside the engine: each small template has a twin in Python that says piece by piece
what is written and whether it is the assistant's. Tokens are bytes, so that nothing can straddle.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from sftui.data.conversation import Conversation, Message
from sftui.data.mask import Offsets, trained_mask
from sftui.data.tokenizer import ChatTokenizer, load_tokenizer
from tests.data_fixtures import model_directory

SPECIAL = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|start|>", "<|stop|>", "<|eot|>", "<turn>", "<end>")


class Piece(NamedTuple):
    """A part of a text, and whether it is trained."""

    text: str
    trained: bool = False


Pieces = list[Piece]
Twin = Callable[[list[Message]], Pieces]


class Case(NamedTuple):
    """A chat template, its twin, and which conversations it takes."""

    template: str
    twin: Twin
    alternates: bool = False
    system: bool = True
    tool: bool = True


CHATML = """\
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""


def chatml(messages: list[Message]) -> Pieces:
    pieces = []
    for m in messages:
        answer = m["role"] == "assistant"
        pieces += [
            Piece(f"<|im_start|>{m['role']}\n"),
            Piece(m["content"] + "<|im_end|>", answer),
            Piece("\n"),
        ]
    return pieces


MARKED = """\
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}{% if m.role == 'assistant' %}
{%- generation %}{{ m.content + '<|im_end|>' }}{% endgeneration %}{% else %}{{ m.content + '<|im_end|>' }}
{%- endif %}{{ '\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""

HEADERS = """\
{{- bos_token }}{% for m in messages %}
{{- '<|start|>' + m.role + '<|stop|>\n\n' + m.content | trim + '<|eot|>' }}
{%- endfor %}{% if add_generation_prompt %}{{ '<|start|>assistant<|stop|>\n\n' }}{% endif %}"""


def headers(messages: list[Message]) -> Pieces:
    pieces = [Piece("<s>")]
    for m in messages:
        words = m["content"].strip() + "<|eot|>"
        pieces += [Piece(f"<|start|>{m['role']}<|stop|>\n\n"), Piece(words, m["role"] == "assistant")]
    return pieces


MERGING = """\
{{- bos_token }}{% set ns = namespace(system='') %}{% for m in messages %}
{%- if m.role == 'system' %}{% set ns.system = m.content + '\n\n' %}{% else %}
{{- '<turn>' + ('model' if m.role == 'assistant' else m.role) + '\n' }}
{{- ns.system + m.content | trim + '<end>\n' }}
{%- set ns.system = '' %}{% endif %}{% endfor %}
{%- if add_generation_prompt %}{{ '<turn>model\n' }}{% endif %}"""


def merging(messages: list[Message]) -> Pieces:
    pieces, system = [Piece("<s>")], ""
    for m in messages:
        if m["role"] == "system":
            system = m["content"] + "\n\n"
            continue
        answer = m["role"] == "assistant"
        role = "model" if answer else m["role"]
        pieces += [
            Piece(f"<turn>{role}\n{system}"),
            Piece(m["content"].strip() + "<end>", answer),
            Piece("\n"),
        ]
        system = ""
    return pieces


BRACKETS = """\
{%- set users = messages | selectattr('role', 'equalto', 'user') | list %}{{ bos_token }}
{%- for m in messages %}{% if m.role == 'user' %}
{{- '[INST] ' + (messages[0].content + '\n\n' if messages[0].role == 'system' and m == users[-1] else '') }}
{{- m.content + '[/INST]' }}{% elif m.role == 'assistant' %}{{ ' ' + m.content + '</s>' }}{% endif %}
{%- endfor %}"""


def brackets(messages: list[Message]) -> Pieces:
    pieces = [Piece("<s>")]
    users = [m for m in messages if m["role"] == "user"]
    for m in messages:
        if m["role"] == "user":
            system = (
                messages[0]["content"] + "\n\n" if messages[0]["role"] == "system" and m == users[-1] else ""
            )
            pieces.append(Piece(f"[INST] {system}{m['content']}[/INST]"))
        elif m["role"] == "assistant":
            pieces.append(Piece(f" {m['content']}</s>", True))
    return pieces


# Earlier reasoning is dropped; in the last turn, an empty block stands for none.
THINKING = """\
{%- set ns = namespace(last=-1) %}
{%- for m in messages %}{% if m.role == 'user' %}{% set ns.last = loop.index0 %}{% endif %}{% endfor %}
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}
{%- if m.role == 'assistant' %}
    {%- set before = m.content.split('</think>')[0] if '</think>' in m.content else '' %}
    {%- set reasoning = before.split('<think>')[-1] %}
    {%- if loop.index0 > ns.last %}{{ '<think>' + reasoning + '</think>' }}{% endif %}
    {{- m.content.split('</think>')[-1] }}
{%- else %}{{ m.content }}{% endif %}{{ '<|im_end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""


def thinking(messages: list[Message]) -> Pieces:
    pieces = []
    last = max((i for i, m in enumerate(messages) if m["role"] == "user"), default=-1)
    for i, m in enumerate(messages):
        words = m["content"]
        if m["role"] == "assistant":
            reasoning = words.split("</think>")[0].split("<think>")[-1] if "</think>" in words else ""
            words = words.split("</think>")[-1]
            if i > last:
                words = f"<think>{reasoning}</think>{words}"
        pieces += [
            Piece(f"<|im_start|>{m['role']}\n"),
            Piece(words + "<|im_end|>", m["role"] == "assistant"),
            Piece("\n"),
        ]
    return pieces


# The last turn has an empty block; the prompt has it too if the message before it asks for that.
SWITCHED = """\
{%- for m in messages %}{{ '<|im_start|>' + m.role + '\n' }}
{{- '<think></think>' if m.role == 'assistant' and loop.last else '' }}
{{- m.content + '<|im_end|>\n' }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}
{{- '<think></think>' if '/no_think' in messages[-1].content else '' }}{% endif %}"""


def switched(messages: list[Message]) -> Pieces:
    pieces = chatml(messages)
    if messages[-1]["role"] == "assistant":
        asked = len(messages) > 1 and "/no_think" in messages[-2]["content"]
        pieces.insert(-2, Piece("<think></think>", not asked))
    return pieces


CASES = {
    "chatml": Case(CHATML, chatml),
    "marked": Case(MARKED, chatml),
    "headers, trimming": Case(HEADERS, headers),
    "merging": Case(MERGING, merging, alternates=True, tool=False),
    "brackets": Case(BRACKETS, brackets, alternates=True, tool=False),
    "thinking": Case(THINKING, thinking),
    "switched": Case(SWITCHED, switched),
}


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ChatTokenizer]:
    """Byte-level tokenizers without a merge."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({char: i for i, char in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(list(SPECIAL))
    made = {}
    for name, case in CASES.items():
        directory: Path = model_directory(tmp_path_factory.mktemp("model"), case.template)
        backend.save(str(directory / "tokenizer.json"))
        made[name] = load_tokenizer(str(directory))
    return made


LURES = (
    *SPECIAL,
    *(
        "<|im_end|>\n<|im_start|>assistant\n",
        "<|im_start|>user\n",
        "<turn>model\n",
        "[INST] ",
        "[/INST]",
        "model",
    ),
    *(
        "<think>",
        "</think>",
        "<think>\n\n</think>\n\n",
        "/no_think",
        "{{ x }}",
        "{% for %}",
        "probe0end",
        "probe",
        "probex1end",
    ),
    *(
        "\ufdd0",
        "\ufdd00\ufdd1",
        "\u200b",
        "e\u0301",
        "\u202e",
        "👩‍👩‍👧",
        "\U0010ffff",
        "\U00020000",
        "\x00",
        "\ufeff",
    ),
    *("\r\n", "\n", "\n\n", "\t", " ", "\u3000", "\x1b[31m", "\x85", "\u2028", "user", "assistant", "a"),
)
words = (
    st.lists(st.sampled_from(LURES) | st.text(max_size=6), max_size=5)
    .map("".join)
    .map(lambda text: text.encode("utf-8", "replace").decode())
)


@st.composite
def rows(draw: st.DrawFn, case: Case) -> Conversation:
    count = draw(st.integers(1, 6))
    if case.alternates:
        roles = ["user" if i % 2 == 0 else "assistant" for i in range(count)]
    else:
        others = ["user", "assistant", "assistant", *(["tool"] if case.tool else [])]
        roles = draw(st.lists(st.sampled_from(others), min_size=count, max_size=count))
    if case.system and draw(st.booleans()):
        roles.insert(0, "system")
    return Conversation(tuple({"role": role, "content": draw(words)} for role in roles), "x:1")


def mask_by(pieces: Pieces) -> list[bool]:
    """One entry a byte of the text, as trained or not."""
    return [piece.trained for piece in pieces for _ in piece.text.encode()]


@pytest.mark.parametrize("name", CASES)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_the_mask_covers_exactly_what_the_assistant_says_and_its_end(
    name: str, tokenizers: dict[str, ChatTokenizer], data: st.DataObject
) -> None:
    case, tokenizer = CASES[name], tokenizers[name]
    row = data.draw(rows(case))
    pieces = case.twin(list(row.messages))
    text = "".join(piece.text for piece in pieces)
    located = tokenizer.trained_text(row, "assistant")
    assert located.text == text
    [encoding] = tokenizer.encode_batch([text])
    mask = trained_mask(encoding.ids, Offsets(encoding), text, located.spans, tokenizer.special_ids)
    assert mask == trained_mask(encoding.ids, encoding.offsets, text, located.spans, tokenizer.special_ids)
    [(ids, offsets)] = tokenizer.tokenize([text])
    assert (ids, trained_mask(ids, offsets, text, located.spans, tokenizer.special_ids)) == (
        encoding.ids,
        mask,
    )
    found = [
        bool(trained)
        for (start, end), trained, token in zip(encoding.offsets, mask, encoding.tokens, strict=True)
        for _ in range(len(token.encode()) if token in SPECIAL else 1)
    ]
    assert found == mask_by(pieces), [text[span.start : span.end] for span in located.spans]


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_turns_alone_and_all_together_are_the_same(
    tokenizers: dict[str, ChatTokenizer], data: st.DataObject
) -> None:
    row = data.draw(rows(CASES["chatml"]))
    spans = tokenizers["chatml"].trained_text(row, "assistant").spans
    assert tokenizers["chatml"].trained_text(row, "last_assistant").spans == spans[-1:]
    assert tokenizers["marked"].trained_text(row, "assistant").spans == spans
