from __future__ import annotations

from typing import Any

import pytest

from sftui.memory.config_file import shape_of
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec, autocast_dtype, loss_chunk, step_of
from sftui.recipe import Recipe
from tests.memory.recipe_fixtures import known, recipe


def step(
    model: dict[str, Any] | None = None, config: dict[str, Any] | None = None, **sections: Any
) -> StepSpec:
    recipe = Recipe.model_validate(
        {
            "model": {"name_or_path": "m"} | (model or {}),
            "data": {"train": "rows.jsonl"} | sections.pop("data", {}),
        }
        | sections
    )
    shape = shape_of(config or {"model_type": "llama", "num_key_value_heads": 8})
    assert isinstance(shape, ModelShape)
    return step_of(recipe, shape)


def test_the_default_recipe_is_a_single_unmasked_row_with_an_adapter_under_autocast() -> None:
    found = step()
    assert (found.layout, found.attention, found.windows) == ("plain", "flash", False)
    assert (found.autocast, found.quantization, found.checkpointing) == ("bfloat16", "nf4", 1)
    assert found.adapter is not None and found.adapter.targets == "all-linear"
    assert found.evaluation is None


@pytest.mark.parametrize(
    ("rows", "packing", "attention", "expected"),
    [
        (2, "none", "auto", ("padded", "efficient", False)),
        (1, "none", "eager", ("plain", "eager", False)),
        (2, "best_fit", "auto", ("flat", "flash", True)),
        (2, "best_fit", "sdpa", ("packed_dense", "efficient", False)),
        (2, "best_fit", "flash_attention_2", ("flat", "flash", True)),
        (2, "none", "flash_attention_2", ("padded", "flash", True)),
    ],
)
def test_attention_follows_packing_and_batch(
    rows: int, packing: str, attention: str, expected: tuple[str, str, bool]
) -> None:
    found = step(
        {"attn_implementation": attention},
        data={"packing": packing},
        training={"per_device_train_batch_size": rows},
    )
    assert (found.layout, found.attention, found.windows) == expected


def test_capped_scores_are_computed_eagerly() -> None:
    assert step(config={"model_type": "gemma2"}).attention == "eager"


def test_float32_with_grouped_heads_falls_back_to_products_but_where_it_is_packed() -> None:
    assert step({"dtype": "float32"}).attention == "math"
    packed = step({"dtype": "float32"}, data={"packing": "best_fit"})
    assert (packed.layout, packed.attention, packed.windows) == ("flat", "efficient", False)
    assert step({"dtype": "float32"}, {"model_type": "llama"}).attention == "efficient"


@pytest.mark.parametrize(
    ("heads", "packing", "expected"),
    [
        (8, "none", ("plain", "math", False)),  # groups of heads fit no other kernel
        (32, "none", ("plain", "efficient", False)),
        (8, "best_fit", ("flat", "efficient", False)),
    ],
)
def test_before_ampere_no_step_takes_flash_attention(
    heads: int, packing: str, expected: tuple[str, str, bool]
) -> None:
    shape = known({"model_type": "llama", "num_key_value_heads": heads})
    old = recipe(model={"dtype": "float16"}, data={"packing": packing})
    found = step_of(old, shape, capability=(7, 5))
    assert (found.layout, found.attention, found.windows) == expected
    assert step_of(old, shape, capability=(8, 0)).attention == "flash"


def test_packed_sequences_go_one_by_one_where_attention_drops_something_out() -> None:
    config = {"model_type": "llama", "num_key_value_heads": 8, "attention_dropout": 0.1}
    found = step(config=config, data={"packing": "best_fit"})
    assert (found.layout, found.attention, found.windows) == ("flat", "flash", False)


def test_full_training_in_float16_keeps_its_weights_in_float32() -> None:
    found = step({"dtype": "float16", "quantization": "none"}, adapter=None)
    assert (found.master_float32, found.autocast, found.weight_dtype) == (True, "float16", "float32")


def test_held_out_rows_make_an_evaluation() -> None:
    found = step(data={"eval_fraction": 0.1}, training={"per_device_eval_batch_size": 4})
    assert found.evaluation is not None and (found.evaluation.rows, found.evaluation.length) == (4, 2048)
    assert step(data={"eval_fraction": 0.1}, training={"eval_strategy": "no"}).evaluation is None


def test_held_out_rows_have_a_length_of_their_own() -> None:
    tree = {"model": {"name_or_path": "m"}, "data": {"train": "rows.jsonl", "eval_fraction": 0.1}}
    recipe, shape = Recipe.model_validate(tree), known({"model_type": "llama"})
    for longest, expected in ((None, 2048), (700, 700), (9000, 2048)):
        found = step_of(recipe, shape, length=300, evaluation_length=longest)
        assert found.evaluation is not None
        assert (found.length, found.evaluation.length) == (300, expected)


@pytest.mark.parametrize(
    ("attention", "packing", "expected"),
    [
        ("auto", "none", False),
        ("auto", "best_fit", False),
        ("flash_attention_2", "best_fit", True),
        ("flash_attention_2", "none", True),
    ],
)
def test_only_flash_attention_needs_no_masks_for_held_out_rows(
    attention: str, packing: str, expected: bool
) -> None:
    found = step({"attn_implementation": attention}, data={"packing": packing, "eval_fraction": 0.1})
    assert found.evaluation is not None and found.evaluation.windows is expected


@pytest.mark.parametrize(
    ("capability", "size"), [(None, 8_519_680), ((8, 9), 8_519_680), ((9, 0), 2**25), ((12, 0), 2**25)]
)
def test_workspaces_of_cublas_are_larger_from_hopper_on(
    capability: tuple[int, int] | None, size: int
) -> None:
    recipe = Recipe.model_validate({"model": {"name_or_path": "m"}, "data": {"train": "rows.jsonl"}})
    found = step_of(recipe, known({"model_type": "llama"}), capability=capability)
    assert found.cublas_workspace == size


def test_autocast_is_where_trained_weights_are_float32_and_the_model_is_not() -> None:
    expected = {
        ("float32", None): None,
        ("float32", "float32"): None,
        ("float32", "bfloat16"): None,
        ("bfloat16", None): None,
        ("bfloat16", "float32"): "bfloat16",
        ("bfloat16", "bfloat16"): None,
        ("float16", None): "float16",
        ("float16", "float32"): "float16",
        ("float16", "bfloat16"): "float16",
    }
    for (dtype, adapter), half in expected.items():
        recipe = Recipe.model_validate(
            {
                "model": {"name_or_path": "m", "dtype": dtype, "quantization": "none"},
                "data": {"train": "rows.jsonl"},
                "adapter": None if adapter is None else {"dtype": adapter},
            }
        )
        assert autocast_dtype(recipe) == half


@pytest.mark.parametrize(("vocab", "tokens"), [(100, 1024), (32_000, 1024), (49_152, 1024), (128_256, 512)])
def test_chunks_of_the_loss_are_shorter_where_there_are_more_words(vocab: int, tokens: int) -> None:
    assert loss_chunk(vocab) == tokens


def test_a_chunk_of_the_loss_never_has_too_few_tokens() -> None:
    assert loss_chunk(10**7) == 128
