"""Changes to an open recipe: applied in memory, and written into its file with all else left as it is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.recipe_disk import folder_held, replace_text
from sftui.recipe_edit import unmarked, with_value
from sftui.recipe_errors import explain
from sftui.recipe_file import find_recipe, parse_recipe, ready_recipes
from sftui.recipe_override import parse_key, put


def as_override(key: str, value: Any) -> str:
    """A change as it is given on the command line: `data.max_length=1024`."""
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


def save_changes(name: str | Path, changes: Mapping[str, Any]) -> Path:
    """Write the values of dotted keys into a recipe's file, as it is on disk now; returns that file.

    Comments, order, quotes and indentation of all other lines stay. The file is replaced as a whole, or
    not at all. Raises `InputError` for a recipe that comes with sftui, and for a file that cannot be
    read, would not be a recipe any more, or cannot be written.
    """
    path = find_recipe(name)
    if path.parent == ready_recipes():
        raise InputError(
            "comes with sftui and is not written to",
            file=name,
            hint=f"copy it and open the copy: cp {path} my.yaml; sftui my.yaml",
        )
    # A link stays one: what it leads to is replaced.
    path = path.resolve()
    with folder_held(path.parent, str(name)):
        try:
            text = path.read_bytes().decode("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot be read: {error}", file=name) from None
        parse_recipe(unmarked(text), file=str(name), base=path.parent)
        new = text
        for dotted, value in changes.items():
            new = with_value(new, parse_key(dotted), value, str(name))
        parse_recipe(unmarked(new), file=str(name), base=path.parent)
        replace_text(path, new, str(name))
    return path
