"""Which held-out rows the model is asked to answer."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from sftui.data.dataset import EncodedData
from sftui.training import session

from .conftest import MakeRecipe, events_of, losses_of, train_here

SAMPLING = ("training.max_steps=1", "training.sample_rows=2", "training.sample_max_new_tokens=2")
UNANSWERED = {"messages": [{"role": "user", "content": "stone river light"}]}
ANSWERED = {"messages": [*UNANSWERED["messages"], {"role": "assistant", "content": "cloud"}]}


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_rows_without_an_answer_are_passed_over(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    held_out = write(tmp_path / "eval.jsonl", [UNANSWERED, ANSWERED, UNANSWERED, ANSWERED, ANSWERED])
    run = train_here(make_recipe(f"data.eval={held_out}", "data.train_on=everything", *SAMPLING))
    assert [(event["step"], event["row"]) for event in events_of(run, "sample")] == [
        (0, 1),
        (0, 3),
        (1, 1),
        (1, 3),
    ]
    assert {event["expected"] for event in events_of(run, "sample")} == {"cloud"}


@pytest.mark.parametrize("row", [UNANSWERED, {"text": "stone river light"}], ids=["unanswered", "text"])
def test_a_run_with_nothing_to_ask_trains_without_samples(
    make_recipe: MakeRecipe, tmp_path: Path, row: dict
) -> None:
    held_out = write(tmp_path / "eval.jsonl", [row] * 3)
    run = train_here(make_recipe(f"data.eval={held_out}", "data.train_on=everything", *SAMPLING))
    assert events_of(run, "sample") == []
    assert len(losses_of(run)) == 1
    assert events_of(run, "start")[0]["sample_rows"] == 0


def test_a_row_of_several_sequences_is_asked_once(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = session.encode_dataset

    def twice(*arguments: object, **options: object) -> EncodedData:
        data = encode(*arguments, **options)
        return replace(data, eval=[sequence for sequence in data.eval for _ in range(2)])

    monkeypatch.setattr(session, "encode_dataset", twice)
    held_out = write(tmp_path / "eval.jsonl", [ANSWERED] * 3)
    run = train_here(make_recipe(f"data.eval={held_out}", *SAMPLING))
    assert [event["row"] for event in events_of(run, "sample")] == [0, 1, 0, 1]
