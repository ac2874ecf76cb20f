"""The bins of a dataset, ready to be shown: which rows lie where, and what is trained of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from sftui.data.packing.kept import Kept
from sftui.data.packing.layout import Layout, lay_out
from sftui.data.packing.summary import Summary, summarise
from sftui.recipe import Packing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

CLASSES = 20  # of equal width, by which bins are counted
_TOGETHER = 4096  # bins whose rows are listed at a time


@dataclass(frozen=True, slots=True)
class BinPiece:
    """Tokens start to end of a sequence, counted after the recipe's cut.

    `sequence` is its number in its row. `trained` are ranges counted from the piece's first token, which is
    never trained: nothing predicts it.
    """

    row: int
    sequence: int
    start: int
    end: int
    trained: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class BinView:
    """One bin: how many tokens it has, how many of them are trained, how many it holds."""

    number: int
    tokens: int
    trained: int
    max_length: int
    pieces: tuple[BinPiece, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """All bins of the training rows under one strategy, in the order of the layout of epoch 0."""

    summary: Summary
    layout: Layout
    _kept: Kept
    _rows: Integers  # of the kept sequences
    _tokens: Integers  # of the bins
    _begins: Integers  # the bin that each sequence begins in

    def __len__(self) -> int:
        return len(self.layout)

    def view(self, first: int, last: int) -> list[BinView]:
        """Bins `first` to `last`, that one not included, as far as there are such."""
        return [self._bin(number) for number in range(max(first, 0), min(last, len(self)))]

    def rows(self) -> Iterator[list[int]]:
        """Of each bin, the row of each piece; a row with several sequences may be there several times."""
        for first in range(0, len(self), _TOGETHER):
            offsets = self.layout.offsets[first : first + _TOGETHER + 1]
            within = slice(int(offsets[0]), int(offsets[-1]))
            rows: list[int] = self._rows[self.layout.sequences[within]].tolist()
            bounds = (offsets - offsets[0]).tolist()
            yield from (rows[begin:end] for begin, end in pairwise(bounds))

    def fills(self) -> tuple[int, ...]:
        """How many bins are filled to at most 5%, 10%, .. 100%."""
        import numpy as np

        classes = -(-self._tokens * CLASSES // self.layout.max_length) - 1
        return tuple(np.bincount(classes, minlength=CLASSES).tolist())

    def lost_tokens(self) -> int:
        """Tokens that would be trained if nothing were cut before them."""
        later = self.layout.starts > 0
        return int(self._kept.are_trained(self.layout.sequences[later], self.layout.starts[later]).sum())

    def bin_of(self, row: int) -> int | None:
        """The bin that a row's first sequence begins in; None for a row that is not packed."""
        import numpy as np

        at = int(np.searchsorted(self._rows, row))
        if at == len(self._rows) or self._rows[at] != row:
            return None
        return int(self._begins[at])

    def _bin(self, number: int) -> BinView:
        kept = self._kept
        pieces = tuple(
            BinPiece(
                int(self._rows[sequence]),
                int(kept.whole.numbers[kept.places[sequence]]),
                start,
                end,
                kept.trained(sequence, start, end),
            )
            for sequence, start, end in self.layout.pieces(number)
        )
        trained = sum(end - begin for piece in pieces for begin, end in piece.trained)
        return BinView(number, int(self._tokens[number]), trained, self.layout.max_length, pieces)


def bins_of(kept: Kept, strategy: Packing, max_length: int, seed: int, batch_size: int = 1) -> Bins:
    """The bins of the kept sequences, as the trainer lays them out in its first epoch."""
    layout = lay_out(kept.lengths, strategy, max_length, seed=seed)
    summary = summarise(kept.lengths.tolist(), strategy, max_length, batch_size)
    return Bins(summary, layout, kept, kept.rows, layout.tokens(), layout.bins_of())
