"""Which sequences lie in which bin."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from sftui.data.packing.fit import best_fit
from sftui.recipe import Packing

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]


_BLOCK = 2**15  # so many numbers stay in a core's cache


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
        return _best_fit(sizes, max_length, seed, epoch)
    order = np.arange(len(sizes), dtype=np.int64)
    offsets = _next_fit(sizes, max_length) if strategy == "next_fit" else np.arange(len(sizes) + 1)
    return Layout(strategy, max_length, order, _zeros(len(order)), sizes[order], offsets)


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


def _best_fit(sizes: Integers, max_length: int, seed: int, epoch: int) -> Layout:
    import numpy as np

    found = np.bincount(sizes)
    steps, bins = best_fit({int(n): int(found[n]) for n in np.flatnonzero(found)}, max_length)
    # Half the bytes where they are enough: fresh memory is what takes longest.
    small: Any = np.int32 if len(sizes) < 2**31 else np.int64
    table = np.fromiter(chain.from_iterable(steps), small, 5 * len(steps)).reshape(-1, 5)
    _, first, many, each, before = table.T
    # One entry for each bin of each step: the bin, how many it takes there, how many it has by then.
    bin_of = np.repeat(first - (np.cumsum(many, dtype=small) - many), many)
    bin_of += np.arange(len(bin_of), dtype=small)
    takes, has = np.repeat(each, many), np.repeat(before, many)
    offsets = np.zeros(bins + 1, np.int64)
    np.cumsum(np.bincount(bin_of, weights=takes, minlength=bins), out=offsets[1:], dtype=np.int64)
    # Steps go from long to short, as the keys do: where each key's sequence lies in its bin.
    has += offsets.astype(small)[bin_of]
    has -= np.cumsum(takes, dtype=small) - takes
    place = np.repeat(has, takes)
    place += np.arange(len(sizes), dtype=small)
    keys, index_bits = _keys(sizes, max_length, seed, epoch)
    laid = np.empty_like(keys)
    laid[place] = keys
    ends = np.right_shift(laid, np.uint64(64 - max_length.bit_length()), out=keys).view(np.int64)
    np.subtract(max_length, ends, out=ends)
    laid &= np.uint64(2**index_bits - 1)
    return Layout("best_fit", max_length, laid.view(np.int64), _zeros(len(laid)), ends, offsets)


def _zeros(count: int) -> Integers:
    """Zeros that take no memory."""
    import numpy as np

    return np.broadcast_to(np.int64(0), count)


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

    keys, index_bits = _keys(np.zeros(count, np.int64), 0, 0, 0)
    keys &= np.uint64(2**index_bits - 1)
    return keys.view(np.int64)


def _keys(sizes: Integers, most: int, seed: int, epoch: int) -> tuple[NDArray[np.uint64], int]:
    """A number for each of `sizes` (0 to `most`), sorted: its size, a lot and its index; bits of the index.

    The top bits are `most` less the size, so that the largest come first; those of one size come in an order
    that looks like chance. The lots are splitmix64 (Steele, Lea and Flood 2014): random generators of
    libraries may give others in another version.
    """
    import numpy as np

    start = np.uint64((seed * 0x9E3779B97F4A7C15 + epoch * 0xD1342543DE82EF95) % 2**64)
    index_bits, size_bits = len(sizes).bit_length(), most.bit_length()
    keys = np.empty(len(sizes), np.uint64)
    for begin in range(0, len(sizes), _BLOCK):
        index = np.arange(begin, min(begin + _BLOCK, len(sizes)), dtype=np.uint64)
        lots = index * np.uint64(0x9E3779B97F4A7C15) + start
        lots ^= lots >> np.uint64(30)
        lots *= np.uint64(0xBF58476D1CE4E5B9)
        lots ^= lots >> np.uint64(27)
        lots *= np.uint64(0x94D049BB133111EB)
        lots >>= np.uint64(size_bits + index_bits)
        lots <<= np.uint64(index_bits)
        lots |= index
        if size_bits:
            lots |= (most - sizes[begin : begin + _BLOCK]).astype(np.uint64) << np.uint64(64 - size_bits)
        keys[begin : begin + _BLOCK] = lots
    keys.sort()
    return keys, index_bits
