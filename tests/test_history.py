"""The history of a run: what its events say, in any pieces, and what a resumed run does again."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.runs.events import EventWriter
from sftui.runs.history import RECENT_STEPS, History, Watch, tail
from sftui.runs.series import Series
from sftui.runs.status import Status, write_status
from tests.run_fixtures import new_run


def step(number: int, at: float | None = None, **values: Any) -> dict[str, Any]:
    return {
        "type": "step",
        "time": 100.0 + number if at is None else at,
        "step": number,
        "loss": 1.0 / number,
        "learning_rate": 1e-4,
        "grad_norm": 1.0,
        "tokens_per_second": 500.0,
        **values,
    }


def steps(first: int, last: int) -> list[dict[str, Any]]:
    return [step(number) for number in range(first, last + 1)]


def evaluation(number: int, loss: float | None) -> dict[str, Any]:
    return {"type": "eval", "time": 0.0, "step": number, "loss": loss}


def sample(number: int, where: str, text: str) -> dict[str, Any]:
    return {
        "type": "sample",
        "time": 0.0,
        "step": number,
        "where": where,
        "prompt": f"about {where}?",
        "expected": "yes",
        "answer": text,
    }


def told(*events: dict[str, Any]) -> History:
    history = History()
    history.feed(events)
    return history


def points(series: Series) -> list[tuple[int, float]]:
    return list(zip(series._steps, series._values, strict=True))


def state(history: History) -> tuple[Any, ...]:
    return (
        points(history.loss),
        points(history.eval_loss),
        points(history.learning_rate),
        points(history.grad_norm),
        points(history.tokens_per_second),
        history.start,
        history.step,
        history.memory,
        history.answers,
        history.warnings,
        history.checkpoints,
        history.evaluations,
        history.seconds_per_step(),
    )


def test_each_event_finds_its_place() -> None:
    start = {"type": "start", "time": 1.0, "device": "CPU"}
    memory = {"type": "memory", "time": 2.0, "rss_bytes": 5, "gpus": []}
    history = told(
        start,
        evaluation(0, 3.0),
        step(1),
        step(2, loss=None, grad_norm=None),
        {"type": "warning", "message": "mind the gap"},
        memory,
        {"type": "checkpoint", "step": 2},
        evaluation(2, 2.0),
        {"type": "end", "state": "finished"},
    )
    assert (history.start, history.memory, history.step) == (
        start,
        memory,
        step(2, loss=None, grad_norm=None),
    )
    assert points(history.loss)[0] == (1, 1.0)
    assert math.isnan(points(history.loss)[1][1])
    assert math.isnan(points(history.grad_norm)[1][1])
    assert points(history.learning_rate) == [(1, 1e-4), (2, 1e-4)]
    assert points(history.tokens_per_second) == [(1, 500.0), (2, 500.0)]
    assert history.evaluations == {0: 3.0, 2: 2.0}
    assert points(history.eval_loss) == [(0, 3.0), (2, 2.0)]
    assert history.warnings == ["mind the gap"]
    assert history.checkpoints == [2]


NONSENSE: list[Any] = [
    {},
    {"type": "step"},
    {"type": ["step"], "step": 1},
    {"type": "step", "step": "7", "time": 1.0, "loss": 1.0, "learning_rate": 1.0, "grad_norm": 1.0},
    {"type": "step", "step": 7, "loss": 1.0},
    {"type": "step", "step": 7, "time": 1.0, "loss": 1.0, "learning_rate": 1.0},
    {"type": "step", "step": 7, "time": None, "loss": 1.0, "learning_rate": 1.0, "grad_norm": 1.0},
    {"type": "step", "step": math.inf, "time": 1.0, "loss": 1.0, "learning_rate": 1.0, "grad_norm": 1.0},
    {"type": "step", "step": 2**70, "time": 1.0, "loss": 1.0, "learning_rate": 1.0, "grad_norm": 1.0},
    {"type": "step", "step": -1, "time": 1.0, "loss": 1.0, "learning_rate": 1.0, "grad_norm": 1.0},
    {"type": "step", "step": 7, "time": 10**400, "loss": 1.0, "learning_rate": 1.0, "grad_norm": 1.0},
    {"type": "step", "step": 7, "time": 1.0, "loss": 10**400, "learning_rate": 1.0, "grad_norm": 1.0},
    {"type": "eval", "step": 7},
    {"type": "eval", "step": None, "loss": 1.0},
    {"type": "checkpoint", "step": [1]},
    {"type": "sample", "step": 1, "where": "x"},
    {"type": "warning"},
    {"type": "resume"},
    {"type": "of a later version", "step": 3},
]


@pytest.mark.parametrize("event", NONSENSE, ids=lambda event: json.dumps(event)[:60])
def test_an_event_with_missing_or_senseless_values_changes_nothing(event: dict[str, Any]) -> None:
    history = told(*steps(1, 3), evaluation(3, 2.0))
    before = state(history)
    history.feed([event])
    assert state(history) == before
    history.feed(steps(4, 8))
    assert [number for number, _ in points(history.loss)] == list(range(1, 9))
    assert history.step == step(8)


# Resuming


def test_a_resumed_run_tells_each_step_once() -> None:
    first = [*steps(1, 80), evaluation(40, 1.0), evaluation(80, 0.9), {"type": "checkpoint", "step": 50}]
    lost = [{"type": "checkpoint", "step": 75}, sample(0, "a", "zero"), sample(70, "a", "of another time")]
    history = told({"type": "start", "time": 0.0}, *first, *lost)
    history.feed([{"type": "resume", "time": 500.0, "step": 50}])
    assert len(history.loss) == len(history.grad_norm) == len(history.tokens_per_second) == 50
    assert history.evaluations == {40: 1.0}
    assert points(history.eval_loss) == [(40, 1.0)]
    assert history.checkpoints == [50]
    assert [answer.text for answer in history.answers] == ["zero"]
    assert history.step is None, "step 80 is not where the run is any more"
    assert history.seconds_left(100) is None
    assert history.start == {"type": "start", "time": 0.0}
    history.feed([step(51, at=501.0), step(52, at=503.0), evaluation(52, 0.8)])
    assert [number for number, _ in points(history.loss)] == list(range(1, 53))
    assert history.evaluations == {40: 1.0, 52: 0.8}
    assert history.seconds_per_step() == 2.0, "the time between the two lives is no step's"


def test_steps_that_come_again_without_a_word_are_told_once() -> None:
    history = told(*steps(1, 9), evaluation(9, 2.0), step(6, loss=7.0))
    assert points(history.loss)[-2:] == [(5, 1 / 5), (6, 7.0)]
    assert history.evaluations == {}
    assert history.step == step(6, loss=7.0)


def test_a_run_that_starts_again_without_a_checkpoint_has_no_past() -> None:
    history = told(
        {"type": "start", "time": 1.0},
        sample(0, "a", "zero"),
        evaluation(0, 3.0),
        *steps(1, 5),
        {"type": "start", "time": 9.0},
        sample(0, "a", "zero again"),
    )
    assert len(history.loss) == len(history.eval_loss) == len(history.evaluations) == 0
    assert history.before_and_after() == []
    assert history.start == {"type": "start", "time": 9.0}


def test_a_resume_without_a_start_is_where_the_run_began() -> None:
    event = {"type": "resume", "time": 1.0, "step": 3}
    assert told(event).start == event


def test_an_evaluation_asked_for_twice_at_a_step_counts_once() -> None:
    history = told(step(1), evaluation(1, 2.0), evaluation(1, 1.5))
    assert history.evaluations == {1: 1.5}
    assert points(history.eval_loss) == [(1, 1.5)]


# What follows from it


def test_the_end_is_predicted_from_the_wall_time_of_recent_steps() -> None:
    history = told(step(1, at=0.0))
    assert history.seconds_per_step() is None
    assert history.seconds_left(10) is None
    history.feed([step(2, at=3.0), step(3, at=10.0)])
    assert history.seconds_per_step() == 5.0
    assert history.seconds_left(10) == 35.0
    assert history.seconds_left(2) == 0.0
    slow = [step(number, at=10.0 + 100 * (number - 3)) for number in range(4, 4 + 2 * RECENT_STEPS)]
    history.feed(slow)
    assert history.seconds_per_step() == 100.0


def test_a_clock_that_was_set_back_predicts_nothing() -> None:
    assert told(step(1, at=50.0), step(2, at=40.0)).seconds_left(10) is None


def test_the_best_evaluation_is_the_lowest_finite_one() -> None:
    assert told().best_eval() is None
    assert told(evaluation(1, None)).best_eval() is None
    found = told(evaluation(1, 2.0), evaluation(2, None), evaluation(3, 1.0), evaluation(4, 1.5))
    assert found.best_eval() == (3, 1.0)


def test_before_and_after_are_the_first_and_the_latest_answer_to_a_question() -> None:
    history = told(sample(0, "a", "a0"), sample(0, "b", "b0"))
    assert history.before_and_after() == []
    history.feed([sample(5, "a", "a5"), sample(9, "a", "a9"), sample(9, "c", "c9")])
    assert [(first.text, latest.text) for first, latest in history.before_and_after()] == [("a0", "a9")]
    assert history.answers[0].prompt == "about a?"


@given(st.lists(st.integers(1, 3), max_size=8), st.sampled_from([1, 2, 5, 1000]))
def test_a_history_is_the_same_in_whatever_pieces_it_is_fed(lives: list[int], size: int) -> None:
    events: list[dict[str, Any]] = [{"type": "start", "time": 0.0}]
    reached = 0
    for back in lives:
        reached = max(0, reached - back)
        events += [{"type": "resume", "time": 0.0, "step": reached}, *steps(reached + 1, reached + 4)]
        reached += 4
        events += [evaluation(reached, 1.0), {"type": "checkpoint", "step": reached}]
    whole, pieces = told(*events), History()
    for start in range(0, len(events), size):
        pieces.feed(events[start : start + size])
    assert state(pieces) == state(whole)
    assert [number for number, _ in points(whole.loss)] == list(range(1, reached + 1))


# Watching


def test_a_watch_follows_status_and_events_from_nothing_to_the_end(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    watch = Watch(run)
    watch.catch_up()
    assert watch.status is None
    assert watch.history.step is None
    write_status(run, Status(state="finished", step=2))
    writer = EventWriter(run.events_file)
    for event in steps(1, 2):
        writer.write("step", **{name: value for name, value in event.items() if name not in ("type", "time")})
    watch.catch_up()
    assert watch.status is not None
    assert watch.status.state == "finished"
    assert watch.history.step is not None
    assert watch.history.step["step"] == 2
    news = watch.look()
    assert (news.events, news.more) == ([], False)
    writer.write("warning", message="late")
    writer.close()
    news = watch.look()
    assert news.more
    assert watch.history.warnings == [], "to look changes nothing"
    watch.take(news)
    assert watch.history.warnings == ["late"]


def test_a_long_run_is_caught_up_with_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = new_run(tmp_path)
    run.events_file.write_text("".join(json.dumps(event) + "\n" for event in steps(1, 20_000)))
    watch = Watch(run)
    news = watch.look()
    assert news.more
    assert 0 < len(news.events) < 20_000
    watch.catch_up()
    assert len(watch.history.loss) == 20_000 - len(news.events), (
        "what was only looked at is the caller's to take"
    )


# The log


def test_the_tail_is_the_last_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "trainer.log"
    assert tail(path, 5) == []
    path.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert tail(path, 3) == ["line 997", "line 998", "line 999"]
    assert len(tail(path, 5000)) == 1000
    assert tail(path, 0) == []
    assert tail(path, 1000, limit=21) == ["line 998", "line 999"]
    path.write_bytes("é".encode()[1:] + b" torn\nlast without end")
    assert tail(path, 2) == ["\ufffd torn", "last without end"]


@pytest.mark.parametrize("value", [None, "zz", [], {}, float("nan")], ids=repr)
def test_a_value_that_is_no_number_counts_as_missing_wherever_it_stands(value: object) -> None:
    history = History()
    history.feed([step(1), {**step(2), "tokens": value, "tokens_per_second": value}])
    assert history.step is not None and history.step["step"] == 2
    assert history.step["tokens"] is None and history.step["tokens_per_second"] is None
    gpu = {"index": value, "total_bytes": value, "name": "H200"}
    history.feed([{"type": "memory", "time": 1.0, "cpu_percent": value, "gpus": [gpu, "gpu", None]}])
    assert history.memory is not None and history.memory["cpu_percent"] is None
    assert history.memory["gpus"] == [{"index": None, "total_bytes": None, "name": "H200"}]
    history.feed([{"type": "memory", "time": 1.0, "gpus": value}])
    assert history.memory["gpus"] == []
