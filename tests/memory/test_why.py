from __future__ import annotations

import math
import random
import re
from typing import Any

import pytest

from sftui.memory.changes import changes
from sftui.memory.closed_form import estimate
from sftui.memory.estimate import Component
from sftui.memory.levers import changed
from sftui.memory.shape import ModelShape
from sftui.memory.step import step_of
from sftui.memory.why import Reason, why
from sftui.recipe import Recipe
from tests.benchmarks.memory_forms import FAMILIES, random_config, random_recipe, random_step
from tests.memory.recipe_fixtures import FULL, LLAMA_8B, LORA, known, recipe


@pytest.fixture(scope="module")
def llama() -> ModelShape:
    return known(LLAMA_8B)


def reasons(shape: ModelShape, one: Recipe) -> dict[Component, Reason]:
    step = step_of(one, shape)
    found = estimate(shape, step)
    return why(shape, step, found, changes(one, shape, found))


def test_formulas_have_the_numbers_of_the_recipe(llama: ModelShape) -> None:
    found = reasons(llama, recipe(training={"loss": "stock"}))
    assert found["logits"].formula == (
        "3 x 4 B x 128,256 x 2,048 (float32: the logits, their log-softmax and the gradient) = 2.9 GiB"
    )
    assert "6,979,321,856 parameters x 0.516 B (nf4)" in found["weights"].formula


def test_a_chunked_loss_has_the_logits_of_a_chunk(llama: ModelShape) -> None:
    formula = reasons(llama, recipe())["logits"].formula
    assert formula.startswith("2 x 4 B x 128,256 x 512 (float32: the logits and their log-softmax) + ")
    assert "2 B x 128,256 x 512 (the logits as computed)" in formula
    assert "2 B x 4,096 x 2,048 (hidden states or their gradient)" in formula
    full = reasons(llama, recipe(**FULL))["logits"].formula
    assert "x 128,256 x 4,096 (the head: its gradient, and casts of it)" in full


def test_scores_of_eager_attention_are_a_term_of_their_own(llama: ModelShape) -> None:
    eager = {"model": {"attn_implementation": "eager"}, "data": {"max_length": 8192}}
    formula = reasons(llama, recipe(**eager))["activations"].formula
    assert formula.startswith("32 x 2 B x 4,096 x 8,192 tokens (inputs of layers) + 134,217,728 B (masks) + ")
    assert "12 B x 32 heads x 8,192 x 8,192 (scores of each token with each)" in formula


def test_what_is_not_explained_is_less_than_a_hundredth(llama: ModelShape) -> None:
    for sections in ({}, {"training": {"loss": "stock"}}, FULL, LORA):
        for name in ("activations", "logits"):
            reason = reasons(llama, recipe(**sections))[name]
            for rest in re.findall(r"([\d,]+) B \(the rest\)", reason.formula):
                assert int(rest.replace(",", "")) < reason.bytes / 100


def test_layers_that_are_not_run_again_are_told_from_those_that_are(llama: ModelShape) -> None:
    every = reasons(llama, recipe(**LORA, training={"gradient_checkpointing_every": 3}))
    formula = every["activations"].formula
    assert formula.startswith("11 x 2 B x 4,096 x 2,048 tokens (inputs of layers) + 21 layers x 2")


@pytest.mark.parametrize(
    ("sections", "component", "expected"),
    [
        ({"training": {"loss": "stock"}}, "logits", {"training.loss": "chunked"}),
        (FULL, "optimizer", {"training.optim": "paged_adamw_32bit"}),
        (LORA, "weights", {"model.quantization": "nf4"}),
        (
            LORA | {"training": {"gradient_checkpointing": False}},
            "activations",
            {"training.gradient_checkpointing": True},
        ),
    ],
)
def test_the_remedy_is_the_change_that_saves_most_of_the_component(
    llama: ModelShape, sections: dict[str, Any], component: Component, expected: dict[str, Any]
) -> None:
    one = recipe(**sections)
    remedy = reasons(llama, one)[component].remedy
    assert remedy is not None and remedy.values == expected
    made = changed(one, expected)
    assert made is not None
    before, after = (estimate(llama, step_of(each, llama)) for each in (one, made))
    moment = before.peak_moment
    assert remedy.saves == before.components[component] - after.moments[moment][component] > 0
    assert remedy.peak == before.peak_bytes - after.peak_bytes > 0


def test_a_component_that_no_change_makes_smaller_has_no_remedy(llama: ModelShape) -> None:
    one = recipe()
    step = step_of(one, llama)
    found = estimate(llama, step)
    for name, reason in why(llama, step, found, ()).items():
        assert reason.remedy is None and reason.bytes == found.components[name] > 0
    assert reasons(llama, one)["weights"].remedy is None


def computed(formula: str) -> float:
    """What the numbers of a formula come to: a sum of products, explained in brackets."""
    expression = re.sub(r"\([^()]*\)", "", formula.rpartition(" = ")[0]).rpartition(" = ")[2]
    return sum(
        math.prod(float(number.replace(",", "")) for number in re.findall(r"\d[\d,]*\.?\d*", term))
        for term in expression.split(" + ")
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_formulas_are_equations(family: str) -> None:
    rng = random.Random(family)
    for _ in range(40):
        shape = known(random_config(family, rng))
        _, one = random_recipe(shape, rng)
        step = random_step(one, shape, rng)
        for name, reason in why(shape, step, estimate(shape, step), ()).items():
            assert computed(reason.formula) == pytest.approx(reason.bytes, rel=0.01, abs=2**20), name


def test_workspaces_are_those_of_the_device(llama: ModelShape) -> None:
    step = step_of(recipe(), llama, capability=(9, 0))
    found = why(llama, step, estimate(llama, step), ())
    assert found["workspace"].formula.startswith("2 cuBLAS workspaces x 33,554,432 B")


def test_moments_of_an_adapter_are_of_its_type(llama: ModelShape) -> None:
    assert "2 moments of the adapter's type" in reasons(llama, recipe())["optimizer"].formula
    assert "2 moments of the weights' type" in reasons(llama, recipe(**FULL))["optimizer"].formula


def test_activations_of_an_evaluation_are_those_of_its_own_rows(llama: ModelShape) -> None:
    held_out = {"data": {"eval_fraction": 0.1}, "training": {"per_device_eval_batch_size": 32}}
    assert "x 65,536 tokens" in reasons(llama, recipe(**held_out))["activations"].formula
