"""Bins -> tensors: sequences one after the other, each with positions of its own, and no mask."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from collections.abc import Sequence as Many
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset

from sftui.data.packing.layout import Layout, lay_out
from sftui.data.sequences import Sequence, labels
from sftui.recipe import Packing
from sftui.training.batch import IGNORED


@dataclass(frozen=True, slots=True)
class Part:
    """Tokens start to end of a sequence, and its number in the dataset."""

    number: int
    sequence: Sequence
    start: int
    end: int

    def __len__(self) -> int:
        return self.end - self.start

    def ids(self) -> list[int]:
        """The token ids."""
        return list(self.sequence.input_ids[self.start : self.end])

    def labels(self) -> list[int]:
        """The labels; the first is IGNORED: nothing before it is seen."""
        return [IGNORED, *labels(self.sequence)[self.start + 1 : self.end]]

    def weights(self) -> list[float]:
        """What each token counts."""
        weights = self.sequence.weights
        return [1.0] * len(self) if weights is None else list(weights[self.start : self.end])


class BinDataset(Dataset[list[Part]]):
    """Sequences in bins. Which of them share a bin follows from seed and epoch where `repacks`."""

    def __init__(
        self,
        sequences: Many[Sequence],
        packing: Packing,
        max_length: int,
        *,
        seed: int,
        repacks: bool = False,
    ) -> None:
        self.sequences = sequences
        self._packing, self._max_length, self._seed = packing, max_length, seed
        self._repacks, self._epoch = repacks, 0
        self._lengths = [len(sequence) for sequence in sequences]
        self.layout = self._lay_out()

    def __len__(self) -> int:
        return len(self.layout)

    def __getitem__(self, index: int) -> list[Part]:
        pieces = self.layout.pieces(index)
        return [Part(number, self.sequences[number], start, end) for number, start, end in pieces]

    def begin_epoch(self, epoch: int) -> None:
        """Put the sequences into the bins of this epoch, counted from 0. There are as many in each."""
        if self._repacks and epoch != self._epoch:
            self._epoch = epoch
            self.layout = self._lay_out()

    def lost_tokens(self) -> int:
        """Tokens that would be trained if nothing were cut before them."""
        later = self.layout.starts > 0
        cuts = zip(self.layout.sequences[later].tolist(), self.layout.starts[later].tolist(), strict=True)
        return sum(self.sequences[number].trained[start] for number, start in cuts)

    def _lay_out(self) -> Layout:
        return lay_out(self._lengths, self._packing, self._max_length, seed=self._seed, epoch=self._epoch)


class BinCollator:
    """A micro-batch of bins, each a list of parts.

    `flat`: all in one row, (1, tokens), with `cu_seq_lens_q` and `cu_seq_lens_k`, int32, where sequences
    begin and the number of tokens, and `max_length_q` and `max_length_k`, the longest. Otherwise a row a
    bin, padded at the end to the longest; the padding is a sequence of its own.

    Both have `input_ids`, `labels` and `position_ids`, int64, positions from 0 in each sequence, and no
    mask: transformers tells sequences apart by their positions only where there is none. `rows` are the
    numbers of the sequences, `counts` tokens and trained tokens, as plain integers. `weights`, float32, is
    there only when a sequence has weights; the others' tokens count 1.
    """

    def __init__(self, pad_id: int, *, flat: bool) -> None:
        self.pad_id, self.flat = pad_id, flat

    def __call__(self, bins: Many[list[Part]]) -> dict[str, Any]:
        """The batch of these bins."""
        parts = [part for row in bins for part in row]
        rows = [parts] if self.flat else bins
        longest = max(sum(map(len, row)) for row in rows)

        def tensor(values: Callable[[Part], Iterable[float]], padding: float) -> torch.Tensor:
            lines = [[value for part in row for value in values(part)] for row in rows]
            return torch.tensor([line + [padding] * (longest - len(line)) for line in lines])

        places = [[*map(len, row), longest - sum(map(len, row))] for row in rows]
        batch: dict[str, Any] = {
            "input_ids": tensor(Part.ids, self.pad_id),
            "labels": tensor(Part.labels, IGNORED),
            "position_ids": torch.tensor([[i for length in row for i in range(length)] for row in places]),
            "rows": tuple(part.number for part in parts),
        }
        batch["counts"] = (sum(map(len, parts)), int((batch["labels"] != IGNORED).sum()))
        if any(part.sequence.weights is not None for part in parts):
            batch["weights"] = tensor(Part.weights, 1.0)
        if self.flat:
            ends = torch.tensor([0, *map(len, parts)]).cumsum(0).to(torch.int32)
            most = max(map(len, parts))
            batch |= {
                "cu_seq_lens_q": ends,
                "cu_seq_lens_k": ends,
                "max_length_q": most,
                "max_length_k": most,
            }
        return batch
