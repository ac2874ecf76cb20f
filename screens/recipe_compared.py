"""How the open recipe differs from another: its settings, and where they are of one file its text. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from sftui.errors import InputError
from sftui.printable import printable

from .widgets.difference_list import Setting

if TYPE_CHECKING:
    from sftui.recipe import Recipe
    from sftui.recipe_difference import Line
    from sftui.recipe_document import Document

    from .open_recipe import OpenRecipe


def compared(
    made: OpenRecipe, other: Document, *, of_one_file: bool
) -> tuple[tuple[Setting, ...], list[Line]]:
    """The settings and the lines that differ; the lines alone where one of them is no recipe.

    Texts of two files differ in what says nothing, comments and defaults that are spelled out: those are
    left out.
    """
    from sftui.recipe_difference import difference

    theirs = other.recipe
    if theirs is None or not made.is_valid:
        return (), difference(other, made.document)
    lines = difference(other, made.document) if of_one_file else []
    return settings_between(theirs, made.recipe), lines


def settings_between(theirs: Recipe, here: Recipe) -> tuple[Setting, ...]:
    """What two recipes say otherwise, as it is typed: defaults filled in, paths absolute."""
    from sftui.recipe_difference import changed_fields

    return tuple(
        Setting(key, _typed(key, one), _typed(key, two)) for key, one, two in changed_fields(theirs, here)
    )


def _typed(key: str, value: Any) -> str:
    from sftui.recipe_fields import field_at
    from sftui.recipe_values import format_value

    if isinstance(value, Mapping) and "path" in value:
        return printable(str(value["path"]))  # a source of which the other has none
    try:
        return printable(format_value(field_at(key), value))
    except (InputError, TypeError, ValueError, KeyError):
        return "null" if value is None else "given"  # a section
