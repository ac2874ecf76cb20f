"""The steps that `memory_gpu.py` measures: models by their published sizes, and recipes for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import transformers

from sftui.recipe import Recipe


@dataclass(frozen=True, slots=True)
class Case:
    """A model and a recipe: `rows` of `length`, the sections' other fields in `model_section` and so on."""

    model: str
    method: str
    rows: int
    length: int
    note: str = ""
    model_section: dict[str, Any] = field(default_factory=dict)
    adapter: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    packing: str = "none"

    @property
    def name(self) -> str:
        return " ".join(filter(None, (self.model, self.method, f"{self.rows}x{self.length}", self.note)))


def llama_8b() -> Any:
    return _llama(4096, 14336, 32, 32)


def llama_1b() -> Any:
    return _llama(2048, 8192, 16, 32, head_dim=64, tie_word_embeddings=True)


def _llama(hidden: int, inner: int, layers: int, heads: int, **more: Any) -> Any:
    return transformers.LlamaConfig(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=8, vocab_size=128256, max_position_embeddings=131072, **more,
    )  # fmt: skip


def qwen3(hidden: int, inner: int, layers: int, heads: int) -> Callable[[], Any]:
    return lambda: transformers.Qwen3Config(
        hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=8, head_dim=128, vocab_size=151936, max_position_embeddings=40960,
    )  # fmt: skip


def mistral_7b() -> Any:
    return transformers.MistralConfig(
        hidden_size=4096, intermediate_size=14336, num_hidden_layers=32, num_attention_heads=32,
        num_key_value_heads=8, vocab_size=32768, sliding_window=None, max_position_embeddings=32768,
    )  # fmt: skip


def gemma3_12b() -> Any:
    return transformers.Gemma3TextConfig(
        hidden_size=3840, intermediate_size=15360, num_hidden_layers=48, num_attention_heads=16,
        num_key_value_heads=8, head_dim=256, vocab_size=262208, sliding_window=1024,
    )  # fmt: skip


def qwen3_30b_a3b() -> Any:
    return transformers.Qwen3MoeConfig(
        hidden_size=2048, intermediate_size=6144, moe_intermediate_size=768, num_experts=128,
        num_experts_per_tok=8, num_hidden_layers=48, num_attention_heads=32, num_key_value_heads=4,
        head_dim=128, vocab_size=151936, decoder_sparse_step=1, mlp_only_layers=[], norm_topk_prob=True,
    )  # fmt: skip


MODELS: dict[str, Callable[[], Any]] = {
    "llama-8b": llama_8b,
    "llama-1b": llama_1b,
    "qwen3-8b": qwen3(4096, 12288, 36, 32),
    "qwen3-14b": qwen3(5120, 17408, 40, 40),
    "qwen3-32b": qwen3(5120, 25600, 64, 64),
    "mistral-7b": mistral_7b,
    "gemma3-12b": gemma3_12b,
    "qwen3-30b-a3b": qwen3_30b_a3b,
}

_KEPT = {"gradient_checkpointing": False}
_STOCK = {"loss": "stock"}
_HALF = {"dtype": "bfloat16"}
_ATTENTION = {"target_modules": ["q_proj", "k_proj", "v_proj", "o_proj"]}
_DROPOUT = {"lora_dropout": 0.1}
_A100 = {"adapter": _ATTENTION | _DROPOUT, "training": {"optim": "adamw_torch"}, "packing": "best_fit"}


def _optim(name: str) -> dict[str, Any]:
    return {"training": {"optim": name}, "note": name}


CASES: tuple[Case, ...] = (
    Case("llama-8b", "qlora", 2, 2048),
    Case("llama-8b", "lora", 2, 2048),
    Case("llama-8b", "full", 1, 2048),
    Case("llama-8b", "qlora", 1, 512),
    Case("llama-8b", "qlora", 1, 8192),
    Case("llama-8b", "qlora", 1, 16384),
    Case("llama-8b", "qlora", 1, 2048, "kept", training=_KEPT),
    Case("llama-8b", "qlora", 1, 8192, "packed", packing="best_fit"),
    Case("llama-8b", "qlora", 4, 1024, "dropout", adapter=_DROPOUT),
    Case("llama-8b", "qlora", 1, 2048, "bfloat16 adapter", adapter=_HALF),
    Case("llama-8b", "qlora", 1, 2048, "dora", adapter={"use_dora": True}),
    Case("llama-8b", "qlora", 1, 2048, "head", adapter={"modules_to_save": ["lm_head", "embed_tokens"]}),
    Case("llama-8b", "qlora", 1, 2048, "single quantisation", model_section={"double_quant": False}),
    Case("llama-8b", "int8", 1, 2048),
    Case("llama-8b", "fp8", 1, 2048),
    Case("llama-8b", "fp8", 1, 8192, "kept", training=_KEPT),
    Case("llama-8b", "qlora", 2, 2048, "stock loss", training=_STOCK),
    Case("llama-8b", "lora", 1, 16384, "stock loss", training=_STOCK),
    Case("llama-8b", "full", 4, 2048, "stock loss", training=_STOCK),
    Case("llama-8b", "lora", 1, 8192, "every second layer", training={"gradient_checkpointing_every": 2}),
    Case("llama-8b", "qlora", 1, 8192, "every fourth layer", training={"gradient_checkpointing_every": 4}),
    Case("llama-8b", "lora", 1, 16384),
    Case("llama-8b", "lora", 1, 2048, "kept", training=_KEPT),
    Case("llama-8b", "lora", 2, 4096, "packed", packing="best_fit"),
    Case("llama-8b", "lora", 1, 4096, "packed, dense mask", model_section={"attn_implementation": "sdpa"},
         packing="best_fit"),
    Case("llama-8b", "lora", 1, 1024, "eager", model_section={"attn_implementation": "eager"}),
    Case("llama-8b", "lora", 4, 2048, "bfloat16 adapter", adapter=_HALF),
    Case("llama-8b", "full", 4, 2048),
    Case("llama-8b", "full", 1, 2048, "kept", training=_KEPT),
    Case("llama-8b", "full", 1, 8192),
    Case("llama-8b", "full", 1, 512, **_optim("adamw_torch")),
    Case("llama-8b", "full", 1, 512, **_optim("adamw_bnb_8bit")),
    Case("llama-8b", "full", 1, 512, **_optim("paged_adamw_8bit")),
    Case("llama-8b", "full", 1, 512, **_optim("lion_8bit")),
    Case("llama-8b", "full", 1, 512, **_optim("adafactor")),
    Case("llama-8b", "qlora", 1, 2048, **_optim("paged_adamw_32bit")),
    Case("llama-8b", "full", 1, 2048, "accumulated", training={"gradient_accumulation_steps": 4}),
    Case("mistral-7b", "full", 1, 4096, **_optim("adamw_torch")),
    Case("mistral-7b", "lora", 4, 4096, "a100", **_A100),
    Case("mistral-7b", "qlora", 4, 4096, "a100", **_A100),
    Case("qwen3-8b", "full", 1, 2048),
    Case("qwen3-8b", "lora", 2, 2048),
    Case("qwen3-8b", "lora", 2, 2048, "stock loss", training=_STOCK),
    Case("qwen3-8b", "qlora", 1, 8192),
    Case("qwen3-8b", "qlora", 1, 1024, "kept", training=_KEPT),
    Case("gemma3-12b", "lora", 1, 2048),
    Case("gemma3-12b", "qlora", 1, 4096),
    Case("gemma3-12b", "qlora", 2, 2048),
    Case("qwen3-14b", "lora", 2, 2048),
    Case("qwen3-14b", "qlora", 1, 4096),
    Case("qwen3-14b", "full", 1, 1024, **_optim("adamw_bnb_8bit")),
    Case("qwen3-32b", "qlora", 1, 2048),
    Case("qwen3-32b", "qlora", 1, 8192),
    Case("qwen3-32b", "lora", 1, 2048),
    Case("qwen3-30b-a3b", "lora", 1, 2048, "attention", adapter=_ATTENTION),
    Case("qwen3-30b-a3b", "qlora", 1, 2048, "attention", adapter=_ATTENTION),
    Case("llama-1b", "full", 2, 2048, "float16", model_section={"dtype": "float16"}),
    Case("llama-1b", "lora", 1, 2048, "float32", model_section={"dtype": "float32"}),
)  # fmt: skip


def recipe_of(case: Case) -> Recipe:
    """The recipe of a case; two micro-batches a step where it does not say otherwise."""
    stored = {"qlora": "nf4", "int8": "int8", "fp8": "fp8"}.get(case.method, "none")
    training = {
        "per_device_train_batch_size": case.rows,
        "gradient_accumulation_steps": 2,
        "max_steps": 2,
        "save_strategy": "no",
        "eval_strategy": "no",
    }
    return Recipe.model_validate(
        {
            "model": {"name_or_path": case.model, "quantization": stored, **case.model_section},
            "adapter": None if case.method == "full" else case.adapter,
            "data": {"train": ["rows"], "max_length": case.length, "packing": case.packing},
            "training": training | case.training,
        }
    )


def tiny(config: Any) -> Any:
    """The same model with everything small, for a rehearsal."""
    small = {
        "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512, "moe_intermediate_size": 32,
        "num_experts": 4, "num_experts_per_tok": 2,
    }  # fmt: skip
    known = config.to_dict()
    settings = known | {name: value for name, value in small.items() if name in known}
    for name in ("layer_types", "rope_parameters", "transformers_version", "model_type"):
        settings.pop(name, None)
    if known.get("layer_types"):
        settings["layer_types"] = known["layer_types"][-3:]
    return type(config)(**settings)
