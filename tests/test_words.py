"""Tokens from known words are the library's own, ids and offsets, or there are none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from sftui.data.words import BEYOND_ASCII as BEYOND_ALL
from sftui.data.words import WordEncoder, WordTokens, in_python
from sftui.demo import RECIPE

LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK = (
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXT = "She'll pay 1234 dollars,  doesn't she?\n\nYES -- it's $3.50/each!\tOK...\r\n" * 3


def split(pattern: str) -> pre_tokenizers.Split:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def spelled(*steps: pre_tokenizers.PreTokenizer) -> pre_tokenizers.Sequence:
    return pre_tokenizers.Sequence(
        [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


CUTS = {
    "gpt2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "digits": pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    ),
    "llama3": spelled(split(LLAMA3)),
    "qwen": spelled(split(QWEN)),
    "tekken": spelled(split(TEKKEN)),
    "deepseek": spelled(split(r"\p{N}{1,3}"), split("[一-龥぀-ゟ゠-ヿ]+"), split(DEEPSEEK)),
    "words only": spelled(split("[a-z]+")),
}


def made(cut: pre_tokenizers.PreTokenizer, normalizer: normalizers.Normalizer | None = None) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([TEXT], trainer)
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.add_special_tokens(["<|im_start|>", "<|im_end|>", "<|im|>"])
    tokenizer.add_tokens([AddedToken("<think>", normalized=True), AddedToken("<thinker>", normalized=True)])
    return tokenizer


@pytest.fixture(scope="module")
def tokenizers() -> dict[str, Tokenizer]:
    found = {name: made(cut) for name, cut in CUTS.items()}
    found["nfc"] = made(CUTS["qwen"], normalizers.Sequence([normalizers.NFC()]))
    found["demo"] = Tokenizer.from_file(str(Path(RECIPE).parent / "model" / "tokenizer.json"))
    return found


PIECES = st.sampled_from(
    [
        "<|im_start|>",
        "<|im_end|>",
        "<|im|>",
        "<think>",
        "<thinker>",
        "'S",
        "'ll",
        "  ",
        "\n\n",
        "\r\n",
        "12345",
    ]
)
BEYOND = st.text(st.sampled_from("àéñßŁ’“”–—…×÷£€½²ª"), max_size=6)
PLAIN = st.text(st.characters(max_codepoint=126), max_size=12)
TEXTS = st.lists(PIECES | PLAIN | BEYOND, max_size=12).map("".join)


def same(tokenizer: Tokenizer, encoder: WordEncoder, text: str) -> bool:
    """Whether it was encoded; it must be as the library does it."""
    tokens = encoder.encode(text)
    if tokens is None:
        return False
    expected = tokenizer.encode(text, add_special_tokens=False)
    assert tokens.ids == expected.ids
    assert list(tokens) == expected.offsets
    assert [tokens[at] for at in range(len(tokens))] == expected.offsets
    return True


@settings(max_examples=150, deadline=None)
@given(TEXTS)
def test_ids_and_offsets_are_the_librarys(tokenizers: dict[str, Tokenizer], text: str) -> None:
    for name, tokenizer in tokenizers.items():
        encoder = WordEncoder(tokenizer)
        assert encoder.usable, name
        plain = all(char in "\t\n\r" or " " <= char <= "~" for char in text)
        if not text.isascii():
            # Characters that this small vocabulary spells by several tokens are left to the library.
            same(tokenizer, encoder, text)
            continue
        assert same(tokenizer, encoder, text) is plain, name
        assert same(tokenizer, encoder, text) is plain, "known words now"


@pytest.mark.parametrize(
    "text", ["e\u0301", "a\u200bb", "日本", "a\x1cb", "a\x0bb", "\x00", "\x7f", "\xa0", "\u017f", "\u2028"]
)
def test_anything_beyond_the_alphabet_is_left_to_the_library(
    tokenizers: dict[str, Tokenizer], text: str
) -> None:
    assert WordEncoder(tokenizers["qwen"]).encode(text) is None


def test_other_kinds_of_tokenizers_are_left_to_the_library() -> None:
    sentencepiece = made(CUTS["gpt2"])
    sentencepiece.pre_tokenizer = pre_tokenizers.Metaspace()
    prefixed = made(CUTS["gpt2"])
    prefixed.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    merged = made(CUTS["gpt2"])
    merged.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(" ", "merged_with_previous"), CUTS["gpt2"]]
    )
    lowered = made(CUTS["gpt2"], normalizers.Lowercase())
    stripping = made(CUTS["gpt2"])
    stripping.add_tokens([AddedToken("<x>", lstrip=True)])
    words = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    words.pre_tokenizer = CUTS["gpt2"]
    for tokenizer in (sentencepiece, prefixed, merged, lowered, stripping, words):
        encoder = WordEncoder(tokenizer)
        assert not encoder.usable
        assert encoder.encode("a") is None


@pytest.mark.parametrize(
    "pattern", [r"\p{Greek}+", r"\p{M}+", r"\X", r"\h+", r"[a-z&&[^b]]+", r"[[:alpha:]]+", r"(?x) a # b"]
)
def test_an_expression_that_may_mean_something_else_in_python_is_not_translated(pattern: str) -> None:
    assert in_python(pattern) is None


def test_who_gives_up_encodes_nothing_any_more(tokenizers: dict[str, Tokenizer]) -> None:
    encoder = WordEncoder(tokenizers["qwen"])
    assert isinstance(encoder.encode("one two"), WordTokens)
    encoder.give_up()
    assert encoder.encode("one two") is None
    assert not encoder.usable


@pytest.mark.skipif("SFTUI_TOKENIZERS" not in os.environ, reason="SFTUI_TOKENIZERS names no folder")
def test_real_tokenizers_agree() -> None:
    usable = 0
    for file in sorted(Path(os.environ["SFTUI_TOKENIZERS"]).rglob("tokenizer.json")):
        tokenizer = Tokenizer.from_file(str(file))
        tokenizer.post_processor = None
        encoder = WordEncoder(tokenizer)
        usable += encoder.usable
        for text in (TEXT, " lead", "tail \n", "a  b   c\n \n d", "x=1;y=[2,3]", "<s>hi</s> <|eot_id|>\n"):
            assert same(tokenizer, encoder, text) is encoder.usable, file
        for text in (f"{one}{two}x {one} {two}{one}'S{two}9" for one in BEYOND_ALL for two in "a1 -"):
            same(tokenizer, encoder, text)
    assert usable
