"""The fields of the Memory screen's change pane: their values, and in which order they come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args

from .length_view import doubled, stepped

if TYPE_CHECKING:
    from sftui.recipe import Recipe

    from .memory_trial import Trial

Values = Mapping[str, Any]
"""Dotted keys of the recipe and what they shall say."""

METHODS = ("full", "LoRA", "QLoRA")
ATTENTION_ONLY = ["q_proj", "k_proj", "v_proj", "o_proj"]
QUERIES_AND_VALUES = ["q_proj", "v_proj"]
RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
COUNTS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 192, 256)
DROPOUTS = (0.0, 0.05, 0.1)
NONE = "–"


Candidates = Callable[["Trial", int, bool], Iterable[Values]]


@dataclass(frozen=True, slots=True)
class Field:
    """A line of the change pane.

    `show` gives the value of a recipe, or NONE where it has no meaning there, which `refusal` then explains.
    `candidates(trial, direction, far)` are changes that lead to the next values in a direction (1 or -1), the
    nearest first; `far` doubles or halves a number.
    """

    name: str
    keys: tuple[str, ...]
    about: str
    show: Callable[[Recipe], str]
    candidates: Candidates
    refusal: str = ""


def method_of(recipe: Recipe) -> str:
    """`full`, `LoRA` or `QLoRA`."""
    if recipe.adapter is None:
        return "full"
    return "LoRA" if recipe.model.quantization == "none" else "QLoRA"


# -- candidates


def _round(values: Sequence[Any], current: Any, direction: int) -> Iterator[Any]:
    """The others, beginning with the next, and round again."""
    at = values.index(current) if current in values else -1 if direction > 0 else 0
    return (values[(at + direction * step) % len(values)] for step in range(1, len(values)))


def _ladder(steps: Sequence[float], current: float, direction: int, far: bool) -> Iterator[float]:
    """Larger steps than `current`, or smaller ones; `far` begins with double or half."""
    if far:
        yield current * 2 if direction > 0 else max(type(current)(current / 2), steps[0])
    yield from (
        sorted(step for step in steps if step > current)
        if direction > 0
        else sorted((step for step in steps if step < current), reverse=True)
    )


def _of_type(key: str, kind: str) -> Candidates:
    """All values of a Literal of the recipe, by the name of that type."""

    def candidates(trial: Trial, direction: int, far: bool) -> Iterator[Values]:
        from sftui import recipe as types
        from sftui.recipe_save import value_of

        values = get_args(getattr(types, kind))
        return ({key: value} for value in _round(values, value_of(trial.recipe, key), direction))

    return candidates


def _yes_no(key: str) -> Candidates:
    def candidates(trial: Trial, direction: int, far: bool) -> Iterator[Values]:
        from sftui.recipe_save import value_of

        yield {key: not value_of(trial.recipe, key)}

    return candidates


def _numbers(key: str, steps: Sequence[float]) -> Candidates:
    def candidates(trial: Trial, direction: int, far: bool) -> Iterator[Values]:
        from sftui.recipe_save import value_of

        current = value_of(trial.recipe, key)
        return ({key: value} for value in _ladder(steps, current, direction, far))

    return candidates


def _methods(trial: Trial, direction: int, far: bool) -> Iterator[Values]:
    return (method_values(trial, name) for name in _round(METHODS, method_of(trial.recipe), direction))


def method_values(trial: Trial, method: str) -> Values:
    """What makes a recipe full, LoRA or QLoRA; adapter and quantisation that were there come back."""
    if method == "full":
        return {"adapter": None, "model.quantization": "none"}
    values: dict[str, Any] = {"model.quantization": "none"}
    if method == "QLoRA":
        own = "none" if trial.adapted is None else trial.adapted.model.quantization
        values["model.quantization"] = own if own != "none" else "nf4"
    if trial.recipe.adapter is None:
        adapter = None if trial.adapted is None else trial.adapted.adapter
        values["adapter"] = {} if adapter is None else adapter.model_dump()
    return values


def _targets(trial: Trial, direction: int, far: bool) -> Iterator[Values]:
    values: list[Any] = ["all-linear", ATTENTION_ONLY, QUERIES_AND_VALUES]
    own = None if trial.base.adapter is None else trial.base.adapter.target_modules
    if own is not None and own not in values:
        values.insert(0, own)
    current = None if trial.recipe.adapter is None else trial.recipe.adapter.target_modules
    return ({"adapter.target_modules": value} for value in _round(values, current, direction))


def _lengths(trial: Trial, direction: int, far: bool) -> Iterator[Values]:
    length = trial.recipe.data.max_length
    yield {"data.max_length": (doubled if far else stepped)(length, direction)}


def _batches(trial: Trial, direction: int, far: bool) -> Iterator[Values]:
    training = trial.recipe.training
    batch, steps = training.per_device_train_batch_size, training.gradient_accumulation_steps
    whole = batch * steps
    for size in _ladder(_divisors(whole) if trial.keep else COUNTS, batch, direction, far):
        if not trial.keep:
            yield {"training.per_device_train_batch_size": int(size)}
        elif whole % int(size) == 0:
            yield {
                "training.per_device_train_batch_size": int(size),
                "training.gradient_accumulation_steps": whole // int(size),
            }


def _divisors(whole: int) -> list[int]:
    return [size for size in range(1, min(whole, COUNTS[-1]) + 1) if whole % size == 0]


def _checkpointing(trial: Trial, direction: int, far: bool) -> Iterator[Values]:
    layers = trial.layers or 32
    every = [n for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32) if n < layers or n == 1]
    training = trial.recipe.training
    current = training.gradient_checkpointing_every if training.gradient_checkpointing else 0
    for n in _ladder([*every, layers], current or layers, direction, False):
        if n < layers:
            yield {"training.gradient_checkpointing": True, "training.gradient_checkpointing_every": int(n)}
        else:
            # Every n-th of fewer layers is none of them; the field goes back to what it says by itself.
            yield {"training.gradient_checkpointing": False, "training.gradient_checkpointing_every": 1}


# -- values in words


def _adapter(name: str, words: Callable[[Any], str] = str) -> Callable[[Recipe], str]:
    return lambda recipe: NONE if recipe.adapter is None else words(getattr(recipe.adapter, name))


def yes_or_no(value: object) -> str:
    """For a field that is on or off."""
    return "yes" if value else "no"


def in_words(value: object) -> str:
    """A value of the recipe: `yes`, `1,024`, `0.05`, `nf4`."""
    if isinstance(value, bool):
        return yes_or_no(value)
    if isinstance(value, int | float):
        return f"{value:,}" if isinstance(value, int) else f"{value:g}"
    return str(value)


def targets_in_words(targets: str | list[str]) -> str:
    """`all-linear`, `q k v o`, a pattern as it is."""
    if isinstance(targets, str):
        return targets
    return " ".join(name.removesuffix("_proj") for name in targets)


def checkpointing_in_words(recipe: Recipe) -> str:
    """`off`, `every layer`, `every 2nd layer`."""
    training = recipe.training
    if not training.gradient_checkpointing:
        return "off"
    every = training.gradient_checkpointing_every
    if every == 1:
        return "every layer"
    last = every % 10 if every % 100 not in (11, 12, 13) else 0
    return f"every {every}{({1: 'st', 2: 'nd', 3: 'rd'}).get(last, 'th')}"


def _double_quant(recipe: Recipe) -> str:
    return yes_or_no(recipe.model.double_quant) if recipe.model.quantization in ("nf4", "fp4") else NONE


def _effective(recipe: Recipe) -> str:
    training = recipe.training
    rows = training.per_device_train_batch_size * training.gradient_accumulation_steps
    return f"{rows * training.num_processes:,}"


FULL = "there is no adapter: all weights are trained"
EFFECTIVE = Field(
    "effective batch",
    (),
    "sequences in one optimizer step; kept: another micro-batch changes the accumulation",
    _effective,
    lambda trial, direction, far: (),
)
"""Left and right change `Trial.keep`, which is no field of the recipe."""

FIELDS: tuple[Field, ...] = (
    Field(
        "method",
        ("adapter", "model.quantization"),
        "full trains all weights; LoRA small matrices beside them; QLoRA the same on quantised weights",
        method_of,
        _methods,
    ),
    Field(
        "quantization",
        ("model.quantization",),
        "how the frozen weights are stored",
        lambda recipe: recipe.model.quantization,
        _of_type("model.quantization", "Quantization"),
    ),
    Field(
        "double_quant",
        ("model.double_quant",),
        "quantise the quantisation constants too: 0.05 B less for each weight",
        _double_quant,
        _yes_no("model.double_quant"),
        "only nf4 and fp4 have constants to quantise",
    ),
    Field(
        "dtype",
        ("model.dtype",),
        "of unquantised weights and of compute",
        lambda recipe: recipe.model.dtype,
        _of_type("model.dtype", "Dtype"),
    ),
    Field(
        "rank",
        ("adapter.r",),
        "of the adapter: its weights, gradients and optimizer states grow with it",
        _adapter("r"),
        _numbers("adapter.r", RANKS),
        FULL,
    ),
    Field(
        "targets",
        ("adapter.target_modules",),
        "which layers have an adapter: fewer of them save fewer activations",
        _adapter("target_modules", targets_in_words),
        _targets,
        FULL,
    ),
    Field(
        "adapter dtype",
        ("adapter.dtype",),
        "float32 keeps small updates; bfloat16 saves weights, states and activations",
        _adapter("dtype"),
        _of_type("adapter.dtype", "Dtype"),
        FULL,
    ),
    Field(
        "dropout",
        ("adapter.lora_dropout",),
        "above 0 each adapted layer keeps a copy of its input",
        _adapter("lora_dropout", "{:g}".format),
        _numbers("adapter.lora_dropout", DROPOUTS),
        FULL,
    ),
    Field(
        "DoRA",
        ("adapter.use_dora",),
        "decompose into magnitude and direction: builds whole weights anew in each pass",
        _adapter("use_dora", yes_or_no),
        _yes_no("adapter.use_dora"),
        FULL,
    ),
    Field(
        "max_length",
        ("data.max_length",),
        "longest sequence, or size of a bin; activations and logits grow with it",
        lambda recipe: f"{recipe.data.max_length:,}",
        _lengths,
    ),
    Field(
        "micro-batch",
        ("training.per_device_train_batch_size",),
        "sequences in one forward pass; activations and logits grow with it",
        lambda recipe: f"{recipe.training.per_device_train_batch_size:,}",
        _batches,
    ),
    Field(
        "accumulation",
        ("training.gradient_accumulation_steps",),
        "forward passes in one optimizer step: cost time, not memory, from the second on",
        lambda recipe: f"{recipe.training.gradient_accumulation_steps:,}",
        _numbers("training.gradient_accumulation_steps", COUNTS),
    ),
    EFFECTIVE,
    Field(
        "checkpointing",
        ("training.gradient_checkpointing", "training.gradient_checkpointing_every"),
        "layers that are computed again in the backward pass, instead of kept",
        checkpointing_in_words,
        _checkpointing,
    ),
    Field(
        "loss",
        ("training.loss",),
        "chunked: never all logits at once; stock: transformers' own",
        lambda recipe: recipe.training.loss,
        _of_type("training.loss", "Loss"),
    ),
    Field(
        "optimizer",
        ("training.optim",),
        "its states are for trained weights only; paged ones may leave the GPU",
        lambda recipe: recipe.training.optim,
        _of_type("training.optim", "Optimizer"),
    ),
    Field(
        "packing",
        ("data.packing",),
        "bins of max_length, or padded batches as long as their longest sequence",
        lambda recipe: recipe.data.packing,
        _of_type("data.packing", "Packing"),
    ),
    Field(
        "attention",
        ("model.attn_implementation",),
        "eager keeps scores: length times length a head",
        lambda recipe: recipe.model.attn_implementation,
        _of_type("model.attn_implementation", "Attention"),
    ),
    Field(
        "eval batch",
        ("training.per_device_eval_batch_size",),
        "sequences in one evaluation pass, whose logits may be the peak",
        lambda recipe: f"{recipe.training.per_device_eval_batch_size:,}",
        _numbers("training.per_device_eval_batch_size", COUNTS),
    ),
)
