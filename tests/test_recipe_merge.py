"""Two recipes compared, and two changes of one brought together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftui.errors import InputError
from sftui.recipe_difference import Line, changed_fields, difference
from sftui.recipe_document import Document
from sftui.recipe_file import parse_recipe
from sftui.recipe_merge import ABSENT, Conflict, merged

TEXT = """\
# my recipe
model: {name_or_path: x, quantization: none}   # the model
adapter:
  r: 8   # rank
data:
  # rows
  train:
  - path: a.jsonl
    limit: 5
  - b.jsonl
  max_length: 512
training:
  learning_rate: 2.0e-4
  seed: 1
"""
BASE = Document(TEXT)
EDITS: dict[str, st.SearchStrategy[Any]] = {
    "model.name_or_path": st.sampled_from(["y", "z"]),
    "adapter.r": st.integers(1, 9),
    "adapter.use_dora": st.just(True),
    "data.train.0.limit": st.integers(1, 9),
    "data.train.1.split": st.sampled_from(["train", "test"]),
    "data.max_length": st.integers(2, 9),
    "data.chat_template": st.sampled_from(["chatml", "plain"]),
    "training.seed": st.integers(1, 4),
    "output_dir": st.sampled_from(["logs", "out"]),
}
SIDE = st.fixed_dictionaries({}, optional=EDITS)


@settings(max_examples=80, deadline=None)
@given(SIDE, SIDE)
def test_a_merge_keeps_the_keys_of_both_sides_and_names_those_in_conflict(
    mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    here = BASE.with_values(mine)
    there = Document(BASE.with_values(theirs).text.replace("# rows", "# rows, theirs"))
    result = merged(BASE, here, there)
    conflicts = {one.key for one in result.conflicts}
    for key in EDITS:
        expected = BASE.value(key)
        mine_changed, theirs_changed = here.value(key) != expected, there.value(key) != expected
        clash = mine_changed and theirs_changed and here.value(key) != there.value(key)
        assert (key in conflicts) == clash
        side = there if theirs_changed or not mine_changed else here
        assert result.document.value(key) == side.value(key)
    assert "# rows, theirs" in result.document.text and not result.comments
    for comment in ("# my recipe", "# the model", "# rank"):
        assert comment in result.document.text


def test_comments_and_layout_of_both_sides_stay_where_their_lines_are_apart() -> None:
    mine = Document(TEXT.replace("r: 8   # rank", "r: 16   # better").replace("  seed: 1", "  seed:   1 # s"))
    theirs = Document(TEXT.replace("max_length: 512", "# long\n  max_length:   1024") + "# end\n")
    result = merged(BASE, mine, theirs)
    for line in ("  r: 16   # better", "  seed:   1 # s", "  # long", "  max_length:   1024", "# end"):
        assert line in result.document.text.splitlines()
    assert not result.conflicts and not result.comments
    assert merged(BASE, BASE, theirs).document.text == theirs.text
    assert merged(BASE, mine, BASE).document.text == mine.text


def test_a_line_changed_on_both_sides_is_theirs_with_my_value_and_my_comment_is_told() -> None:
    mine = Document(TEXT.replace("x, quantization: none}   # the model", "y, quantization: none}   # mine"))
    theirs = Document(TEXT.replace("quantization: none}   # the model", "quantization: int8}   # theirs"))
    result = merged(BASE, mine, theirs)
    assert "model: {name_or_path: y, quantization: int8}   # theirs" in result.document.text
    assert result.comments == ("model: {name_or_path: y, quantization: none}   # mine",)


def test_keys_in_conflict_are_named_with_all_three_values_and_theirs_stand() -> None:
    mine = BASE.with_values({"adapter": None, "training.seed": 2, "output_dir": "a", "data.max_length": 9})
    theirs = BASE.with_values({"adapter.r": 4, "training.seed": 3, "output_dir": "b"})
    result = merged(BASE, mine, theirs)
    assert result.conflicts == (
        Conflict("adapter", {"r": 8}, None, {"r": 4}),
        Conflict("training.seed", 1, 2, 3),
        Conflict("output_dir", ABSENT, "a", "b"),
    )
    assert result.document.value("training.seed") == 3 and result.document.value("data.max_length") == 9


def test_lists_of_another_length_are_one_value() -> None:
    more = BASE.with_value("data.train.2", "c.jsonl")
    assert (
        merged(BASE, more, BASE.with_value("training.seed", 2)).document.value("data.train.2.path")
        == "c.jsonl"
    )
    less = BASE.without_value("data.train.0")
    assert [one.key for one in merged(BASE, less, more).conflicts] == ["data.train"]


def test_a_side_that_is_not_yaml_is_refused() -> None:
    with pytest.raises(InputError, match=r"theirs\.yaml"):
        merged(BASE, BASE, Document("model: [\n", "theirs.yaml"))


def test_lines_that_differ() -> None:
    assert difference("a\nb\nc\n", Document("a\r\nx\r\nc\r\n")) == [
        Line("same", "a"),
        Line("removed", "b"),
        Line("added", "x"),
        Line("same", "c"),
    ]
    recipe = parse_recipe(TEXT)
    other = parse_recipe(TEXT.replace("seed: 1", "seed: 2"))
    changed = [line for line in difference(recipe, other) if line.kind != "same"]
    assert changed == [Line("removed", "  seed: 1"), Line("added", "  seed: 2")]


def test_a_default_and_the_same_number_written_with_a_point_are_one() -> None:
    recipe = parse_recipe(TEXT)
    assert recipe.adapter is not None
    written = parse_recipe(TEXT, [f"adapter.lora_alpha={float(recipe.adapter.lora_alpha)}"])
    assert changed_fields(recipe, written) == []


def test_fields_that_differ() -> None:
    recipe = parse_recipe(TEXT)
    edited = BASE.with_values(
        {"training.seed": 2, "data.train.0.limit": 6, "data.train.2": "c", "adapter": None}
    )
    assert edited.recipe is not None
    changed = changed_fields(recipe, edited.recipe)
    assert [key for key, _, _ in changed] == [
        "adapter",
        "data.train.0.limit",
        "data.train.2",
        "training.seed",
    ]
    assert changed[1] == ("data.train.0.limit", 5, 6) and changed[0][2] is None and changed[2][1] is None
    assert changed_fields(recipe, recipe) == []
