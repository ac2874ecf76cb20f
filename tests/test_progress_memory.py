"""What a run says of its memory in plain lines."""

from __future__ import annotations

from typing import Any

from sftui import progress
from sftui.runs.history import History
from tests.run_memory_fixtures import GIB, STEP, predicted, step_memory, telemetry, trial

START = {"type": "start", "device": "NVIDIA H200", "memory": predicted()}


def said(*pieces: list[dict[str, Any]]) -> list[list[str]]:
    """The new lines after each piece of events; after the last the run has ended."""
    history, news = History(), progress._memory()
    found = []
    for number, piece in enumerate(pieces, start=1):
        history.feed(piece)
        found.append(news(history, number == len(pieces)))
    return found


def test_the_trial_and_the_peak_have_a_line_each_once() -> None:
    tried = [step_memory(0, *STEP[:-1], factor=1.02), trial(round(10.2 * GIB))]
    assert said([step_memory(0, "load"), START], tried, [step_memory(1, *STEP, factor=0.9)], []) == [
        [],
        [
            "tried the largest batch: 2 x 2,048 tokens in 3.1 s",
            "memory: at most 10.2 GiB allocated, 2.0% above the 10.0 GiB predicted",
        ],
        [],
        [],
    ]


def test_a_peak_that_grew_is_told_again_at_the_end() -> None:
    assert said([START, step_memory(0, *STEP), trial()], [step_memory(7, *STEP, factor=1.2)], [])[1:] == [
        [],
        ["memory: at most 12.0 GiB allocated, 20% above the 10.0 GiB predicted"],
    ]


def test_a_batch_that_does_not_fit_is_told_and_no_peak_that_was_not_reached() -> None:
    assert said([step_memory(0, "load"), START], [trial(None)], []) == [
        [],
        ["tried the largest batch: 2 x 2,048 tokens do not fit"],
        [],
    ]


def test_a_run_on_the_cpu_says_nothing() -> None:
    start = {"type": "start", "device": "CPU", "memory": predicted()}
    assert said([start], [{"type": "memory", "rss_bytes": 5, "gpus": []}], []) == [[], [], []]


def test_without_a_prediction_the_peak_stands_alone() -> None:
    start = {"type": "start", "device": "NVIDIA H200"}
    memory = {"type": "memory", "gpus": [], **telemetry()}
    found = said([start, step_memory(0, *STEP), trial(), memory])
    assert found[0][1:] == ["memory: at most 10.0 GiB allocated"]
