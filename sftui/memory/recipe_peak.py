"""What a recipe's training step takes, as far as the closed form knows its model: cheap enough for a key."""

from __future__ import annotations

from functools import lru_cache

from sftui.errors import InputError
from sftui.memory.answer import Answer, answer
from sftui.memory.config_file import Unknown, shape_of_model
from sftui.memory.known import Known
from sftui.memory.shape import ModelShape
from sftui.recipe import Recipe


def answer_in_short(recipe: Recipe, known: Known) -> Answer | None:
    """The closed form's answer without a device; None where config.json is not at hand or not known."""
    shape = _shape(recipe.model.name_or_path, recipe.model.revision)
    if shape is None:
        return None
    return answer(recipe, shape, None, longest=known.longest, longest_held_out=known.longest_held_out)


@lru_cache(maxsize=8)
def _shape(name_or_path: str, revision: str | None) -> ModelShape | None:
    try:
        found = shape_of_model(name_or_path, revision)
    except InputError:
        return None
    return None if isinstance(found, Unknown) else found
