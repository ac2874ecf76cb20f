"""What the search of the Recipe screen finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .open_recipe import OpenRecipe


class Found(NamedTuple):
    """Keys of fields that have the words in their name, and of others that have them in their help."""

    named: tuple[str, ...]
    helped: tuple[str, ...]


def found_keys(made: OpenRecipe, text: str) -> Found:
    """The keys of the fields that a text finds, the best first, with those of each source."""
    from sftui.recipe_fields import FIELDS, search, source_fields

    fields = list(FIELDS)
    for key in ("data.train", "data.eval"):
        value = made.value(key)
        for index in range(len(value) if isinstance(value, list) else 0):
            fields += source_fields(key, index)
    found = [field.key for field in search(text, fields)]
    words = text.lower().replace("_", " ").replace(".", " ").split()
    named = tuple(key for key in found if _is_said_by(key, words))
    return Found(named, tuple(key for key in found if key not in named))


def _is_said_by(key: str, words: list[str]) -> bool:
    """Whether the key has all words: `rate` and `lr` are of `training.learning_rate`."""
    parts = key.lower().rpartition(".")[2].split("_")
    initials = "".join(part[:1] for part in parts)
    return all(word in key.lower() or word == initials for word in words)
