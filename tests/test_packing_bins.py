"""The bins that are shown hold what the trainer packs: every token once, and trained what is trained."""

from __future__ import annotations

from array import array
from collections import Counter

import numpy as np
import pytest

from sftui.data.packing.bins import CLASSES, BinPiece, Bins, BinView, bins_of
from sftui.data.packing.kept import Kept, gather, keep
from sftui.data.packing.plan import STRATEGIES
from sftui.data.packing.summary import summarise
from sftui.recipe import Packing
from tests.test_packing_plan import made, section

LIMIT = 90
ROWS = 640


def kept_of(overlength: str = "truncate", side: str = "left", times: array[int] | None = None) -> Kept:
    return keep(gather(made(ROWS, 3)), section(LIMIT, overlength, side), times)


@pytest.fixture(params=STRATEGIES)
def bins(request: pytest.FixtureRequest) -> Bins:
    strategy: Packing = request.param
    return bins_of(kept_of(), strategy, LIMIT, seed=7, batch_size=4)


def views(bins: Bins) -> list[BinView]:
    return bins.view(0, len(bins))


def test_each_token_of_each_sequence_is_in_one_bin(bins: Bins) -> None:
    kept = kept_of()
    seen: dict[tuple[int, int], list[BinPiece]] = {}
    for view in views(bins):
        assert view.tokens == sum(piece.end - piece.start for piece in view.pieces) <= view.max_length
        assert view.pieces
        for piece in view.pieces:
            seen.setdefault((piece.row, piece.sequence), []).append(piece)
    numbers = kept.whole.numbers[kept.places].tolist()
    assert set(seen) == set(zip(kept.rows.tolist(), numbers, strict=True))
    for at, key in enumerate(zip(kept.rows.tolist(), numbers, strict=True)):
        ranges = sorted((piece.start, piece.end) for piece in seen[key])
        assert [begin for begin, _ in ranges] == [0, *(end for _, end in ranges[:-1])]
        assert ranges[-1][1] == kept.lengths[at]
    assert [view.number for view in views(bins)] == list(range(len(bins)))


def test_trained_is_what_was_trained_but_for_the_first_token_of_a_piece(bins: Bins) -> None:
    kept, cut, lost = kept_of(), 0, 0
    numbers = kept.whole.numbers[kept.places].tolist()
    at_of = {key: at for at, key in enumerate(zip(kept.rows.tolist(), numbers, strict=True))}
    for view in views(bins):
        found = 0
        for piece in view.pieces:
            at = at_of[piece.row, piece.sequence]
            whole = tokens(kept.trained(at, 0, int(kept.lengths[at])))
            expected = {token - piece.start for token in whole if piece.start < token < piece.end}
            assert tokens(piece.trained) == expected
            found += len(expected)
            cut += piece.start > 0
            lost += piece.start in whole
        assert view.trained == found
    assert cut == bins.summary.cut
    assert lost == bins.lost_tokens() <= bins.summary.lost_tokens
    assert (lost > 0) == (cut > 0)
    assert (cut > 0) == (bins.summary.strategy == "wrapped")


def tokens(ranges: tuple[tuple[int, int], ...]) -> set[int]:
    return {token for begin, end in ranges for token in range(begin, end)}


def test_the_summary_is_counted(bins: Bins) -> None:
    lengths = kept_of().lengths.tolist()
    assert bins.summary == summarise(lengths, bins.summary.strategy, LIMIT, 4)
    assert len(bins) == bins.summary.bins
    assert bins.summary.exact or bins.summary.strategy == "none"


def test_any_part_of_the_bins_may_be_looked_at(bins: Bins) -> None:
    every = views(bins)
    assert bins.view(3, 9) == every[3:9]
    assert bins.view(-5, 2) == every[:2]
    assert bins.view(len(bins) - 1, len(bins) + 50) == every[-1:]
    assert bins.view(len(bins), len(bins) + 50) == []
    assert bins.view(5, 5) == bins.view(9, 3) == []


def test_fills_count_each_bin_once_by_its_twentieth(bins: Bins) -> None:
    classes = Counter(-(-view.tokens * CLASSES // LIMIT) - 1 for view in views(bins))
    assert bins.fills() == tuple(classes[number] for number in range(CLASSES))
    assert sum(bins.fills()) == len(bins)


def test_a_full_bin_is_in_the_last_class() -> None:
    bins = bins_of(kept_of(), "wrapped", LIMIT, seed=0)
    assert bins.fills()[-1] >= len(bins) - 1


def test_a_row_is_found_in_its_bin(bins: Bins) -> None:
    begins: dict[int, tuple[int, int]] = {}  # of its first sequence that is packed
    for view in views(bins):
        for piece in view.pieces:
            found = (piece.sequence, view.number)
            if not piece.start and found < begins.get(piece.row, (ROWS, 0)):
                begins[piece.row] = found
    expected = {row: number for row, (_, number) in begins.items()}
    assert [bins.bin_of(row) for row in range(-1, ROWS + 2)] == [
        expected.get(row) for row in range(-1, ROWS + 2)
    ]
    assert 0 < len(expected) < ROWS, "some rows are not packed"


def test_the_rows_of_bins_are_listed_in_order(bins: Bins) -> None:
    assert list(bins.rows()) == [[piece.row for piece in view.pieces] for view in views(bins)]


def test_long_lists_of_rows_are_made_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = list(bins_of(kept_of(), "best_fit", LIMIT, seed=7).rows())
    monkeypatch.setattr("sftui.data.packing.bins._TOGETHER", 7)
    assert list(bins_of(kept_of(), "best_fit", LIMIT, seed=7).rows()) == whole


def test_rows_that_are_drawn_again_lie_in_several_bins() -> None:
    times = array("I", [3] * 64 + [0] * 64 + [1] * (ROWS - 128))
    bins = bins_of(kept_of(times=times), "none", LIMIT, seed=0)
    listed = Counter(row for rows in bins.rows() for row in rows)
    once = Counter(kept_of().rows.tolist())
    assert all(listed[row] == 3 * once[row] for row in range(64))
    assert not any(listed[row] for row in range(64, 128))
    assert all(bins.bin_of(row) is None for row in range(64, 128))
    assert all(listed[row] == once[row] for row in range(128, ROWS))


def test_the_seed_decides_which_of_equal_sequences_share_a_bin() -> None:
    one, same, other = (list(bins_of(kept_of(), "best_fit", LIMIT, seed=seed).rows()) for seed in (1, 1, 2))
    assert one == same != other
    assert len(one) == len(other)


def test_no_sequences_make_no_bins() -> None:
    for strategy in STRATEGIES:
        bins = bins_of(keep(gather(()), section(LIMIT), None), strategy, LIMIT, seed=0)
        assert (len(bins), bins.view(0, 10), sum(bins.fills()), bins.bin_of(0)) == (0, [], 0, None)
        assert list(bins.rows()) == []


def test_what_is_cut_at_the_left_counts_from_what_is_kept() -> None:
    bins = bins_of(kept_of(side="left"), "none", LIMIT, seed=0)
    whole = gather(made(ROWS, 3))
    long = {
        (int(row), int(number))
        for row, number, length in zip(whole.rows, whole.numbers, whole.lengths, strict=True)
        if length > LIMIT
    }
    cut = [piece for view in views(bins) for piece in view.pieces if (piece.row, piece.sequence) in long]
    assert cut
    assert all((piece.start, piece.end) == (0, LIMIT) for piece in cut)
    assert all(0 < begin < end <= LIMIT for piece in cut for begin, end in piece.trained)
    assert np.all(kept_of(side="left").firsts[kept_of(side="left").lengths < LIMIT] == 0)
