"""Methods and usual changes of a recipe whose model only the simulation knows: each is simulated."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from sftui.errors import InputError
from sftui.memory.answer import Answer, simulated_answer
from sftui.memory.fit import method_recipes
from sftui.memory.levers import batch_values, changed
from sftui.memory.measured import measured_on
from sftui.recipe import Recipe

_MOST = 3  # changes; each takes seconds
_AT_ONCE = 2  # processes, of 1 GiB each


@dataclass(frozen=True, slots=True)
class Simulated:
    """A recipe beside the one that was asked about: its answer, or why it has none."""

    name: str
    values: Mapping[str, Any]
    answer: Answer | None
    problem: str | None = None


def simulated_methods(found: Answer) -> list[Simulated]:
    """Full fine-tuning, LoRA and QLoRA; some seconds each, where they were not asked for before."""
    return _all(found, [(name, {}, recipe) for name, recipe in method_recipes(found.recipe).items()])


def simulated_changes(found: Answer) -> list[Simulated]:
    """Each of the first usual changes by itself, that which saves most first; some seconds each."""
    asked = []
    for values in _usual(found.recipe, found.length):
        made = changed(found.recipe, values)
        if made is not None:
            text = ", ".join(f"{key.rpartition('.')[2]}: {_yaml(value)}" for key, value in values.items())
            asked.append((text, values, made))
    peak = found.estimate.peak_bytes
    answered = [one for one in _all(found, asked[:_MOST]) if one.answer is not None]
    lower = [one for one in answered if one.answer and one.answer.estimate.peak_bytes < peak]
    return sorted(lower, key=lambda one: one.answer.estimate.peak_bytes if one.answer else 0)


def _usual(recipe: Recipe, length: int) -> Iterator[Mapping[str, Any]]:
    """Changes that need nothing of the model, those that change least first."""
    model, training = recipe.model, recipe.training
    if training.loss == "stock":
        yield {"training.loss": "chunked"}
    if not training.gradient_checkpointing:
        yield {"training.gradient_checkpointing": True}
    if training.per_device_train_batch_size > 1:
        yield batch_values(recipe, 1)
    if recipe.adapter is not None and model.quantization in ("none", "int8", "fp8"):
        yield {"model.quantization": "nf4"}
    if length > 128:
        yield {"data.max_length": length // 2}
    if recipe.adapter is not None and recipe.adapter.target_modules == "all-linear":
        yield {"adapter.target_modules": ["q_proj", "v_proj"]}


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)


def _all(found: Answer, asked: Sequence[tuple[str, Mapping[str, Any], Recipe]]) -> list[Simulated]:
    device, known = found.device, found.known
    history = () if device is None else measured_on(device.name)

    def ask(one: tuple[str, Mapping[str, Any], Recipe]) -> Simulated:
        name, values, recipe = one
        try:
            answer = simulated_answer(
                recipe,
                device,
                longest=known.longest,
                longest_held_out=known.longest_held_out,
                history=history,
            )
        except InputError as error:
            return Simulated(name, values, None, error.problem.partition("\n")[0])
        return Simulated(name, values, answer)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(ask, asked))
