"""`sftui.runs.series`: columns, smoothing and truncation say what brute force says."""

from __future__ import annotations

import math
from itertools import accumulate
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.runs.series import KEPT_AVERAGES, Column, Point, Series, column_of, first_step

values = st.one_of(
    st.floats(-1e6, 1e6), st.sampled_from([math.nan, math.inf, -math.inf]), st.floats(allow_nan=False)
)
points = st.lists(st.tuples(st.integers(0, 3), values), max_size=700).map(
    lambda pairs: list(
        zip(accumulate(stride for stride, _ in pairs), (value for _, value in pairs), strict=True)
    )
)
smoothings = st.sampled_from([0.0, 0.5, 0.9, 0.99])


def filled(pairs: list[tuple[int, float]], smoothing: float = 0.0) -> Series:
    series = Series(smoothing)
    for step, value in pairs:
        series.append(step, value)
    return series


def debiased_average(pairs: list[tuple[int, float]], smoothing: float) -> list[float]:
    mean, count, result = 0.0, 0, []
    for _, value in pairs:
        if math.isfinite(value):
            mean, count = smoothing * mean + (1 - smoothing) * value, count + 1
        result.append(mean / (1 - smoothing**count) if count else math.nan)
    return result


def same(a: float, b: float) -> bool:
    return (a != a and b != b) or math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


@given(points, smoothings, st.integers(-5, 900), st.integers(0, 900), st.integers(1, 60))
def test_columns_are_what_brute_force_finds(
    pairs: list[tuple[int, float]], smoothing: float, x0: int, span: int, width: int
) -> None:
    x1 = x0 + span
    series, smoothed = filled(pairs, smoothing), debiased_average(pairs, smoothing)
    columns = series.columns(x0, x1, width)
    assert len(columns) == width
    for index, column in enumerate(columns):
        inside = [
            place
            for place, (step, _) in enumerate(pairs)
            if x0 <= step <= x1 and column_of(step, x0, x1, width) == index
        ]
        if not inside:
            assert column is None
            continue
        assert isinstance(column, Column)
        finite = [pairs[place][1] for place in inside if math.isfinite(pairs[place][1])]
        assert column.gap == (len(finite) < len(inside))
        if finite:
            assert (column.low, column.high) == (min(finite), max(finite))
            assert same(column.smooth, smoothed[inside[-1]])
        else:
            assert column.low != column.low and column.high != column.high and column.smooth != column.smooth


@given(points, st.integers(-5, 900), st.integers(0, 900), st.integers(1, 50))
def test_extremes_and_sample_see_the_same_points(
    pairs: list[tuple[int, float]], x0: int, span: int, limit: int
) -> None:
    series = filled(pairs)
    finite = [value for step, value in pairs if x0 <= step <= x0 + span and math.isfinite(value)]
    assert series.extremes(x0, x0 + span) == ((min(finite), max(finite)) if finite else None)
    sample = series.sample(x0, x0 + span, limit)
    assert len(sample) <= limit
    assert set(sample) <= set(finite)


@given(points, smoothings, st.lists(smoothings, max_size=6))
def test_every_view_has_the_debiased_average_it_asks_for_and_the_series_keeps_its_own(
    pairs: list[tuple[int, float]], own: float, asked: list[float]
) -> None:
    series, length = Series(own), 0
    for smoothing in asked or [own]:
        for step, value in pairs[length : length + 1 + len(pairs) // 3]:
            series.append(step, value)
        length = len(series)
        if length:
            point, last = series.nearest(10_000, smoothing), series.last
            assert point is not None and same(point.smooth, debiased_average(pairs[:length], smoothing)[-1])
            assert last is not None and same(last.smooth, debiased_average(pairs[:length], own)[-1])
    assert series.smoothing == own


@given(points, points, smoothings, smoothings, st.integers(-1, 900))
def test_a_truncated_series_is_one_that_never_saw_the_rest(
    pairs: list[tuple[int, float]], more: list[tuple[int, float]], own: float, smoothing: float, step: int
) -> None:
    series = filled(pairs, own)
    series.nearest(step)
    series.columns(0, 2000, 97, smoothing)
    series.truncate_from(step)
    kept = [pair for pair in pairs if pair[0] < step]
    resumed = [(max(step, 0) + later, value) for later, value in more]
    for pair in resumed:
        series.append(*pair)
    expected = filled(kept + resumed, own)
    assert len(series) == len(expected)
    for asked in (None, smoothing):
        mine_and_others = zip(
            series.columns(0, 2000, 97, asked), expected.columns(0, 2000, 97, asked), strict=True
        )
        for mine, other in mine_and_others:
            if mine is None or other is None:
                assert mine is other
            else:
                assert mine.gap == other.gap
                assert all(same(a, b) for a, b in zip(mine[:3], other[:3], strict=True))


@given(st.integers(-50, 50), st.integers(0, 300), st.integers(1, 80))
def test_every_step_lies_in_the_column_between_its_first_steps(x0: int, span: int, width: int) -> None:
    x1 = x0 + span
    for step in range(x0, x1 + 1):
        column = column_of(step, x0, x1, width)
        assert 0 <= column < width
        assert first_step(column, x0, x1, width) <= step < first_step(column + 1, x0, x1, width)
    if span and width > 1:
        assert column_of(x0, x0, x1, width) == 0
        assert column_of(x1, x0, x1, width) == width - 1


def test_ranges_over_several_levels_of_blocks_are_exact() -> None:
    random = Random(7)
    pairs = [(step, math.nan if random.random() < 0.001 else random.gauss(0, 1)) for step in range(10_000)]
    series = filled(pairs)
    for x0, x1 in ((0, 9_999), (1, 9_998), (15, 8_207), (255, 4_352), (4_095, 8_192), (4_096, 4_096)):
        finite = [value for _, value in pairs[x0 : x1 + 1] if math.isfinite(value)]
        assert series.extremes(x0, x1) == (min(finite), max(finite))


def test_points_further_apart_than_columns_leave_empty_columns() -> None:
    columns = filled([(0, 1.0), (10, 2.0)]).columns(0, 10, 11)
    assert columns[0] == Column(1.0, 1.0, 1.0, False)
    assert columns[10] == Column(2.0, 2.0, 2.0, False)
    assert columns[1:10] == [None] * 9


def test_a_value_that_is_not_finite_is_a_gap_and_spoils_nothing() -> None:
    series = filled([(0, 1.0), (1, math.nan), (2, math.inf), (3, 3.0)], smoothing=0.5)
    first, second, third, fourth = series.columns(0, 3, 4)
    assert first is not None and not first.gap
    assert second is not None and second.gap and second.low != second.low
    assert third is not None and third.gap
    assert fourth is not None and fourth.smooth == pytest.approx((0.25 * 1.0 + 0.5 * 3.0) / 0.75)
    assert series.columns(0, 3, 1) == [Column(1.0, 3.0, fourth.smooth, True)]


def test_the_average_starts_at_the_first_value_not_at_zero() -> None:
    assert filled([(1, 2.5)], smoothing=0.99).last == Point(1, 2.5, pytest.approx(2.5))


def test_nearest_finds_the_closest_point() -> None:
    series = filled([(0, 1.0), (10, 2.0), (20, 3.0)])
    found = [point.step for step in (-3, 4, 5, 14, 99) if (point := series.nearest(step))]
    assert found == [0, 0, 10, 10, 20]
    assert Series().nearest(3) is None


def test_steps_may_repeat_but_not_go_back() -> None:
    series = filled([(5, 1.0), (5, 2.0)])
    with pytest.raises(ValueError, match="step 4 comes after step 5"):
        series.append(4, 1.0)
    series.truncate_from(4)
    series.append(4, 1.0)
    assert (len(series), series.last) == (1, Point(4, 1.0, 1.0))


def test_a_refused_point_leaves_the_series_as_it_was() -> None:
    series = filled([(1, 1.0)])
    for step, value in ((2, "high"), (1.5, 1.0), (0, 1.0)):
        with pytest.raises((TypeError, ValueError)):
            series.append(step, value)  # type: ignore[arg-type]
    assert (len(series), series.extremes(0, 9)) == (1, (1.0, 1.0))


def test_version_tells_when_something_changed() -> None:
    series = filled([(1, 1.0), (2, 2.0)])
    seen = series.version
    series.truncate_from(3)
    series.columns(0, 3, 10, 0.97)
    assert series.version == seen
    series.truncate_from(2)
    assert series.version > seen


def test_only_the_averages_asked_for_last_are_kept() -> None:
    series = filled([(1, 1.0)], smoothing=0.9)
    for smoothing in (0.0, 0.6, 0.97, 0.99, 0.6):
        series.nearest(1, smoothing)
    assert len(series._averages) == KEPT_AVERAGES
    assert {0.6, 0.9} <= set(series._averages)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, math.nan])
def test_smoothing_outside_its_range_is_refused(smoothing: float) -> None:
    with pytest.raises(ValueError, match="smoothing"):
        Series(smoothing)
