from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from .conftest import MakeRecipe, events_of, largest_difference, losses_of, train_here, weights_of


def test_eight_batches_of_one_equal_one_batch_of_eight_on_unequal_lengths(make_recipe: MakeRecipe) -> None:
    one_by_one = train_here(
        make_recipe("training.per_device_train_batch_size=1", "training.gradient_accumulation_steps=8")
    )
    at_once = train_here(
        make_recipe("training.per_device_train_batch_size=8", "training.gradient_accumulation_steps=1")
    )
    assert losses_of(one_by_one) == pytest.approx(losses_of(at_once), abs=1e-5)
    assert largest_difference(weights_of(one_by_one.adapter), weights_of(at_once.adapter)) < 1e-4


def test_the_loss_is_the_mean_over_trained_tokens_of_the_whole_effective_batch(
    make_recipe: MakeRecipe, tiny_model: Path
) -> None:
    """Computed anew from the model before its first step and the rows of that step."""
    from transformers import AutoModelForCausalLM

    from sftui.data.dataset import encode_dataset
    from sftui.data.sequences import labels
    from sftui.data.tokenizer import load_tokenizer

    recipe = make_recipe("training.gradient_accumulation_steps=8", "training.max_steps=1")
    run = train_here(recipe)
    data = encode_dataset(recipe.data, load_tokenizer(str(tiny_model)), seed=recipe.training.seed)
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()
    total, tokens = 0.0, 0
    for sequence in data.train:
        targets = torch.tensor(labels(sequence))
        with torch.no_grad():
            logits = model(torch.tensor([list(sequence.input_ids)])).logits[0]
        scored = targets[1:] != -100
        total += torch.nn.functional.cross_entropy(
            logits[:-1][scored], targets[1:][scored], reduction="sum"
        ).item()
        tokens += int(scored.sum())
    event = events_of(run, "step")[0]
    assert event["loss"] == pytest.approx(total / tokens, rel=1e-5)
    assert event["trained_tokens"] == tokens


def test_the_evaluation_loss_is_the_mean_over_all_held_out_tokens_whatever_the_batch(
    make_recipe: MakeRecipe, rows: Path
) -> None:
    losses = []
    for size in (1, 3, 4):
        run = train_here(
            make_recipe(
                f"data.eval={rows}",
                f"training.per_device_eval_batch_size={size}",
                "training.max_steps=1",
                "training.learning_rate=1e-9",
            )
        )
        evaluations = events_of(run, "eval")
        assert [event["step"] for event in evaluations] == [0, 1]
        losses.append(evaluations[0]["loss"])
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-6)


def test_padding_is_masked_by_position_so_that_a_pad_token_in_the_answer_stays_trained() -> None:
    from array import array

    from sftui.data.sequences import Sequence
    from sftui.training.batch import Collator

    pad = 9
    short = Sequence(array("i", [1, 2, pad]), bytes([0, 1, 1]), 0, "a:1")
    long = Sequence(array("i", [1, 2, 3, 4, 5]), bytes([0, 0, 1, 1, 1]), 1, "a:2")
    batch = Collator(pad)([(7, short), (8, long)])
    assert batch["labels"].tolist() == [[-100, 2, pad, -100, -100], [-100, -100, 3, 4, 5]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]]
    assert batch["rows"] == (7, 8)
    assert "attention_mask" not in Collator(pad)([(7, short)])


@pytest.mark.slow
def test_two_processes_train_and_evaluate_as_one_does_with_twice_the_batch(
    make_recipe: MakeRecipe, weighted_rows: Path
) -> None:
    from sftui.progress import wait_for_end
    from sftui.runs import launch

    held_out = (
        f"data.train=[{{path: {weighted_rows}, limit: 16}}]",
        f"data.eval=[{{path: {weighted_rows}, limit: 7}}]",
        "training.per_device_eval_batch_size=2",
    )
    alone = train_here(make_recipe("training.gradient_accumulation_steps=4", *held_out))
    run = launch.start(make_recipe("training.num_processes=2", *held_out), ["test"])
    assert wait_for_end(run) == 0, run.log_file.read_text()
    assert losses_of(run) == pytest.approx(losses_of(alone), abs=1e-5)
    assert largest_difference(weights_of(run.adapter), weights_of(alone.adapter)) < 1e-4
    evaluated, expected = events_of(run, "eval"), events_of(alone, "eval")
    assert [event["tokens"] for event in evaluated] == [event["tokens"] for event in expected]
    assert [event["loss"] for event in evaluated] == pytest.approx([e["loss"] for e in expected], abs=1e-5)
    assert events_of(run, "step")[-1]["trained_tokens"] == events_of(alone, "step")[-1]["trained_tokens"]


def test_step_events_carry_losses_in_full_precision(make_recipe: MakeRecipe) -> None:
    run = train_here(make_recipe("training.max_steps=2"))
    lines = [line for line in run.events_file.read_text().splitlines() if json.loads(line)["type"] == "step"]
    assert len(lines) == 2
    for event in map(json.loads, lines):
        assert event["loss"] != round(event["loss"], 5)
        assert {"epoch", "learning_rate", "grad_norm", "tokens", "tokens_per_second"} <= event.keys()
