"""What is said of a recipe's memory that people would not expect."""

from __future__ import annotations

from typing import Any

import pytest

from sftui.memory.closed_form import estimate
from sftui.memory.config_file import shape_of
from sftui.memory.notes import notes
from sftui.memory.shape import ModelShape
from sftui.memory.step import AdapterSpec, StepSpec

QWEN3_30B_A3B: dict[str, Any] = {
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "moe_intermediate_size": 768,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
}
QWEN3_8B: dict[str, Any] = {
    "model_type": "qwen3",
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
}


def said(config: dict[str, Any], quantization: Any, adapter: AdapterSpec) -> list[str]:
    shape = shape_of(config)
    assert isinstance(shape, ModelShape)
    step = StepSpec(1, 2048, quantization=quantization, adapter=adapter, autocast="bfloat16")
    return notes(shape, step, estimate(shape, step))


def test_quantised_experts_are_none() -> None:
    experts, many = said(QWEN3_30B_A3B, "nf4", AdapterSpec(16))
    assert "nf4 does not reach the experts: 28.99 B of 30.53 B parameters stay bfloat16 (54.0 GiB)" in experts
    assert "every expert" in many


def test_an_adapter_on_attention_alone_is_small() -> None:
    targets = ("q_proj", "k_proj", "v_proj", "o_proj")
    assert len(said(QWEN3_30B_A3B, "nf4", AdapterSpec(16, targets=targets))) == 1
    assert said(QWEN3_30B_A3B, "none", AdapterSpec(16, targets=targets)) == []


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_a_dense_model_is_as_expected(quantization: str) -> None:
    assert said(QWEN3_8B, quantization, AdapterSpec(16)) == []
    assert len(said(QWEN3_8B, quantization, AdapterSpec(512))) == 1
