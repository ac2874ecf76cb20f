"""On real data, with the stock templates of large models: tokens and masks are those of transformers.

What is the assistant's is taken from `tests/stock_templates.py`, where the templates are marked by hand, and
from transformers' own reading of the marks. The templates under test are the stock ones, without marks.

Systematic differences, asserted below:
- A token that begins before the turn and ends in it is the assistant's for transformers and is not trained
  here: the prompt would hold a part of it. Of these templates, only DeepSeek V3's makes such tokens: it
  writes the second call of a conversation right after the user's words, on a new line without a header.
- Gemma 3 and Command R+ refuse rows with tool calls, for transformers and here.

Llama 2, Yi, Gemma and Gemma 2 come without a chat template from npm and are not looked at. transformers 5
builds the tokenizers of the first two anew: their ids after a special token are not tokenizer.json's.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftui.data.conversation import Conversation
from sftui.data.mask import trained_mask
from sftui.data.tokenizer import ChatTokenizer, load_tokenizer
from sftui.errors import InputError
from tests.stock_templates import DATA, FILES, Stock, blocks, conversations, for_model, stock_models, truth
from tests.test_masks_random import words

STOCK = {stock.name: stock for stock in stock_models()}
REFUSED = {
    ("gemma3", "glaive_toolcall_en_demo.json"): 153,
    ("command_r_plus", "glaive_toolcall_en_demo.json"): 191,
}
STRADDLING = {("deepseek_v3", "glaive_toolcall_en_demo.json"): 56}

pytestmark = pytest.mark.skipif(not STOCK, reason="SFTUI_TOKENIZERS names no directory of models")


@lru_cache(maxsize=1)
def tokenizers(name: str) -> tuple[Stock, ChatTokenizer, Any]:
    stock = STOCK[name]
    reference = pytest.importorskip("transformers").AutoTokenizer.from_pretrained(stock.directory)
    return stock, load_tokenizer(str(stock.directory)), reference


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("name", STOCK)
def test_tokens_and_masks_of_every_row_are_right(name: str, file: str) -> None:
    if not (DATA / file).is_file():
        pytest.skip(f"no {DATA / file}")
    stock, tokenizer, reference = tokenizers(name)
    usable = tokenizer.words.usable
    refused = straddling = 0
    for row in for_model(stock, conversations(file)):
        expected = truth(reference, stock, row)
        if expected is None:
            with pytest.raises(InputError, match=r"the chat template (refuses|fails on)"):
                tokenizer.trained_text(row, "assistant")
            refused += 1
            continue
        located = tokenizer.trained_text(row, "assistant")
        assert located.text == expected.text, row.where
        assert [(span.start, span.end) for span in located.spans] == expected.spans, row.where
        # What the trainer and the screen call: where it can, it takes the tokens of known words.
        [(ids, offsets)] = tokenizer.tokenize([located.text])
        assert ids == expected.ids, row.where
        mask = trained_mask(ids, offsets, located.text, located.spans, tokenizer.special_ids)
        differing = [i for i, pair in enumerate(zip(mask, expected.mask, strict=True)) if len({*pair}) == 2]
        for index in differing:
            start, end = offsets[index]
            assert any(start < span.start < end for span in located.spans), (row.where, index)
            assert expected.mask[index] == 1
        straddling += bool(differing)
    assert refused == REFUSED.get((name, file), 0)
    assert tokenizer.words.usable is usable, "no text was tokenised otherwise than by the library"
    assert straddling == STRADDLING.get((name, file), 0)


@st.composite
def exchanges(draw: st.DrawFn) -> Conversation:
    """What every stock template takes: questions and answers in turn, with a system message or without."""
    roles = [role for _ in range(draw(st.integers(1, 3))) for role in ("user", "assistant")]
    roles = [*(["system"] if draw(st.booleans()) else []), *roles[: draw(st.integers(1, len(roles)))]]
    return Conversation(tuple({"role": role, "content": draw(words)} for role in roles), "x:1")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", STOCK)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(row=exchanges())
def test_spans_of_random_rows_are_the_marked_blocks(name: str, row: Conversation) -> None:
    stock, tokenizer, reference = tokenizers(name)
    found = blocks(reference, stock, [dict(message) for message in row.messages], None)
    if found is None:
        with pytest.raises(InputError, match=r"the chat template (refuses|fails on)"):
            tokenizer.trained_text(row, "assistant")
        return
    located = tokenizer.trained_text(row, "assistant")
    assert located.text == found[0]
    assert [(span.start, span.end) for span in located.spans] == found[1]
