"""What is asked on stdin: a recipe, and settings of the step to put in place of those that follow from it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from sftui.errors import InputError, shorten
from sftui.memory.config_file import shape_of
from sftui.memory.shape import LayerKind, ModelShape
from sftui.memory.step import AdapterSpec, EvaluationSpec, StepSpec, step_of
from sftui.recipe import Recipe

_PARTS = {"adapter": AdapterSpec, "evaluation": EvaluationSpec}


def read_recipe(values: Any) -> Recipe:
    """The recipe of a request. Raises InputError."""
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(first["msg"], key=".".join(map(str, first["loc"])) or "recipe") from error


def step_for(recipe: Recipe, config: Any, changes: Mapping[str, Any]) -> StepSpec:
    """The step of the recipe for a model of this configuration, with `changes` to its fields.

    `evaluation_length` among them is what `step_of` takes.
    """
    found = shape_of(config.to_dict())
    shape = found if isinstance(found, ModelShape) else _plain_shape(config)
    changes = dict(changes)
    step = step_of(recipe, shape, evaluation_length=changes.pop("evaluation_length", None))
    known = {field.name for field in dataclasses.fields(StepSpec)}
    for name in changes:
        if name not in known:
            raise InputError(f"found {shorten(name)}, which is no setting of a step", key="step")
    values = {name: _part(name, value) for name, value in changes.items()}
    if isinstance(values.get("capability"), list):
        values["capability"] = tuple(values["capability"])
    try:
        return dataclasses.replace(step, **values)
    except TypeError as error:
        raise InputError(str(error), key="step") from error


def _part(name: str, value: Any) -> Any:
    kind = _PARTS.get(name)
    if kind is None or not isinstance(value, Mapping):
        return value
    fields = {key: tuple(each) if isinstance(each, list) else each for key, each in value.items()}
    try:
        return kind(**fields)
    except TypeError as error:
        raise InputError(str(error), key=f"step.{name}") from error


def _plain_shape(config: Any) -> ModelShape:
    """The sizes that a step follows from, of a model that the closed form does not know."""
    text = config.get_text_config()
    heads = getattr(text, "num_attention_heads", None) or 1
    hidden = getattr(text, "hidden_size", None) or heads
    return ModelShape(
        family=text.model_type,
        layers=(LayerKind(),),
        hidden=hidden,
        intermediate=getattr(text, "intermediate_size", None) or hidden,
        heads=heads,
        kv_heads=getattr(text, "num_key_value_heads", None) or heads,
        head_dim=getattr(text, "head_dim", None) or hidden // heads,
        vocab=getattr(text, "vocab_size", None) or 1,
        tied=bool(getattr(text, "tie_word_embeddings", False)),
        attention_softcap=getattr(text, "attn_logit_softcapping", None),
    )
