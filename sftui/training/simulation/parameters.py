"""Numbers of parameters of a model, by kind of module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

KINDS = ("embeddings", "attention", "mlp", "experts", "norms", "head", "adapter")


@dataclass(frozen=True, slots=True)
class Counts:
    """Parameters, all and trained, and by kind; quantised ones for what they stand for."""

    trainable: int
    kinds: dict[str, int]


def counts_of(model: Any) -> Counts:
    """What this model has; tied weights count once, as embeddings."""
    base = model.get_base_model() if hasattr(model, "get_base_model") else model
    head = base.get_output_embeddings()
    adapted = base is not model
    kinds = dict.fromkeys(KINDS, 0)
    trainable = 0
    for owner, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            count = _count(parameter)
            trainable += count if parameter.requires_grad else 0
            kinds[_kind(owner, module, name, parameter, head, adapted=adapted)] += count
    seen: set[int] = set()
    for owner, module in model.named_modules():
        for name, parameter in module.named_parameters(recurse=False):
            if id(parameter) in seen:
                count = _count(parameter)
                kinds[_kind(owner, module, name, parameter, head, adapted=adapted)] -= count
                trainable -= count if parameter.requires_grad else 0
            seen.add(id(parameter))
    return Counts(trainable, kinds)


def _count(parameter: torch.nn.Parameter) -> int:
    state = getattr(parameter, "quant_state", None)
    return int((state.shape if state is not None else parameter.shape).numel())


def _kind(
    owner: str, module: Any, name: str, parameter: torch.nn.Parameter, head: Any, *, adapted: bool
) -> str:
    if adapted and parameter.requires_grad:
        return "adapter"
    if isinstance(module, torch.nn.Embedding):
        return "embeddings"
    if module is head or owner.endswith("lm_head.base_layer") or owner.endswith("lm_head.original_module"):
        return "head"
    if "norm" in type(module).__name__.lower():
        return "norms"
    if (
        "expert" in owner
        or "router" in type(module).__name__.lower()
        or (parameter.dim() == 3 and "attn" not in owner)
    ):
        return "experts"
    return "attention" if "attn" in owner or "attention" in owner else "mlp"
