"""The RAM that a trainer takes where it computes on the CPU: a process is more than its step's tensors."""

from __future__ import annotations

from sftui.memory.closed_form import estimate
from sftui.memory.estimate import Breakdown, Estimate
from sftui.memory.known import Known
from sftui.memory.shape import ModelShape
from sftui.recipe import Recipe

# torch, transformers, peft and what they load: resident before there is a model (torch 2.13, Linux x86-64).
LIBRARIES = 490 * 2**20
# malloc does not give back what checkpointing frees between what it keeps: of the activations that there are
# without it, 0.5 stayed resident in runs of SmolLM2-135M with 1, 4 and 12 rows, 0.9 in one that packs.
_STAYS = 0.56
_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


def ram_bytes(recipe: Recipe, shape: ModelShape | None, known: Known, found: Estimate) -> int:
    """Bytes resident at most in a run on the CPU, to about 20%; `found` is the estimate of the recipe.

    Weights to be quantised are loaded as they are first, and what held them is not given back. Without the
    `shape` nothing is known of what checkpointing leaves.
    """
    count = found.parameters.total - found.parameters.kinds.get("adapter", 0)
    loaded = count * _BYTES[recipe.model.dtype] if recipe.model.quantization != "none" else 0
    stays = 0
    if shape is not None and recipe.training.gradient_checkpointing:
        training = recipe.training.model_copy(update={"gradient_checkpointing": False})
        whole = recipe.model_copy(update={"training": training})
        parts = estimate(shape, known.step(whole, shape)).moments.values()
        stays = round(_STAYS * max(each.get("activations", 0) for each in parts))

    def resident(parts: Breakdown) -> int:
        weights, activations = parts.get("weights", 0), parts.get("activations", 0)
        others = sum(parts.values()) - weights - activations
        return max(weights, loaded) + others + max(activations, stays)

    return LIBRARIES + max(map(resident, found.moments.values()))
