"""`key=value` on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from sftui.recipe import AdapterSection, Recipe, TrainingSection
from sftui.recipe_file import parse_recipe
from tests.recipe_texts import SMALL, recipes, refused


def overridden(*overrides: str, text: str = SMALL) -> Recipe:
    return parse_recipe(text, overrides)


def test_an_override_reaches_any_field() -> None:
    recipe = overridden(
        "training.learning_rate=1e-3",
        "adapter.target_modules=[q_proj, v_proj]",
        "data.train.0.columns={prompt: question}",
        "data.train.1=more.jsonl",
        "data.train.1.limit=5",
        "data.eval=held.jsonl",
        "model.revision=v1.0",
        "training.max_steps=-1",
    )
    assert recipe.training.learning_rate == 1e-3
    assert recipe.adapter is not None
    assert recipe.adapter.target_modules == ["q_proj", "v_proj"]
    assert recipe.data.train[0].columns == {"prompt": "question"}
    assert Path(recipe.data.train[1].path).name == "more.jsonl"
    assert recipe.data.train[1].limit == 5
    assert [Path(source.path).name for source in recipe.data.eval] == ["held.jsonl"]
    assert recipe.model.revision == "v1.0"


def test_null_takes_a_section_or_a_value_away_and_a_key_below_brings_it_back() -> None:
    assert overridden("adapter=null", "model.quantization=none").adapter is None
    assert (
        overridden(
            "model.revision=null", text=SMALL.replace("model\n", "model\n  revision: v1\n")
        ).model.revision
        is None
    )
    full = SMALL + "adapter: null\n"
    assert overridden("adapter.r=4", text=full).adapter == AdapterSection(r=4)


def test_the_last_of_several_overrides_of_a_field_counts() -> None:
    assert overridden("training.seed=1", "training={seed: 2, max_steps: 9}", "training.seed=3").training == (
        TrainingSection(seed=3, max_steps=9)
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.learning_rate",
            "found 'training.learning_rate': expected key=value, e.g. training.learning_rate=1e-4",
        ),
        ("=3", "found '=3': expected key=value"),
        ("a..b=3", "found 'a..b=3': expected key=value"),
        (".=3", "expected key=value"),
        ("training.sead=3", "in training.sead=3: training.sead: unknown key; did you mean seed?"),
        ("trainig.seed=3", "in trainig.seed=3: trainig: unknown key; did you mean training?"),
        ("learning_rate=3", "in learning_rate=3: learning_rate: unknown key; expected one of model, "),
        ("training.seed=x", "in training.seed=x: training.seed: found 'x', expected a whole number"),
        ("training.seed=", "in training.seed=: training.seed: found None, expected a whole number"),
        ("training=3", "in training=3: training: found 3, expected a section with the keys per_device"),
        ("training={1: 2}", "in training={1: 2}: training.1: unknown key"),
        ("training.max_steps=0", "in training.max_steps=0: training.max_steps: found 0, expected -1"),
        ("training.seed=[1", "training.seed: the value '[1' is not YAML"),
        ("training.seed=" + "9" * 5000, "training.seed: the value '9999"),
        ("model.revision=2026-13-45", "model.revision: the value '2026-13-45' is not YAML"),
        (
            "model.name_or_path.x=3",
            "model.name_or_path.x: model.name_or_path is 'owner/model', not a section",
        ),
        ("model.0=3", "in model.0=3: model.0: unknown key"),
        ("data.train=[]", "in data.train=[]: data.train: found [], expected at least one item"),
        (
            "data.train.path=x",
            "data.train.path: found 'path' in a list of 1 item: expected its number, 0 to 1",
        ),
        ("data.train.5=x", "data.train.5: found 5 in a list of 1 item: expected its number, 0 to 1"),
        ("data.train.-1=x", "data.train.-1: found '-1' in a list of 1 item"),
        ("data.train.²=x", "data.train.²: found '²' in a list of 1 item"),
        ("data.train." + "9" * 5000 + "=x", "in a list of 1 item"),
        (
            "data.train.0.limit=0",
            "in data.train.0.limit=0: data.train.0.limit: found 0, "
            "expected a number greater than or equal to 1",
        ),
        ("output_dir=caf\udce9", "output_dir: the value 'caf\\udce9' is not YAML"),
    ],
)
def test_a_wrong_override_is_named_with_what_was_expected(override: str, message: str) -> None:
    assert message in refused(SMALL, override)


def test_a_mistake_of_the_file_is_not_blamed_on_an_override_beside_it() -> None:
    text = SMALL + "training:\n  seed: x\n"
    assert refused(text, "training.max_steps=5", "data.max_length=9").startswith("my.yaml:6: training.seed: ")


TEXTS = {"name_or_path", "revision"}


@given(recipes)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_field_can_be_overridden_on_the_command_line(recipe: Recipe) -> None:
    training = recipe.training.model_dump(mode="json")
    overrides = [f"training.{name}={json.dumps(value)}" for name, value in training.items()]
    assert parse_recipe(SMALL, overrides).training == recipe.training
    overrides = [f"model.{name}={json.dumps(value)}" for name, value in recipe.model if name not in TEXTS]
    assert parse_recipe(SMALL, [*overrides, "adapter.r=1"]).model.model_dump(exclude=TEXTS) == (
        recipe.model.model_dump(exclude=TEXTS)
    )
