"""Sequences -> padded tensors."""

from __future__ import annotations

from collections.abc import Sequence as Many
from typing import Any

import torch
from torch.utils.data import Dataset

from sftui.data.sequences import Sequence, labels

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

    Gives `input_ids` and `labels` of shape (batch, length), int64, and `rows`, the positions in the
    dataset. Labels are -100 where untrained, on the first token and on padding: padding is masked by
    position, so a pad token that is also the end of turn stays trained. `attention_mask` is there
    only when something is padded: without it attention kernels take their fast causal path.
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
        }
        if not bool(mask.all()):
            batch["attention_mask"] = mask
        return batch


def token_loss(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Summed cross entropy of each token given those before it.

    `logits` (batch, length, vocabulary) of any float type, `targets` (batch, length) int64 with -100
    where nothing is trained. Returns a scalar in float32: the sum over trained tokens, in nats.
    """
    shifted = torch.nn.functional.pad(targets, (0, 1), value=IGNORED)[:, 1:].reshape(-1)
    flat = logits.float().view(-1, logits.shape[-1])
    return torch.nn.functional.cross_entropy(
        flat, shifted.to(flat.device), ignore_index=IGNORED, reduction="sum"
    )
