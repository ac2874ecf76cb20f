"""What a strategy makes of lengths, from how many sequences there are of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sftui.data.packing.fit import best_fit
from sftui.recipe import Packing

_SAMPLE = 200_000  # sequences that next_fit is tried on, where their order is not known


@dataclass(frozen=True, slots=True)
class Summary:
    """What a strategy makes of `sequences` with `tokens` in all.

    `bins` of `max_length` each; for `none` the sequences. `padded_tokens` is their room; for `none` the
    tokens of batches that are padded to their longest sequence, as expected of batches drawn at random.
    `lower_bound`: no packing takes fewer bins without cuts, or for `wrapped` with them. Of the `cut`
    sequences, the first token after a cut is not trained: `lost_tokens`. `exact`: counted, not expected from
    the lengths alone.
    """

    strategy: Packing
    max_length: int
    sequences: int
    tokens: int
    bins: int
    lower_bound: int
    padded_tokens: int
    cut: int
    exact: bool

    @property
    def fill(self) -> float:
        """The share of the room that is taken; 1 where there is none."""
        return self.tokens / self.padded_tokens if self.padded_tokens else 1.0

    @property
    def lost_tokens(self) -> int:
        """Tokens that are not trained because something is cut before them, at most."""
        return self.cut


def summarise(
    lengths: Sequence[int] | Mapping[int, int], strategy: Packing, max_length: int, batch_size: int = 1
) -> Summary:
    """The summary of `lengths` in their order, or of counts (length -> how many) where no order is known.

    `batch_size` sequences are padded together for `none`. Counts are enough for best_fit and, but for the
    sequences that are cut, for wrapped; for next_fit they are tried in a random order. Lengths are 1 to
    `max_length`.
    """
    counts = lengths if isinstance(lengths, Mapping) else Counter(lengths)
    sequences = sum(counts.values())
    tokens = sum(length * count for length, count in counts.items())
    bins, cut, exact = sequences, 0, True
    if strategy == "best_fit":
        bins = best_fit(counts, max_length)[1]
    elif strategy == "next_fit":
        bins = (
            _expected_next_fit(counts, max_length)
            if isinstance(lengths, Mapping)
            else _next_fit(lengths, max_length)
        )
        exact = not isinstance(lengths, Mapping)
    elif strategy == "wrapped":
        bins = -(-tokens // max_length)
        cut = (
            _expected_cuts(counts, max_length) if isinstance(lengths, Mapping) else _cuts(lengths, max_length)
        )
        exact = not isinstance(lengths, Mapping)
    padded = bins * max_length
    if strategy == "none":
        exact = batch_size == 1
        padded = round(_padded(counts, batch_size))
    # Where sequences are cut, the tokens alone decide.
    bound = -(-tokens // max_length) if strategy == "wrapped" else lower_bound(counts, max_length)
    return Summary(strategy, max_length, sequences, tokens, bins, bound, padded, cut, exact)


def lower_bound(counts: Mapping[int, int], max_length: int) -> int:
    """No packing takes fewer bins: ceil(tokens / max_length), or more where many lengths are above half.

    For each k up to max_length / 2: sequences above max_length - k share a bin with none of k or more; those
    above half have a bin each, and what room they leave must hold the ones from k to half (Martello and
    Toth 1990, L2). Lengths are 1 to `max_length`.
    """
    import numpy as np

    number, tokens = np.zeros(max_length + 2, np.int64), np.zeros(max_length + 2, np.int64)
    for length, count in counts.items():
        number[length], tokens[length] = count, length * count
    # From each length on.
    number, tokens = np.cumsum(number[::-1])[::-1], np.cumsum(tokens[::-1])[::-1]
    half = max_length // 2
    k = np.arange(half + 1)
    alone = number[max_length - k + 1]
    large = number[half + 1] - alone
    room = large * max_length - (tokens[half + 1] - tokens[max_length - k + 1])
    small = tokens[k] - tokens[half + 1]
    return int((alone + large + np.maximum(0, -(-(small - room) // max_length))).max())


def _next_fit(lengths: Sequence[int], max_length: int) -> int:
    from sftui.data.packing.layout import lay_out

    return len(lay_out(lengths, "next_fit", max_length))


def _expected_next_fit(counts: Mapping[int, int], max_length: int) -> int:
    """Bins of next_fit for these lengths in a random order, scaled up from a sample."""
    import numpy as np

    from sftui.data.packing.layout import shuffled

    total = sum(counts.values())
    if not total:
        return 0
    values, many = np.array(list(counts)), np.array(list(counts.values()), dtype=np.float64)
    share = min(1.0, _SAMPLE / total)
    # So many of each that the sums are right: what one length has too much the next has too little.
    edges = np.round(np.cumsum(many) * share).astype(np.int64)
    sample = np.repeat(values, np.diff(edges, prepend=0))
    sample = sample[shuffled(len(sample))]
    tokens = sum(length * count for length, count in counts.items())
    bins = _next_fit(sample.tolist(), max_length)
    return round(bins * tokens / int(sample.sum()))


def _cuts(lengths: Sequence[int], max_length: int) -> int:
    import numpy as np

    ends = np.cumsum(np.asarray(lengths, dtype=np.int64))
    return int(((ends - 1) // max_length != (ends - lengths) // max_length).sum())


def _expected_cuts(counts: Mapping[int, int], max_length: int) -> int:
    """Every `max_length` tokens something is cut, unless one sequence ends there and another begins."""
    sequences = sum(counts.values())
    tokens = sum(length * count for length, count in counts.items())
    bins = -(-tokens // max_length)
    return round(max(0, bins - 1) * (1 - sequences / tokens)) if tokens else 0


def _padded(counts: Mapping[int, int], batch_size: int) -> float:
    """Tokens of batches padded to their longest sequence, to be expected of batches drawn at random."""
    whole, rest = divmod(sum(counts.values()), batch_size)
    tokens = rest * _longest(counts, rest)
    return tokens + whole * batch_size * _longest(counts, batch_size) if whole else tokens


def _longest(counts: Mapping[int, int], drawn: int) -> float:
    """The longest of `drawn` sequences, to be expected: the sum over lengths of P(one is longer)."""
    if not drawn:
        return 0.0
    import numpy as np

    most = max(counts)
    number = np.zeros(most + 1)
    for length, count in counts.items():
        number[length] = count
    up_to = np.cumsum(number)
    none_longer = np.ones(most)
    for taken in range(drawn):
        none_longer *= np.maximum(up_to[:-1] - taken, 0) / (up_to[-1] - taken)
    return float((1 - none_longer).sum())
