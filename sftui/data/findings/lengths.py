"""How long rows are: what max_length costs one of them, and how they are spread."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable
from itertools import accumulate
from math import ceil

from sftui.data.findings.facts import RowFacts
from sftui.data.views import RowFinding

_ENOUGH = 50  # rows below which nothing is called extreme


def cut(facts: RowFacts) -> Iterable[RowFinding]:
    """A sequence longer than max_length: refused, dropped, truncated, or truncated to nothing."""
    length = len(facts.ids)
    if length <= facts.max_length:
        return ()
    tokens = f"{length:,} tokens"
    if facts.overlength == "error":
        return (RowFinding("overlength-refused", tokens),)
    if facts.overlength == "drop":
        return (RowFinding("dropped-overlength", tokens),)
    first, end = facts.kept
    trained = facts.trained.count(1)
    # The first token that is left is not trained: nothing predicts it.
    remaining = facts.trained.count(1, first + 1, end)
    if trained and not remaining:
        return (RowFinding("truncated-to-nothing", f"{tokens}, all {trained:,} trained ones are cut"),)
    lost = f"{trained - remaining:,} of {trained:,} trained ones are cut"
    return (RowFinding("truncated", f"{tokens}, {lost}"),)


def percentiles(lengths: array[int] | Counter[int]) -> tuple[int, int, int, int, int] | None:
    """Tokens at 5, 50, 95, 99 and 100% of the rows that have any; None if none has.

    The smallest length that at least so many rows do not exceed. Zeros are rows not known yet. `lengths`
    are one a row, or how many rows have each.
    """
    counts = Counter(lengths)
    counts.pop(0, None)
    if not counts:
        return None
    p5, p50, p95, p99, p100 = _quantiles(counts, (5, 50, 95, 99, 100))
    return p5, p50, p95, p99, p100


def usual_lengths(lengths: array[int]) -> tuple[int, int]:
    """The shortest and longest length that is not extreme; a row without tokens never is.

    Long is beyond the third quartile by ten times the distance of the quartiles, and four times the
    median; short is a quarter of the first quartile, and beyond three times the quartiles' ratio.
    """
    counts = Counter(lengths)
    counts.pop(0, None)
    if counts.total() < _ENOUGH:
        return 0, 2**32 - 1
    low, middle, high = _quantiles(counts, (25, 50, 75))
    longest = max(high + 10 * (high - low), 4 * middle)
    shortest = min(low / 4, low * (low / high) ** 3)
    return ceil(shortest), longest


def _quantiles(counts: Counter[int], shares: tuple[int, ...]) -> list[int]:
    """The lengths at `shares` percent, of a count of each length."""
    ordered = sorted(counts)
    running = list(accumulate(counts[length] for length in ordered))
    total = running[-1]
    result, at = [], 0
    for share in shares:
        while running[at] * 100 < share * total:
            at += 1
        result.append(ordered[at])
    return result
