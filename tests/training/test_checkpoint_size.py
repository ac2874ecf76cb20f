"""What a checkpoint and a result take on disk, foretold and written."""

from __future__ import annotations

import pytest

from sftui.memory.checkpoint_size import disk_needed
from sftui.memory.config_file import shape_of_model
from sftui.memory.shape import ModelShape

from .conftest import MakeRecipe, events_of, train_here

TOKENIZER = 100  # bytes a token, of the result


@pytest.mark.parametrize(
    "overrides",
    [
        ["adapter.r=64"],
        ["adapter.r=64", "model.dtype=bfloat16", "adapter.dtype=bfloat16", "adapter.use_dora=true"],
        ["adapter.r=64", "adapter.modules_to_save=[lm_head]", "model.quantization=nf4"],
        ["adapter.r=64", "adapter.target_modules=[q_proj, embed_tokens, lm_head]"],
        ["adapter.r=64", "adapter.target_modules='.*embed_tokens|.*up_proj'"],
        ["adapter=null"],
        ["adapter=null", "model.dtype=bfloat16", "training.optim=adamw_torch"],
        ["adapter=null", "training.optim=adafactor"],
        ["adapter=null", "training.optim=sgd"],
        ["adapter=null", "training.optim=adamw_bnb_8bit"],
        ["adapter=null", "training.optim=paged_adamw_8bit"],
        ["adapter=null", "training.optim=paged_adamw_32bit"],
        ["adapter=null", "training.optim=lion_32bit"],
        ["adapter=null", "training.optim=lion_8bit"],
    ],
    ids=" ".join,
)
def test_files_are_as_large_as_foretold(make_recipe: MakeRecipe, overrides: list[str]) -> None:
    recipe = make_recipe(*overrides, "training.max_steps=1", "training.save_strategy=steps")
    shape = shape_of_model(recipe.model.name_or_path, None)
    assert isinstance(shape, ModelShape)
    foretold = disk_needed(recipe, shape)
    run = train_here(recipe)
    (saved,) = events_of(run, "checkpoint")
    # Tensors so small are rounded up by as much as they have.
    assert saved["bytes"] <= foretold.checkpoint <= 1.04 * saved["bytes"]
    folder, name = (run.adapter, "adapter_model") if recipe.adapter else (run.model, "model")
    weights = (folder / f"{name}.safetensors").stat().st_size
    assert foretold.result - TOKENIZER * shape.vocab == pytest.approx(weights, rel=0.005)
    assert (foretold.kept, foretold.peak) == (1, foretold.left)


@pytest.mark.parametrize(
    ("overrides", "count"),
    [
        (["training.save_strategy=steps", "training.save_steps=0.4"], 2),
        (["training.save_strategy=steps", "training.save_steps=5"], 2),
        (["training.save_strategy=steps", "training.save_steps=0.3", "training.max_steps=4"], 2),
        (["training.save_strategy=epoch", "training.max_steps=-1", "training.num_train_epochs=1.5"], 2),
        (["training.save_strategy=no"], 0),
    ],
)
def test_as_many_checkpoints_are_written_as_foretold(
    make_recipe: MakeRecipe, overrides: list[str], count: int
) -> None:
    recipe = make_recipe(*overrides, "training.save_total_limit=9")
    shape = shape_of_model(recipe.model.name_or_path, None)
    assert isinstance(shape, ModelShape)
    run = train_here(recipe)
    assert len(events_of(run, "checkpoint")) == len(run.checkpoint_steps()) == count
    assert disk_needed(recipe, shape).kept == count
