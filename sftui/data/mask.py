"""Which tokens of a text are trained, from its trained characters."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence, Set
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from sftui.data.turns import Span
from sftui.data.words import WordTokens

if TYPE_CHECKING:
    from tokenizers import Encoding

_START, _END = itemgetter(0), itemgetter(1)


class Offsets(Sequence[tuple[int, int]]):
    """The characters that each token of `encoding` covers, taken from it when asked for.

    A mask needs a few of them, and to make all of them takes longer than to make the mask.
    """

    __slots__ = ("_encoding", "_length")

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._length = len(encoding)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: Any) -> Any:
        if index.__class__ is int and 0 <= index < self._length:
            return self._encoding.token_to_chars(index)
        return self._encoding.offsets[index]


def trained_mask(
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    text: str,
    spans: Iterable[Span],
    special_ids: Set[int],
) -> bytes:
    """One byte a token: 1 if it lies wholly within a span of `spans`, else 0. See `token_ranges`."""
    mask = bytearray(len(ids))
    for first, last in token_ranges(ids, offsets, text, spans, special_ids):
        mask[first:last] = b"\1" * (last - first)
    return bytes(mask)


def token_ranges(
    ids: Sequence[int],
    offsets: Sequence[tuple[int, int]],
    text: str,
    spans: Iterable[Span],
    special_ids: Set[int],
) -> list[tuple[int, int]]:
    """For each span the tokens ids[first:last] that lie wholly within it.

    `offsets` are the characters of `text` that each token covers, in order; the parts of a character
    split over several tokens each cover it whole. A token of no width belongs to the text after it. A
    special token that swallows the white space around it, as some are declared to, counts without it.
    """
    ranges: list[tuple[int, int]] = []
    for span in spans:
        if isinstance(offsets, WordTokens):
            first, last = offsets.within(span.start, span.end)
        else:
            first = bisect_left(offsets, span.start, key=_START)
            last = bisect_right(offsets, span.end, key=_END)
            while last > first and offsets[last - 1][0] >= span.end:
                last -= 1
        if first and ids[first - 1] in special_ids:
            begins, ends = offsets[first - 1]
            if ends > span.start and text[begins : span.start].isspace():
                first -= 1
        if last < len(ids) and ids[last] in special_ids:
            begins, ends = offsets[last]
            if begins < span.end and text[span.end : ends].isspace():
                last += 1
        ranges.append((first, max(first, last)))
    return ranges
