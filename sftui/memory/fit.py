"""How large a batch, or how long a sequence, fits; and the methods of training side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sftui.memory.band import Fits
from sftui.memory.closed_form import estimate
from sftui.memory.estimate import Component, Estimate
from sftui.memory.known import NOTHING, Known
from sftui.memory.levers import LARGEST_BATCH, LENGTH_STEP, LONGEST, batch_values, batches, changed
from sftui.memory.shape import ModelShape
from sftui.recipe import AdapterSection, Recipe

Method = Literal["full", "LoRA", "QLoRA"]

# What making the next token varies with, beside what stays from step to step.
_PASSING: tuple[Component, ...] = ("activations", "logits", "dequantization", "workspace")


@dataclass(frozen=True, slots=True)
class Fit:
    """The largest `value` that fits, the `values` by dotted recipe key that set it, and the estimate then.

    `unbounded`: for batches, the largest micro-batch whatever the effective batch; else `value`.
    """

    value: int
    values: Mapping[str, Any]
    recipe: Recipe
    estimate: Estimate
    unbounded: int


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the rule of thumb: `each` bytes a parameter, where it goes by parameters; `total`: a sum."""

    name: str
    each: int | None
    bytes: int
    total: bool = False


def largest_batch(recipe: Recipe, shape: ModelShape, fits: Fits, known: Known = NOTHING) -> Fit | None:
    """The largest micro-batch whose effective batch is the recipe's; None where not even one row fits."""

    def at(size: int) -> tuple[Recipe, Estimate] | None:
        return _fitting(recipe, shape, batch_values(recipe, size), fits, known)

    sizes = batches(recipe)
    whole = sizes[0]
    # Without accumulation gradients are not there in the forward pass: less is needed than by half the batch.
    best = at(whole)
    size, bound = whole, LARGEST_BATCH
    if best is None:
        place = _first(len(sizes) - 1, lambda place: at(sizes[place + 1]) is not None)
        if place is None:
            return None
        size = sizes[place + 1]
        bound = sizes[place] - 1
        best = at(size)
        assert best is not None, "it was tried"
    largest = _largest(size, bound, lambda rows: at(rows) is not None)
    return Fit(size, batch_values(recipe, size), *best, largest)


def longest(
    recipe: Recipe, shape: ModelShape, fits: Fits, limit: int = LONGEST, known: Known = NOTHING
) -> Fit | None:
    """The longest max_length at the recipe's batch, a multiple of 64 up to `limit`; None where none fits.

    Every row is as long as that. `limit`: the longest position that the model was made for.
    """
    full = Known(capability=known.capability)

    def at(count: int) -> tuple[Recipe, Estimate] | None:
        return _fitting(recipe, shape, {"data.max_length": count * LENGTH_STEP}, fits, full)

    most = limit // LENGTH_STEP
    if most < 1 or at(1) is None:
        return None
    now = max(1, min(most, recipe.data.max_length // LENGTH_STEP))
    start = now if at(now) is not None else 1
    count = _largest(start, most if start == now else now - 1, lambda count: at(count) is not None)
    best = at(count)
    assert best is not None, "it was tried"
    length = count * LENGTH_STEP
    return Fit(length, {"data.max_length": length}, *best, length)


def methods(
    recipe: Recipe, shape: ModelShape, known: Known = NOTHING
) -> dict[Method, tuple[Recipe, Estimate]]:
    """Those of `method_recipes`, each with its estimate."""
    made = method_recipes(recipe)
    return {name: (one, estimate(shape, known.step(one, shape))) for name, one in made.items()}


def method_recipes(recipe: Recipe) -> dict[Method, Recipe]:
    """All weights in bfloat16, LoRA and QLoRA of this model, all else as in the recipe."""
    adapter = (recipe.adapter or AdapterSection()).model_dump(mode="json")
    differing: dict[Method, Mapping[str, Any]] = {
        "full": {"adapter": None, "model.quantization": "none", "model.dtype": "bfloat16"},
        "LoRA": {"adapter": adapter, "model.quantization": "none"},
        "QLoRA": {"adapter": adapter, "model.quantization": "nf4"},
    }
    found: dict[Method, Recipe] = {}
    for name, values in differing.items():
        made = changed(recipe, values)
        assert made is not None, "a method that every recipe can have"
        found[name] = made
    return found


def rule_of_thumb(shape: ModelShape, recipe: Recipe, longest: int | None = None) -> tuple[Line, ...]:
    """Where "4 GB to run, 16 GB or more to train in full" comes from, with this model's parameters.

    Bytes in bfloat16 with AdamW, whose moments are of the weights' type. The last lines are of the recipe's
    batch: what a step takes besides, and its peak, where not all of the lines above are there at once.
    """
    known = Known(longest)
    made = changed(methods(recipe, shape, known)["full"][0], {"training.optim": "adamw_torch_fused"})
    assert made is not None, "an optimizer that every recipe can have"
    found = estimate(shape, known.step(made, shape))
    count = found.parameters.total
    passing = max(sum(parts[name] for name in _PASSING) for parts in found.moments.values())
    return (
        Line("weights", 2, 2 * count),
        Line("to run", 2, 2 * count, total=True),
        Line("gradients", 2, 2 * count),
        Line("moments of AdamW", 4, 4 * count),
        Line("to train in full", 8, 8 * count, total=True),
        Line("activations", None, passing),
        Line("peak", None, found.peak_bytes, total=True),
    )


def _fitting(
    recipe: Recipe, shape: ModelShape, values: Mapping[str, Any], fits: Fits, known: Known
) -> tuple[Recipe, Estimate] | None:
    made = changed(recipe, values)
    if made is None:
        return None
    found = estimate(shape, known.step(made, shape))
    return (made, found) if fits(made, found) else None


def _first(count: int, holds: Callable[[int], bool]) -> int | None:
    """The first of `count` places where it holds, which it does from there on; None where it never does."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if holds(middle):
            high = middle
        else:
            low = middle + 1
    return low if low < count else None


def _largest(start: int, most: int, holds: Callable[[int], bool]) -> int:
    """The largest number up to `most` where it holds, which it does up to there, `start` included."""
    low = start
    while low < most and holds(min(2 * low, most)):
        low = min(2 * low, most)
    high = min(2 * low, most + 1)
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low
