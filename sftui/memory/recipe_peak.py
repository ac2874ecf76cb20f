"""The peak of a recipe's training step on a GPU, as far as the closed form knows its model."""

from __future__ import annotations

from functools import lru_cache

from sftui.errors import InputError
from sftui.memory.closed_form import estimate
from sftui.memory.config_file import Unknown, shape_of_model
from sftui.memory.shape import ModelShape
from sftui.memory.step import step_of
from sftui.recipe import Packing, Recipe


def peak_bytes(recipe: Recipe, max_length: int, packing: Packing, longest: int) -> int | None:
    """Bytes allocated at most under another max_length and packing.

    As torch.cuda.max_memory_allocated counts. `longest` is the longest sequence of the dataset. None where
    config.json is not at hand or its model is unknown.
    """
    shape = _shape(recipe.model.name_or_path, recipe.model.revision)
    if shape is None:
        return None
    data = recipe.data.model_copy(update={"max_length": max_length, "packing": packing})
    changed = recipe.model_copy(update={"data": data})
    return estimate(shape, step_of(changed, shape, length=longest)).peak_bytes


@lru_cache(maxsize=8)
def _shape(name_or_path: str, revision: str | None) -> ModelShape | None:
    try:
        found = shape_of_model(name_or_path, revision)
    except InputError:
        return None
    return None if isinstance(found, Unknown) else found
