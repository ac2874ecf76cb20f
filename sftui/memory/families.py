"""Families of decoders: their config.json -> a shape, with the defaults of transformers 5.23.

Each function reads one `model_type` and returns the shape, or why the closed form cannot have it.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sftui.errors import shorten
from sftui.memory.config_values import Values
from sftui.memory.shape import Activation, Experts, LayerKind, ModelShape

MOST_LAYERS = 4096

_ACTIVATIONS: dict[str, Activation] = {
    "silu": "silu",
    "swish": "silu",
    "gelu": "gelu",
    "gelu_pytorch_tanh": "gelu",
    "gelu_new": "gelu_new",
    "relu": "relu",
}

# transformers.activations.ACT2FN.
_KNOWN_ACTIVATIONS = (
    *("gelu", "gelu_10", "gelu_accurate", "gelu_fast", "gelu_new", "gelu_python", "gelu_python_tanh"),
    *("gelu_pytorch_tanh", "hardswish", "laplace", "leaky_relu", "linear", "mish", "prelu", "quick_gelu"),
    *("relu", "relu2", "relu6", "sigmoid", "silu", "sqrtsoftplus", "swish", "tanh", "xielu"),
)

_WHOLE_HEADS = ("llama", "gemma2", "gemma3_text")

Read = ModelShape | str


def require_activation(values: Values) -> None:
    """Raise InputError for the misspelt name of an activation; a new one is left to transformers."""
    for key in ("hidden_act", "hidden_activation"):
        name = values.text(key, "silu")
        if name not in _KNOWN_ACTIVATIONS:
            for near in difflib.get_close_matches(name, _KNOWN_ACTIVATIONS, n=1):
                problem = f"found {shorten(name)}, which is no activation; did you mean {near}?"
                raise values.error(key, problem)


def llama(values: Values) -> Read:
    """Also code llama, SmolLM and SmolLM2, DeepSeek's distilled llamas."""
    bias = values.flag("attention_bias", False)
    return _decoder(
        values, "llama", hidden=4096, intermediate=11008, layers=32, heads=32, vocab=32000,
        qkv_bias=bias, out_bias=bias, mlp_bias=values.flag("mlp_bias", False),
    )  # fmt: skip


def mistral(values: Values) -> Read:
    """Sliding windows in all layers where the file has one."""
    return _decoder(
        values, "mistral", hidden=4096, intermediate=14336, layers=32, heads=32, kv_heads=8, vocab=32000,
        window=_window(values, 4096),
    )  # fmt: skip


def qwen2(values: Values) -> Read:
    """Also Qwen2.5 and QwQ: biases on queries, keys and values."""
    return _windows_above(
        values,
        _decoder(
            values, "qwen2", hidden=4096, intermediate=22016, layers=32, heads=32, kv_heads=32, vocab=151936,
            qkv_bias=True,
        ),
    )  # fmt: skip


def qwen3(values: Values) -> Read:
    """Norms on the heads of queries and keys."""
    bias = values.flag("attention_bias", False)
    return _windows_above(
        values,
        _decoder(
            values, "qwen3", hidden=4096, intermediate=22016, layers=32, heads=32, kv_heads=32, head_dim=128,
            vocab=151936, qkv_bias=bias, out_bias=bias, head_norm="rms",
        ),
    )  # fmt: skip


def gemma2(values: Values) -> Read:
    """Every other layer slides; scores and logits are capped."""
    return _gemma(
        values, "gemma2", vocab=256000, softcap=50.0, logit_softcap=30.0, pattern=2, head_norm=False
    )


def gemma3(values: Values) -> Read:
    """The text model: five of six layers slide, with rotary positions of their own."""
    return _gemma(
        values,
        "gemma3_text",
        vocab=262208,
        softcap=None,
        logit_softcap=None,
        pattern=values.size("sliding_window_pattern", 6),
        head_norm=True,
    )


def phi(values: Values) -> Read:
    """Phi-1, 1.5 and 2: layer norms, biases everywhere, attention and MLP side by side."""
    shape = _decoder(
        values, "phi", hidden=2048, intermediate=8192, layers=24, heads=32, vocab=51200,
        activation="gelu_new", norm="layer", parallel=True, gated=False,
        qkv_bias=True, out_bias=True, mlp_bias=True, head_bias=True,
        head_norm="layer" if values.flag("qk_layernorm", False) else "none",
        residual_dropout=values.share("resid_pdrop"),
    )  # fmt: skip
    if isinstance(shape, str):
        return shape
    if values.share("embd_pdrop"):
        return "its embeddings are dropped out"
    return replace(shape, rotary_dim=int(shape.head_dim * values.rope("partial_rotary_factor", 0.5)))


def phi3(values: Values) -> Read:
    """Phi-3, 3.5 and 4: one projection for queries, keys and values, one for gate and up."""
    shape = _decoder(
        values, "phi3", hidden=3072, intermediate=8192, layers=32, heads=32, vocab=32064,
        fused_qkv=True, fused_gate_up=True, residual_dropout=values.share("resid_pdrop"),
        window=_window(values, None),
    )  # fmt: skip
    if isinstance(shape, str):
        return shape
    return replace(shape, rotary_dim=int(shape.head_dim * values.rope("partial_rotary_factor", 1.0)))


def smollm3(values: Values) -> Read:
    """Every fourth layer has no rotary positions."""
    bias = values.flag("attention_bias", False)
    shape = _decoder(
        values, "smollm3", hidden=2048, intermediate=11008, layers=36, heads=16, kv_heads=4, vocab=128256,
        tied=True, qkv_bias=bias, out_bias=bias, mlp_bias=values.flag("mlp_bias", False),
    )  # fmt: skip
    if isinstance(shape, str):
        return shape
    count = len(shape.layers)
    every = values.size("no_rope_layer_interval", 4)
    rope = values.sizes("no_rope_layers") or [int((i + 1) % every != 0) for i in range(count)]
    if len(rope) != count:
        raise values.error("no_rope_layers", f"found {len(rope):,} layers, expected {count:,}")
    slides = values.flag("use_sliding_window", False)
    window = _window(values, None) if slides else None
    types = values.texts("layer_types", count) or [
        "full_attention" if rope[i] or window is None else "sliding_attention" for i in range(count)
    ]
    kinds = tuple(
        LayerKind(window if kind == "sliding_attention" else None, rope=bool(rope[i]))
        for i, kind in enumerate(types)
    )
    return replace(shape, layers=kinds, more_masks=(None,))


def mixtral(values: Values) -> Read:
    """Every layer has experts."""
    intermediate = values.size("intermediate_size", 14336)
    shape = _decoder(
        values, "mixtral", hidden=4096, intermediate=14336, layers=32, heads=32, kv_heads=8, vocab=32000,
        window=_window(values, None),
    )  # fmt: skip
    if isinstance(shape, str):
        return shape
    if values.number("router_jitter_noise", 0.0):
        return "its router adds noise"
    count = values.size("num_local_experts", values.size("num_experts", 8))
    experts = _experts(values, count, 2, intermediate, normalised=True, router_copy=True)
    kinds = tuple(replace(kind, experts=True) for kind in shape.layers)
    return replace(shape, layers=kinds, experts=experts)


def qwen2_moe(values: Values) -> Read:
    """Experts beside a shared one."""
    shape = _decoder(
        values, "qwen2_moe", hidden=2048, intermediate=5632, layers=24, heads=16, kv_heads=16, vocab=151936,
        qkv_bias=values.flag("qkv_bias", True),
    )  # fmt: skip
    if isinstance(shape, str):
        return shape
    slides, last = values.flag("use_sliding_window", False), values.size("max_window_layers", 28, least=0)
    window = _window(values, 4096) if slides else None
    types = values.texts("layer_types", len(shape.layers)) or [
        "sliding_attention" if slides and (i + 1) % 2 and i < last else "full_attention"
        for i in range(len(shape.layers))
    ]
    kinds = tuple(LayerKind(window if kind == "sliding_attention" else None) for kind in types)
    return _sparse(
        values,
        # The window is 0 where there is to be none, and the mask for it is made all the same.
        replace(shape, layers=kinds, more_masks=(None, window or 0)),
        _experts(
            values,
            values.size("num_experts", 60),
            4,
            values.size("moe_intermediate_size", 1408),
            shared=values.size("shared_expert_intermediate_size", 5632),
            normalised=values.flag("norm_topk_prob", False),
        ),
    )


def qwen3_moe(values: Values) -> Read:
    """Experts, and norms on the heads of queries and keys."""
    bias = values.flag("attention_bias", False)
    slides = values.flag("use_sliding_window", False)
    shape = _decoder(
        values, "qwen3_moe", hidden=2048, intermediate=6144, layers=24, heads=32, kv_heads=4, vocab=151936,
        qkv_bias=bias, out_bias=bias, head_norm="rms", window=_window(values, 4096) if slides else None,
    )  # fmt: skip
    if isinstance(shape, str):
        return shape
    count = values.size("num_experts", values.size("num_local_experts", 128))
    experts = _experts(
        values,
        count,
        8,
        values.size("moe_intermediate_size", 768),
        normalised=values.flag("norm_topk_prob", False),
    )
    return _sparse(values, shape, experts)


FAMILIES: dict[str, Callable[[Values], Read]] = {
    "llama": llama,
    "mistral": mistral,
    "qwen2": qwen2,
    "qwen3": qwen3,
    "gemma2": gemma2,
    "gemma3_text": gemma3,
    "phi": phi,
    "phi3": phi3,
    "smollm3": smollm3,
    "mixtral": mixtral,
    "qwen2_moe": qwen2_moe,
    "qwen3_moe": qwen3_moe,
}


def _decoder(
    values: Values,
    family: str,
    *,
    hidden: int,
    intermediate: int,
    layers: int,
    heads: int,
    vocab: int,
    kv_heads: int | None = None,
    head_dim: int | None = None,
    tied: bool = False,
    activation: str = "silu",
    activation_key: str = "hidden_act",
    window: int | None = None,
    **rest: Any,
) -> Read:
    """What all families have in common; the arguments are the defaults of missing keys."""
    hidden = values.size("hidden_size", hidden)
    heads = values.size("num_attention_heads", heads)
    # Of some, transformers refuses it whatever their head_dim is (validate_architecture).
    parted = not values.has("head_dim") and head_dim is None
    if hidden % heads and (parted or family in _WHOLE_HEADS):
        raise values.error(
            "hidden_size", f"found {hidden:,}, expected a multiple of num_attention_heads ({heads:,})"
        )
    size = values.size("head_dim", head_dim or hidden // heads, most=65536)
    if size % 2:
        raise values.error("head_dim", f"found {size:,}, expected an even number")
    # A key that is there and null means as many as there are query heads.
    grouped = values.size(
        "num_key_value_heads", (kv_heads or heads) if not values.null("num_key_value_heads") else heads
    )
    if grouped > heads or heads % grouped:
        raise values.error(
            "num_key_value_heads", f"found {grouped:,}, expected a divisor of num_attention_heads ({heads:,})"
        )
    require_activation(values)
    act = _ACTIVATIONS.get(values.text(activation_key, activation))
    if act is None:
        return f"its activation is {values.text(activation_key, activation)}"
    count = values.size("num_hidden_layers", layers, most=MOST_LAYERS)
    return ModelShape(
        family=family,
        layers=(LayerKind(window),) * count,
        hidden=hidden,
        intermediate=values.size("intermediate_size", intermediate),
        heads=heads,
        kv_heads=grouped,
        head_dim=size,
        vocab=values.size("vocab_size", vocab),
        tied=values.flag("tie_word_embeddings", tied),
        rotary_dim=size,
        activation=act,
        attention_dropout=values.share("attention_dropout"),
        **rest,
    )


def _gemma(
    values: Values,
    family: str,
    *,
    vocab: int,
    softcap: float | None,
    logit_softcap: float | None,
    pattern: int,
    head_norm: bool,
) -> Read:
    bias = values.flag("attention_bias", False)
    shape = _decoder(
        values, family, hidden=2304, intermediate=9216, layers=26, heads=8, kv_heads=4, head_dim=256,
        vocab=vocab, tied=True, activation="gelu_pytorch_tanh", activation_key="hidden_activation",
        norm="gemma", sandwich=True, qkv_bias=bias, out_bias=bias, scaled_embedding=True,
        head_norm="gemma" if head_norm else "none",
        attention_softcap=values.number("attn_logit_softcapping", softcap),
        logit_softcap=values.number("final_logit_softcapping", logit_softcap),
    )  # fmt: skip
    if isinstance(shape, str):
        return shape
    if values.flag("use_bidirectional_attention", False):
        return "its attention looks both ways"
    count = len(shape.layers)
    types = values.texts("layer_types", count) or [
        "sliding_attention" if (i + 1) % pattern else "full_attention" for i in range(count)
    ]
    window = _window(values, 4096)
    # gemma 3 computes positions with a base for each type of layer.
    own = head_norm and len(set(types)) > 1
    kinds = tuple(
        LayerKind(
            window if kind == "sliding_attention" else None, positions=int(own and kind == "full_attention")
        )
        for kind in types
    )
    return replace(shape, layers=kinds, more_masks=(None, window))


def _window(values: Values, default: int | None) -> int | None:
    """The sliding window in tokens; None where there is none."""
    if values.null("sliding_window"):
        return None
    return values.size("sliding_window", default or 0, least=0) or None


def _windows_above(values: Values, shape: Read) -> Read:
    """Qwen's rule: layers from `max_window_layers` on slide, where `use_sliding_window` is set."""
    if isinstance(shape, str):
        return shape
    slides, first = values.flag("use_sliding_window", False), values.size("max_window_layers", 28, least=0)
    window = _window(values, 4096) if slides else None
    types = values.texts("layer_types", len(shape.layers)) or [
        "sliding_attention" if i >= first else "full_attention" for i in range(len(shape.layers))
    ]
    return replace(
        shape,
        layers=tuple(LayerKind(window if kind == "sliding_attention" else None) for kind in types),
        more_masks=(None,),
    )


def _experts(values: Values, count: int, per_token: int, intermediate: int, **rest: Any) -> Experts:
    chosen = values.size("num_experts_per_tok", per_token)
    if chosen > count:
        raise values.error(
            "num_experts_per_tok", f"found {chosen:,}, expected at most the number of experts ({count:,})"
        )
    return Experts(count, chosen, intermediate, **rest)


def _sparse(values: Values, shape: ModelShape, experts: Experts) -> ModelShape:
    """Qwen's rule: experts in every `decoder_sparse_step`-th layer but `mlp_only_layers`."""
    every = values.size("decoder_sparse_step", 1)
    plain = set(values.sizes("mlp_only_layers") or ())
    kinds = tuple(
        replace(kind, experts=i not in plain and (i + 1) % every == 0) for i, kind in enumerate(shape.layers)
    )
    return replace(shape, layers=kinds, experts=experts if any(kind.experts for kind in kinds) else None)
