"""Which models cannot be trained on bins, as far as their configuration tells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sftui.machine import installed_version

# Layers that carry a state from token to token: whatever positions say, it runs on into the next sequence.
# transformers 5.17 to 5.23 reset it in none of these without separate kernels and inputs of their own.
RECURRENT = (
    "bailing_hybrid",
    "bamba",
    "falcon_h1",
    "falcon_mamba",
    "granitemoehybrid",
    "inkling",
    "inkling2",
    "jamba",
    "kimi_linear",
    "lfm2",
    "lfm2_moe",
    "lfm3",
    "mamba",
    "mamba2",
    "minimax",
    "nemotron_h",
    "olmo_hybrid",
    "qwen3_5",
    "qwen3_5_moe",
    "qwen3_next",
    "qwen4_exp",
    "recurrent_gemma",
    "rwkv",
    "xlstm",
    "zamba",
    "zamba2",
    "zaya",
)
_STATES = ("linear", "mamba", "conv", "recurrent", "hybrid", "ssm", "lightning", "rwkv", "lstm")
# Chunks are counted from the first token of a bin, not of a sequence, in transformers before this.
_CHUNKS_PER_SEQUENCE = (5, 23)


def refusal(config: Mapping[str, Any]) -> str | None:
    """Why a model of this config.json cannot be packed, as a clause; None where nothing speaks against it.

    Says nothing of models that it does not know: whether their sequences stay apart is tested when a run
    begins (`sftui.training.leak_test`).
    """
    for section in _sections(config):
        name = str(section.get("model_type") or config.get("model_type") or "it")
        layers = _layers(section)
        if name.removesuffix("_text") in RECURRENT or _is_recurrent(section):
            # granitemoehybrid and lfm2 are also built with attention alone.
            if not layers or any("attention" not in layer or _has_state(layer) for layer in layers):
                return _runs_on(name)
        elif any(map(_has_state, layers)):
            return _runs_on(name)
        if _has_mrope(section):
            return f"{name} has positions in several dimensions (images), which hide where sequences begin"
        if "chunked_attention" in layers and not _counts_chunks_per_sequence():
            return (
                f"{name} attends in chunks, which transformers counts across sequences before version "
                f"{'.'.join(map(str, _CHUNKS_PER_SEQUENCE))}"
            )
    return None


def _runs_on(name: str) -> str:
    return f"{name} has recurrent layers, whose state runs on from one sequence into the next"


def _sections(config: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The configuration and that of its language model, where it has one of its own."""
    yield config
    for key in ("text_config", "llm_config", "language_config", "thinker_config"):
        inner = config.get(key)
        if isinstance(inner, Mapping):
            yield from _sections(inner)


def _layers(section: Mapping[str, Any]) -> list[str]:
    for key in ("layer_types", "layers_block_type", "block_types"):
        layers = section.get(key)
        if isinstance(layers, list):
            return [str(layer) for layer in layers]
    return []


def _has_state(layer: str) -> bool:
    return any(word in layer for word in _STATES)


def _is_recurrent(section: Mapping[str, Any]) -> bool:
    """Settings that only layers with a state have."""
    keys = (
        "mamba_d_state",
        "ssm_state_size",
        "ssm_cfg",
        "linear_conv_kernel_dim",
        "conv_L_cache",
        "lru_width",
    )
    return any(section.get(key) for key in keys)


def _has_mrope(section: Mapping[str, Any]) -> bool:
    found = (section.get("rope_scaling"), section.get("rope_parameters"))
    names = ("mrope_section", "type", "rope_type")
    ropes = [[rope.get(name) for name in names] for rope in found if isinstance(rope, Mapping)]
    return any(sections or "mrope" in kinds for sections, *kinds in ropes)


def _counts_chunks_per_sequence() -> bool:
    version = installed_version("transformers") or "0"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    return numbers >= _CHUNKS_PER_SEQUENCE
