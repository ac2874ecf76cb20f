"""Sequences into bins: nothing lost, nothing twice, as full as best-fit decreasing makes them."""

from __future__ import annotations

import random
from bisect import bisect_left, insort
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftui.data.packing.fit import best_fit
from sftui.data.packing.layout import Layout, lay_out
from sftui.data.packing.summary import lower_bound, summarise
from sftui.recipe import Packing

STRATEGIES: tuple[Packing, ...] = ("none", "next_fit", "best_fit", "wrapped")
UNCUT: tuple[Packing, ...] = ("none", "next_fit", "best_fit")


@st.composite
def cases(draw: st.DrawFn) -> tuple[list[int], int]:
    """Lengths of several kinds of datasets, and a max_length."""
    limit = draw(st.integers(1, 300))
    kind = draw(st.sampled_from(("any", "short", "long", "few")))
    low, high = {
        "any": (1, limit),
        "short": (1, max(1, limit // 8)),
        "long": (limit // 2 + 1, limit),
        "few": (1, limit),
    }[kind]
    lengths = st.integers(low, high)
    if kind == "few":
        lengths = st.sampled_from(draw(st.lists(lengths, min_size=1, max_size=3)))
    return draw(st.lists(lengths, max_size=200)), limit


def plain_best_fit(lengths: list[int], limit: int) -> int:
    """Bins of best-fit decreasing, one sequence at a time: the textbook's way."""
    rooms: list[int] = []
    bins = 0
    for length in sorted(lengths, reverse=True):
        at = bisect_left(rooms, length)
        if at < len(rooms):
            insort(rooms, rooms.pop(at) - length)
        else:
            bins += 1
            insort(rooms, limit - length)
    return bins


def plain_next_fit(lengths: list[int], limit: int) -> list[list[int]]:
    bins: list[list[int]] = []
    room = 0
    for number, length in enumerate(lengths):
        if length > room:
            bins.append([])
            room = limit
        bins[-1].append(number)
        room -= length
    return bins


def bins_of(layout: Layout) -> list[list[tuple[int, int, int]]]:
    return [[tuple(piece) for piece in layout.pieces(number)] for number in range(len(layout))]


@settings(max_examples=300, deadline=None)
@given(cases(), st.sampled_from(UNCUT), st.integers(0, 2**32), st.integers(0, 5))
def test_every_sequence_lies_whole_in_exactly_one_bin_and_no_bin_is_too_full(
    case: tuple[list[int], int], strategy: Packing, seed: int, epoch: int
) -> None:
    lengths, limit = case
    layout = lay_out(lengths, strategy, limit, seed=seed, epoch=epoch)
    pieces = [piece for each in bins_of(layout) for piece in each]
    assert sorted(pieces) == [(number, 0, length) for number, length in enumerate(lengths)]
    tokens = [sum(end - start for _, start, end in each) for each in bins_of(layout)]
    assert layout.tokens().tolist() == tokens
    assert all(0 < each <= limit for each in tokens)
    found = layout.bins_of().tolist()
    assert all(found[number] == at for at, each in enumerate(bins_of(layout)) for number, *_ in each)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_best_fit_takes_as_many_bins_as_the_plain_algorithm_and_no_fewer_than_the_bound(
    case: tuple[list[int], int],
) -> None:
    lengths, limit = case
    bins = len(lay_out(lengths, "best_fit", limit))
    assert bins == plain_best_fit(lengths, limit)
    bound = lower_bound(Counter(lengths), limit)
    assert -(-sum(lengths) // limit) <= bound <= bins


@settings(max_examples=200, deadline=None)
@given(cases())
def test_next_fit_goes_through_the_sequences_in_order(case: tuple[list[int], int]) -> None:
    lengths, limit = case
    layout = lay_out(lengths, "next_fit", limit)
    assert [[number for number, *_ in each] for each in bins_of(layout)] == plain_next_fit(lengths, limit)


@settings(max_examples=200, deadline=None)
@given(cases())
def test_wrapped_bins_are_the_sequences_end_to_end(case: tuple[list[int], int]) -> None:
    lengths, limit = case
    layout = lay_out(lengths, "wrapped", limit)
    all_tokens = [(number, at) for number, length in enumerate(lengths) for at in range(length)]
    laid = [[(n, at) for n, start, end in each for at in range(start, end)] for each in bins_of(layout)]
    assert [token for each in laid for token in each] == all_tokens
    assert all(len(each) == limit for each in laid[:-1])
    assert all(start < end for each in bins_of(layout) for _, start, end in each)
    cut = {number for each in bins_of(layout) for number, start, _ in each if start}
    assert summarise(lengths, "wrapped", limit).cut == len(cut)


def smallest(lengths: list[int], limit: int) -> int:
    """The fewest bins there can be, by trying everything."""
    best = len(lengths)

    def place(at: int, rooms: list[int]) -> None:
        nonlocal best
        if len(rooms) >= best:
            return
        if at == len(lengths):
            best = len(rooms)
            return
        for number in range(len(rooms)):
            if rooms[number] >= lengths[at] and rooms[number] not in rooms[:number]:
                rooms[number] -= lengths[at]
                place(at + 1, rooms)
                rooms[number] += lengths[at]
        place(at + 1, [*rooms, limit - lengths[at]])

    place(0, [])
    return best


def test_the_lower_bound_is_never_above_the_fewest_bins_and_sees_sequences_above_half() -> None:
    chance = random.Random(3)
    for _ in range(300):
        limit = chance.randint(1, 20)
        lengths = [chance.randint(1, limit) for _ in range(chance.randint(0, 8))]
        assert lower_bound(Counter(lengths), limit) <= smallest(lengths, limit)
    assert lower_bound({60: 10}, 100) == 10
    assert lower_bound({60: 10, 41: 10}, 100) == 15


def test_the_seed_and_the_epoch_choose_who_shares_a_bin_and_not_how_many_bins() -> None:
    lengths = [10, 20, 30, 40] * 50
    layouts = {
        (seed, epoch): lay_out(lengths, "best_fit", 100, seed=seed, epoch=epoch)
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len({len(layout) for layout in layouts.values()}) == 1
    assert len({layout.sequences.tobytes() for layout in layouts.values()}) == 4
    again = lay_out(lengths, "best_fit", 100, seed=1, epoch=1)
    assert again.sequences.tobytes() == layouts[1, 1].sequences.tobytes()
    for strategy in ("next_fit", "wrapped", "none"):
        one, other = (lay_out(lengths, strategy, 100, seed=seed, epoch=seed) for seed in (0, 1))
        assert bins_of(one) == bins_of(other)


def test_a_layout_is_the_same_on_every_machine() -> None:
    layout = lay_out([5, 5, 5, 3, 3, 2, 7, 1], "best_fit", 10, seed=42)
    assert bins_of(layout) == GOLDEN


GOLDEN = [
    [(6, 0, 7), (3, 0, 3)],
    [(1, 0, 5), (2, 0, 5)],
    [(0, 0, 5), (4, 0, 3), (5, 0, 2)],
    [(7, 0, 1)],
]


def test_lengths_that_no_bin_holds_are_refused() -> None:
    for lengths in ([3, 11], [0, 3]):
        with pytest.raises(ValueError, match="expected 1 to 10"):
            lay_out(lengths, "best_fit", 10)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_no_sequences_make_no_bins(strategy: Packing) -> None:
    layout = lay_out([], strategy, 10)
    assert len(layout) == 0 and not len(layout.tokens()) and not len(layout.bins_of())
    summary = summarise({}, strategy, 10, 4)
    assert (summary.bins, summary.lower_bound, summary.fill, summary.lost_tokens) == (0, 0, 1.0, 0)


@settings(max_examples=100, deadline=None)
@given(cases(), st.sampled_from(STRATEGIES))
def test_a_summary_counts_what_the_layout_has(case: tuple[list[int], int], strategy: Packing) -> None:
    lengths, limit = case
    layout, summary = lay_out(lengths, strategy, limit), summarise(lengths, strategy, limit)
    assert summary.bins == len(layout)
    assert (summary.sequences, summary.tokens) == (len(lengths), sum(lengths))
    assert summary.lower_bound <= summary.bins
    if strategy != "none":
        assert summary.padded_tokens == limit * len(layout) and summary.exact


@settings(max_examples=100, deadline=None)
@given(cases())
def test_counts_are_enough_for_best_fit(case: tuple[list[int], int]) -> None:
    lengths, limit = case
    assert summarise(Counter(lengths), "best_fit", limit) == summarise(lengths, "best_fit", limit)


def test_from_counts_alone_next_fit_wrapped_and_padding_are_estimated_closely() -> None:
    chance = random.Random(5)
    lengths = [min(512, max(1, round(chance.lognormvariate(4.5, 0.8)))) for _ in range(40_000)]
    counts = Counter(lengths)
    for strategy in ("next_fit", "wrapped"):
        counted, estimated = (summarise(each, strategy, 512) for each in (lengths, counts))
        assert abs(estimated.bins / counted.bins - 1) < 0.01
        assert abs(estimated.cut - counted.cut) <= 0.01 * counted.cut
        assert counted.exact and not estimated.exact
    padded = sum(8 * max(lengths[at : at + 8]) for at in range(0, len(lengths), 8))
    assert abs(summarise(counts, "none", 512, 8).padded_tokens / padded - 1) < 0.01


@pytest.mark.parametrize("longest", [1, 2, 6, 30])
def test_from_counts_alone_ends_of_bins_between_two_sequences_are_no_cuts(longest: int) -> None:
    chance = random.Random(6)
    lengths = [chance.randint(1, longest) for _ in range(60_000)]
    counted, estimated = (summarise(each, "wrapped", 32) for each in (lengths, Counter(lengths)))
    assert abs(estimated.cut - counted.cut) <= 0.02 * counted.cut
    assert counted.cut < 0.97 * counted.bins, "else as many cuts as bins would do"


def test_the_padding_to_be_expected_is_that_of_all_orders() -> None:
    # Of 1, 2 and 4, batches of two and one: {1,2}+{4}, {1,4}+{2}, {2,4}+{1}, each in both orders.
    expected = (2 * 2 + 4 + 2 * 4 + 2 + 2 * 4 + 1) / 3
    assert summarise([1, 2, 4], "none", 4, 2).padded_tokens == round(expected)
    assert summarise([1, 2, 4], "none", 4, 1).fill == 1.0
    assert summarise([1, 2, 4], "none", 4, 8).padded_tokens == 12


def test_a_hundred_million_lengths_take_no_longer_than_their_different_values() -> None:
    chance = random.Random(1)
    counts = Counter(min(2048, max(1, int(chance.lognormvariate(5.5, 0.8)))) for _ in range(20_000))
    many = {length: count * 5_000 for length, count in counts.items()}
    steps, bins = best_fit(many, 2048)
    assert len(steps) < 40 * len(many)
    assert sum(times * each for _, _, times, each, _ in steps) == 100_000_000
    tokens = sum(length * count for length, count in many.items())
    assert tokens / (bins * 2048) > 0.99


def test_the_steps_of_a_length_follow_those_of_longer_ones() -> None:
    steps, _ = best_fit({700: 10, 300: 25, 120: 60}, 1024)
    assert all(longer >= shorter for (longer, *_), (shorter, *_) in pairwise(steps))
