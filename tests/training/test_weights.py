"""Weights of tokens reach the loss: sum(weight * loss) / sum(weight), whatever the batches."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sftui.data.dataset import EncodedData
from sftui.data.sequences import Sequence, labels
from sftui.training import session
from sftui.training.batch import IGNORED, Collator, token_loss, total_weight

from .conftest import MakeRecipe, events_of, largest_difference, losses_of, train_here, weights_of

Weigh = Callable[[Sequence], array | None]


def mixed(sequence: Sequence) -> array | None:
    """Weights that differ between and within rows; none at all in every third."""
    if sequence.row % 3 == 0:
        return None
    return array("f", [(sequence.row % 4 + 1) * (0.25 if i % 2 else 1.5) for i in range(len(sequence))])


@pytest.fixture
def weigh(monkeypatch: pytest.MonkeyPatch) -> Callable[[Weigh], list[EncodedData]]:
    """Give the sequences of the runs that follow these weights; the list then holds their data."""
    encode = session.encode_dataset

    def weigh(choose: Weigh) -> list[EncodedData]:
        seen: list[EncodedData] = []

        def encode_and_weigh(*arguments: object, **options: object) -> EncodedData:
            data = encode(*arguments, **options)
            train, held_out = (
                [replace(each, weights=choose(each)) for each in side] for side in (data.train, data.eval)
            )
            seen.append(replace(data, train=train, eval=held_out))
            return seen[-1]

        monkeypatch.setattr(session, "encode_dataset", encode_and_weigh)
        return seen

    return weigh


def batch(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random logits (3, 7, 11) that want a gradient, and labels with untrained ones among them."""
    torch.manual_seed(seed)
    targets = torch.randint(0, 11, (3, 7))
    targets[0, :3] = targets[1, 4:] = targets[:, 0] = IGNORED
    return torch.randn(3, 7, 11, requires_grad=True), targets


def test_a_weight_of_two_everywhere_changes_neither_loss_nor_gradient() -> None:
    gradients, means = [], []
    for weights in (None, torch.full((3, 7), 2.0)):
        logits, targets = batch()
        mean = token_loss(logits, targets, weights) / total_weight(targets, weights)
        mean.backward()
        assert logits.grad is not None
        gradients.append(logits.grad)
        means.append(mean.item())
    assert bool(gradients[0].any())
    assert torch.allclose(gradients[0], gradients[1], rtol=0, atol=1e-7)
    assert means[0] == pytest.approx(means[1], rel=1e-6)


def test_a_mix_of_weights_gives_the_weighted_mean_as_written_out_in_float64() -> None:
    logits, targets = batch()
    weights = torch.rand(3, 7) * 3
    log_probabilities = logits.detach().double().log_softmax(-1)
    summed = total = 0.0
    for row in range(3):
        for position in range(1, 7):
            label = int(targets[row, position])
            if label != IGNORED:
                summed -= float(weights[row, position]) * float(log_probabilities[row, position - 1, label])
                total += float(weights[row, position])
    assert token_loss(logits, targets, weights).item() == pytest.approx(summed, rel=1e-6)
    assert total_weight(targets, weights).item() == pytest.approx(total, rel=1e-12)


def test_weights_keep_nothing_of_the_size_of_the_vocabulary_for_the_backward_pass() -> None:
    kept = []
    for weights in (None, torch.ones(2, 8)):
        sizes: list[int] = []
        logits, targets = torch.randn(2, 8, 1000, requires_grad=True), torch.randint(0, 1000, (2, 8))

        def keep(tensor: torch.Tensor, sizes: list[int] = sizes) -> torch.Tensor:
            sizes.append(tensor.numel())
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            token_loss(logits, targets, weights)
        kept.append(sum(sizes))
    assert kept[0] >= 2 * 8 * 1000
    assert kept[1] - kept[0] < 1000


def test_weights_are_collated_beside_the_labels_only_where_a_row_has_them() -> None:
    plain = Sequence(array("i", [1, 2, 3]), bytes([0, 1, 1]), 0, "a:1")
    weighted = Sequence(array("i", [4, 5]), bytes([0, 1]), 1, "a:2", array("f", [0.0, 2.5]))
    collate = Collator(9)
    assert "weights" not in collate([(0, plain)])
    found = collate([(0, plain), (1, weighted)])
    assert found["weights"].dtype == torch.float32
    assert found["weights"][0].tolist() == [1, 1, 1]
    assert found["weights"][1, :2].tolist() == [0, 2.5]
    assert total_weight(found["labels"], found["weights"]).item() == 2 + 2.5  # nothing for padding


def test_without_weights_the_total_is_the_number_of_trained_tokens() -> None:
    _, targets = batch()
    assert total_weight(targets).item() == int((targets[:, 1:] != IGNORED).sum())


def test_weighted_batches_of_one_equal_one_batch_of_eight(
    make_recipe: MakeRecipe, weigh: Callable[[Weigh], list[EncodedData]]
) -> None:
    sizes = [
        (
            f"training.per_device_train_batch_size={size}",
            f"training.gradient_accumulation_steps={8 // size}",
        )
        for size in (1, 8)
    ]
    plain = train_here(make_recipe(*sizes[0]))
    weigh(mixed)
    one_by_one, at_once = (train_here(make_recipe(*size)) for size in sizes)
    assert losses_of(one_by_one) == pytest.approx(losses_of(at_once), abs=1e-5)
    assert largest_difference(weights_of(one_by_one.adapter), weights_of(at_once.adapter)) < 1e-4
    assert losses_of(plain) != pytest.approx(losses_of(at_once), abs=1e-3)


def test_the_same_weight_on_every_token_trains_as_none_does(
    make_recipe: MakeRecipe, weigh: Callable[[Weigh], list[EncodedData]]
) -> None:
    plain = train_here(make_recipe())
    weigh(lambda sequence: array("f", [2.0] * len(sequence)))
    doubled = train_here(make_recipe())
    assert losses_of(doubled) == pytest.approx(losses_of(plain), abs=1e-6)
    assert largest_difference(weights_of(doubled.adapter), weights_of(plain.adapter)) < 1e-5


def test_training_and_evaluation_report_the_weighted_mean_over_all_their_tokens(
    make_recipe: MakeRecipe, weigh: Callable[[Weigh], list[EncodedData]], rows: Path, tiny_model: Path
) -> None:
    """Both computed anew, a row at a time in float64, from the model before its first step."""
    from transformers import AutoModelForCausalLM

    seen = weigh(mixed)
    recipe = make_recipe(
        f"data.eval=[{{path: {rows}, limit: 7}}]",
        "training.per_device_eval_batch_size=3",
        "training.gradient_accumulation_steps=8",
        "training.max_steps=1",
    )
    run = train_here(recipe)
    data = seen[0]
    model = AutoModelForCausalLM.from_pretrained(tiny_model).eval()

    def expected(sequences: list[Sequence]) -> tuple[float, int]:
        summed = total = 0.0
        tokens = 0
        for sequence in sequences:
            with torch.no_grad():
                logits = model(torch.tensor([list(sequence.input_ids)])).logits[0].double()
            losses = -logits[:-1].log_softmax(-1)
            weights = sequence.weights or [1.0] * len(sequence)
            for position, label in enumerate(labels(sequence)):
                if label != IGNORED:
                    summed += weights[position] * losses[position - 1, label].item()
                    total += weights[position]
                    tokens += 1
        return summed / total, tokens

    step, evaluation = events_of(run, "step")[0], events_of(run, "eval")[0]
    loss, tokens = expected(data.train)
    assert (step["loss"], step["trained_tokens"]) == (pytest.approx(loss, rel=1e-5), tokens)
    loss, tokens = expected(data.eval)
    assert (evaluation["loss"], evaluation["tokens"]) == (pytest.approx(loss, rel=1e-5), tokens)


def test_the_weight_that_a_row_gives_a_message_is_that_of_its_tokens(
    make_recipe: MakeRecipe, weigh: Callable[[Weigh], list[EncodedData]], weighted_rows: Path
) -> None:
    """The same conversations, weighted in the file and weighted here."""
    given = train_here(make_recipe(f"data.train=[{{path: {weighted_rows}, limit: 16}}]"))
    weigh(lambda each: array("f", [0.25 * (each.row % 5 + 1) if each.row % 3 else 1.0] * len(each)))
    assert losses_of(given) == pytest.approx(losses_of(train_here(make_recipe())), abs=1e-6)
