"""Bins in training: what a batch of them holds, and that runs on bins train what unpacked runs train."""

from __future__ import annotations

import json
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sftui.data.sequences import Sequence
from sftui.training.bins import BinCollator, BinDataset, Part

from .conftest import WORDS, MakeRecipe, events_of, largest_difference, losses_of, train_here, weights_of
from .test_resume import train_and_stop

PAD = 9
ONE = Sequence(array("i", [1, 2, 3]), bytes([0, 1, 1]), 0, "a:1")
TWO = Sequence(array("i", [4, 5]), bytes([0, 1]), 1, "a:2", array("f", [0.0, 2.5]))
SIX = Sequence(array("i", [6, 7, 8, 6, 7, 8]), bytes([0, 0, 1, 1, 1, 1]), 2, "a:3")

# All sixteen rows in one step, whatever they are put into.
ONE_STEP_AN_EPOCH = ("training.per_device_train_batch_size=2", "training.gradient_accumulation_steps=8")
PACKED = ("data.packing=best_fit", "data.max_length=64")


def whole(number: int, sequence: Sequence) -> Part:
    return Part(number, sequence, 0, len(sequence))


BINS = [[whole(4, ONE), whole(7, TWO)], [whole(2, SIX)]]


def test_flat_bins_lie_one_after_the_other_without_padding() -> None:
    batch = BinCollator(PAD, flat=True)(BINS)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5, 6, 7, 8, 6, 7, 8]]
    assert batch["labels"].tolist() == [[-100, 2, 3, -100, 5, -100, -100, 8, 6, 7, 8]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0, 1, 2, 3, 4, 5]]
    assert batch["weights"].tolist() == [[1, 1, 1, 0, 2.5, 1, 1, 1, 1, 1, 1]]
    assert batch["cu_seq_lens_q"].tolist() == batch["cu_seq_lens_k"].tolist() == [0, 3, 5, 11]
    assert batch["cu_seq_lens_q"].dtype == torch.int32
    assert (batch["max_length_q"], batch["max_length_k"]) == (6, 6)
    assert (batch["rows"], batch["counts"]) == ((4, 7, 2), (11, 7))
    assert "attention_mask" not in batch


def test_bins_in_rows_are_padded_by_a_sequence_of_its_own() -> None:
    batch = BinCollator(PAD, flat=False)(BINS)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5, PAD], [6, 7, 8, 6, 7, 8]]
    assert batch["labels"].tolist() == [[-100, 2, 3, -100, 5, -100], [-100, -100, 8, 6, 7, 8]]
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 0], [0, 1, 2, 3, 4, 5]]
    assert batch["weights"].tolist() == [[1, 1, 1, 0, 2.5, 1], [1] * 6]
    assert (batch["rows"], batch["counts"]) == ((4, 7, 2), (11, 7))
    assert not {"attention_mask", "cu_seq_lens_q", "max_length_q"} & batch.keys()
    assert {batch[name].dtype for name in ("input_ids", "labels", "position_ids")} == {torch.int64}
    assert batch["weights"].dtype == torch.float32


def test_the_first_token_of_a_later_piece_is_not_trained() -> None:
    batch = BinCollator(PAD, flat=True)([[Part(0, ONE, 1, 3), Part(2, SIX, 0, 4)], [Part(2, SIX, 4, 6)]])
    assert batch["labels"].tolist() == [[-100, 3, -100, -100, 8, 6, -100, 8]]
    assert batch["position_ids"].tolist() == [[0, 1, 0, 1, 2, 3, 0, 1]]
    assert batch["counts"] == (8, 4)
    assert "weights" not in batch


def test_each_piece_has_the_weights_of_its_own_tokens() -> None:
    weighted = replace(SIX, weights=array("f", [1, 2, 3, 4, 5, 6]))
    batch = BinCollator(PAD, flat=True)([[Part(2, weighted, 0, 4)], [Part(2, weighted, 4, 6)]])
    assert batch["weights"].tolist() == [[1, 2, 3, 4, 5, 6]]
    batch = BinCollator(PAD, flat=False)([[Part(2, weighted, 4, 6)]])
    assert batch["weights"].tolist() == [[5, 6]]


def many(count: int = 40) -> list[Sequence]:
    lengths = [2 + (7 * number) % 13 for number in range(count)]
    return [
        Sequence(array("i", [row] * n), b"\0" + b"\1" * (n - 1), row, str(row))
        for row, n in enumerate(lengths)
    ]


def shares(data: BinDataset) -> list[tuple[int, ...]]:
    return [tuple(part.number for part in data[number]) for number in range(len(data))]


def test_other_sequences_of_the_same_lengths_share_bins_in_each_epoch_if_they_shall() -> None:
    data = BinDataset(many(), "best_fit", 32, seed=3, repacks=True)
    epochs = []
    for epoch in (0, 1, 2, 1):
        data.begin_epoch(epoch)
        epochs.append(shares(data))
    assert sorted(number for row in epochs[1] for number in row) == list(range(40))
    assert len({len(rows) for rows in epochs}) == 1
    assert epochs[0] != epochs[1] != epochs[2] and epochs[1] == epochs[3]
    assert epochs[0] != shares(BinDataset(many(), "best_fit", 32, seed=4, repacks=True))
    fixed = BinDataset(many(), "best_fit", 32, seed=3)
    fixed.begin_epoch(2)
    assert shares(fixed) == epochs[0]


def test_tokens_lost_to_cuts_are_counted_as_the_batches_lose_them() -> None:
    sequences = many()
    data = BinDataset(sequences, "wrapped", 16, seed=0)
    batch = BinCollator(PAD, flat=True)([data[number] for number in range(len(data))])
    trained = sum(sequence.trained.count(1) for sequence in sequences)
    assert 0 < data.lost_tokens() == trained - batch["counts"][1]
    assert batch["counts"][0] == sum(map(len, sequences))


@pytest.mark.parametrize("packing", ["next_fit", "best_fit"])
@pytest.mark.parametrize("attention", ["auto", "sdpa", "eager"])
def test_packed_training_takes_the_steps_of_unpacked_training(
    make_recipe: MakeRecipe, weighted_rows: Path, packing: str, attention: str
) -> None:
    common = (f"data.train=[{{path: {weighted_rows}, limit: 16}}]", "training.max_steps=4")
    unpacked = train_here(make_recipe(*ONE_STEP_AN_EPOCH, *common))
    packed = train_here(
        make_recipe(
            *ONE_STEP_AN_EPOCH,
            *common,
            *PACKED,
            f"data.packing={packing}",
            f"model.attn_implementation={attention}",
        )
    )
    assert losses_of(packed) == pytest.approx(losses_of(unpacked), abs=1e-5)
    assert largest_difference(weights_of(packed.adapter), weights_of(unpacked.adapter)) < 1e-4
    for one, other in zip(events_of(packed, "step"), events_of(unpacked, "step"), strict=True):
        assert (one["tokens"], one["trained_tokens"]) == (other["tokens"], other["trained_tokens"])
        assert one["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)


def test_the_start_of_a_packed_run_says_what_packing_makes_of_the_data(make_recipe: MakeRecipe) -> None:
    run = train_here(make_recipe(*PACKED, "training.max_steps=1"))
    start = events_of(run, "start")[0]
    packing = start["packing"]
    assert (packing["strategy"], packing["max_length"], packing["cut"]) == ("best_fit", 64, 0)
    assert packing["lower_bound"] <= packing["bins"] < start["sequences"] == 16
    assert packing["fill"] == pytest.approx(start["tokens"] / packing["bins"] / 64)
    assert start["attention"] == "varlen" and "one sequence after the other" in packing["kernel"]
    assert events_of(run, "warning") == []


def test_an_unpacked_run_says_nothing_of_packing(make_recipe: MakeRecipe) -> None:
    run = train_here(make_recipe("training.max_steps=1"))
    assert "packing" not in events_of(run, "start")[0]
    assert events_of(run, "leak_test") == []


def test_an_epoch_has_as_many_steps_as_its_bins_make(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(*PACKED, "training.max_steps=-1", "training.num_train_epochs=2")
    run = train_here(recipe)
    bins = events_of(run, "start")[0]["packing"]["bins"]
    steps = events_of(run, "step")
    assert len(steps) == 2 * -(-bins // 4)
    assert steps[-1]["tokens"] == 2 * events_of(run, "start")[0]["tokens"]


def test_wrapped_bins_train_all_but_the_first_tokens_after_cuts(make_recipe: MakeRecipe) -> None:
    run = train_here(
        make_recipe(*PACKED, "data.packing=wrapped", "training.max_steps=-1", "training.num_train_epochs=1")
    )
    start, last = events_of(run, "start")[0], events_of(run, "step")[-1]
    assert start["packing"]["bins"] == -(-start["tokens"] // 64)
    assert start["packing"]["lost_tokens"] > 0
    assert (last["tokens"], last["trained_tokens"]) == (start["tokens"], start["trained_tokens"])


def test_a_step_without_a_trained_token_has_no_loss_and_ends_nothing(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    rows = tmp_path / "long.jsonl"
    question = " ".join(["stone river light cloud"] * 12)
    rows.write_text((json.dumps({"question": question, "answer": "bread"}) + "\n") * 2)
    run = train_here(
        make_recipe(
            f"data.train={rows}",
            "data.packing=wrapped",
            "data.max_length=16",
            "data.overlength=truncate",
            "data.truncation_side=left",
            "data.train_on=assistant",
            "training.max_steps=-1",
            "training.per_device_train_batch_size=1",
            "training.gradient_accumulation_steps=1",
        )
    )
    assert len(losses_of(run)) == 2


def test_the_evaluation_of_a_packed_run_is_that_of_an_unpacked_one(
    make_recipe: MakeRecipe, rows: Path
) -> None:
    common = (
        f"data.eval=[{{path: {rows}, limit: 7}}]",
        "training.max_steps=1",
        "training.per_device_eval_batch_size=3",
        "training.sample_rows=2",
        "training.sample_max_new_tokens=4",
    )
    unpacked, packed = train_here(make_recipe(*common)), train_here(make_recipe(*common, *PACKED))
    before, other = events_of(unpacked, "eval")[0], events_of(packed, "eval")[0]
    assert (before["loss"], before["tokens"]) == (other["loss"], other["tokens"])
    answers = [[e["answer"] for e in events_of(run, "sample")[:2]] for run in (unpacked, packed)]
    assert answers[0] == answers[1]


REPACKED = (
    *PACKED,
    "data.repack_each_epoch=true",
    "training.per_device_train_batch_size=1",
    "training.gradient_accumulation_steps=2",
    "adapter.lora_dropout=0.2",
    "training.num_train_epochs=3",
    "training.max_steps=-1",
    "training.save_strategy=steps",
    "training.save_steps=2",
)


@pytest.fixture(scope="module")
def alike(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Rows of four lengths, so that there are others of the same length to share a bin with."""
    path = tmp_path_factory.mktemp("data") / "alike.jsonl"
    with path.open("w") as file:
        for number in range(16):
            answer = " ".join(WORDS[number % 5 :][: 1 + number % 4] * 3)
            file.write(json.dumps({"question": WORDS[number % 7], "answer": answer}) + "\n")
    return f"data.train={path}"


@pytest.mark.parametrize("stop_after", [1, 6])
def test_a_repacked_run_resumed_within_an_epoch_ends_with_the_same_bits(
    make_recipe: MakeRecipe, alike: str, stop_after: int
) -> None:
    recipe = make_recipe(*REPACKED, alike)
    whole = train_here(recipe)
    steps_an_epoch = len(losses_of(whole)) / 3
    assert stop_after % steps_an_epoch and steps_an_epoch > 2, steps_an_epoch
    parted = train_and_stop(recipe, stop_after)
    train_here(recipe, parted)
    assert losses_of(parted) == losses_of(whole)
    expected, found = weights_of(whole.result), weights_of(parted.result)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
    assert [event["passed"] for event in events_of(parted, "leak_test")] == [True, True]


def test_epochs_of_a_repacked_run_hold_other_bins(
    make_recipe: MakeRecipe, alike: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, ...]] = []
    collate = BinCollator.__call__

    def watch(self: BinCollator, bins: Any) -> dict[str, Any]:
        seen.extend(tuple(sorted(part.number for part in row)) for row in bins)
        return collate(self, bins)

    monkeypatch.setattr(BinCollator, "__call__", watch)
    from sftui.training import leak_test

    monkeypatch.setattr(leak_test._Bench, "packed", lambda self, samples: self.padded(samples))
    run = train_here(make_recipe(*REPACKED, alike))
    bins = events_of(run, "start")[0]["packing"]["bins"]
    epochs = [set(seen[first : first + bins]) for first in range(0, 3 * bins, bins)]
    assert all(sorted(n for row in epoch for n in row) == list(range(16)) for epoch in epochs)
    assert len({frozenset(epoch) for epoch in epochs}) == 3


def test_a_quantised_model_is_trained_on_bins(make_recipe: MakeRecipe) -> None:
    run = train_here(
        make_recipe(
            *PACKED, "model.quantization=nf4", "training.gradient_checkpointing=true", "training.max_steps=12"
        )
    )
    losses = losses_of(run)
    assert sum(losses[-4:]) < sum(losses[:4])
    assert events_of(run, "warning") == []


def test_all_sequences_of_a_bad_bin_are_named(make_recipe: MakeRecipe) -> None:
    from sftui.training.failure import NonFiniteError

    recipe = make_recipe(
        *PACKED,
        "data.max_length=128",
        "training.warmup_steps=0",
        "training.max_grad_norm=0",
        "training.max_steps=50",
        "training.per_device_train_batch_size=1",
        "training.gradient_accumulation_steps=1",
    )
    # More than a recipe may say: the first step ruins the adapter.
    training = recipe.training.model_copy(update={"learning_rate": 1e18})
    with pytest.raises(NonFiniteError) as error:
        train_here(recipe.model_copy(update={"training": training}))
    assert len(error.value.rows) > 1
    assert all("rows.jsonl:" in row for row in error.value.rows)


def test_a_model_trained_in_full_does_not_keep_the_name_of_our_attention(make_recipe: MakeRecipe) -> None:
    run = train_here(make_recipe("adapter=null", "data.packing=best_fit", "training.max_steps=1"))
    assert "sftui_varlen" not in (Path(run.model) / "config.json").read_text()


@pytest.mark.slow
def test_two_processes_train_bins_as_one_does_with_twice_the_batch(
    make_recipe: MakeRecipe, alike: str
) -> None:
    from sftui.progress import wait_for_end
    from sftui.runs import launch

    once = (alike, *(o for o in REPACKED if "dropout" not in o and "accumulation" not in o))
    alone = train_here(make_recipe(*once, "training.gradient_accumulation_steps=4"))
    run = launch.start(
        make_recipe(*once, "training.num_processes=2", "training.gradient_accumulation_steps=2"), ["test"]
    )
    assert wait_for_end(run) == 0, run.log_file.read_text()
    assert losses_of(run) == pytest.approx(losses_of(alone), abs=1e-5)
    assert largest_difference(weights_of(run.adapter), weights_of(alone.adapter)) < 1e-4
    assert len(events_of(run, "leak_test")) == 1
    assert events_of(run, "step")[-1]["trained_tokens"] == events_of(alone, "step")[-1]["trained_tokens"]
