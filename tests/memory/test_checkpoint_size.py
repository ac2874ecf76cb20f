from __future__ import annotations

import time
from pathlib import Path

import pytest

from sftui.memory.checkpoint_size import disk_needed
from sftui.memory.closed_form import estimate
from sftui.memory.config_file import shape_of
from sftui.memory.shape import ModelShape
from sftui.memory.step import step_of
from sftui.recipe import Recipe
from sftui.recipe_file import parse_recipe

LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}


def recipe_of(*overrides: str) -> Recipe:
    text = "{model: {name_or_path: m}, data: {train: [t.jsonl]}}"
    return parse_recipe(text, overrides, base=Path("/"))


@pytest.fixture(scope="module")
def shape() -> ModelShape:
    found = shape_of(LLAMA_8B)
    assert isinstance(found, ModelShape)
    return found


FULL = ("adapter=null", "model.quantization=none")


def test_a_full_model_has_two_bytes_a_weight_and_four_of_states(shape: ModelShape) -> None:
    use = disk_needed(recipe_of(*FULL), shape)
    parameters = 8_030_261_248
    assert use.checkpoint == pytest.approx(6 * parameters, rel=1e-4)
    assert use.result == pytest.approx(2 * parameters, rel=2e-3)


def test_weights_trained_for_float16_are_kept_in_float32(shape: ModelShape) -> None:
    use = disk_needed(recipe_of(*FULL, "model.dtype=float16"), shape)
    assert use.result == pytest.approx(4 * 8_030_261_248, rel=1e-3)


def test_quantising_the_frozen_weights_changes_nothing_on_disk(shape: ModelShape) -> None:
    assert disk_needed(recipe_of(), shape) == disk_needed(recipe_of("model.quantization=none"), shape)


def test_paged_states_are_on_disk_though_not_on_the_device(shape: ModelShape) -> None:
    paged = disk_needed(recipe_of("training.optim=paged_adamw_32bit"), shape)
    plain = disk_needed(recipe_of("training.optim=adamw_torch"), shape)
    assert paged.checkpoint == pytest.approx(plain.checkpoint, rel=1e-2)
    eight = disk_needed(recipe_of("training.optim=paged_adamw_8bit"), shape)
    assert eight.checkpoint == disk_needed(recipe_of("training.optim=adamw_bnb_8bit"), shape).checkpoint


@pytest.mark.parametrize(
    ("overrides", "kept"),
    [
        (["training.save_total_limit=3"], 3),
        (["training.save_total_limit=30"], 10),  # save_steps is a tenth
        (["training.save_strategy=epoch"], 1),
        (["training.save_strategy=epoch", "training.num_train_epochs=1.2"], 2),
        (["training.save_strategy=epoch", "training.num_train_epochs=7"], 2),
        (["training.save_strategy=epoch", "training.max_steps=7"], 2),
        (["training.save_steps=50"], 2),
        (["training.save_steps=50", "training.max_steps=50"], 1),
        (["training.save_steps=0.4", "training.max_steps=1"], 1),
        (["training.save_strategy=no"], 0),
    ],
)
def test_no_more_checkpoints_are_kept_than_there_are(
    shape: ModelShape, overrides: list[str], kept: int
) -> None:
    assert disk_needed(recipe_of(*overrides), shape).kept == kept


def test_a_checkpoint_more_than_are_kept_lies_there_while_it_is_written(shape: ModelShape) -> None:
    use = disk_needed(recipe_of(*FULL, "training.save_total_limit=2"), shape)
    assert use.peak == 3 * use.checkpoint
    assert use.left == 2 * use.checkpoint + use.result


def test_where_all_are_kept_the_result_comes_on_top(shape: ModelShape) -> None:
    use = disk_needed(recipe_of(*FULL, "training.save_strategy=epoch"), shape)
    assert use.peak == use.left == use.checkpoint + use.result


def test_without_checkpoints_there_is_the_result(shape: ModelShape) -> None:
    use = disk_needed(recipe_of("training.save_strategy=no"), shape)
    assert use.peak == use.left == use.result > 0


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        FULL,
        ("adapter.dtype=bfloat16", "training.optim=adamw_bnb_8bit"),
        (*FULL, "training.optim=adafactor"),
        (*FULL, "model.dtype=float16", "training.optim=lion_32bit"),
    ],
    ids=" ".join,
)
def test_of_an_unknown_architecture_the_number_of_parameters_is_enough(
    shape: ModelShape, overrides: tuple[str, ...]
) -> None:
    recipe = recipe_of(*overrides)
    known = disk_needed(recipe, shape)
    parameters = estimate(shape, step_of(recipe, shape)).parameters
    counted = disk_needed(recipe, parameters)
    assert counted.checkpoint == pytest.approx(known.checkpoint, rel=0.01)
    assert counted.result == pytest.approx(known.result, rel=0.03)


def test_it_takes_under_a_millisecond(shape: ModelShape) -> None:
    recipe = recipe_of()
    disk_needed(recipe, shape)

    def cost() -> float:
        start = time.perf_counter()
        disk_needed(recipe, shape)
        return time.perf_counter() - start

    assert min(cost() for _ in range(20)) < 0.001
