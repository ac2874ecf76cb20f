"""What is forecast of a run is what the run does."""

from __future__ import annotations

import pytest

from sftui.data.analysis import analyse
from sftui.data.packing.packable import packable
from sftui.data.reader import DatasetSpec
from sftui.devices import look
from sftui.forecast import evaluations, forecast
from sftui.recipe import Recipe
from sftui.runs.rates import rates_in

from .conftest import MakeRecipe, events_of, train_here

pytestmark = pytest.mark.slow


def in_silence(*_: object) -> None:
    """How far an analysis is."""


@pytest.mark.parametrize(
    "overrides",
    [
        ["data.train.0.limit=15"],
        ["data.train.0.limit=17", "training.num_train_epochs=2.5"],
        ["training.num_train_epochs=0.3"],
        ["data.eval_fraction=0.2", "training.num_train_epochs=2", "training.eval_steps=2"],
        ["data.train.0.weight=0.5", "training.gradient_accumulation_steps=3"],
        ["training.max_steps=11", "training.save_steps=0.5"],
        ["data.packing=best_fit", "training.num_train_epochs=3"],
        ["data.packing=next_fit", "training.per_device_train_batch_size=1"],
        ["data.packing=wrapped", "data.max_length=64", "training.num_train_epochs=2"],
        ["data.max_length=24", "data.overlength=truncate"],
    ],
    ids=str,
)
def test_steps_and_tokens_are_those_of_the_run(make_recipe: MakeRecipe, overrides: list[str]) -> None:
    recipe = make_recipe("training.max_steps=-1", *overrides)
    plan = packable(recipe, in_silence).plan
    overviews = analyse(DatasetSpec.of(recipe), in_silence)
    made = forecast(recipe, look(recipe.output_dir), overview=overviews["train"], plan=plan)
    run = train_here(recipe)
    steps = events_of(run, "step")
    assert made.exact
    assert made.steps == len(steps)
    assert evaluations(recipe, len(steps)) == len(events_of(run, "eval"))
    if whole_epochs(recipe):
        assert made.tokens == steps[-1]["tokens"]
        # What a cut leaves untrained is expected, not counted.
        slack = 0.02 if recipe.data.packing == "wrapped" else 0
        assert made.trained_tokens == pytest.approx(steps[-1]["trained_tokens"], rel=slack)
    else:
        assert made.tokens == pytest.approx(steps[-1]["tokens"], rel=0.35)
    if recipe.data.packing == "none":
        alone = forecast(recipe, look(recipe.output_dir), overview=overviews["train"])
        assert (alone.steps, alone.tokens, alone.trained_tokens) == (
            made.steps,
            made.tokens,
            made.trained_tokens,
        )


def whole_epochs(recipe: Recipe) -> bool:
    return recipe.training.max_steps < 0 and recipe.training.num_train_epochs.is_integer()


def test_a_run_tells_how_long_the_next_one_takes(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe("training.max_steps=-1", "training.num_train_epochs=3", "data.train.0.limit=null")
    overview = analyse(DatasetSpec.of(recipe), in_silence)["train"]
    machine = look(recipe.output_dir)
    before = forecast(recipe, machine, overview=overview)
    assert (before.seconds, before.basis) == (None, None)
    assert before.no_time == "no run of this model and method with 2 steps or more has ended on this CPU"
    run = train_here(recipe)
    (rate,) = rates_in(run.path.parent)
    assert (rate.run, rate.device) == (run.id, "CPU")
    after = forecast(recipe, machine, overview=overview, rates=[rate])
    assert after.basis == "measured on this device"
    assert after.seconds is not None and before.tokens is not None
    fast, slow = after.seconds
    assert fast < before.tokens / rate.tokens_per_second < slow
