"""A small recipe, how a wrong one is refused, and any that the typed model can hold."""

from __future__ import annotations

import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import strategies as st
from pydantic import BaseModel

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.recipe_file import parse_recipe

SMALL = """\
model:
  name_or_path: owner/model
data:
  train: [{path: train.jsonl}]
"""


def refused(text: str, *overrides: str, base: Path | None = None) -> str:
    """The message with which a recipe is refused."""
    with pytest.raises(InputError) as caught:
        parse_recipe(text, overrides, file="my.yaml", base=base)
    return str(caught.value)


def values_of(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    """Everything that a field of this type may hold."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([values_of(argument, metadata) for argument in arguments])
    if annotation is type(None):
        return st.none()
    if annotation is bool:
        return st.booleans()
    bounds = {
        name: getattr(item, name)
        for item in metadata
        for name in ("ge", "gt", "le", "lt", "min_length")
        if hasattr(item, name)
    }
    most = next((item.most for item in metadata if getattr(item, "most", None) is not None), None)
    if most is not None:
        bounds["le"] = most
    if annotation is int:
        lowest, highest = (
            bounds.get("ge", bounds.get("gt", -1) + 1),
            bounds.get("le", bounds.get("lt", 10**12)),
        )
        return st.integers(lowest, highest - ("lt" in bounds))
    if annotation is float:
        return st.floats(
            bounds.get("ge", bounds.get("gt")),
            bounds.get("le", bounds.get("lt")),
            exclude_min="gt" in bounds,
            exclude_max="lt" in bounds,
            allow_nan=False,
            allow_infinity=False,
        )
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
    if annotation is str:
        awkward = [
            "null",
            "true",
            "2e-4",
            "~",
            "- a",
            "a: b",
            "#",
            "'",
            '"',
            " x ",
            "\n",
            "é\u2028\x85",
            "*a",
            "=",
            "<<",
        ]
        return st.one_of(
            text.filter(lambda one: len(one) >= bounds.get("min_length", 0)), st.sampled_from(awkward)
        )
    if origin is list:
        return st.lists(values_of(arguments[0], []), min_size=bounds.get("min_length", 0), max_size=3)
    if origin is dict:
        return st.dictionaries(text, text, max_size=3)
    assert issubclass(annotation, BaseModel), f"this test does not know {annotation}"
    fields = annotation.model_fields.items()
    return st.fixed_dictionaries(
        {name: values_of(field.annotation, field.metadata) for name, field in fields}
    )


def made_consistent(tree: dict[str, Any]) -> Recipe:
    """A recipe from values that are each possible by themselves."""
    if tree["adapter"] is None:
        tree["model"]["quantization"] = "none"
    elif tree["adapter"]["dtype"] == "float16":
        tree["adapter"]["dtype"] = "bfloat16"
    if tree["data"]["eval"]:
        tree["data"]["eval_fraction"] = 0.0
    if tree["data"]["packing"] != "best_fit":
        tree["data"]["repack_each_epoch"] = False
    tree["training"]["max_steps"] = tree["training"]["max_steps"] or -1
    return Recipe.model_validate(tree)


recipes = values_of(Recipe, []).map(made_consistent)
