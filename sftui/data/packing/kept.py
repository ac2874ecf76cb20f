"""Which sequences of a dataset a run packs, in which order, and how much remains of each.

The same as `dataset.encode_dataset` trains on, from chunks whose ids may be missing, by arrays: a million
sequences take a moment.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftui.data.chunk import Chunk
from sftui.data.cut import kept_spans
from sftui.recipe import DataSection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """All sequences of some chunks, before any cut, in the order of their rows.

    One entry a sequence: its row, its number in the row, its tokens. Of sequence i the trained tokens are
    spans[offsets[i]:offsets[i + 1]], pairs of first and end. `known` has (begin, rows) of each chunk.
    """

    rows: Integers
    numbers: Integers
    lengths: Integers
    offsets: Integers
    spans: Integers
    known: tuple[tuple[int, int], ...]

    @property
    def row_count(self) -> int:
        """Rows that are known, those without a sequence too."""
        return sum(rows for _, rows in self.known)

    def drawn(self, times: array[int] | None) -> int:
        """How many rows that are known are drawn; see `used.Draws` for `times`."""
        if times is None:
            return self.row_count
        return sum(sum(times[begin : begin + rows]) for begin, rows in self.known)


@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """The sequences that are packed, as often and in the order as the trainer has them.

    One entry each: its number in `whole`, the first token that is kept of it, how many are.
    """

    whole: Whole
    places: Integers
    firsts: Integers
    lengths: Integers

    def __len__(self) -> int:
        return len(self.places)

    @property
    def rows(self) -> Integers:
        """The row of each, ascending."""
        rows: Integers = self.whole.rows[self.places]
        return rows

    def trained(self, number: int, start: int, end: int) -> tuple[tuple[int, int], ...]:
        """The trained tokens of a piece, tokens start to end of what is kept, counted from its first."""
        place, first = int(self.places[number]), int(self.firsts[number])
        bounds = self.whole.offsets[place : place + 2].tolist()
        spans = self.whole.spans[slice(*bounds)].tolist()
        return tuple(kept_spans(((begin, stop) for begin, stop in spans), first + start, first + end))

    def are_trained(self, numbers: Integers, tokens: Integers) -> NDArray[np.bool_]:
        """Whether each token, counted from the first that is kept of its sequence, would be trained there."""
        import numpy as np

        whole = self.whole
        longest = int(whole.lengths.max(initial=0)) + 1
        owners = np.repeat(np.arange(len(whole.lengths)), np.diff(whole.offsets)) * longest
        wanted = self.places[numbers] * longest + self.firsts[numbers] + tokens
        begun = np.searchsorted(owners + whole.spans[:, 0], wanted, side="right")
        ended = np.searchsorted(owners + whole.spans[:, 1], wanted, side="right")
        found: NDArray[np.bool_] = begun > ended
        return found


def gather(chunks: Iterable[Chunk]) -> Whole:
    """The sequences of chunks that come in any order."""
    import numpy as np

    ordered = sorted(chunks, key=lambda chunk: chunk.begin)

    def joined(name: str) -> Integers:
        parts = [np.asarray(getattr(chunk, name)) for chunk in ordered]
        return np.concatenate(parts).astype(np.int64) if parts else np.zeros(0, np.int64)

    counts = joined("counts")
    begins = [np.arange(chunk.begin, chunk.begin + chunk.rows) for chunk in ordered]
    rows = np.concatenate(begins) if begins else np.zeros(0, np.int64)
    numbers = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return Whole(
        np.repeat(rows, counts),
        numbers,
        joined("lengths"),
        np.concatenate([np.zeros(1, np.int64), np.cumsum(joined("span_counts"))]),
        joined("spans").reshape(-1, 2),
        tuple((chunk.begin, chunk.rows) for chunk in ordered),
    )


def kept_lengths(whole: Whole, data: DataSection) -> Integers:
    """How many tokens remain of each sequence: 0 if it is dropped, or if none that remains is trained."""
    import numpy as np

    limit, lengths = data.max_length, whole.lengths
    trained = np.diff(whole.offsets) > 0
    kept: Integers = np.where(trained, lengths, 0)
    (long,) = np.nonzero(lengths > limit)
    kept[long] = 0
    if data.overlength == "truncate":
        long = long[trained[long]]
        if data.truncation_side == "right":
            remains = whole.spans[whole.offsets[long], 0] < limit
        else:  # the new first token is not trained
            remains = whole.spans[whole.offsets[long + 1] - 1, 1] > lengths[long] - limit + 1
        kept[long[remains]] = limit
    return kept


def keep(whole: Whole, data: DataSection, times: array[int] | None) -> Kept:
    """What is packed of all sequences; `times` says how often each row is drawn, None: once."""
    import numpy as np

    remaining = kept_lengths(whole, data)
    places = np.flatnonzero(remaining)
    if times is not None:
        places = _drawn(places, whole.rows[places], times)
    lengths = remaining[places]
    firsts = np.zeros_like(lengths)
    if data.truncation_side == "left":
        firsts = whole.lengths[places] - lengths
    return Kept(whole, places, firsts, lengths)


def _drawn(places: Integers, rows: Integers, times: array[int]) -> Integers:
    """The sequences of each row as often as the row is drawn: all of them, then all of them again."""
    import numpy as np

    begins = np.flatnonzero(np.diff(rows, prepend=-1))
    sizes = np.diff(begins, append=len(rows))
    often = np.asarray(times)[rows[begins]]
    begins, sizes = np.repeat(begins, often), np.repeat(sizes, often)
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    drawn: Integers = places[np.repeat(begins, sizes) + within]
    return drawn
