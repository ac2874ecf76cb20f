"""What a recipe could set otherwise to take less memory, each from its mildest to its strongest."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from sftui.memory.modules import projections
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec
from sftui.recipe import AdapterSection, Optimizer, Recipe

Values = Mapping[str, Any]
Result = Literal["same", "nearly", "learned", "data"]

RESULTS: tuple[Result, ...] = ("same", "nearly", "learned", "data")
LENGTH_STEP = 64  # tokens: lengths that kernels like
LONGEST = 131_072  # tokens: the context of most models of today
LARGEST_BATCH = 4096  # rows

# What each optimizer can be exchanged for, the last with the least on the device.
_LIGHTER: dict[Optimizer, tuple[Optimizer, ...]] = {
    "adamw_torch": ("adamw_torch_fused", "paged_adamw_32bit", "adamw_bnb_8bit", "paged_adamw_8bit"),
    "adamw_torch_fused": ("paged_adamw_32bit", "adamw_bnb_8bit", "paged_adamw_8bit"),
    "adamw_bnb_8bit": ("paged_adamw_8bit",),
    "paged_adamw_32bit": ("paged_adamw_8bit",),
    "lion_32bit": ("lion_8bit",),
}
_SMALLEST_RANK = 4
_CHECKPOINTED_EVERY = (4, 2, 1)


@dataclass(frozen=True, slots=True)
class Lever:
    """One thing that a recipe can set otherwise.

    `options` are values by dotted recipe key, from the mildest to the strongest; `shown`, the places of those
    that a list of changes offers. `ordered`: each option takes less than the one before. `result` says what
    becomes of the trained model: "same" but for the order of sums, "nearly" the same (states or
    frozen weights are rounded otherwise), "learned": another part is trained, or otherwise; "data": other
    tokens are trained on.
    """

    name: str
    result: Result
    options: tuple[Values, ...]
    shown: tuple[int, ...]
    ordered: bool = False


def changed(recipe: Recipe, values: Values) -> Recipe | None:
    """The recipe with these values; None where it cannot be so, or has no such section."""
    tree = recipe.model_dump()
    for key, value in values.items():
        section, _, name = key.rpartition(".")
        node = tree[section] if section else tree
        if node is None:
            return None
        node[name] = value
    try:
        return Recipe.model_validate(tree)
    except ValidationError:
        return None


def levers(recipe: Recipe, shape: ModelShape, spec: StepSpec) -> list[Lever]:
    """All of this recipe, whose step is `spec`, those first that change the least."""
    return [lever for lever in _levers(recipe, shape, spec) if lever.options]


def batches(recipe: Recipe) -> list[int]:
    """Micro-batches that divide the effective batch of a process, the largest first.

    Itself, the recipe's own, and all up to `LARGEST_BATCH`.
    """
    training = recipe.training
    total = training.per_device_train_batch_size * training.gradient_accumulation_steps
    small = {size for size in range(1, min(total, LARGEST_BATCH) + 1) if total % size == 0}
    return sorted(small | {training.per_device_train_batch_size, total}, reverse=True)


def batch_values(recipe: Recipe, size: int) -> Values:
    """A micro-batch of `size` with as many as make the same effective batch."""
    training = recipe.training
    total = training.per_device_train_batch_size * training.gradient_accumulation_steps
    return {
        "training.per_device_train_batch_size": size,
        "training.gradient_accumulation_steps": max(1, -(-total // size)),
    }


def _levers(recipe: Recipe, shape: ModelShape, spec: StepSpec) -> Iterator[Lever]:
    model, training = recipe.model, recipe.training
    if training.loss == "stock":
        yield _one("loss", "same", {"training.loss": "chunked"})
    yield _checkpointing(recipe, shape)
    yield _batch(recipe)
    if spec.evaluation is not None:
        rows = spec.evaluation.rows
        fewer = [rows >> shift for shift in range(1, rows.bit_length())]
        key = "training.per_device_eval_batch_size"
        options = tuple({key: each} for each in fewer)
        yield Lever("evaluation", "same", options, _ends(options), ordered=True)
    if model.attn_implementation != "auto":
        yield _one("attention", "same", {"model.attn_implementation": "auto"})
    if model.dtype == "float32":
        kept = recipe.adapter is not None
        yield _one("dtype", "nearly" if kept else "learned", {"model.dtype": "bfloat16"})
    lighter = tuple({"training.optim": name} for name in _LIGHTER.get(training.optim, ()))
    yield Lever("optim", "nearly", lighter, tuple(range(len(lighter))))
    if model.quantization in ("nf4", "fp4") and not model.double_quant:
        yield _one("double_quant", "nearly", {"model.double_quant": True})
    if recipe.adapter is not None:
        yield _quantization(recipe)
        yield from _adapter(recipe.adapter, shape)
    else:
        yield _one("adapter", "learned", {"adapter": AdapterSection().model_dump(mode="json")})
    yield _length(spec)


def _one(name: str, result: Result, values: Values) -> Lever:
    return Lever(name, result, (values,), (0,))


def _ends(options: tuple[Values, ...]) -> tuple[int, ...]:
    """The first and the last place."""
    return tuple(sorted({0, len(options) - 1})) if options else ()


def _checkpointing(recipe: Recipe, shape: ModelShape) -> Lever:
    training = recipe.training
    on, now = training.gradient_checkpointing, training.gradient_checkpointing_every
    every = [n for n in _CHECKPOINTED_EVERY if n < (now if on else len(shape.layers))]
    options = []
    for n in every or ([] if on else [1]):
        values: dict[str, bool | int] = {} if on else {"training.gradient_checkpointing": True}
        if n != now:
            values["training.gradient_checkpointing_every"] = n
        options.append(values)
    return Lever("checkpointing", "same", tuple(options), tuple(range(len(options))), ordered=True)


def _batch(recipe: Recipe) -> Lever:
    rows = recipe.training.per_device_train_batch_size
    smaller = [size for size in batches(recipe) if size < rows]
    options = tuple(batch_values(recipe, size) for size in smaller)
    half = next((place for place, size in enumerate(smaller) if size <= rows // 2), 0)
    shown = tuple(sorted({half, len(options) - 1})) if options else ()
    return Lever("batch", "same", options, shown, ordered=True)


def _quantization(recipe: Recipe) -> Lever:
    smaller = {"none": ("int8", "fp8", "nf4"), "int8": ("nf4",), "fp8": ("nf4",)}
    names = smaller.get(recipe.model.quantization, ())
    options = tuple({"model.quantization": name} for name in names)
    return Lever("quantization", "nearly", options, tuple(range(len(options))))


def _adapter(adapter: AdapterSection, shape: ModelShape) -> Iterator[Lever]:
    ranks = []
    rank = adapter.r // 2
    while rank >= min(_SMALLEST_RANK, max(1, adapter.r // 2)):
        ranks.append(_rank(adapter, rank))
        rank //= 2
    yield Lever("rank", "learned", tuple(ranks), (0,), ordered=True)
    yield _targets(adapter, shape)
    if adapter.modules_to_save:
        yield _one("modules_to_save", "learned", {"adapter.modules_to_save": []})
    if adapter.use_dora:
        yield _one("dora", "learned", {"adapter.use_dora": False})
    if adapter.lora_dropout:
        yield _one("dropout", "learned", {"adapter.lora_dropout": 0.0})


def _rank(adapter: AdapterSection, rank: int) -> Values:
    """A lower rank, and the alpha that leaves the scale of the update as it is."""
    share = rank / adapter.r
    alpha = adapter.lora_alpha * (share**0.5 if adapter.use_rslora else share)
    return {"adapter.r": rank, "adapter.lora_alpha": round(alpha, 4)}


def _targets(adapter: AdapterSection, shape: ModelShape) -> Lever:
    """From all projections to those of attention, then to queries and values."""
    parts = projections(shape, shape.layers[0])
    attention = [part.name.rpartition(".")[2] for part in parts if part.kind == "attention"]
    choices = [attention, [name for name in attention if name in ("q_proj", "v_proj")]]
    now = adapter.target_modules
    if isinstance(now, list):
        choices = [names for names in choices if set(names) < set(now)]
    elif now != "all-linear":
        choices = []  # a regular expression is somebody's own choice
    options = tuple({"adapter.target_modules": names} for names in choices if names)
    return Lever("targets", "learned", options, tuple(range(len(options))), ordered=True)


def _length(spec: StepSpec) -> Lever:
    """Shorter sequences than the longest of now, in steps of 64 tokens."""
    first = min(LONGEST, (spec.length - 1) // LENGTH_STEP * LENGTH_STEP)
    options = tuple({"data.max_length": length} for length in range(first, 0, -LENGTH_STEP))
    return Lever("length", "data", options, (len(options) // 2,) if options else (), ordered=True)
