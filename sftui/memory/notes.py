"""What about a recipe's memory would surprise people."""

from __future__ import annotations

from collections.abc import Iterator

from sftui.memory.device import Device
from sftui.memory.estimate import Estimate
from sftui.memory.refused import refusals
from sftui.memory.shape import ModelShape
from sftui.recipe import Recipe
from sftui.words import count, size

_WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}

# Shares of all parameters that an adapter seldom has; that of a small one in a large model is smaller.
_MANY, _MANY_WITH_EXPERTS = 0.1, 0.02


def notes(
    recipe: Recipe,
    found: Estimate,
    shape: ModelShape | None,
    length: int,
    *,
    device: Device | None = None,
    positions: int | None = None,
) -> list[str]:
    """Sentences about a step of `length` tokens a row; none where all is as people expect.

    `shape` is None where the model was simulated; `positions`: the tokens of a sequence that the model was
    made for, None where that is not known.
    """
    return [
        *_source(shape),
        *_memory(recipe, found),
        *refusals(recipe, shape, device),
        *_positions(length, positions),
    ]


def _source(shape: ModelShape | None) -> Iterator[str]:
    if shape is not None and shape.from_table:
        yield (
            "the model's config.json is not on this machine and cannot be fetched: its sizes are from the "
            "table of well-known models that comes with sftui"
        )


def _positions(length: int, positions: int | None) -> Iterator[str]:
    if positions is not None and length > positions:
        yield (
            f"rows have {length:,} tokens, and the model was made for {positions:,}: "
            "it has not learned what comes after"
        )


def _memory(recipe: Recipe, found: Estimate) -> list[str]:
    """What takes more than people expect."""
    experts = found.parameters.kinds.get("experts", 0)
    adapter = found.parameters.kinds.get("adapter", 0)
    rest = found.parameters.total - adapter
    said = []
    model = recipe.model
    if experts and model.quantization != "none":
        held = size(experts * _WIDTHS[model.dtype])
        said.append(
            f"{model.quantization} does not reach the experts: {count(experts)} of {count(rest)} parameters "
            f"stay {model.dtype} ({held}), because bitsandbytes quantises linear layers alone"
        )
    many = _MANY_WITH_EXPERTS if experts else _MANY
    if recipe.adapter is not None and adapter > many * rest:
        where = ", since all-linear adapts every expert" if experts else ""
        said.append(
            f"the adapter has {count(adapter)} parameters, {adapter / rest:.0%} of the model's{where}: "
            "a smaller adapter.r or fewer adapter.target_modules take less"
        )
    return said
