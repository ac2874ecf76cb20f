from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftui.memory.closed_form import estimate
from sftui.memory.estimate import Estimate
from sftui.memory.fit import Fit, largest_batch, longest, methods, rule_of_thumb
from sftui.memory.levers import batch_values, batches, changed
from sftui.memory.shape import ModelShape
from sftui.memory.step import step_of
from sftui.recipe import Recipe
from tests.memory.recipe_fixtures import FULL, LLAMA_8B, LORA, forget, known, recipe, within

EIGHT = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 4}
RECIPES = [
    recipe(training=EIGHT),
    recipe(training=EIGHT | {"loss": "stock"}, data={"eval_fraction": 0.1}),
    recipe(**LORA, training=EIGHT | {"gradient_checkpointing": False}),
    recipe(**LORA, training=EIGHT | {"gradient_checkpointing_every": 3}),
    recipe(**FULL, training=EIGHT | {"optim": "adamw_torch"}),
    recipe(data={"packing": "best_fit"}, training=EIGHT),
    recipe(data={"packing": "next_fit"}, model={"attn_implementation": "sdpa"}, training=EIGHT),
    recipe(model={"attn_implementation": "eager", "quantization": "int8"}, training=EIGHT),
]
MODELS: list[dict[str, Any]] = [
    LLAMA_8B,
    {"model_type": "mistral", "sliding_window": 1024},
    {"model_type": "gemma3_text", "sliding_window": 512},
    {"model_type": "qwen3_moe", "num_hidden_layers": 6},
]


@pytest.fixture(scope="module")
def llama() -> ModelShape:
    return known(LLAMA_8B)


def of(shape: ModelShape, one: Recipe, **values: Any) -> Estimate:
    keys = {"rows": "training.per_device_train_batch_size", "length": "data.max_length"}
    made = changed(one, {keys[name]: value for name, value in values.items()})
    assert made is not None
    return estimate(shape, step_of(made, shape))


@settings(max_examples=60, deadline=None)
@given(
    model=st.integers(0, len(MODELS) - 1),
    place=st.integers(0, len(RECIPES) - 1),
    rows=st.integers(1, 24),
    length=st.integers(1, 96),
)
def test_more_rows_and_longer_ones_never_take_less(model: int, place: int, rows: int, length: int) -> None:
    shape, one = known(MODELS[model]), RECIPES[place]
    now = of(shape, one, rows=rows, length=64 * length).peak_bytes
    assert of(shape, one, rows=rows + 1, length=64 * length).peak_bytes >= now
    assert of(shape, one, rows=rows, length=64 * length + 64).peak_bytes >= now


@pytest.mark.parametrize("one", RECIPES)
@pytest.mark.parametrize("limit", [12e9, 24e9, 80e9, 141e9])
def test_the_largest_batch_fits_and_the_next_does_not(llama: ModelShape, one: Recipe, limit: float) -> None:
    found = largest_batch(one, llama, within(limit))
    if found is None:
        assert of(llama, one, rows=1).peak_bytes > limit
        return
    assert changed(one, found.values) == found.recipe
    assert found.recipe.training.per_device_train_batch_size == found.value
    assert found.value * found.recipe.training.gradient_accumulation_steps == 8
    assert found.estimate == estimate(llama, step_of(found.recipe, llama))
    assert found.estimate.peak_bytes <= limit and found.unbounded >= found.value
    for size in [size for size in batches(one) if size > found.value] + [found.unbounded + 1]:
        larger = changed(one, batch_values(one, size))
        assert larger is not None
        assert estimate(llama, step_of(larger, llama)).peak_bytes > limit


def test_a_whole_batch_without_accumulation_can_fit_where_a_half_of_it_does_not(llama: ModelShape) -> None:
    short = recipe(
        **FULL,
        data={"max_length": 512},
        training={"optim": "sgd", "per_device_train_batch_size": 1, "gradient_accumulation_steps": 2},
    )
    once, twice = (
        estimate(llama, step_of(short.model_copy(update={"training": training}), llama)).peak_bytes
        for training in (
            short.training.model_copy(update=batch)
            for batch in (
                {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 1},
                {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 2},
            )
        )
    )
    assert once < twice
    found = largest_batch(short, llama, within(once))
    assert found is not None and found.value == 2


@pytest.mark.parametrize("one", RECIPES)
@pytest.mark.parametrize("limit", [12e9, 24e9, 80e9])
def test_the_longest_sequence_fits_and_sixty_four_tokens_more_do_not(
    llama: ModelShape, one: Recipe, limit: float
) -> None:
    found = longest(one, llama, within(limit))
    if found is None:
        assert of(llama, one, length=64).peak_bytes > limit
        return
    assert found.value % 64 == 0 and found.recipe.data.max_length == found.value
    assert found.estimate == of(llama, one, length=found.value)
    assert found.estimate.peak_bytes <= limit < of(llama, one, length=found.value + 64).peak_bytes


def test_a_sequence_is_no_longer_than_the_model_reads(llama: ModelShape) -> None:
    found = longest(RECIPES[0], llama, within(1e15), limit=8001)
    assert found is not None and found.value == 8000
    assert longest(RECIPES[0], llama, within(1e15), limit=63) is None


@pytest.mark.parametrize("ask", [largest_batch, longest])
@pytest.mark.parametrize("one", RECIPES)
def test_a_fit_takes_few_estimates_and_less_than_fifty_milliseconds(
    llama: ModelShape, one: Recipe, ask: Callable[..., Fit | None]
) -> None:
    asked: list[Estimate] = []

    def fits(_: Recipe, found: Estimate) -> bool:
        asked.append(found)
        return found.peak_bytes <= 40e9

    times = []
    for _ in range(3):
        forget()
        asked.clear()
        began = time.process_time()
        ask(one, llama, fits)
        times.append(time.process_time() - began)
    assert min(times) < 0.05 and len(asked) <= 22


@pytest.mark.parametrize("one", RECIPES)
def test_methods_differ_in_nothing_but_the_method(llama: ModelShape, one: Recipe) -> None:
    found = methods(one, llama)
    peaks = [estimated.peak_bytes for _, estimated in found.values()]
    assert list(found) == ["full", "LoRA", "QLoRA"] and peaks == sorted(peaks, reverse=True)
    assert [each.model.quantization for each, _ in found.values()] == ["none", "none", "nf4"]
    assert [each.adapter is None for each, _ in found.values()] == [True, False, False]
    for each, estimated in found.values():
        assert (each.training, each.data) == (one.training, one.data)
        assert estimated == estimate(llama, step_of(each, llama))


def test_what_takes_four_gigabytes_to_run_takes_sixteen_to_train_in_full() -> None:
    shape = known(LLAMA_8B | {"num_hidden_layers": 5, "vocab_size": 110_000})
    lines = {line.name: line for line in rule_of_thumb(shape, recipe())}
    assert lines["to run"].bytes == pytest.approx(4e9, rel=0.02)
    assert lines["to train in full"].bytes == pytest.approx(16e9, rel=0.02)
    parts = [lines[name].bytes for name in ("weights", "gradients", "moments of AdamW")]
    assert sum(parts) == lines["to train in full"].bytes == 4 * lines["to run"].bytes
    assert lines["activations"].bytes > 0
    # The loss of a batch comes before the last gradients: not everything is there at once.
    assert lines["to train in full"].bytes < lines["peak"].bytes
    assert lines["peak"].bytes <= 1.001 * (lines["to train in full"].bytes + lines["activations"].bytes)
