"""Which sequences lie in which bin."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from sftui.data.packing.fit import best_fit
from sftui.recipe import Packing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]


class Piece(NamedTuple):
    """Tokens start to end of a sequence: all of it, but where bins cut sequences."""

    sequence: int
    start: int
    end: int


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """The pieces of each bin: bin b holds pieces number offsets[b] to offsets[b + 1].

    Piece k is tokens starts[k] to ends[k] of sequence number sequences[k]. All arrays are int64.
    """

    strategy: Packing
    max_length: int
    sequences: Integers
    starts: Integers
    ends: Integers
    offsets: Integers

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def pieces(self, number: int) -> list[Piece]:
        """What lies in a bin, in order."""
        within = slice(int(self.offsets[number]), int(self.offsets[number + 1]))
        columns = (self.sequences[within], self.starts[within], self.ends[within])
        return [Piece(*each) for each in zip(*(column.tolist() for column in columns), strict=True)]

    def tokens(self) -> Integers:
        """How many tokens each bin has."""
        import numpy as np

        if not len(self):
            return np.zeros(0, np.int64)
        sums: Integers = np.add.reduceat(self.ends - self.starts, self.offsets[:-1])
        return sums

    def bins_of(self) -> Integers:
        """For each sequence, the bin that it begins in."""
        import numpy as np

        found = np.zeros(int(self.sequences.max(initial=-1)) + 1, np.int64)
        bins = np.repeat(np.arange(len(self), dtype=np.int64), np.diff(self.offsets))
        begins = self.starts == 0
        found[self.sequences[begins]] = bins[begins]
        return found


def lay_out(
    lengths: Sequence[int] | Integers, strategy: Packing, max_length: int, *, seed: int = 0, epoch: int = 0
) -> Layout:
    """Put sequences of these lengths into bins that hold `max_length` tokens.

    `none` gives each sequence a bin, `next_fit` goes through them in order and opens a bin where the last
    one has no room, `best_fit` puts the longest first into the fullest bin that holds them, `wrapped` lays
    all end to end and cuts every `max_length` tokens. Only `wrapped` cuts sequences. For best_fit, `seed`
    and `epoch` decide which of the sequences of one length goes where; other layouts do not depend on them.
    Same arguments, same layout, on any machine. Raises ValueError for a length below 1 or above `max_length`.
    """
    import numpy as np

    sizes: Integers = np.asarray(lengths, dtype=np.int64)
    if len(sizes) and not 1 <= sizes.min() <= sizes.max() <= max_length:
        raise ValueError(f"found lengths from {sizes.min()} to {sizes.max()}: expected 1 to {max_length}")
    if strategy == "wrapped":
        return _wrapped(sizes, max_length)
    if strategy == "best_fit":
        order, offsets = _best_fit(sizes, max_length, seed, epoch)
    else:
        order = np.arange(len(sizes), dtype=np.int64)
        offsets = np.arange(len(sizes) + 1, dtype=np.int64)
        if strategy == "next_fit":
            offsets = _next_fit(sizes, max_length)
    return Layout(strategy, max_length, order, np.zeros_like(order), sizes[order], offsets)


def _next_fit(sizes: Integers, max_length: int) -> Integers:
    """Where each bin begins, and the number of sequences."""
    import numpy as np

    ends: list[int] = np.cumsum(sizes).tolist()
    offsets, at, begun = [0], 0, 0
    while at < len(ends):
        at = bisect_right(ends, begun + max_length, at)
        begun = ends[at - 1]
        offsets.append(at)
    return np.array(offsets, dtype=np.int64)


def _best_fit(sizes: Integers, max_length: int, seed: int, epoch: int) -> tuple[Integers, Integers]:
    """The sequences bin by bin, and where in them each bin begins."""
    import numpy as np

    found = np.bincount(sizes)
    steps, bins = best_fit({int(n): int(found[n]) for n in np.flatnonzero(found)}, max_length)
    # Half the bytes where they are enough: fresh memory is what takes longest.
    small: Any = np.int32 if len(sizes) < 2**31 else np.int64
    first, many, each, before = np.array(steps, dtype=small).reshape(-1, 5)[:, 1:].T
    # Steps go from long to short. Of one, the first `each` sequences go into its first bin, and so on.
    takes = many * each
    within = np.arange(len(sizes), dtype=small)
    within -= np.repeat(np.cumsum(takes, dtype=small) - takes, takes)
    each = np.repeat(each, takes)
    bin_of = within // each
    each *= bin_of
    within -= each
    within += np.repeat(before, takes)
    bin_of += np.repeat(first, takes)
    offsets = np.zeros(bins + 1, np.int64)
    np.cumsum(np.bincount(bin_of, minlength=bins), out=offsets[1:])
    within += offsets.astype(small)[bin_of]
    laid = np.empty(len(sizes), np.int64)
    laid[within] = _drawn(max_length - sizes, max_length, seed, epoch)
    return laid, offsets


def _wrapped(sizes: Integers, max_length: int) -> Layout:
    import numpy as np

    ends = np.cumsum(sizes)
    begins = ends - sizes
    total = int(sizes.sum())
    cuts = np.arange(0, total, max_length, dtype=np.int64)
    at = np.searchsorted(begins, cuts)
    inside = np.ones(len(cuts), bool)  # of a sequence, not between two
    inside[at < len(begins)] = begins[at[at < len(begins)]] != cuts[at < len(begins)]
    edges = np.insert(begins, at[inside], cuts[inside])
    sequences = np.insert(np.arange(len(sizes)), at[inside], at[inside] - 1)
    offsets = np.append(np.searchsorted(edges, cuts), len(edges))
    starts = edges - begins[sequences]
    stops = np.append(edges[1:], total)[: len(edges)] - begins[sequences]
    return Layout("wrapped", max_length, sequences, starts, stops, offsets)


def shuffled(count: int) -> Integers:
    """The numbers below `count` in an order that looks like chance, always the same."""
    import numpy as np

    return _drawn(np.zeros(count, np.int64), 0, 0, 0)


def _drawn(ranks: Integers, most: int, seed: int, epoch: int) -> Integers:
    """Indices by rank (0 to `most`), those of one rank in an order that looks like chance.

    The lots are splitmix64 (Steele, Lea and Flood 2014): random generators of libraries may give others in
    another version. Rank, lot and index are sorted as one number: no two are equal.
    """
    import numpy as np

    start = (seed * 0x9E3779B97F4A7C15 + epoch * 0xD1342543DE82EF95) % 2**64
    index_bits, rank_bits = len(ranks).bit_length(), most.bit_length()
    index = np.arange(len(ranks), dtype=np.uint64)
    keys = index * np.uint64(0x9E3779B97F4A7C15)
    keys += np.uint64(start)
    scratch = np.empty_like(keys)  # fresh memory is what takes longest
    keys ^= np.right_shift(keys, np.uint64(30), out=scratch)
    keys *= np.uint64(0xBF58476D1CE4E5B9)
    keys ^= np.right_shift(keys, np.uint64(27), out=scratch)
    keys *= np.uint64(0x94D049BB133111EB)
    keys >>= np.uint64(rank_bits + index_bits)
    keys <<= np.uint64(index_bits)
    keys |= index
    if rank_bits:
        np.copyto(scratch, ranks, casting="unsafe")
        scratch <<= np.uint64(64 - rank_bits)
        keys |= scratch
    keys.sort()
    keys &= np.uint64(2**index_bits - 1)
    return keys.view(np.int64)
