"""What a run's events say of its memory, in whatever order and however damaged they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.memory.estimate import COMPONENTS, MOMENTS, Estimate, Parameters
from sftui.memory.simulated import document
from sftui.runs.history import History
from sftui.runs.memory_history import MEASURED_COMPONENTS, MemoryHistory, PeakReader, Trial
from tests.run_memory_fixtures import (
    ADAPTER,
    GIB,
    STEP,
    WEIGHTS,
    parts,
    predicted,
    step_memory,
    telemetry,
    trial,
)

START = {"type": "start", "time": 1.0, "device": "NVIDIA H200", "memory": predicted()}


def told(*events: dict[str, Any]) -> MemoryHistory:
    history = History()
    history.feed(events)
    return history.taken


def test_each_event_finds_its_place() -> None:
    taken = told(
        step_memory(0, "load"),
        START,
        step_memory(0, *STEP[:-1], factor=1.02),
        trial(),
        step_memory(1, *STEP, factor=0.9),
    )
    assert taken.predicted is not None
    assert (taken.predicted.peak_moment, taken.predicted.peak_bytes) == ("loss", 10 * GIB)
    assert taken.trial == Trial(4096, 2, 2048, 3.14, 10 * GIB)
    assert (taken.moment, taken.highest) == ("loss", taken.moments["loss"])
    assert set(taken.moments) == {"load", *STEP}
    assert taken.difference == pytest.approx(0.02)
    assert taken.reserved == round(10.2 * GIB) + GIB


def test_the_highest_of_a_moment_stays_whatever_comes_later_and_so_do_the_components_of_the_peak() -> None:
    taken = told(START, step_memory(1, *STEP, factor=1.1), step_memory(9, *STEP, factor=0.5))
    assert taken.moments["loss"] == round(11 * GIB)
    assert sum(taken.components.values()) == taken.highest == round(11 * GIB)
    assert taken.components["weights"] == WEIGHTS and taken.components["adapter"] == ADAPTER


def test_a_resumed_run_keeps_what_was_measured_before() -> None:
    before = [START, step_memory(0, *STEP, factor=1.1), trial()]
    resumed = {"type": "resume", "step": 4, "time": 9.0, "device": "NVIDIA H200"}
    taken = told(*before, step_memory(0, "load"), resumed, step_memory(4, *STEP, factor=1.0))
    assert taken.highest == round(11 * GIB) and taken.predicted is not None and taken.trial is not None


def test_there_is_no_difference_before_more_than_loading_was_measured() -> None:
    assert told(START).difference is None
    assert told(START, step_memory(0, "load")).difference is None
    assert told(step_memory(0, *STEP)).difference is None
    assert told(START, step_memory(0, *STEP)).difference == 0


def test_what_telemetry_saw_between_the_moments_counts_too() -> None:
    memory = {"type": "memory", "time": 1.0, "gpus": [], **telemetry(11 * GIB)}
    taken = told(START, step_memory(1, *STEP), memory)
    assert (taken.highest, taken.reserved) == (11 * GIB, 12 * GIB)
    assert taken.moments["loss"] == 10 * GIB


def test_the_prediction_is_that_of_the_estimate() -> None:
    moments = {moment: dict(parts(moment)) for moment in MOMENTS}
    found = Estimate(moments, "loss", Parameters(8, 1, {}))  # type: ignore[arg-type]
    taken = told({"type": "start", "memory": {"predicted": document(found), "source": "simulation"}})
    assert taken.predicted is not None and taken.predicted.source == "simulation"
    assert taken.predicted.peak_bytes == found.peak_bytes
    for moment in MOMENTS:
        assert taken.predicted.at(moment) == found.at(moment)
        assert sum(taken.predicted.measurable(moment).values()) == found.at(moment)
        assert set(taken.predicted.measurable(moment)) == set(MEASURED_COMPONENTS)


WRONG = [None, True, -1, 1.5, "12", [], {}, [1], {"a": 1}, 10**400, float("inf"), float("nan")]


def wrong_ones(event: dict[str, Any], wrong: Any) -> list[dict[str, Any]]:
    """The event with this in place of each of its values, at any depth."""
    found = []
    for key, value in event.items():
        if key == "type":
            continue
        found.append({**event, key: wrong})
        if isinstance(value, dict):
            found += [{**event, key: each} for each in wrong_ones(value, wrong)]
    return found


@pytest.mark.parametrize("wrong", WRONG, ids=repr)
@pytest.mark.parametrize("event", [START, step_memory(1, *STEP), trial()], ids=lambda event: event["type"])
def test_wrong_values_are_passed_over_and_never_raise(event: dict[str, Any], wrong: Any) -> None:
    for damaged in wrong_ones(event, wrong):
        taken = told(START, step_memory(0, "load"), damaged)
        assert taken.predicted is not None and taken.predicted.peak_bytes > 0
        assert all(type(size) is int and size > 0 for size in taken.moments.values())
        assert taken.highest is not None and taken.highest >= WEIGHTS + ADAPTER
        assert set(taken.components) == set(MEASURED_COMPONENTS)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from([*MOMENTS, *COMPONENTS, "moments", "predicted", "peak_bytes"]), inner
        )
    ),
    max_leaves=12,
)


@given(
    st.sampled_from(["start", "resume", "step_memory", "trial", "memory"]),
    st.dictionaries(
        st.sampled_from(
            ["memory", "moments", "components", "peak_bytes", "tokens", "rows", "length", "seconds"]
        ),
        json_values,
    ),
)
def test_any_event_leaves_numbers_that_can_be_shown(kind: str, values: dict[str, Any]) -> None:
    taken = MemoryHistory()
    taken.feed({"type": kind, **values})
    assert taken.predicted is None or taken.predicted.peak_bytes > 0
    assert all(type(size) is int for size in (*taken.moments.values(), *taken.components.values()))
    assert taken.difference is None or taken.difference >= -1


def test_the_peak_is_read_from_a_growing_file_piece_by_piece(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("sftui.runs.memory_history.PIECE", 700)
    file = tmp_path / "events.jsonl"
    reader = PeakReader(file)
    reader.read()
    assert reader.highest is None
    other = json.dumps({"type": "sample", "text": 'says "step_memory", and "peak_bytes": 99999999999999'})
    lines = [other, json.dumps(START), json.dumps(step_memory(0, "load")), json.dumps(trial(99 * GIB))]
    file.write_text("\n".join(lines) + "\n")
    reader.read()
    assert reader.highest == WEIGHTS + ADAPTER
    line = json.dumps(step_memory(1, *STEP)) + "\n"
    with file.open("a") as out:
        out.write("{torn step_memory\n" + line[:60])
    reader.read()
    assert reader.highest == WEIGHTS + ADAPTER
    with file.open("a") as out:
        out.write(line[60:] + json.dumps(step_memory(2, *STEP, factor=0.5)) + "\n")
    reader.read()
    assert reader.highest == 10 * GIB


def test_a_file_that_was_replaced_by_a_shorter_one_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(step_memory(1, *STEP)) + "\n")
    reader = PeakReader(file)
    reader.read()
    assert reader.highest == 10 * GIB
    file.write_text(json.dumps(step_memory(0, "load")) + "\n")
    reader.read()
    assert reader.highest == WEIGHTS + ADAPTER


def test_a_run_without_such_events_has_nothing_to_tell(tmp_path: Path) -> None:
    taken = told(
        {"type": "start", "time": 1.0, "device": "CPU"}, {"type": "memory", "rss_bytes": 5, "gpus": []}
    )
    assert taken == MemoryHistory()
    file = tmp_path / "events.jsonl"
    file.write_text(json.dumps(START) + "\n")
    reader = PeakReader(file)
    reader.read()
    assert reader.highest is None
