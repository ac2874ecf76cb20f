"""The fields of the recipe as data: nothing but the typed model says what they are."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from sftui import recipe_fields
from sftui.errors import InputError
from sftui.recipe import Recipe, Section
from sftui.recipe_errors import known_keys
from sftui.recipe_fields import (
    FIELDS,
    SECTIONS,
    FieldInfo,
    changed,
    field_at,
    neighbour,
    search,
    source_fields,
)
from sftui.recipe_file import load_recipe, ready_recipes
from sftui.recipe_save import value_of, with_changes
from sftui.recipe_section import About
from sftui.recipe_step import Decades, Multiples, Powers, SharesOrCounts, Values, following
from sftui.recipe_values import parse_value
from tests.recipe_values import values_of

ALL = (*FIELDS, *source_fields())
NUMBERS = [field for field in ALL if field.kind in ("integer", "number")]
SMALL: dict[str, Any] = {"model": {"name_or_path": "m"}, "data": {"train": ["t.jsonl"]}}


def recipe(**changes: Any) -> Recipe:
    """The smallest recipe with changes; `__` in a name stands for the dot of its key."""
    keys = {name.replace("__", "."): value for name, value in changes.items()}
    return with_changes(Recipe.model_validate(SMALL), keys)


# What they are


def test_every_key_of_the_recipe_is_a_field_once() -> None:
    keys = [field.key for field in FIELDS]
    sections = [section.key for section in SECTIONS if section.key]
    wanted = {f"{section}.{name}" for section in sections for name in known_keys((section,))}
    assert set(keys) == wanted | set(known_keys(())) - set(sections)
    assert len(keys) == len(set(keys))
    assert [field.name for field in source_fields()] == known_keys(("data", "train"))


@pytest.mark.parametrize("field", ALL, ids=lambda field: field.key)
def test_every_field_says_what_when_and_what_is_usual(field: FieldInfo) -> None:
    assert field.what
    assert field.when.endswith("."), "a sentence"
    assert field.usual
    assert "\n" not in field.what + field.when + field.usual
    assert len(field.when) < 220, "two short sentences"


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.key or "top")
def test_every_section_says_what_it_is(section: recipe_fields.SectionInfo) -> None:
    assert section.about
    assert all(field.section == section.key for field in section.fields)
    assert section.optional == (section.key == "adapter")


def test_only_model_and_data_are_required() -> None:
    assert [field.key for field in FIELDS if field.required] == ["model.name_or_path", "data.train"]


@pytest.mark.parametrize(
    "field", [field for field in FIELDS if not field.required], ids=lambda field: field.key
)
def test_a_default_is_that_of_the_model(field: FieldInfo) -> None:
    assert value_of(recipe(), field.key) == field.default


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("adapter.r", {"kind": "integer", "minimum": 1, "maximum": 4096, "above_minimum": False}),
        ("adapter.lora_dropout", {"kind": "number", "minimum": 0, "maximum": 1, "below_maximum": True}),
        ("adapter.lora_alpha", {"minimum": 0, "above_minimum": True, "maximum": None, "most": 1_000_000}),
        ("adapter.target_modules", {"kind": "list", "or_text": True, "min_length": 1}),
        ("adapter.modules_to_save", {"kind": "list", "or_text": False, "default": []}),
        ("data.packing", {"kind": "choice", "choices": ("none", "next_fit", "best_fit", "wrapped")}),
        ("data.train", {"kind": "sources", "required": True, "min_length": 1}),
        ("data.train.4.limit", {"kind": "integer", "optional": True, "unit": "rows", "section": "data"}),
        ("data.eval.0.columns", {"kind": "mapping"}),
        ("data.max_length", {"unit": "tokens", "step": Multiples(64)}),
        ("model.name_or_path", {"kind": "model", "required": True}),
        ("model.revision", {"kind": "text", "optional": True, "default": None}),
        ("model.double_quant", {"kind": "switch", "default": True}),
        ("output_dir", {"kind": "path", "section": "", "default": "runs"}),
    ],
)
def test_widget_bounds_and_default_are_those_of_the_type(key: str, wanted: dict[str, Any]) -> None:
    field = field_at(key)
    assert {name: getattr(field, name) for name in wanted} == wanted


class Another(Section):
    """A section with fields that the recipe may get one day."""

    bare: int = 3
    share: float = Field(0.5, ge=0, le=1)
    rate: float = Field(1e-3, gt=0)
    maybe: Annotated[Literal["a", "b"] | None, About(when="Never.", usual="a")] = Field(
        "a", description="or not"
    )
    folder: Annotated[str, About(when="", usual="", meaning="path")] = ""
    names: list[str] = Field(default_factory=list)


def test_no_number_goes_on_for_ever_and_what_is_beyond_is_told_with_the_bound() -> None:
    for field in NUMBERS:
        high = field.maximum if field.most is None else field.most
        assert high is not None, f"{field.key} has an end"
        for typed in ("1e22", str(10**22)):
            with pytest.raises(InputError, match="expected") as error:
                parse_value(field, typed)
            assert error.value.key == field.key
            assert field.most is None or f"expected at most {field.most:,}" in error.value.problem
        if not field.below_maximum:
            assert parse_value(field, f"{high:.16g}") == high
            assert neighbour(field, high, 1) == high


def test_a_new_field_has_its_widget_help_bounds_and_default_without_another_line() -> None:
    fields = {field.name: field for field in recipe_fields._fields_of(Another, "another", "another")}
    assert fields["bare"].key == "another.bare"
    assert (fields["bare"].kind, fields["bare"].default, fields["bare"].step) == ("integer", 3, Multiples(1))
    assert fields["share"].step == Multiples(0.01)
    assert fields["rate"].step == Decades()
    maybe = fields["maybe"]
    assert (maybe.kind, maybe.optional, maybe.choices) == ("choice", True, ("a", "b"))
    assert (maybe.what, maybe.when) == ("or not", "Never.")
    assert fields["folder"].kind == "path"
    assert fields["names"].kind == "list"


def test_a_type_without_a_widget_is_refused_by_name() -> None:
    class Odd(Section):
        odd: bytes = b""

    with pytest.raises(TypeError, match=r"x\.odd"):
        recipe_fields._fields_of(Odd, "x", "x")


@pytest.mark.parametrize(
    ("key", "hint"),
    [
        ("training.learnin_rate", "did you mean training.learning_rate?"),
        ("data.train.0.limits", "did you mean data.train.0.limit?"),
        ("data.test.0.limit", "no such field"),
        ("adapter", "no such field"),
    ],
)
def test_a_key_that_is_no_field_is_refused_with_the_nearest(key: str, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        field_at(key)
    assert hint in str(caught.value)


# The next value


@pytest.mark.parametrize(
    ("key", "value", "steps", "far", "wanted"),
    [
        ("training.learning_rate", 2e-4, 1, False, 5e-4),
        ("training.learning_rate", 2e-4, -1, False, 1e-4),
        ("training.learning_rate", 3e-4, -1, False, 2e-4),
        ("training.learning_rate", 1e-4, -1, False, 5e-5),
        ("training.learning_rate", 2e-4, 4, False, 5e-3),
        ("training.learning_rate", 2e-4, 1, True, 2e-3),
        ("adapter.r", 16, 1, False, 32),
        ("adapter.r", 24, -1, False, 16),
        ("adapter.r", 4096, 1, False, 4096),
        ("adapter.r", 3000, 2, False, 4096),
        ("adapter.r", 1, -1, False, 1),
        ("data.max_length", 2048, 1, False, 2112),
        ("data.max_length", 2000, 1, False, 2048),
        ("data.max_length", 2048, 1, True, 4096),
        ("data.max_length", 2048, -2, True, 512),
        ("data.max_length", 64, -1, False, 2),
        ("data.max_length", 3, -1, True, 2),
        ("data.eval_fraction", 0.05, 1, False, 0.06),
        ("data.eval_fraction", 0.99, 1, False, 0.99),
        ("data.eval_fraction", 0.0, -1, False, 0.0),
        ("training.max_steps", -1, 1, False, 1),
        ("training.max_steps", 1, -1, False, -1),
        ("training.max_steps", 10, 1, False, 20),
        ("training.warmup_steps", 0.99, 1, False, 1.0),
        ("training.warmup_steps", 1.0, -1, False, 0.99),
        ("training.warmup_steps", 100.0, 1, False, 200.0),
        ("training.adam_beta2", 0.999, -1, False, 0.995),
        ("training.adam_beta2", 0.9, -1, False, 0.9),
        ("training.seed", 2**32 - 1, 1, False, 2**32 - 1),
        ("data.train.0.limit", None, 1, False, 1),
        ("data.train.0.limit", None, -1, False, None),
        ("data.train.0.limit", 1, -1, False, None),
        ("data.train.0.limit", 100, -1, False, 50),
        ("data.packing", "wrapped", 1, False, "none"),
        ("data.packing", "none", -1, True, "wrapped"),
        ("data.packing", "none", 6, False, "best_fit"),
        ("model.double_quant", True, 1, False, False),
        ("model.double_quant", True, -2, False, True),
        ("model.revision", "main", 1, False, "main"),
        ("adapter.modules_to_save", ["a"], 1, False, ["a"]),
        ("training.seed", "not yet a number", 1, False, "not yet a number"),
    ],
)
def test_the_next_value_is_the_one_a_practitioner_would_try(
    key: str, value: Any, steps: int, far: bool, wanted: Any
) -> None:
    found = neighbour(field_at(key), value, steps, far=far)
    assert found == wanted
    assert type(found) is type(wanted)


@pytest.mark.parametrize("field", NUMBERS, ids=lambda field: field.key)
@given(data=st.data())
@settings(max_examples=30, deadline=None)
def test_the_next_number_is_further_on_and_one_that_the_field_may_hold(
    field: FieldInfo, data: st.DataObject
) -> None:
    value = data.draw(values_of(field))
    steps = data.draw(st.sampled_from([-7, -1, 1, 7]))
    found = neighbour(field, value, steps, far=data.draw(st.booleans()))
    if found is not None:
        assert parse_value(field, repr(found)) == found
    if found is not None and value is not None:
        assert (found - value) * steps >= 0
        assert type(found) is type(value)


@given(
    st.sampled_from([Multiples(0.01), Multiples(64), Powers(), Decades(), SharesOrCounts(0.05)]),
    st.floats(1e-6, 1e9, allow_subnormal=False),
)
def test_from_a_number_of_the_step_up_and_down_again_is_the_same_number(step: Any, start: float) -> None:
    first = following(step, start, 1)
    assert first is not None
    up = following(step, first, 1)
    assert up is not None
    assert up > first > start
    assert following(step, up, -1) == first


def test_values_end_and_a_number_without_a_next_has_none() -> None:
    assert following(Values((0.9, 0.99)), 0.99, 1) is None
    assert following(Values((0.9, 0.99)), 0.95, -1) == 0.9
    assert following(Decades(), 1e308, 1) is None
    assert following(Powers(), 0, -1) is None


# Search


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("learning_rate", "training.learning_rate"),
        ("lr", "training.learning_rate"),
        ("learning", "training.learning_rate"),
        ("training.seed", "training.seed"),
        ("learnig_rate", "training.learning_rate"),
        ("rank", "adapter.r"),
        ("r", "adapter.r"),
        ("packing", "data.packing"),
        ("best_fit", "data.packing"),
        ("length", "data.max_length"),
        ("paged", "training.optim"),
    ],
)
def test_a_field_is_found_by_its_name_and_by_words_of_its_help(text: str, first: str) -> None:
    assert search(text)[0].key == first


def test_all_words_must_be_there() -> None:
    both = search("memory dropout")
    assert both
    assert {field.key for field in both} <= {field.key for field in search("memory")}
    assert {field.key for field in both} <= {field.key for field in search("dropout")}


def test_nothing_is_found_by_no_words_and_by_words_of_nothing() -> None:
    assert search("  ") == []
    assert search("zzzzqq") == []


def test_sources_are_searched_where_they_are_given() -> None:
    assert [field.key for field in search("limit", source_fields())][:1] == ["data.train.0.limit"]


@given(st.text(max_size=20))
@settings(max_examples=50, deadline=None)
def test_any_text_can_be_searched(text: str) -> None:
    found = search(text)
    assert len(found) == len({field.key for field in found})


# What is changed


def test_only_what_is_required_is_changed_in_the_smallest_recipe() -> None:
    assert changed(recipe()) == ("model.name_or_path", "data.train")


def test_changed_fields_are_named_in_the_order_of_the_form() -> None:
    one = recipe(training__seed=1, adapter__r=8, data__packing="best_fit")
    assert changed(one) == ("model.name_or_path", "adapter.r", "data.train", "data.packing", "training.seed")


def test_a_section_that_is_null_is_changed_as_a_whole() -> None:
    assert "adapter" in changed(recipe(adapter=None, model__quantization="none"))


def test_the_default_directory_of_runs_is_no_change_where_the_recipe_lies(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("model: {name_or_path: m}\ndata: {train: t.jsonl}\n")
    loaded = load_recipe(tmp_path / "a.yaml")
    assert "output_dir" in changed(loaded)
    assert "output_dir" not in changed(loaded, tmp_path)


@pytest.mark.parametrize("file", sorted(ready_recipes().glob("*.yaml")), ids=lambda file: file.stem)
def test_a_recipe_is_its_changed_fields(file: Path) -> None:
    loaded = load_recipe(file)
    same = with_changes(recipe(), {key: value_of(loaded, key) for key in changed(loaded)})
    assert same.model_dump() == loaded.model_dump()
