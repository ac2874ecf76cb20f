"""Which tokens of a text are trained, from its trained characters."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence, Set

from sftui.data.turns import Span


def trained_mask(
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    text: str,
    spans: Iterable[Span],
    special_ids: Set[int],
) -> bytes:
    """One byte a token: 1 if it lies wholly within a span, else 0.

    `offsets` are the characters of `text` that each token covers, in order; the parts of a character
    split over several tokens each cover it whole. A token of no width belongs to the text after it. A
    special token that swallows the white space around it, as some are declared to, counts without it.
    """
    starts = [start for start, _ in offsets]
    ends = [end for _, end in offsets]
    mask = bytearray(len(ids))
    for span in spans:
        first = bisect_left(starts, span.start)
        last = bisect_right(ends, span.end)
        while last > first and starts[last - 1] >= span.end:
            last -= 1
        if first and ids[first - 1] in special_ids:
            outside = text[starts[first - 1] : span.start]
            if ends[first - 1] > span.start and outside.isspace():
                first -= 1
        if last < len(ids) and ids[last] in special_ids:
            outside = text[span.end : ends[last]]
            if starts[last] < span.end and outside.isspace():
                last += 1
        mask[first:last] = b"\1" * max(0, last - first)
    return bytes(mask)
