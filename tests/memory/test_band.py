from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.memory.band import CONTEXT, Band, band, verdict
from sftui.memory.device import Device
from sftui.memory.measured import Measured
from tests.memory.test_measured import ONE

GIB = 2**30


def run(ratio: float, context: int | None = None, predicted: int | None = 10 * GIB) -> Measured:
    reserved = round(ratio * 10 * GIB)
    return replace(
        ONE,
        predicted_bytes=predicted,
        allocated_bytes=10 * GIB,
        reserved_bytes=reserved,
        context_bytes=context,
    )


def test_without_a_run_here_published_ones_say_how_much_is_held_beside_the_peak() -> None:
    stock, chunked = band(20 * GIB, "stock"), band(20 * GIB, "chunked")
    assert (stock.low, stock.runs, stock.context) == (20 * GIB, 0, None)
    assert stock.typical == 25 * GIB
    assert chunked.typical < stock.typical and chunked.high < stock.high


def test_of_a_small_run_the_context_is_most_of_what_comes_on_top() -> None:
    small = band(100 * 2**20, "chunked")
    assert small.typical == small.high == 100 * 2**20 + CONTEXT


def test_runs_on_this_device_replace_the_published_ones() -> None:
    found = band(20 * GIB, "stock", [run(1.02, GIB), run(1.10, GIB), run(1.06, GIB)])
    assert found.runs == 3
    assert found.context == GIB
    assert found.low == 21 * GIB
    assert found.typical == pytest.approx(20 * 1.06 * GIB + GIB)
    assert 20 * 1.10 * GIB + GIB < found.high < 20 * 1.15 * GIB + GIB


def test_what_took_less_than_predicted_lowers_the_band() -> None:
    assert band(20 * GIB, "stock", [run(0.9)]).low == 18 * GIB


def test_runs_without_a_prediction_count_by_what_they_allocated() -> None:
    found = band(20 * GIB, "stock", [run(1.2, predicted=None)])
    assert found.typical == pytest.approx(24 * GIB + CONTEXT)


@given(
    peak=st.integers(512, 10**12),
    ratios=st.lists(st.floats(0.5, 3), max_size=60),
    context=st.none() | st.integers(1, 2 * GIB),
)
def test_low_typical_and_high_are_in_order(peak: int, ratios: list[float], context: int | None) -> None:
    found = band(peak, "stock", [run(ratio, context) for ratio in ratios])
    assert 0 < found.low <= found.typical <= found.high
    assert found.runs == min(50, len(ratios))


@pytest.mark.parametrize(
    ("used", "expected"), [(0, "fits"), (4, "fits"), (5, "tight"), (14, "tight"), (15, "no"), (30, "no")]
)
def test_the_verdict_follows_from_what_is_free(used: int, expected: str) -> None:
    found = Band(low=10 * GIB, typical=15 * GIB, high=20 * GIB, context=None, runs=0)
    device = Device("GPU", total_bytes=24 * GIB, used_bytes=used * GIB)
    assert verdict(found, device) == expected
