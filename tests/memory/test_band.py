from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.memory import band as module
from sftui.memory.band import CONTEXT, LEAST_CONTEXT, Band, band, fits_on, verdict
from sftui.memory.changes import cheapest
from sftui.memory.closed_form import estimate
from sftui.memory.device import Device
from sftui.memory.measured import Measured
from sftui.memory.step import Loss, step_of
from tests.memory.recipe_fixtures import LLAMA_8B, known, recipe
from tests.memory.test_measured import ONE

GIB, MIB = 2**30, 2**20

NEW_OLD = ((300, "595"), (700, "550"))


def run(
    reserved: float, predicted: float | None = 10, context: int | None = None, loss: Loss = "stock"
) -> Measured:
    """A run that reserved so many GiB, `predicted` of them predicted, or else 10 allocated."""
    return replace(
        ONE,
        predicted_bytes=None if predicted is None else round(predicted * GIB),
        allocated_bytes=10 * GIB,
        reserved_bytes=round(reserved * GIB),
        context_bytes=context,
        step={**ONE.step, "loss": loss},
    )


def test_without_a_run_here_published_ones_say_how_much_is_held_beside_the_peak() -> None:
    stock, chunked = band(20 * GIB, "stock"), band(20 * GIB, "chunked")
    assert (stock.low, stock.runs, stock.context) == (20 * GIB + LEAST_CONTEXT, 0, None)
    assert stock.typical == 25 * GIB
    assert chunked.typical < stock.typical and chunked.high < stock.high


def test_of_a_small_run_the_context_is_most_of_what_comes_on_top() -> None:
    small = band(100 * MIB, "chunked")
    assert small.typical == small.high == 100 * MIB + CONTEXT
    assert small.low == 100 * MIB + LEAST_CONTEXT


def test_runs_on_this_device_replace_the_published_ones() -> None:
    found = band(20 * GIB, "stock", [run(10.25, context=GIB), run(11.25, context=GIB), run(10.75)])
    assert found.runs == 3
    assert found.context == GIB
    assert found.low == 21 * GIB
    assert found.typical == 20 * 1.05 * GIB + GIB // 4 + GIB
    assert found.high == pytest.approx(20 * 1.1 * 1.03 * GIB + GIB / 4 + GIB)


def test_the_same_run_again_takes_what_it_took() -> None:
    found = band(10 * GIB, "stock", [run(10.9, context=300 * MIB)])
    assert found.typical == round(10.9 * GIB) + 300 * MIB


def test_one_small_run_tells_its_context_and_nothing_of_large_ones() -> None:
    small = run(520 / 1024, 285 / 1024, context=400 * MIB, loss="chunked")
    large, unmeasured = band(8 * GIB, "chunked", [small]), band(8 * GIB, "chunked")
    assert (large.typical, large.high, large.runs) == (unmeasured.typical, unmeasured.high, 0)
    assert large.context == 400 * MIB and large.low == 8 * GIB + 400 * MIB
    ordinary = run(7.5, 7.2, loss="chunked")
    assert (
        band(8 * GIB, "chunked", [small, ordinary]).high
        == band(8 * GIB, "chunked", [ordinary, replace(small, step={})]).high
    )


def test_runs_much_smaller_than_what_is_asked_for_do_not_count() -> None:
    assert band(40 * GIB, "stock", [run(10.3)]).runs == 1
    assert band(41 * GIB, "stock", [run(10.3)]).runs == 0


def test_a_fragmented_run_of_little_counts_less_than_many_of_more() -> None:
    ordinary = [run(10.3) for _ in range(5)]
    assert band(8 * GIB, "stock", [run(4, 2), *ordinary]).high == band(8 * GIB, "stock", ordinary).high
    assert band(8 * GIB, "stock", [run(20), *ordinary]).high > 1.9 * 8 * GIB


def test_runs_with_another_loss_fragment_otherwise() -> None:
    stock = [run(17), run(16)]
    assert band(8 * GIB, "chunked", stock).high == band(8 * GIB, "chunked").high
    assert band(8 * GIB, "stock", stock).runs == 2


def test_runs_with_the_installed_torch_count_alone_where_there_are_any(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "_installed_torch", lambda: "2.13")
    other, own = run(16, context=GIB), replace(run(10.3, context=300 * MIB), versions={"torch": "2.13"})
    assert band(8 * GIB, "stock", [other, own]) == band(8 * GIB, "stock", [own])
    assert band(8 * GIB, "stock", [other]).runs == 1


def test_a_context_of_another_driver_than_the_newest_does_not_count() -> None:
    new, old = (replace(run(10.3, context=size * MIB), versions={"driver": name}) for size, name in NEW_OLD)
    assert band(8 * GIB, "stock", [new, old, old]).context == 300 * MIB
    assert band(8 * GIB, "stock", [new, old, old]).runs == 3
    assert band(8 * GIB, "stock", [old, new, new]).context == 700 * MIB


def test_what_took_less_than_predicted_lowers_the_band() -> None:
    assert band(20 * GIB, "stock", [run(9)]).low == 18 * GIB + LEAST_CONTEXT


def test_runs_without_a_prediction_count_by_what_they_allocated() -> None:
    found = band(20 * GIB, "stock", [run(12.25, None)])
    assert found.typical == 24 * GIB + GIB // 4 + CONTEXT


def test_a_chunked_loss_is_held_against_its_own_band() -> None:
    device = Device("GPU", total_bytes=12 * GIB)
    shape, stock = known(LLAMA_8B), recipe(training={"loss": "stock"})
    assert verdict(band(estimate(shape, step_of(stock, shape)).peak_bytes, "stock"), device) == "tight"
    found = cheapest(stock, shape, fits_on(device))
    assert found is not None and [dict(one.values) for one in found] == [{"training.loss": "chunked"}]


@given(
    peak=st.integers(512, 10**12),
    reserved=st.lists(st.floats(5, 30), max_size=60),
    context=st.none() | st.integers(1, 2 * GIB),
)
def test_low_typical_and_high_are_in_order(peak: int, reserved: list[float], context: int | None) -> None:
    found = band(peak, "stock", [run(size, 10, context) for size in reserved])
    assert 0 < found.low <= found.typical <= found.high
    assert found.runs == (min(50, len(reserved)) if peak <= 40 * GIB else 0)


@pytest.mark.parametrize(
    ("used", "expected"), [(0, "fits"), (4, "fits"), (5, "tight"), (14, "tight"), (15, "no"), (30, "no")]
)
def test_the_verdict_follows_from_what_is_free(used: int, expected: str) -> None:
    found = Band(low=10 * GIB, typical=15 * GIB, high=20 * GIB, context=None, runs=0)
    device = Device("GPU", total_bytes=24 * GIB, used_bytes=used * GIB)
    assert verdict(found, device) == expected
