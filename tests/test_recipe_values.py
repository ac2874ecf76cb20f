"""What is shown of a field is what can be typed: texts and values of the recipe's fields agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from sftui.errors import InputError
from sftui.recipe import Recipe, Source
from sftui.recipe_fields import FIELDS, FieldInfo, field_at, source_fields
from sftui.recipe_save import with_changes
from sftui.recipe_values import format_value, parse_value
from tests.recipe_values import values_of

ALL = (*FIELDS, *source_fields("data.eval", 2))
SMALL: dict[str, Any] = {"model": {"name_or_path": "m"}, "data": {"train": ["t.jsonl"]}}


@pytest.mark.parametrize("field", ALL, ids=lambda field: field.key)
@given(data=st.data())
@settings(max_examples=25, deadline=None)
def test_what_is_shown_is_read_back(field: FieldInfo, data: st.DataObject) -> None:
    value = data.draw(values_of(field))
    text = format_value(field, value)
    assert text.isprintable(), "one line"
    back = parse_value(field, text)
    if field.kind == "sources":
        assert [Source(**one) for one in back] == [Source(**one) for one in value]
    else:
        assert back == value
        assert type(back) is type(value)


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.key)
@given(text=st.text(max_size=20))
@settings(max_examples=25, deadline=None)
def test_any_text_is_a_value_or_refused_in_words(field: FieldInfo, text: str) -> None:
    try:
        value = parse_value(field, text)
    except InputError as error:
        assert error.key is not None
        assert error.key.startswith(field.key)
        return
    assert parse_value(field, format_value(field, value)) == value


@pytest.mark.parametrize(
    "field", [field for field in FIELDS if not field.required], ids=lambda field: field.key
)
def test_a_default_as_it_is_shown_changes_nothing(field: FieldInfo) -> None:
    recipe = Recipe.model_validate(SMALL)
    value = parse_value(field, format_value(field, field.default))
    assert with_changes(recipe, {field.key: value}) == recipe


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("training.learning_rate", "2e-4", 2e-4),
        ("training.learning_rate", " 2.0e-4 ", 2e-4),
        ("training.learning_rate", ".0002", 2e-4),
        ("training.max_steps", "1e3", 1000),
        ("training.seed", "7.0", 7),
        ("training.eval_on_start", "No", False),
        ("training.eval_on_start", "on", True),
        ("data.packing", "BEST_FIT", "best_fit"),
        ("data.packing", "none", "none"),
        ("training.eval_strategy", "no", "no"),
        ("model.revision", "", None),
        ("model.revision", "NULL", None),
        ("model.revision", '"null"', "null"),
        ("adapter.target_modules", "all-linear", "all-linear"),
        ("adapter.target_modules", "q_proj,v_proj", ["q_proj", "v_proj"]),
        ("adapter.target_modules", "[q_proj]", ["q_proj"]),
        ("adapter.target_modules", '".*{1,2}"', ".*{1,2}"),
        ("adapter.modules_to_save", "lm_head", ["lm_head"]),
        ("adapter.modules_to_save", "", []),
        ("data.train", "a.jsonl, owner/name", [{"path": "a.jsonl"}, {"path": "owner/name"}]),
        ("data.train", "{path: a, limit: 5}", [{"path": "a", "limit": 5}]),
        ("data.train", "[{path: a, limit: 5}, b]", [{"path": "a", "limit": 5}, {"path": "b"}]),
        ("data.train", "[{path: a, columns: {b: c}}]", [{"path": "a", "columns": {"b": "c"}}]),
        ("data.eval", "", []),
        ("data.train.3.columns", "prompt: q, completion: the: a", {"prompt": "q", "completion": "the: a"}),
        ("data.train.3.columns", '{"a, b": c}', {"a, b": "c"}),
        ("data.train.0.limit", "null", None),
    ],
)
def test_what_people_type_is_understood(key: str, text: str, value: Any) -> None:
    found = parse_value(field_at(key), text)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("training.learning_rate", 2e-4, "2.0e-4"),
        ("training.learning_rate", 1.55e-5, "1.55e-5"),
        ("training.adam_epsilon", 1e-8, "1.0e-8"),
        ("training.warmup_steps", 0.03, "0.03"),
        ("training.warmup_steps", 100.0, "100"),
        ("adapter.lora_alpha", 32.0, "32"),
        ("training.max_steps", -1, "-1"),
        ("training.eval_on_start", True, "true"),
        ("model.revision", None, "null"),
        ("adapter.target_modules", ["q_proj", "v_proj"], "q_proj, v_proj"),
        ("adapter.target_modules", ["q_proj"], "[q_proj]"),
        ("adapter.modules_to_save", ["lm_head"], "lm_head"),
        ("data.train", [Source(path="a"), Source(path="b c")], "a, b c"),
        ("data.train", [Source(path="a", limit=5)], '[{"path": "a", "limit": 5}]'),
        ("data.train.0.columns", {"prompt": "question"}, "prompt: question"),
    ],
)
def test_values_are_shown_as_people_write_them(key: str, value: Any, text: str) -> None:
    assert format_value(field_at(key), value) == text


@pytest.mark.parametrize("text", ["2.0e-4", "1.0e-8", "0.03", "100", "1.0e+22", "1.0e22"])
def test_a_number_is_one_in_the_file_too(text: str) -> None:
    written = format_value(field_at("training.learning_rate"), float(text))
    assert YAML(typ="safe", pure=True).load(written) == float(text)


@pytest.mark.parametrize(
    ("key", "text", "message"),
    [
        ("training.learning_rate", "x", "training.learning_rate: found 'x', expected a number"),
        ("training.learning_rate", "0", "expected a number greater than 0"),
        ("training.learning_rate", "inf", "expected a finite number"),
        ("training.learning_rate", "", "found '', expected a number"),
        ("training.max_steps", "0", "found 0, expected -1 (whole epochs) or at least 1"),
        ("training.seed", "4.5", "found 4.5, expected a whole number"),
        ("training.seed", "nan", "found 'nan', expected a whole number"),
        ("training.seed", "9" * 5000, "expected a whole number"),
        ("training.eval_on_start", "maybe", "found 'maybe', expected true or false"),
        ("data.packing", "bestfit", "did you mean best_fit?"),
        ("adapter.r", "5000", "adapter.r: found 5000, expected a number less than or equal to 4096"),
        ("model.name_or_path", "", "found '', expected Hub id (owner/name) or a local directory"),
        ("output_dir", "a\0b", "expected a text without NUL characters"),
        ("data.train", "", "data.train: found [], expected at least one item"),
        ("data.train", "[{path: a, limit: 0}]", "data.train.0.limit: found 0, expected a number greater"),
        ("data.train", "[{path: a", "expected paths, or sources as in the file"),
        ("data.train", "[3]", "data.train.0: found 3, expected a section with the keys path"),
        ("data.eval.2.limit", "0", "data.eval.2.limit: found 0, expected a number greater"),
        ("data.train.0.columns", "prompt", "found 'prompt', expected our name: theirs"),
    ],
)
def test_what_a_field_cannot_hold_is_refused_in_its_own_words(key: str, text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_value(field_at(key), text)
    assert message in str(caught.value)


def test_what_other_fields_say_against_a_value_is_not_looked_at() -> None:
    assert parse_value(field_at("data.repack_each_epoch"), "true") is True
    assert parse_value(field_at("model.quantization"), "nf4") == "nf4"
    assert parse_value(field_at("adapter.dtype"), "float16") == "float16"


def test_paths_are_left_as_they_are_typed(tmp_path: Path) -> None:
    assert parse_value(field_at("output_dir"), "runs/../a b") == "runs/../a b"
