"""Recipes: what is written is read back; every field is checked, and says what it is for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from sftui import demo, recipe_file
from sftui.recipe import DataSection, Recipe, TrainingSection
from sftui.recipe_errors import known_keys
from sftui.recipe_file import dump_recipe, load_recipe, parse_recipe
from tests.recipe_texts import SMALL, recipes

# The page that the house is built to, with the packing that is the default.
DESIGN = """\
model:
  name_or_path: HuggingFaceTB/SmolLM2-135M-Instruct   # Hub id or directory
  quantization: nf4            # none | nf4 | fp4 | int8 | fp8
  double_quant: true
  dtype: bfloat16              # float32 | bfloat16 | float16
  attn_implementation: auto
  trust_remote_code: false
adapter:                       # null: train all weights
  r: 16
  lora_alpha: 32
  lora_dropout: 0.0
  dtype: float32               # of the adapter; compute follows model.dtype
  target_modules: all-linear
data:
  train: [{path: train.jsonl}]   # path (file, glob, folder, Hub id), split, format, columns, limit, weight
  eval: []                       # the same; or eval_fraction: 0.02
  train_on: assistant            # assistant | last_assistant | completion | everything
  max_length: 2048
  overlength: drop               # drop | truncate | error
  packing: none                  # none | next_fit | best_fit | wrapped
training:                      # names of transformers.TrainingArguments
  per_device_train_batch_size: 1
  gradient_accumulation_steps: 8
  num_train_epochs: 1
  max_steps: -1
  learning_rate: 2.0e-4
  lr_scheduler_type: cosine
  warmup_steps: 0.03             # below 1: a share of all steps, as in transformers 5
  optim: adamw_torch_fused
  gradient_checkpointing: true   # passed on under the name the installed transformers uses
  seed: 42
output_dir: runs
"""


@given(recipes, st.sampled_from(["", "one line", "two\n\nlines: [with] # signs\n"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_written_recipe_is_read_back_with_every_field(recipe: Recipe, comment: str) -> None:
    text = dump_recipe(recipe, comment)
    assert parse_recipe(text) == recipe
    for section, model in Recipe.model_fields.items():
        assert f"{section}:" in text, model


@given(recipes)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_summary_is_one_line_for_any_recipe(recipe: Recipe) -> None:
    assert f"length {recipe.data.max_length}" in recipe.summary()


def test_the_frozen_recipe_of_a_run_is_the_one_it_was_made_from(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SMALL + "output_dir: out\n")
    loaded = load_recipe(tmp_path / "a.yaml")
    frozen = tmp_path / "runs" / "one" / "recipe.yaml"
    frozen.parent.mkdir(parents=True)
    frozen.write_text(dump_recipe(loaded, "the recipe of run one"))
    assert load_recipe(frozen) == loaded


def test_the_example_of_the_design_is_a_recipe() -> None:
    recipe = parse_recipe(DESIGN)
    assert recipe == Recipe.model_validate(
        {
            "model": {"name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct"},
            "data": {"train": [{"path": "train.jsonl"}]},
        }
    ), "the example spells the defaults out"
    assert recipe.training.learning_rate == 2e-4


def test_the_shipped_recipes_are_recipes_and_say_what_for() -> None:
    for file in [demo.RECIPE, *recipe_file.ready_recipes().glob("*.yaml")]:
        assert file.read_text().startswith("#"), f"{file} does not open with what it is for"
        assert load_recipe(file).data.train


@pytest.mark.parametrize("written", ["2e-4", "2.0e-4", "0.0002", "2E-4", "2e-04"])
def test_a_learning_rate_is_a_number_however_it_is_written(written: str) -> None:
    assert parse_recipe(f"{SMALL}training: {{learning_rate: {written}}}\n").training.learning_rate == 2e-4
    assert parse_recipe(SMALL, [f"training.learning_rate={written}"]).training.learning_rate == 2e-4


def test_data_may_be_given_in_short() -> None:
    full = [{"path": "a.jsonl"}, {"path": "b.jsonl"}]
    for short in ("[a.jsonl, b.jsonl]", "[a.jsonl, {path: b.jsonl}]"):
        data = parse_recipe(f"model: {{name_or_path: m}}\ndata: {{train: {short}, eval: e.jsonl}}\n").data
        assert [source.model_dump(exclude_defaults=True) for source in data.train] == full
        assert [source.path for source in data.eval] == ["e.jsonl"]


def test_a_byte_order_mark_is_no_part_of_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SMALL, encoding="utf-8-sig")
    assert load_recipe(tmp_path / "a.yaml").model.name_or_path == "owner/model"


def test_anchors_and_merges_are_written_out() -> None:
    text = (
        "model: {name_or_path: m}\ndata: {train: [&a {path: t.jsonl, limit: 3}, {<<: *a, path: u.jsonl}]}\n"
    )
    assert [(source.path, source.limit) for source in parse_recipe(text).data.train] == [
        ("t.jsonl", 3),
        ("u.jsonl", 3),
    ]


def test_an_assignment_is_checked_like_a_file() -> None:
    section = TrainingSection()
    for name, value in (
        ("seed", "x"),
        ("seed", True),
        ("learning_rate", -1),
        ("optim", "sgdd"),
        ("max_steps", 0),
    ):
        with pytest.raises(ValidationError):
            setattr(section, name, value)
    with pytest.raises(ValidationError):
        DataSection(train=["t"], eval=["e"], eval_fraction=0.1)
    section.seed = 3
    assert section.seed == 3


def leaves(model: type[BaseModel], key: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The dotted keys of all fields that hold a value."""
    found = []
    for name, field in model.model_fields.items():
        parts = [field.annotation, *get_args(field.annotation)]
        below = next((one for one in parts if isinstance(one, type) and issubclass(one, BaseModel)), None)
        found += leaves(below, (*key, name)) if below else [(*key, name)]
    return found


def field_of(key: tuple[str, ...]) -> Any:
    model: Any = Recipe
    for part in key[:-1]:
        parts = [model.model_fields[part].annotation, *get_args(model.model_fields[part].annotation)]
        model = next(one for one in parts if isinstance(one, type) and issubclass(one, BaseModel))
    return model.model_fields[key[-1]]


@pytest.mark.parametrize("key", leaves(Recipe), ids=".".join)
def test_every_field_says_what_it_is_for(key: tuple[str, ...]) -> None:
    assert field_of(key).description
    assert key[-1] in known_keys(key[:-1])
