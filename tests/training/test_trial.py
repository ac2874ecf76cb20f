"""The largest micro-batch, tried before step 1."""

from __future__ import annotations

import gc
import shutil
from array import array
from pathlib import Path
from typing import Any

import pytest
import torch

from sftui.data.sequences import Sequence
from sftui.training import callback, chunked_loss, trial
from sftui.training.batch import SequenceDataset
from sftui.training.bins import BinDataset
from sftui.training.failure import ShortOfMemoryError, explain
from sftui.training.trial import largest, most_trained, token_counts, trained_counts
from tests.training.conftest import MakeRecipe, events_of, losses_of, train_here, weights_of
from tests.training.counted_meter import CountedMeter, count_runs

NUMBERS = 8 * 512  # the running loss, losses and norms of earlier steps, 512 bytes each


def sequence(length: int, trained: int, row: int = 0) -> Sequence:
    return Sequence(array("I", range(length)), bytes(length - trained) + b"\1" * trained, row, f"row {row}")


def test_the_largest_batch_is_that_of_the_longest_sequences() -> None:
    data = SequenceDataset([sequence(*sizes) for sizes in ((5, 2), (9, 3), (7, 6), (9, 4), (3, 2))])
    assert token_counts(data) == [5, 9, 7, 9, 3]
    assert largest(data, 2) == [3, 1]
    assert most_trained(data, 2) == [2, 3]
    assert largest(data, 99) == [3, 1, 2, 0, 4]


def test_the_first_token_of_a_sequence_is_never_trained() -> None:
    assert trained_counts(SequenceDataset([sequence(5, 5)])) == [4]


@pytest.mark.parametrize("packing", ["best_fit", "wrapped"])
def test_of_bins_the_fullest_are_the_largest(packing: Any) -> None:
    sizes = [(30, 10), (20, 20), (25, 5), (31, 1), (8, 8)]
    data = BinDataset([sequence(*each) for each in sizes], packing, 32, seed=1)
    assert token_counts(data) == [sum(map(len, data[number])) for number in range(len(data))]
    labels = [sum(label != -100 for part in data[at] for label in part.labels()) for at in range(len(data))]
    assert trained_counts(data) == labels
    fullest = largest(data, 1)[0]
    assert token_counts(data)[fullest] == max(token_counts(data))


METHODS: dict[str, list[str]] = {
    "full": ["adapter=null"],
    "lora, dropout": ["adapter.lora_dropout=0.3"],
    "packed, dropout": ["adapter.lora_dropout=0.3", "data.packing=best_fit", "data.max_length=64"],
    "nf4, checkpointing, dropout": [
        "adapter.lora_dropout=0.3", "model.quantization=nf4", "training.gradient_checkpointing=true",
        "training.gradient_accumulation_steps=1",
    ],
    "stock": ["training.loss=stock", "training.optim=adamw_torch"],
}  # fmt: skip


@pytest.mark.parametrize("method", METHODS)
def test_training_is_the_same_to_the_bit_with_and_without_the_trial(
    method: str, make_recipe: MakeRecipe, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(f"data.eval=[{{path: {rows}, limit: 3}}]", *METHODS[method])
    plain = train_here(recipe)
    monkeypatch.setattr(trial, "is_worth_it", lambda where: True)
    tried = train_here(recipe)
    assert len(events_of(tried, "trial")) == 1 and not events_of(plain, "trial")
    assert losses_of(tried) == losses_of(plain)
    values = [[e["tokens"] for e in events_of(run, "step")] for run in (plain, tried)]
    assert values[0] == values[1]
    assert [e["loss"] for e in events_of(tried, "eval")] == [e["loss"] for e in events_of(plain, "eval")]
    folder = (lambda run: run.adapter) if recipe.adapter else (lambda run: run.model)
    one, other = weights_of(folder(plain)), weights_of(folder(tried))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "method", ["full", "lora, dropout", "packed, dropout", "nf4, checkpointing, dropout"]
)
def test_no_later_batch_takes_more_than_the_one_that_was_tried(
    method: str, make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    gc.collect()
    meter = count_runs(monkeypatch)
    recipe = make_recipe("training.max_steps=12", *METHODS[method])
    with meter:
        run = train_here(recipe)
    tried = events_of(run, "trial")[0]
    later = [
        reading["peak_bytes"]
        for event in events_of(run, "step_memory")
        if event["step"] > 0
        for moment, reading in event["moments"].items()
        if moment != "optimizer_step"
    ]
    # Steps are measured whenever their micro-batch is larger than any before: the largest is among them.
    assert max(later) <= tried["peak_bytes"] + NUMBERS
    assert max(later) >= 0.8 * tried["peak_bytes"], "it is not far more than any step takes either"


def test_the_event_says_what_was_tried(make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    meter = count_runs(monkeypatch)
    with meter:
        run = train_here(make_recipe("training.max_steps=1"))
    event = events_of(run, "trial")[0]
    assert event["rows"] == 2 and event["tokens"] == 2 * event["length"]
    assert [place.rpartition("rows.jsonl:")[2] for place in event["where"]] == ["16", "15"]
    assert event["seconds"] > 0
    assert event["peak_bytes"] == max(
        reading["peak_bytes"]
        for each in events_of(run, "step_memory")
        if each["step"] == 0
        for moment, reading in each["moments"].items()
        if moment != "load"
    )


def test_the_largest_batch_of_an_evaluation_is_tried_too(
    make_recipe: MakeRecipe, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = count_runs(monkeypatch)
    recipe = make_recipe(f"data.eval=[{{path: {rows}, limit: 5}}]", "training.per_device_eval_batch_size=2")
    sizes: list[int] = []
    original = callback.SftTrainer.add_losses

    def watched(self: Any, totals: Any, batch: Any, targets: Any) -> None:
        sizes.append(targets.numel())
        original(self, totals, batch, targets)

    monkeypatch.setattr(callback.SftTrainer, "add_losses", watched)
    with meter:
        run = train_here(recipe)
    assert sizes[0] == max(sizes)
    assert len(sizes) > 3
    assert "evaluation" in events_of(run, "step_memory")[2]["moments"]


def test_a_resumed_run_tries_it_beside_the_states_that_it_has(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = count_runs(monkeypatch)
    recipe = make_recipe("training.save_strategy=steps", "training.save_steps=3")
    with meter:
        run = train_here(recipe)
    shutil.rmtree(run.checkpoint(6))
    gc.collect()
    again = count_runs(monkeypatch)
    with again:
        train_here(recipe, run)
    assert events_of(run, "resume")[0]["step"] == 3
    first, second = events_of(run, "trial")
    assert first["peak_bytes"] == pytest.approx(second["peak_bytes"], rel=0.02)


def out_of_memory(*_: Any, **__: Any) -> Any:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def test_where_it_does_not_fit_the_run_ends_before_step_1_and_says_what_to_change(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    meter: CountedMeter = count_runs(monkeypatch)
    monkeypatch.setattr(chunked_loss, "_loss", out_of_memory)
    monkeypatch.setattr(chunked_loss, "_difference", lambda *_: None)
    recipe = make_recipe("model.dtype=float32")
    with meter, pytest.raises(ShortOfMemoryError) as caught:
        train_here(recipe)
    failure = explain(caught.value, recipe, "trying the largest batch")
    assert failure.kind == "memory"
    assert failure.cause.startswith("out of memory")
    assert "(trying the largest batch)" in failure.cause
    assert failure.advice.startswith("start anew with ") and "=" in failure.advice
    run = next(each for each in tmp_path.iterdir() if (each / "events.jsonl").exists())
    from sftui.runs.directory import RunDirectory

    trials = events_of(RunDirectory(run), "trial")
    assert [event["peak_bytes"] for event in trials] == [None]
    assert not events_of(RunDirectory(run), "step")


def test_on_the_cpu_it_is_not_done_by_itself() -> None:
    assert not trial.is_worth_it(torch.device("cpu"))
    assert trial.is_worth_it(torch.device("cuda", 0))
