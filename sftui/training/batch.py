"""Sequences -> padded tensors -> logits -> loss."""

from __future__ import annotations

from collections.abc import Sequence as Many
from contextlib import nullcontext
from typing import Any

import torch
from torch.utils.data import Dataset

from sftui.data.sequences import Sequence, labels
from sftui.training.varlen import packed_input

IGNORED = -100


class SequenceDataset(Dataset[tuple[int, Sequence]]):
    """The sequences with their positions, so that a batch knows which rows it holds."""

    def __init__(self, sequences: Many[Sequence]) -> None:
        self.sequences = sequences

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> tuple[int, Sequence]:
        return index, self.sequences[index]


class Collator:
    """Pads a micro-batch on the right to its longest sequence.

    Gives `input_ids` and `labels` of shape (batch, length), int64, `rows`, the positions in the
    dataset, and `counts`, tokens and trained tokens. Labels are -100 where untrained, on the first token
    and on padding: padding is masked by position, so a pad token that is also the end of turn stays
    trained. `attention_mask` is there only when something is padded: without it attention kernels take
    their fast causal path. `weights` (batch, length), float32, is there only when a sequence has weights;
    the others' tokens count 1.
    """

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, items: Many[tuple[int, Sequence]]) -> dict[str, Any]:
        """The batch of these items."""
        longest = max(len(sequence.input_ids) for _, sequence in items)
        shape = (len(items), longest)
        input_ids = torch.full(shape, self.pad_id, dtype=torch.long)
        targets = torch.full(shape, IGNORED, dtype=torch.long)
        mask = torch.zeros(shape, dtype=torch.long)
        for row, (_, sequence) in enumerate(items):
            length = len(sequence.input_ids)
            input_ids[row, :length] = torch.tensor(list(sequence.input_ids))
            targets[row, :length] = torch.tensor(labels(sequence))
            mask[row, :length] = 1
        batch: dict[str, Any] = {
            "input_ids": input_ids,
            "labels": targets,
            # Plain integers stay on the host: naming the rows of a bad batch costs no device transfer.
            "rows": tuple(index for index, _ in items),
            "counts": (
                sum(len(sequence) for _, sequence in items),
                sum(sequence.trained.count(1) for _, sequence in items),
            ),
        }
        if not bool(mask.all()):
            batch["attention_mask"] = mask
        if any(sequence.weights is not None for _, sequence in items):
            batch["weights"] = _weights([sequence for _, sequence in items], longest)
        return batch


def logits_of(model: Any, inputs: dict[str, Any]) -> torch.Tensor:
    """The logits (batch, length, vocabulary) of a batch; `inputs` without its labels, rows and the like."""
    logits: torch.Tensor = outputs_of(model, inputs).logits
    return logits


def outputs_of(model: Any, inputs: dict[str, Any]) -> Any:
    """What the model makes of a batch; `inputs` without its labels, rows and the like."""
    # A cache would switch transformers' detection of packed sequences off.
    with packed_input() if "cu_seq_lens_q" in inputs else nullcontext():
        return model(**inputs, use_cache=False)


def token_loss(
    logits: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor | None = None
) -> torch.Tensor:
    """Summed cross entropy of each token given those before it, each times its weight.

    `logits` (batch, length, vocabulary) of any float type, `targets` (batch, length) int64 with -100
    where nothing is trained, `weights` (batch, length) float32, None for 1 everywhere. Returns a scalar
    in float32: the sum over trained tokens, in nats.
    """
    shifted = torch.nn.functional.pad(targets, (0, 1), value=IGNORED)[:, 1:].reshape(-1)
    flat = logits.float().view(-1, logits.shape[-1])
    shifted = shifted.to(flat.device)
    if weights is None:
        return torch.nn.functional.cross_entropy(flat, shifted, ignore_index=IGNORED, reduction="sum")
    # A number a token: nothing of the vocabulary's size is kept beside what the plain sum keeps.
    each = torch.nn.functional.cross_entropy(flat, shifted, ignore_index=IGNORED, reduction="none")
    shares = torch.nn.functional.pad(weights, (0, 1))[:, 1:].reshape(-1)
    return (each * shares.to(flat.device)).sum()


def total_weight(targets: torch.Tensor, weights: torch.Tensor | None = None) -> torch.Tensor:
    """What `token_loss` of these is to be divided by for a mean.

    A scalar in float64: the weights of the trained tokens, summed; their number where `weights` is None.
    """
    trained = targets[:, 1:] != IGNORED
    if weights is None:
        return trained.sum().double()
    return weights[:, 1:].masked_fill(~trained, 0).double().sum()


def _weights(sequences: Many[Sequence], longest: int) -> torch.Tensor:
    """(batch, longest), float32: 1 in rows without weights, where labels alone say what counts."""
    shares = torch.ones((len(sequences), longest), dtype=torch.float32)
    for row, sequence in enumerate(sequences):
        if sequence.weights is not None:
            shares[row, : len(sequence)] = torch.tensor(list(sequence.weights), dtype=torch.float32)
    return shares
