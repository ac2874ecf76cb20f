from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftui.memory.change_words import result_words, time_words
from sftui.memory.changes import Change, best, changes, cheapest, most
from sftui.memory.closed_form import estimate
from sftui.memory.estimate import Estimate
from sftui.memory.known import Known
from sftui.memory.shape import ModelShape
from sftui.memory.step import step_of
from sftui.recipe import Recipe
from sftui.recipe_override import put
from tests.memory.recipe_fixtures import FULL, LLAMA_8B, LORA, forget, known, recipe, within

WIDE = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 6}
RECIPES = [
    recipe(),
    recipe(training={"loss": "stock", "gradient_checkpointing": False} | WIDE, data={"eval_fraction": 0.1}),
    recipe(**LORA, training={"gradient_checkpointing": False} | WIDE),
    recipe(**FULL, training={"optim": "adamw_torch"} | WIDE),
    recipe(
        data={"packing": "best_fit"},
        adapter={"use_dora": True, "lora_dropout": 0.1, "modules_to_save": ["lm_head"], "use_rslora": True},
    ),
    recipe(model={"attn_implementation": "eager", "dtype": "float32"}, training=WIDE),
]


@pytest.fixture(scope="module")
def llama() -> ModelShape:
    return known(LLAMA_8B)


def of(shape: ModelShape, one: Recipe) -> Estimate:
    return estimate(shape, step_of(one, shape))


def offered(shape: ModelShape, one: Recipe, longest: int | None = None) -> dict[str, Change]:
    known = Known(longest)
    found = estimate(shape, known.step(one, shape))
    return {change.text: change for change in changes(one, shape, found, known)}


def batch_of(one: Recipe) -> int:
    training = one.training
    return training.per_device_train_batch_size * training.gradient_accumulation_steps


def with_values(one: Recipe, values: Any) -> Recipe:
    tree = one.model_dump()
    for key, value in values.items():
        put(tree, tuple(key.split(".")), value)
    return Recipe.model_validate(tree)


@pytest.mark.parametrize("one", RECIPES)
def test_each_change_saves_what_it_says_and_keeps_the_effective_batch(llama: ModelShape, one: Recipe) -> None:
    found = of(llama, one)
    made = changes(one, llama, found)
    assert len(made) >= 5
    for change in made:
        assert with_values(one, change.values) == change.recipe
        assert of(llama, change.recipe) == change.estimate
        assert change.saves == found.peak_bytes - change.estimate.peak_bytes > 0
        assert batch_of(change.recipe) == batch_of(one)


@pytest.mark.parametrize("one", RECIPES)
def test_changes_that_cost_less_time_come_first(llama: ModelShape, one: Recipe) -> None:
    costs = [max(1.0, round(change.slower, 2)) for change in changes(one, llama, of(llama, one))]
    assert costs == sorted(costs)


def test_what_a_recipe_has_already_is_not_offered(llama: ModelShape) -> None:
    texts = " ".join(offered(llama, RECIPES[0]))
    for key in (
        "loss",
        "gradient_checkpointing",
        "quantization",
        "double_quant",
        "batch_size",
        "attn",
        "dora",
    ):
        assert key not in texts


def test_a_chunked_loss_and_an_automatic_kernel_cost_nothing(llama: ModelShape) -> None:
    loss = offered(llama, recipe(training={"loss": "stock"}))["loss: chunked"]
    assert loss.slower == pytest.approx(1, abs=0.005) and loss.saves > 1.5e9 and loss.result == "same"
    kernel = offered(llama, recipe(model={"attn_implementation": "eager"}))["attn_implementation: auto"]
    assert kernel.slower < 1 and kernel.result == "same"


def test_checkpointing_is_offered_for_some_layers_and_for_all(llama: ModelShape) -> None:
    one = recipe(**LORA, training={"gradient_checkpointing": False, "per_device_train_batch_size": 4})
    found = offered(llama, one)
    every = found["gradient_checkpointing: true"]
    second = found["gradient_checkpointing: true, gradient_checkpointing_every: 2"]
    assert every.saves > second.saves and every.slower > second.slower > 1.15
    again = offered(llama, second.recipe)
    assert again["gradient_checkpointing_every: 1"].recipe == every.recipe


def test_a_lower_rank_leaves_the_scale_of_the_update(llama: ModelShape) -> None:
    change = offered(llama, RECIPES[0])["r: 8, lora_alpha: 16"]
    assert change.result == "learned"
    stabilised = next(
        change for change in changes(RECIPES[4], llama, of(llama, RECIPES[4])) if "adapter.r" in change.values
    )
    assert stabilised.values["adapter.lora_alpha"] / 8**0.5 == pytest.approx(32 / 16**0.5, rel=1e-4)


def test_a_shorter_length_says_what_becomes_of_longer_sequences(llama: ModelShape) -> None:
    for data, expected in [
        ({"overlength": "drop"}, "max_length: 1024 (longer sequences are dropped)"),
        ({"overlength": "truncate"}, "max_length: 1024 (longer sequences are cut)"),
        ({"overlength": "error"}, "max_length: 1024 (longer sequences are refused)"),
        ({"packing": "wrapped"}, "max_length: 1024 (sequences are cut more often)"),
    ]:
        assert offered(llama, recipe(data=data))[expected].result == "data"


def test_a_length_is_shorter_than_the_longest_sequence_not_than_the_limit(llama: ModelShape) -> None:
    found = offered(llama, recipe(data={"max_length": 8192}), longest=1000)
    assert "max_length: 512 (longer sequences are dropped)" in found


def test_target_modules_are_named_as_the_model_has_them() -> None:
    phi = known({"model_type": "phi3"})
    assert "target_modules: [o_proj, qkv_proj]" in offered(phi, recipe())


def test_a_recipe_that_fits_needs_no_change_and_what_nothing_helps_has_none(llama: ModelShape) -> None:
    assert cheapest(RECIPES[0], llama, within(24e9)) == []
    assert cheapest(RECIPES[0], llama, within(1e9)) is None


def test_what_is_learned_is_left_alone_while_something_else_suffices(llama: ModelShape) -> None:
    wide = recipe(**LORA, training={"gradient_checkpointing": False, "loss": "stock"} | WIDE)
    found = cheapest(wide, llama, within(24e9))
    assert found is not None and {change.result for change in found} == {"same"}
    found = cheapest(wide, llama, within(12e9))
    assert found is not None and {change.result for change in found} == {"same", "nearly"}


def test_full_training_becomes_an_adapter_only_where_nothing_else_suffices(llama: ModelShape) -> None:
    full = recipe(**FULL)
    texts = [change.text for change in cheapest(full, llama, within(40e9)) or ()]
    assert texts == ["optim: paged_adamw_8bit"]
    texts = [change.text for change in cheapest(full, llama, within(24e9)) or ()]
    assert texts == ["a LoRA adapter of rank 16 instead of all weights"]
    texts = [change.text for change in cheapest(full, llama, within(10e9)) or ()]
    assert texts == ["a LoRA adapter of rank 16 instead of all weights", "quantization: nf4"]


def test_the_data_is_the_last_to_change_and_no_more_than_it_must(llama: ModelShape) -> None:
    limit = 6.5 * 2**30
    found = cheapest(RECIPES[0], llama, within(limit))
    assert found is not None and [change.result for change in found][-1] == "data"
    longer = with_values(found[-1].recipe, {"data.max_length": found[-1].values["data.max_length"] + 64})
    assert of(llama, longer).peak_bytes > limit


def test_the_adapter_is_not_changed_for_what_somewhat_shorter_rows_save(llama: ModelShape) -> None:
    """A lower rank would save next to nothing of what is missing here."""
    long = recipe(data={"max_length": 16384}, adapter={"target_modules": ["q_proj", "v_proj"]})
    peak = of(llama, long).peak_bytes
    found = cheapest(long, llama, within(0.7 * peak))
    assert found is not None and found[-1].lever == "length"
    assert "learned" not in {change.result for change in found}


def test_what_saves_most_is_one_of_each_kind(llama: ModelShape) -> None:
    made = changes(RECIPES[1], llama, of(llama, RECIPES[1]))
    chosen = best(made, 100)
    assert len({one.lever for one in chosen}) == len(chosen) < len(made)
    assert {one.lever for one in chosen} == {one.lever for one in made}
    assert [one.saves for one in chosen] == sorted((one.saves for one in chosen), reverse=True)
    assert chosen[0].saves == max(one.saves for one in made) and best(made, 2) == chosen[:2]


@pytest.mark.parametrize("one", RECIPES)
def test_nothing_takes_less_than_all_at_once(llama: ModelShape, one: Recipe) -> None:
    least = most(one, llama).peak_bytes
    assert all(least <= change.estimate.peak_bytes for change in changes(one, llama, of(llama, one)))
    assert cheapest(one, llama, within(least)) is not None
    assert cheapest(one, llama, within(least - 1)) is None


def test_with_a_moment_changes_are_those_that_help_then(llama: ModelShape) -> None:
    one = RECIPES[1]
    found = of(llama, one)
    made = changes(one, llama, found, moment="optimizer_step")
    for change in made:
        assert change.saves == found.at("optimizer_step") - change.estimate.at("optimizer_step") > 0
    levers = {change.lever for change in made}
    assert "optim" in levers and not levers & {"loss", "checkpointing"}
    assert best(made, 1)[0].lever in ("optim", "targets")


def test_each_change_is_told_in_words_of_its_own(llama: ModelShape) -> None:
    made = [change for one in RECIPES for change in changes(one, llama, of(llama, one))]
    said = {(change.lever, result_words(change)) for change in made}
    assert ("quantization", "weights are rounded to 4 bits") in said
    assert ("optim", "optimizer states are rounded to 8 bits") in said
    assert ("length", "other tokens are trained on") in said
    assert ("rank", "a smaller adapter is trained") in said
    assert {words for lever, words in said if lever == "checkpointing"} == {"the same is learned"}


@pytest.mark.parametrize(
    ("slower", "said"),
    [(1.001, "takes no longer"), (1.3, "takes about 30% longer"), (0.9, "takes about 10% less time")],
)
def test_what_a_change_costs_in_time(slower: float, said: str) -> None:
    assert time_words(slower) == said


@settings(max_examples=40, deadline=None)
@given(place=st.integers(0, len(RECIPES) - 1), share=st.floats(0.1, 1.1))
def test_the_cheapest_changes_fit_and_none_can_be_left_out(place: int, share: float) -> None:
    shape, one = known(LLAMA_8B), RECIPES[place]
    limit = share * of(shape, one).peak_bytes
    found = cheapest(one, shape, within(limit))
    if found is None:
        return
    made = one
    for change in found:
        made = with_values(made, change.values)
        assert made == change.recipe and batch_of(made) == batch_of(one)
    assert of(shape, made).peak_bytes <= limit
    for left_out in found:
        if "adapter" in left_out.values:
            continue  # what follows it needs it
        without = one
        for change in found:
            if change is not left_out:
                without = with_values(without, change.values)
        assert of(shape, without).peak_bytes > limit


@pytest.mark.parametrize("one", RECIPES)
def test_all_changes_take_less_than_sixty_milliseconds(llama: ModelShape, one: Recipe) -> None:
    found = of(llama, one)
    times = []
    for _ in range(3):
        forget()
        began = time.process_time()
        changes(one, llama, found)
        times.append(time.process_time() - began)
    assert min(times) < 0.06
