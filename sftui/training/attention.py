"""Which attention a run trains with: the recipe's, or with packing one that skips what is masked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from transformers.utils import is_flash_attn_2_available

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.training import varlen

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

_LAYERS = {"full_attention", "sliding_attention"}


@dataclass(frozen=True, slots=True)
class Attention:
    """The attention of a run.

    `name` as a recipe would say it, `kernel` what computes it, in words. With `flat`, bins lie one after
    the other in a single row without padding. `note` says what a person should know of the choice.
    """

    name: str
    kernel: str
    flat: bool = False
    note: str | None = None


def choose_attention(recipe: Recipe, model: Any, where: torch.device) -> Attention:
    """The attention for this recipe and this model (its class and configuration, not its weights).

    Raises InputError where the recipe wants `varlen` and the model's attention is more than that.
    """
    model = _base(model)
    wanted = recipe.model.attn_implementation
    obstacle = _obstacle(model)
    if wanted == "varlen":
        if obstacle:
            hint = "expected auto, sdpa or eager"
            raise InputError(f"found varlen, but {obstacle}", key="model.attn_implementation", hint=hint)
        return _varlen(recipe, model, where)
    if wanted != "auto":
        return _named(wanted, where)
    if recipe.data.packing == "none":
        return _named(model.config._attn_implementation, where)
    half = where.type == "cuda" and DTYPES[recipe.model.dtype] in varlen.HALF
    if obstacle is None:
        found = _varlen(recipe, model, where)
        if half and not _has_kernel(recipe, model, where):
            if is_flash_attn_2_available() and model._supports_flash_attn:
                return _named("flash_attention_2", where)
            if getattr(model, "_supports_flex_attn", False):
                return _named("flex_attention", where)
        return found
    if half and getattr(model, "_supports_flex_attn", False):
        flex = _named("flex_attention", where)
        return Attention(flex.name, flex.kernel, note=f"{obstacle}: flex_attention is used")
    dense = _named(model.config._attn_implementation, where)
    work = "its work grows with the square of the bin, masked parts and all"
    return Attention(dense.name, dense.kernel, note=f"{obstacle}: {dense.name} is used, and {work}")


def remedy(attention: Attention, model: Any) -> str:
    """What to write in the recipe where sequences of a bin see each other with this attention."""
    model = _base(model)
    names = ["varlen"] if _obstacle(model) is None else []
    if attention.name in names or not names:
        names = [*(["sdpa"] if getattr(model, "_supports_sdpa", False) else []), "eager"]
    names = [name for name in names if name != attention.name]
    other = f"model.attn_implementation: {' or '.join(names)}, or " if names else ""
    return f"expected {other}data.packing: none"


def use_attention(model: Any, attention: Attention) -> None:
    """Let a loaded model compute its attention so."""
    if attention.name == "varlen":
        varlen.register()
    name = varlen.NAME if attention.name == "varlen" else attention.name
    if model.config._attn_implementation != name:
        model.set_attn_implementation(name)


def _named(name: str, where: torch.device) -> Attention:
    kernels = {
        "sdpa": "scaled_dot_product_attention with a mask over the whole bin",
        "eager": "matrix products with a mask over the whole bin",
        "flex_attention": "flex_attention, compiled, over blocks that are not masked",
        "flash_attention_2": "the flash-attn package",
    }
    return Attention(name, kernels.get(name, name), flat=name.startswith("flash"))


def _varlen(recipe: Recipe, model: Any, where: torch.device) -> Attention:
    if _has_kernel(recipe, model, where):
        return Attention("varlen", "torch.nn.attention.varlen", flat=True)
    return Attention("varlen", "scaled_dot_product_attention, one sequence after the other", flat=True)


def _has_kernel(recipe: Recipe, model: Any, where: torch.device) -> bool:
    config = model.config.get_text_config()
    heads = getattr(config, "num_attention_heads", None) or 1
    sizes = [getattr(config, name, None) for name in ("head_dim", "qk_head_dim")]
    head_dim = max((size for size in sizes if isinstance(size, int)), default=config.hidden_size // heads)
    windows = getattr(config, "sliding_window", None) is not None
    return varlen.has_kernel(where, DTYPES[recipe.model.dtype], head_dim, windows=windows)


def _base(model: Any) -> Any:
    """The model below an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def _obstacle(model: Any) -> str | None:
    """Why this model cannot be given another causal attention; None if it can."""
    kind = type(model)
    config = model.config.get_text_config()
    name = config.model_type
    # The backend flag: attention goes through transformers' registry, options and all.
    if not getattr(kind, "_supports_attention_backend", False) or not kind._can_set_attn_implementation():
        return f"{name} computes its attention by itself"
    if not getattr(kind, "_supports_sdpa", False) or getattr(config, "attn_logit_softcapping", None):
        return f"the attention of {name} is not the plain one (capped scores or sinks)"
    other = set(getattr(config, "layer_types", None) or ()) - _LAYERS
    if other:
        return f"{name} has layers of {', '.join(sorted(other))}"
    if not getattr(config, "is_causal", True):
        return f"the attention of {name} is not causal"
    return None
