"""What is tried on the Memory screen: another recipe beside the open one. Pure functions."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from sftui.errors import InputError

from .memory_fields import EFFECTIVE, FIELDS, NONE, Field

if TYPE_CHECKING:
    from sftui.recipe import Recipe

# Cells of a field's name.
NAME = 15


@dataclass(frozen=True, slots=True)
class Trial:
    """What is tried: a recipe that came of `base`, the open one.

    With `keep` another micro-batch changes the accumulation so that the effective batch stays. `layers` is
    how many the model has, 0 where it is not known. `adapted` is the last open recipe that had an adapter,
    which comes back as it was.
    """

    base: Recipe
    recipe: Recipe
    keep: bool = True
    layers: int = 0
    adapted: Recipe | None = None


def trial_of(recipe: Recipe) -> Trial:
    """Nothing is tried yet."""
    return Trial(recipe, recipe, adapted=recipe if recipe.adapter is not None else None)


def tried(field: Field, trial: Trial, direction: int, *, far: bool = False) -> Recipe:
    """The recipe with the field's next value; values that do not fit the rest are skipped.

    Raises InputError with the reason where none is left.
    """
    from sftui.recipe_save import with_changes

    if field.show(trial.recipe) == NONE:
        raise InputError(field.refusal)
    refusal = "there is no further value"
    for values in field.candidates(trial, direction, far):
        try:
            found = with_changes(trial.recipe, values)
        except InputError as error:
            refusal = error.problem
            continue
        if found != trial.recipe:
            return found
    raise InputError(refusal)


def differences(before: Recipe, after: Recipe) -> dict[str, Any]:
    """The dotted keys in which `after` differs, with its values; an adapter that comes or goes as a whole."""
    changes: dict[str, Any] = {}
    for name in ("model", "adapter", "data", "training"):
        old, new = getattr(before, name), getattr(after, name)
        if old == new:
            continue
        if old is None or new is None:
            changes[name] = None if new is None else new.model_dump(exclude_defaults=True)
            continue
        for key in type(new).model_fields:
            if getattr(old, key) != getattr(new, key):
                changes[f"{name}.{key}"] = getattr(new, key)
    return changes


def rebased(trial: Trial, recipe: Recipe) -> Trial:
    """What was tried, tried of another recipe; that one as it is where it does not fit."""
    from sftui.recipe_save import with_changes

    changes = differences(trial.base, trial.recipe)
    if recipe.adapter is None:
        changes = {key: value for key, value in changes.items() if not key.startswith("adapter.")}
    found = recipe
    if changes and recipe != trial.recipe:
        with contextlib.suppress(InputError):
            found = with_changes(recipe, changes)
    adapted = recipe if recipe.adapter is not None else trial.adapted
    return replace(trial, base=recipe, recipe=found, adapted=adapted)


def field_line(field: Field, trial: Trial, width: int, *, here: bool) -> list[tuple[str, str]]:
    """Name, value between arrows where the cursor is, a mark where it is changed and what the recipe says."""
    value = field.show(trial.recipe)
    if field is EFFECTIVE:
        value += " kept" if trial.keep else " free"
    changed = is_changed(field, trial)
    left, right = ("‹ ", " › ") if here else ("  ", "  ")
    room = width - NAME - 4 - changed
    value = _fitted(value, room)
    cells = [
        (f"{field.name:{NAME}}", ""),
        (left, "muted"),
        (value, "accent" if changed else "muted" if value == NONE else ""),
        (right.rstrip() if len(value) == room else right, "muted"),
    ]
    if changed:
        was = f" was {field.show(trial.base)}"
        cells += [("•", "accent"), (was if len(value) + len(was) + 1 <= room else "", "muted")]
    return cells


def _fitted(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: max(room - 1, 1)]}…"


def is_changed(field: Field, trial: Trial) -> bool:
    """Whether the tried recipe says something else here than the open one, and not only nothing."""
    return field.show(trial.recipe) not in (NONE, field.show(trial.base))


def changed_fields(trial: Trial) -> int:
    """How many lines say something else than the open recipe."""
    return sum(is_changed(field, trial) for field in FIELDS if field is not EFFECTIVE)
