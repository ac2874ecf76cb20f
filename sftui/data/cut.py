"""What becomes of a sequence that is longer than max_length."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence

from sftui.data.overview import Loss, OverlengthCost
from sftui.recipe import DataSection


def kept_range(length: int, data: DataSection) -> tuple[int, int]:
    """The tokens that remain of a sequence, as first and end: (0, 0) if it is dropped."""
    limit = data.max_length
    if length <= limit:
        return 0, length
    if data.overlength != "truncate":
        return 0, 0
    return (0, limit) if data.truncation_side == "right" else (length - limit, length)


def kept_spans(spans: Iterable[tuple[int, int]], first: int, end: int) -> list[tuple[int, int]]:
    """Trained spans after a cut to tokens first to end, counted from the new first token.

    The new first token is not trained: nothing predicts it.
    """
    floor = first + 1
    moved = [(max(begin, floor) - first, min(stop, end) - first) for begin, stop in spans]
    return [(begin, stop) for begin, stop in moved if begin < stop]


def fate(length: int, trained: int, data: DataSection) -> str:
    """What becomes of a sequence, in a few words; `trained` counts the trained tokens that remain."""
    limit = data.max_length
    if length > limit and data.overlength == "drop":
        return f"dropped: longer than max_length {limit:,}"
    if length > limit and data.overlength == "error":
        return f"refused: longer than max_length {limit:,}"
    if not trained:
        return "left out: no trained tokens remain" if length > limit else "left out: no trained tokens"
    if length > limit:
        return f"truncated to {limit:,} tokens ({data.truncation_side} end cut)"
    return "used"


def overlength_cost(
    max_length: int, pieces: Iterable[tuple[Sequence[int], Sequence[int], Sequence[int]]]
) -> OverlengthCost:
    """What each choice for sequences longer than `max_length` loses.

    `pieces` are (lengths, span counts, spans) of many sequences each, as in `chunk.Chunk`.
    """
    dropped = [0, 0, 0]
    right, left = [0, 0, 0, 0], [0, 0, 0, 0]  # sequences emptied last
    for lengths, span_counts, spans in pieces:
        if not lengths or max(lengths) <= max_length:
            continue
        at = 0
        for length, count in zip(lengths, span_counts, strict=True):
            if length > max_length:
                own = spans[2 * at : 2 * (at + count)]
                pairs = list(zip(own[::2], own[1::2], strict=True))
                trained = sum(end - first for first, end in pairs)
                dropped[0] += 1
                dropped[1] += length
                dropped[2] += trained
                for loss, first, end in (
                    (right, 0, max_length),
                    (left, length - max_length, length),
                ):
                    remain = sum(stop - begin for begin, stop in kept_spans(pairs, first, end))
                    loss[1] += length - max_length
                    loss[2] += trained - remain
                    if trained and not remain:
                        loss[0] += 1
                        loss[3] += 1
            at += count
    return OverlengthCost(
        max_length,
        dropped[0],
        Loss(dropped[0], dropped[1], dropped[2], 0),
        Loss(*right),
        Loss(*left),
    )


def sum_of(one: OverlengthCost, other: OverlengthCost) -> OverlengthCost:
    """What two parts of a dataset lose together, under the same max_length."""
    losses = (
        Loss(*(getattr(a, name) + getattr(b, name) for name in Loss.__slots__))
        for a, b in (
            (one.drop, other.drop),
            (one.truncate_right, other.truncate_right),
            (one.truncate_left, other.truncate_left),
        )
    )
    return OverlengthCost(one.max_length, one.sequences + other.sequences, *losses)


def longest(lengths: Sequence[int], counts: Sequence[int]) -> array[int]:
    """The longest sequence of each row; 0 for a row without any."""
    result, at = array("I"), 0
    for count in counts:
        result.append(max(lengths[at : at + count], default=0))
        at += count
    return result
