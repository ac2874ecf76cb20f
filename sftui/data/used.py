"""What of a dataset a run will use: after drops, cuts, weights and what is held out."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass

from sftui.data.chunk import Chunk
from sftui.data.corpus import Corpus
from sftui.data.cut import kept_range, kept_spans
from sftui.data.hold_out import hold_out
from sftui.data.views import Used
from sftui.recipe import DataSection


@dataclass(frozen=True, slots=True)
class Draws:
    """How often each row of `data.train` is trained on, and which rows of it are held out (1 or 0).

    An array of None says once for every row (trained) or none at all (held out).
    """

    train_rows: int
    train: array[int] | None
    held_out_rows: int
    held_out: array[int] | None


def draws_of(corpus: Corpus, data: DataSection, seed: int) -> Draws:
    """As `dataset.encode_dataset` draws them. Raises InputError if `eval_fraction` holds out none or all."""
    count = len(corpus)
    train: range | list[int] = range(count)
    held_out: list[int] = []
    if data.eval_fraction:
        train, held_out = hold_out(count, data.eval_fraction, seed)
    elif all(source.weight == 1.0 for source in data.train):
        return Draws(count, None, 0, None)
    times, out = array("I", bytes(4 * count)), array("I", bytes(4 * count))
    for row in corpus.drawn(train, seed):
        times[row] += 1
    for row in held_out:
        out[row] = 1
    return Draws(len(train), times, len(held_out), out if held_out else None)


def used_of(chunks: Iterable[Chunk], data: DataSection, rows: int, times: array[int] | None) -> Used:
    """The sequences that are used of `chunks` (their ids may be missing); see `Draws` for `times`."""
    sequences = tokens = trained = 0
    for chunk in chunks:
        at = span = 0
        for offset, count in enumerate(chunk.counts):
            often = 1 if times is None else times[chunk.begin + offset]
            for _ in range(count):
                length, spans = chunk.lengths[at], chunk.span_counts[at]
                own = chunk.spans[2 * span : 2 * (span + spans)]
                at, span = at + 1, span + spans
                if not often or not spans:
                    continue
                first, end = kept_range(length, data)
                pairs = zip(own[::2], own[1::2], strict=True)
                kept = pairs if end - first == length else kept_spans(pairs, first, end)
                left = sum(stop - begin for begin, stop in kept)
                if end and left:
                    sequences += often
                    tokens += often * (end - first)
                    trained += often * left
    return Used(rows, sequences, tokens, trained)
