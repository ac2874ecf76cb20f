"""Changes to a typed recipe by dotted keys: applied to a copy, looked up, and as they are typed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sftui.recipe import Recipe
from sftui.recipe_errors import explain
from sftui.recipe_override import parse_key, put
from sftui.words import exact


def as_override(key: str, value: Any) -> str:
    """A change as it is given on the command line: `data.max_length=1024`."""
    if isinstance(value, float):
        value = exact(value)
    return f"{key}={'null' if value is None else value}"


def value_of(recipe: Recipe, key: str) -> Any:
    """What a recipe says at a dotted key of a section: `data.max_length`."""
    value: Any = recipe
    for name in key.split("."):
        value = getattr(value, name)
    return value


def with_changes(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """`recipe` with the values of dotted keys in place of its own. Raises `InputError` if they do not fit."""
    tree = recipe.model_dump()
    overridden = {}
    for dotted, value in changes.items():
        key = parse_key(dotted)
        put(tree, key, value)
        overridden[key] = as_override(dotted, value)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise explain(error, "recipe", {}, overridden) from None
