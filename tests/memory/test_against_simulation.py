"""The closed form against the simulation, which runs the trainer's step on the meta device.

Few and small here; `tests/benchmarks/memory_forms.py` compares hundreds.
"""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from sftui.memory.closed_form import estimate
from sftui.memory.config_file import shape_of
from sftui.memory.estimate import Estimate
from sftui.memory.shape import ModelShape
from sftui.memory.step import AdapterSpec, EvaluationSpec, StepSpec

SMALL = {
    "hidden_size": 256,
    "intermediate_size": 768,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 1000,
    "pad_token_id": 0,
}
HEADS = {"head_dim": 64}
WIDE = HEADS | {"hidden_size": 1024, "intermediate_size": 4096}  # where dequantised weights are the peak
MOE = HEADS | {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 128}
LORA: dict[str, Any] = {"adapter": AdapterSpec(8), "autocast": "bfloat16"}
CHUNKED: dict[str, Any] = {"loss": "chunked", "loss_chunk": 100}
LARGE = HEADS | {"vocab_size": 16384}  # where the head is the peak
SLIDING = HEADS | {"sliding_window": 128}
FLAT: dict[str, Any] = {"rows": 2, "length": 200, "layout": "flat", "windows": True}
FLAT32 = FLAT | {"dtype": "float32", "attention": "efficient", "windows": False}
# Two kinds of halves: what comes of both is float32.
FLOAT16: dict[str, Any] = {
    "dtype": "float16",
    "autocast": "float16",
    "adapter": AdapterSpec(8, dtype="bfloat16", modules_to_save=("embed_tokens", "lm_head")),
}
PADDED: dict[str, Any] = {"rows": 2, "length": 200, "layout": "padded", "attention": "efficient"}
EAGER = PADDED | {"attention": "eager"}
# One layer of whole attention, which is not checkpointed where every second is.
ONE_WHOLE = SLIDING | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
ONE_HEAD = {"hidden_size": 64, "num_attention_heads": 1, "num_key_value_heads": 1}
PHI = {"num_key_value_heads": 4}
DORA = AdapterSpec(8, use_dora=True)
QV = ("q_proj", "v_proj")
NORMS: dict[str, Any] = {"adapter": AdapterSpec(8, modules_to_save=("norm",)), "autocast": "bfloat16"}
ENDS = ("embed_tokens", "lm_head")
LORA16: dict[str, Any] = {"adapter": AdapterSpec(8), "autocast": "float16"}
OLD: dict[str, Any] = {"capability": (7, 5), "dtype": "float16", "attention": "math"}

CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("llama", HEADS, LORA),
    ("llama", HEADS, LORA | {"checkpointing": 0, "accumulation": 4}),
    ("llama", HEADS, {"optimizer": "adamw_torch"}),
    ("llama", HEADS, PADDED | LORA | {"evaluation": EvaluationSpec(2, 200), "weighted": True}),
    ("llama", HEADS, LORA | {"checkpointing": 2, "optimizer": "paged_adamw_8bit"}),
    ("llama", HEADS, LORA | {"quantization": "nf4"}),
    ("llama", WIDE, LORA | {"quantization": "nf4", "double_quant": False, "checkpointing": 0}),
    ("llama", WIDE, PADDED | LORA | {"quantization": "nf4", "evaluation": EvaluationSpec(2, 200)}),
    ("llama", HEADS, LORA | {"quantization": "int8", "optimizer": "lion_8bit"}),
    ("llama", HEADS, LORA | {"adapter": AdapterSpec(8, use_dora=True, dropout=0.1)}),
    ("llama", HEADS, LORA | {"adapter": AdapterSpec(8, modules_to_save=("lm_head", "embed_tokens"))}),
    ("llama", HEADS, {"dtype": "float16", "master_float32": True, "autocast": "float16", "optimizer": "sgd"}),
    ("llama", HEADS | {"tie_word_embeddings": True, "vocab_size": 65536}, {"optimizer": "sgd"}),
    ("mistral", HEADS | {"sliding_window": 128}, {"adapter": AdapterSpec(8, dtype="bfloat16")}),
    ("qwen2", {}, {"checkpointing": 0, "processes": 2}),
    ("qwen3", HEADS, LORA | {"layout": "flat", "windows": True, "rows": 2, "length": 128}),
    ("gemma2", HEADS | {"sliding_window": 128}, PADDED | {"attention": "eager", "checkpointing": 0}),
    ("gemma3_text", HEADS | {"sliding_window": 128}, LORA | {"optimizer": "adafactor"}),
    ("phi", {"num_key_value_heads": 4}, LORA),
    ("phi3", {}, {"adapter": AdapterSpec(8, dropout=0.1, dtype="bfloat16"), "checkpointing": 0}),
    ("smollm3", {}, LORA | {"layout": "packed_dense", "rows": 2, "length": 128, "attention": "efficient"}),
    ("mixtral", HEADS | {"num_local_experts": 4}, {"adapter": AdapterSpec(8, dtype="bfloat16")}),
    ("qwen2_moe", {key: value for key, value in MOE.items() if key != "head_dim"}, {"checkpointing": 0}),
    ("qwen3_moe", MOE, {"adapter": AdapterSpec(8, dtype="bfloat16"), "checkpointing": 0}),
    ("llama", LARGE, CHUNKED),
    ("llama", LARGE, CHUNKED | {"accumulation": 2, "loss_chunk": 1024}),
    ("llama", LARGE, CHUNKED | LORA | PADDED | {"evaluation": EvaluationSpec(2, 200), "weighted": True}),
    ("llama", LARGE, CHUNKED | {"dtype": "float16", "master_float32": True, "autocast": "float16"}),
    ("llama", LARGE, CHUNKED | LORA | {"adapter": AdapterSpec(8, modules_to_save=("lm_head",))}),
    ("llama", LARGE, CHUNKED | LORA | {"adapter": AdapterSpec(8, targets=("q_proj", "lm_head"))}),
    ("llama", LARGE | {"tie_word_embeddings": True}, CHUNKED | {"optimizer": "sgd"}),
    ("gemma2", LARGE | {"sliding_window": 128}, CHUNKED | LORA | {"attention": "eager"}),
    ("phi", {"num_key_value_heads": 4, "vocab_size": 16384}, CHUNKED | {"checkpointing": 0}),
    ("llama", HEADS | {"num_hidden_layers": 14}, LORA | {"checkpointing": 3}),
    ("llama", WIDE, LORA | {"quantization": "fp8"}),
    ("llama", WIDE, {"quantization": "fp8", "adapter": AdapterSpec(8, dropout=0.1), "checkpointing": 0}),
    ("llama", WIDE, LORA | {"quantization": "fp8", "adapter": AdapterSpec(8, use_dora=True)}),
    ("qwen3_moe", MOE, {"quantization": "fp8", "adapter": AdapterSpec(8, dtype="bfloat16")}),
    ("mistral", SLIDING, FLAT32),
    ("mistral", SLIDING, FLAT32 | {"checkpointing": 0}),
    ("llama", HEADS, {"dtype": "float32", "attention": "math"}),
    ("llama", HEADS, {"dtype": "float32", "attention": "math", "checkpointing": 0}),
    (
        "gemma3_text",
        SLIDING | {"num_hidden_layers": 7},
        LORA | FLAT | {"evaluation": EvaluationSpec(16, 500)},
    ),
    ("llama", HEADS, FLAT | {"evaluation": EvaluationSpec(8, 500, windows=True)}),
    ("phi", {"num_key_value_heads": 4}, LORA | {"evaluation": EvaluationSpec(16, 500)}),
    (
        "llama",
        LARGE,
        {
            "optimizer": "adafactor",
            "adapter": AdapterSpec(8, dtype="bfloat16", modules_to_save=("embed_tokens", "lm_head")),
        },
    ),
    ("llama", HEADS, LORA | {"capability": (9, 0)}),
    ("llama", HEADS, FLOAT16),
    ("llama", HEADS, FLOAT16 | {"adapter": AdapterSpec(8, dtype="bfloat16", use_dora=True)}),
    # A mask of the type of a trained embedding.
    (
        "qwen2",
        {},
        EAGER
        | LORA
        | {"adapter": AdapterSpec(8, modules_to_save=ENDS), "evaluation": EvaluationSpec(2, 200)},
    ),
    ("gemma3_text", ONE_WHOLE, EAGER | {"checkpointing": 2}),
    ("gemma3_text", SLIDING, LORA | FLAT | {"evaluation": EvaluationSpec(8, 200)}),
    ("gemma2", SLIDING, LORA | FLAT),
    ("qwen2_moe", {key: value for key, value in MOE.items() if key != "head_dim"}, PADDED),
    ("phi", PHI, LORA | {"adapter": AdapterSpec(8, targets=("v_proj",)), "checkpointing": 0}),
    (
        "phi",
        PHI,
        LORA
        | {
            "quantization": "nf4",
            "adapter": AdapterSpec(8, targets=("fc1", "fc2"), use_dora=True),
            "checkpointing": 2,
        },
    ),
    ("phi3", ONE_HEAD, LORA | {"adapter": AdapterSpec(8, targets=("o_proj",)), "checkpointing": 0}),
    ("phi3", ONE_HEAD, EAGER | {"adapter": AdapterSpec(8), "dtype": "float32", "checkpointing": 0}),
    ("smollm3", {"num_key_value_heads": 1}, EAGER | LORA),
    ("llama", WIDE, LORA | {"quantization": "int8", "adapter": DORA}),
    ("llama", WIDE, FLOAT16 | {"quantization": "nf4", "adapter": DORA}),
    ("llama", WIDE, FLOAT16 | {"quantization": "int8"}),
    (
        "llama",
        HEADS,
        PADDED | {"dtype": "float16", "master_float32": True, "autocast": "float16", "optimizer": "sgd"},
    ),
    (
        "mixtral",
        HEADS | {"num_local_experts": 4},
        LORA | {"adapter": AdapterSpec(64), "evaluation": EvaluationSpec(1, 256)},
    ),
    # Before Ampere there is no flash attention.
    ("llama", HEADS, OLD | {"length": 512}),
    ("llama", HEADS, OLD | LORA16 | {"evaluation": EvaluationSpec(2, 200), "checkpointing": 0}),
    ("llama", HEADS | {"num_key_value_heads": 4}, OLD | LORA16 | {"attention": "efficient"}),
    ("llama", HEADS, OLD | LORA16 | FLAT | {"attention": "efficient", "windows": False}),
    # Each packed sequence by itself: its kernel drops nothing out.
    ("llama", HEADS | {"attention_dropout": 0.1}, LORA | FLAT | {"windows": False}),
    ("mistral", SLIDING | {"attention_dropout": 0.1}, LORA | FLAT | {"windows": False, "checkpointing": 0}),
    # PEFT trains a copy of every module whose name ends so.
    ("llama", HEADS, LORA | {"adapter": AdapterSpec(8, targets=QV, modules_to_save=("norm",))}),
    ("gemma3_text", SLIDING, NORMS | {"checkpointing": 0}),
    ("phi", PHI | {"qk_layernorm": True}, NORMS | {"checkpointing": 0}),
    ("llama", WIDE, NORMS | {"quantization": "nf4"}),
    ("llama", HEADS, LORA | {"adapter": AdapterSpec(8, targets=QV, modules_to_save=("mlp",))}),
    ("qwen3", HEADS, LORA | {"adapter": AdapterSpec(8, modules_to_save=("self_attn",)), "checkpointing": 0}),
    ("qwen3_moe", MOE, {"adapter": AdapterSpec(8, targets=QV, dtype="bfloat16", modules_to_save=("mlp",))}),
    # The norm of the head's product, the largest thing while the model loads.
    ("llama", LARGE, LORA | {"adapter": AdapterSpec(8, targets=("q_proj", "lm_head"), use_dora=True)}),
    # No layer has experts: PEFT takes the names of projections for theirs all the same.
    ("qwen3_moe", MOE | {"mlp_only_layers": [0, 1, 2]}, LORA),
    (
        "gemma2",
        LARGE,
        CHUNKED
        | {
            "dtype": "float32",
            "attention": "eager",
            "adapter": AdapterSpec(8),
            "evaluation": EvaluationSpec(4, 256),
        },
    ),
    (
        "llama",
        HEADS | {"num_key_value_heads": 1},
        {
            "dtype": "float32",
            "attention": "math",
            "adapter": AdapterSpec(8),
            "evaluation": EvaluationSpec(1, 256),
        },
    ),
]


def both(family: str, settings: dict[str, Any], step: StepSpec) -> tuple[Estimate, Estimate]:
    import transformers

    from sftui.training.simulation.simulate import simulate

    values = SMALL | settings
    shape = shape_of({"model_type": family} | values)
    assert isinstance(shape, ModelShape)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = simulate(transformers.AutoConfig.for_model(family, **values), step)
    return estimate(shape, step), found


@pytest.mark.parametrize(("family", "settings", "changes"), CASES)
def test_the_closed_form_meets_the_simulation(
    family: str, settings: dict[str, Any], changes: dict[str, Any]
) -> None:
    ours, simulated = both(family, settings, StepSpec(**({"rows": 1, "length": 256} | changes)))
    assert ours.parameters.total == simulated.parameters.total
    assert ours.parameters.trainable == simulated.parameters.trainable
    assert ours.peak_bytes == pytest.approx(simulated.peak_bytes, rel=0.001)
    assert ours.peak_moment == simulated.peak_moment
    for moment in simulated.moments:
        assert ours.at(moment) == pytest.approx(simulated.at(moment), rel=0.006), moment
    for name in ("weights", "adapter", "optimizer"):
        assert ours.components[name] == pytest.approx(simulated.components[name], rel=1e-3, abs=4096), name
