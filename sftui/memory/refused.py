"""What ends a run however much memory there is: its estimate is told with it, or there is none."""

from __future__ import annotations

import re
from collections.abc import Iterator

from sftui.errors import InputError, shorten
from sftui.memory.device import Device
from sftui.memory.modules import plan, projections
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec
from sftui.recipe import Recipe

_BFLOAT16 = (8, 0)  # CUDA's capability that has it, and flash attention's kernels
_FLASH = ("flash_attention_2", "flash_attention_3")
_TARGETS = "adapter.target_modules"
_SHOWN = 12


def require_pattern(recipe: Recipe) -> None:
    """Raise InputError where `adapter.target_modules` is a text that is no regular expression."""
    targets = None if recipe.adapter is None else recipe.adapter.target_modules
    if not isinstance(targets, str):
        return
    try:
        re.compile(targets)
    except re.error as error:
        raise InputError(
            f"found {shorten(targets)}, which is no regular expression: {error}",
            key=_TARGETS,
            hint="expected all-linear, a list of names, or an expression that matches whole names of modules",
        ) from error


def require_trained(recipe: Recipe, shape: ModelShape, step: StepSpec) -> None:
    """Raise InputError where the adapter finds no module of the model: PEFT refuses that."""
    require_pattern(recipe)
    if recipe.adapter is None:
        return
    made = plan(shape, step.adapter)
    if made.embedding_adapted or made.head_adapted or any(layer.adapted for layer in made.kinds()):
        return
    names = dict.fromkeys(name.rpartition(".")[2] for name in linear_names(shape))
    raise InputError(
        f"found {shorten(recipe.adapter.target_modules)}, which matches no module that LoRA can adapt",
        key=_TARGETS,
        hint=f"this model has: {', '.join(list(names)[:_SHOWN])}",
    )


def linear_names(shape: ModelShape) -> tuple[str, ...]:
    """Names of linear layers as they end: those of each kind of layer, then the head."""
    kinds = dict.fromkeys(shape.layers)
    return (*(part.name for kind in kinds for part in projections(shape, kind)), shape.head_name)


def refusals(recipe: Recipe, shape: ModelShape | None, device: Device | None) -> list[str]:
    """Sentences about what such a run is refused for; `shape` is None where the model was simulated."""
    return [*_types(recipe, shape), *_device(recipe, device), *_experts(recipe, shape)]


def _types(recipe: Recipe, shape: ModelShape | None) -> Iterator[str]:
    model, adapter = recipe.model, recipe.adapter
    if model.dtype != "float32":
        return
    if model.attn_implementation in _FLASH:
        yield (
            f"{model.attn_implementation} computes in bfloat16 or float16, and model.dtype is float32: such "
            "a run is refused; model.attn_implementation=auto takes about as much"
        )
    if adapter is None or adapter.dtype == "float32":
        return
    names = ("lm_head",) if shape is None else linear_names(shape)
    saved = sorted({end for name in names for end in adapter.modules_to_save if name.endswith(end)})
    if saved:
        yield (
            f"{', '.join(saved)}, trained in full in {adapter.dtype}, cannot multiply the float32 of this "
            "model: such a run is refused; expected adapter.dtype=float32"
        )


def _device(recipe: Recipe, device: Device | None) -> Iterator[str]:
    if device is None or device.capability is None or device.capability >= _BFLOAT16:
        return
    model = recipe.model
    if model.dtype == "bfloat16":
        yield f"{device.name} has no bfloat16: such a run is refused; model.dtype=float16 takes as much here"
    if model.attn_implementation in _FLASH:
        yield (
            f"{model.attn_implementation} needs a newer GPU than {device.name} (Ampere or later): such a run "
            "is refused; expected model.attn_implementation=auto"
        )


def _experts(recipe: Recipe, shape: ModelShape | None) -> Iterator[str]:
    adapter = recipe.adapter
    if adapter is None or shape is None or shape.experts is None or adapter.target_modules != "all-linear":
        return
    for field, is_set in (("lora_dropout", adapter.lora_dropout > 0), ("use_dora", adapter.use_dora)):
        if is_set:
            yield (
                f"PEFT refuses adapter.{field} where all-linear adapts experts: leave it out, or name "
                "adapter.target_modules"
            )
