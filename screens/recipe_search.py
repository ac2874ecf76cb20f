"""What the search of the Recipe screen finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .open_recipe import OpenRecipe


def found_keys(made: OpenRecipe, text: str) -> tuple[str, ...]:
    """The keys of the fields that a text finds, the best first, with those of each source."""
    from sftui.recipe_fields import FIELDS, search, source_fields

    fields = list(FIELDS)
    for key in ("data.train", "data.eval"):
        value = made.value(key)
        for index in range(len(value) if isinstance(value, list) else 0):
            fields += source_fields(key, index)
    return tuple(field.key for field in search(text, fields))
