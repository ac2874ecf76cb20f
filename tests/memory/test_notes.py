"""What is said of a recipe's memory that people would not expect."""

from __future__ import annotations

from typing import Any

import pytest

from sftui.memory.closed_form import estimate
from sftui.memory.config_file import shape_of
from sftui.memory.device import Device
from sftui.memory.notes import notes
from sftui.memory.shape import ModelShape
from sftui.memory.step import AdapterSpec, StepSpec
from sftui.recipe import Dtype, Recipe

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


def said(
    config: dict[str, Any], quantization: Any, adapter: AdapterSpec, dtype: Dtype = "bfloat16", **around: Any
) -> list[str]:
    shape = shape_of(config)
    assert isinstance(shape, ModelShape)
    step = StepSpec(1, 2048, dtype=dtype, quantization=quantization, adapter=adapter, autocast="bfloat16")
    return notes(recipe_of(quantization, adapter, dtype), estimate(shape, step), shape, 2048, **around)


def recipe_of(quantization: Any, adapter: AdapterSpec, dtype: Dtype = "bfloat16", **model: Any) -> Recipe:
    """The recipe that has these settings."""
    targets = adapter.targets if isinstance(adapter.targets, str) else list(adapter.targets)
    return Recipe.model_validate(
        {
            "model": {"name_or_path": "m", "quantization": quantization, "dtype": dtype, **model},
            "adapter": {
                "r": adapter.r,
                "lora_dropout": adapter.dropout,
                "use_dora": adapter.use_dora,
                "target_modules": targets,
                "modules_to_save": list(adapter.modules_to_save),
                "dtype": adapter.dtype,
            },
            "data": {"train": ["rows.jsonl"]},
        }
    )


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


def test_a_device_without_bfloat16_is_told_of() -> None:
    old, new, unknown = (Device("GPU", 2**34, capability=one) for one in ((7, 5), (8, 0), None))
    (line,) = said(QWEN3_8B, "nf4", AdapterSpec(16), device=old)
    assert "GPU has no bfloat16" in line and "model.dtype=float16" in line
    assert said(QWEN3_8B, "nf4", AdapterSpec(16), dtype="float16", device=old) == []
    for device in (new, unknown, None):
        assert said(QWEN3_8B, "nf4", AdapterSpec(16), device=device) == []


def test_what_peft_refuses_for_experts_is_told() -> None:
    said_of = [
        [line for line in said(config, "none", adapter) if "PEFT refuses" in line]
        for config, adapter in (
            (QWEN3_30B_A3B, AdapterSpec(16, dropout=0.1)),
            (QWEN3_30B_A3B, AdapterSpec(16, use_dora=True)),
            (QWEN3_30B_A3B, AdapterSpec(16, dropout=0.1, targets=("q_proj",))),
            (QWEN3_30B_A3B, AdapterSpec(16)),
            (QWEN3_8B, AdapterSpec(16, dropout=0.1, use_dora=True)),
        )
    ]
    assert [len(lines) for lines in said_of] == [1, 1, 0, 0, 0]
    assert "adapter.lora_dropout" in said_of[0][0] and "adapter.use_dora" in said_of[1][0]


def test_rows_longer_than_the_model_was_made_for_are_told_of() -> None:
    assert said(QWEN3_8B, "nf4", AdapterSpec(16), positions=2048) == []
    (line,) = said(QWEN3_8B, "nf4", AdapterSpec(16), positions=2047)
    assert "2,048 tokens" in line and "2,047" in line


def test_of_a_simulated_model_the_experts_and_positions_are_told_too() -> None:
    shape = shape_of(QWEN3_30B_A3B)
    assert isinstance(shape, ModelShape)
    adapter = AdapterSpec(16, targets=("q_proj",))
    found = estimate(shape, StepSpec(1, 2048, quantization="nf4", adapter=adapter, autocast="bfloat16"))
    experts, longer = notes(recipe_of("nf4", adapter), found, None, 2048, positions=1024)
    assert "nf4 does not reach the experts" in experts and "1,024" in longer
