"""The longest sequence is known without tokenising, where that was done before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sftui.data.analysis import analyse
from sftui.data.longest import longest_at_hand
from sftui.data.reader import DatasetSpec
from sftui.estimate_text import look
from sftui.memory.answer import answer, known_shape
from sftui.memory.known import Known
from sftui.memory.recipe_peak import answer_in_short
from sftui.memory.shape import ModelShape
from sftui.recipe import Recipe
from tests.data_fixtures import model_directory


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "rows.jsonl"
    texts = ({"question": "q", "answer": "yes " * length} for length in (2, 30, 300))
    path.write_text("".join(json.dumps(row) + "\n" for row in texts))
    return path


def recipe(rows: Path, **data: object) -> Recipe:
    model = rows.parent / "model"
    if not model.is_dir():
        model_directory(model)
    return Recipe.model_validate(
        {"model": {"name_or_path": str(model)}, "data": {"train": str(rows), **data}}
    )


def test_what_was_tokenised_before_is_known_and_nothing_else(rows: Path) -> None:
    one = recipe(rows, max_length=4096)
    assert longest_at_hand(one) is None
    overview = analyse(DatasetSpec.of(one))["train"]
    assert longest_at_hand(one) == max(overview.length_counts) < 4096
    with rows.open("a") as file:
        file.write(json.dumps({"question": "q", "answer": "a new row"}) + "\n")
    assert longest_at_hand(one) is None


def test_a_run_keeps_what_is_no_longer_than_max_length(rows: Path) -> None:
    counts = sorted(analyse(DatasetSpec.of(recipe(rows, max_length=4096)))["train"].length_counts)
    limit = counts[-1] - 1
    assert longest_at_hand(recipe(rows, max_length=limit, overlength="truncate")) == limit
    assert longest_at_hand(recipe(rows, max_length=limit, overlength="drop")) == counts[-2]


def test_sources_that_are_no_files_are_not_looked_at(rows: Path) -> None:
    analyse(DatasetSpec.of(recipe(rows)))
    for path in (rows.parent / "*.jsonl", rows.parent / "missing.jsonl", "owner/dataset"):
        assert longest_at_hand(recipe(rows, train=str(path))) is None


def test_what_is_held_out_is_as_long_to_commands_as_it_is_to_screens(rows: Path) -> None:
    held_out = rows.with_name("held_out.jsonl")
    held_out.write_text(json.dumps({"question": "q", "answer": "no " * 40}) + "\n")
    one = recipe(rows, eval=str(held_out), max_length=8192, packing="none")
    config = {"model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
    config |= {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 32000}
    Path(one.model.name_or_path, "config.json").write_text(json.dumps(config))
    before = look(one, "24GB").estimate.peak_bytes
    sides = analyse(DatasetSpec.of(one))
    known = Known.of(one, sides["train"], sides["eval"])
    assert known == Known(longest_at_hand(one), longest_at_hand(one, "eval"))
    assert known.longest_held_out is not None and 40 <= known.longest_held_out < 200
    shape = known_shape(one.model.name_or_path)
    assert isinstance(shape, ModelShape)
    lengths = {"longest": known.longest, "longest_held_out": known.longest_held_out}
    shown, packing = answer(one, shape, None, **lengths).estimate, answer_in_short(one, known)
    commanded = look(one, "24GB").estimate
    assert packing is not None
    assert commanded.peak_bytes == shown.peak_bytes == packing.estimate.peak_bytes < before
