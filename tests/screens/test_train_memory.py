"""A run's memory on the dashboard, in its dialog and in the list of runs."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.runs.history import History
from sftui.runs.status import Failure, Status, read_status, write_status
from sftui.screens import run_memory_view
from sftui.screens.run_memory import RunMemoryScreen
from sftui.screens.train import TrainScreen
from tests.run_memory_fixtures import GIB, STEP, append, on_a_gpu, predicted, step_memory, telemetry, trial

from .conftest import GPU, Runs
from .workbench_fixtures import screen_text, until, workbench

SHORT = Failure(
    "memory",
    "out of memory at the loss (trying the largest batch): "
    "logits take 2.5 GiB and weights 6.0 GiB of 10.0 GiB",
    "start anew with training.loss=chunked (-2.4 GiB), or "
    "training.per_device_train_batch_size=1 training.gradient_accumulation_steps=16 (-1.3 GiB)",
)
values = st.none() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
START = {"type": "start", "device": "NVIDIA H200", "memory": predicted()}


def report(*events: dict[str, Any], width: int = 90, **status: Any) -> list[str]:
    history = History()
    history.feed(events)
    return str(run_memory_view.report(Status(state="running", **status), history, width)).splitlines()


def line_of(lines: list[str], label: str) -> str:
    return next(line for line in lines if line.startswith(label))


async def test_on_a_gpu_the_measured_peak_stands_above_the_predicted_one_with_the_difference(
    runs: Runs,
) -> None:
    run = runs.make("one", gpu=True)
    on_a_gpu(run)
    async with workbench(runs, run=run).run_test(size=(120, 40)) as pilot:
        shown = await until(pilot, "predicted")
        side = [line.rpartition("││ ")[2] for line in shown.splitlines() if "││ " in line]
        labels = ("allocated", "reserved", "peak", "predicted")
        at = {label: n for n, line in enumerate(side) for label in labels if line.startswith(label)}
        assert side[at["allocated"]].split()[1:3] == ["7.0/140.0", "GiB"]
        assert side[at["peak"]].split()[1:3] == ["10.2/140.0", "GiB"]
        assert side[at["predicted"]].split()[1:3] == ["10.0/140.0", "GiB"]
        assert at["predicted"] == at["peak"] + 1
        assert "peak 2.0% above predicted" in shown
        assert "612 W" in shown and "CPU 112%  RAM 9.0/64 GiB  trainer 3.0 GiB" in shown


async def test_in_80_columns_peak_and_prediction_have_a_line(runs: Runs) -> None:
    run = runs.make("one", gpu=True)
    on_a_gpu(run)
    async with workbench(runs, run=run).run_test(size=(80, 24)) as pilot:
        shown = await until(pilot, "predicted")
        assert "peak 10.2 GiB  predicted 10.0 GiB  measured 2.0% above" in shown
        assert "allocated 7.0 GiB" in shown and "loss: raw dim" in shown


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
async def test_on_the_cpu_the_prediction_for_a_gpu_is_all_that_is_said(
    runs: Runs, size: tuple[int, int]
) -> None:
    run = runs.make("one")
    events = [json.loads(line) for line in run.events_file.read_text().splitlines()]
    events[0] |= {"device": "CPU", "memory": predicted()}
    run.events_file.write_text("".join(json.dumps(event) + "\n" for event in events))
    async with workbench(runs, run=run).run_test(size=size) as pilot:
        shown = await until(pilot, "on a GPU")
        line = next(line for line in shown.splitlines() if "on a GPU" in line)
        assert "10.0 GiB" in line and "predicted" in line
        assert "peak" not in shown and "allocated" not in shown and "trainer" in shown


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)], ids=str)
async def test_a_key_opens_components_and_moments_and_closes_them(runs: Runs, size: tuple[int, int]) -> None:
    run = runs.make("one", gpu=True)
    on_a_gpu(run)
    async with workbench(runs, run=run).run_test(size=size) as pilot:
        await until(pilot, "120/200")
        await pilot.press("m")
        shown = await until(pilot, "all the rest")
        assert isinstance(pilot.app.screen, RunMemoryScreen)
        for expected in ("weights", "adapter", "gradients", "optimizer", "together", "2.0%"):
            assert expected in shown, f"{expected!r} is missing:\n{shown}"
        assert max(map(len, shown.splitlines())) <= size[0]
        for _ in range(20):
            await pilot.press("j")
        assert "save" in await until(pilot, "evaluation")
        await pilot.press("escape")
        await until(pilot, "120/200")
        assert isinstance(pilot.app.screen, TrainScreen)


async def test_the_open_dialog_follows_the_run(runs: Runs) -> None:
    run = runs.make("one", gpu=True)
    on_a_gpu(run)
    async with workbench(runs, run=run).run_test(size=(120, 40)) as pilot:
        await until(pilot, "120/200")
        await pilot.press("m")
        await until(pilot, "measured: 2.0% above")
        append(run, step_memory(121, *STEP, factor=1.3))
        await until(pilot, "measured: 30% above")


def test_each_component_and_moment_has_predicted_measured_and_difference() -> None:
    lines = report(step_memory(0, "load"), START, step_memory(0, *STEP, factor=1.1), trial(11 * GIB), step=3)
    assert "allocated at most 11.0 GiB at the loss" in lines[0]
    assert "predicted 10.0 GiB at the loss (closed form); measured: 10% above" in lines[1]
    assert "2 × 2,048 tokens in 3.1 s, 11.0 GiB" in lines[2]
    assert line_of(lines, "weights").split()[:5] == ["weights", "6.00", "6.00", "0.00", "0.0%"]
    assert line_of(lines, "all the rest").split()[3:7] == ["3.25", "4.25", "+1.00", "+30.8%"]
    assert "activations 0.75, logits 2.50" in line_of(lines, "  predicted")
    assert line_of(lines, "together").split()[1:5] == ["10.00", "11.00", "+1.00", "+10.0%"]
    assert line_of(lines, "load").split()[1:5] == ["6.25", "6.25", "0.00", "0.0%"]
    assert line_of(lines, "forward").split()[1:4] == ["8.00", "8.80", "+0.80"]
    assert line_of(lines, "save").split()[1:3] == ["6.75", "–"]
    assert line_of(lines, "loss").endswith("▄") and line_of(lines, "save").endswith("▀")


def test_components_are_compared_in_the_moment_in_which_most_was_measured() -> None:
    lines = report(START, step_memory(1, "backward_last", factor=1.5), step=1)
    assert "10.0 GiB at the loss" in lines[1] and "in the backward pass" in lines[0]
    assert line_of(lines, "together").split()[1:3] == ["8.75", "13.12"]


@pytest.mark.parametrize(
    ("events", "status", "expected"),
    [
        ([{"type": "start", "device": "CPU"}], {"step": 5}, "on the CPU allocations are not counted"),
        ([], {}, "not yet"),
        ([{"type": "start", "device": "NVIDIA H200"}], {"step": 5}, "this run's trainer did not do so"),
    ],
)
def test_where_nothing_was_measured_it_says_why(
    events: list[dict[str, Any]], status: dict[str, Any], expected: str
) -> None:
    lines = report(*events, **status)
    assert lines[0].startswith("Nothing was measured") and expected in lines[0]
    assert lines[1].startswith("Nothing was predicted") and len(lines) == 2


@given(
    st.lists(
        st.fixed_dictionaries(
            {"type": st.sampled_from(["start", "step_memory", "trial", "memory"])},
            optional={
                "memory": st.just(predicted()) | values,
                "moments": st.just(step_memory(1, *STEP)["moments"]) | values,
                "components": st.just(step_memory(1, *STEP)["components"]) | values,
                **dict.fromkeys(("peak_bytes", "reserved_bytes", "tokens", "rows", "seconds"), values),
                "length": values,
            },
        ),
        max_size=4,
    ),
    st.integers(50, 90),
)
def test_whatever_events_say_something_is_shown(events: list[dict[str, Any]], width: int) -> None:
    assert report(*events, width=width)


async def test_a_run_that_ran_out_of_memory_has_no_peak_in_the_list(runs: Runs) -> None:
    on_a_gpu(runs.make("one", "failed", gpu=True, error=SHORT))
    on_a_gpu(runs.make("two", gpu=True), factor=1.1)
    async with workbench(runs).run_test(size=(120, 24)) as pilot:
        shown = await until(pilot, "11.0 GiB")
        assert "10.2 GiB" not in shown


def test_more_between_the_moments_than_in_them_is_told_apart() -> None:
    between = {"type": "memory", "gpus": [GPU], **telemetry(12 * GIB)}
    lines = report(START, step_memory(1, *STEP), between, step=1)
    assert lines[0].startswith("allocated at most 12.0 GiB, 10.0 GiB at the loss, torch held")
    assert line_of(lines, "together").split()[1:3] == ["10.00", "10.00"]


def test_an_old_run_on_a_gpu_has_its_peak_alone() -> None:
    lines = report({"type": "start"}, {"type": "memory", "gpus": [GPU], **telemetry()}, step=5)
    assert lines[0] == "allocated at most 10.0 GiB, torch held at most 12.0 GiB" and len(lines) == 2


def test_a_batch_that_did_not_fit_is_told() -> None:
    lines = report(step_memory(0, "load"), START, trial(None))
    assert "the largest batch did not fit: 2 × 2,048 tokens" in "\n".join(lines)
    assert line_of(lines, "weights").split()[1:3] == ["6.00", "–"]


@pytest.mark.parametrize("width", [50, 60, 75, 90])
def test_no_line_of_the_columns_is_wider_than_its_room(width: int) -> None:
    lines = report(START, step_memory(1, *STEP, factor=1.1), step=1, width=width)
    table = lines[next(n for n, line in enumerate(lines) if line.startswith("peak, ")) :]
    assert max(len(line) for line in table if not line.startswith("  ")) <= width


async def test_a_warning_before_the_first_step_stands_above_and_goes_when_it_trains(runs: Runs) -> None:
    run = runs.make("one", steps=0, gpu=True)
    on_a_gpu(run, tried=False)
    append(run, {"type": "warning", "message": "this needs 10.6 GiB of memory or more, 9.2 GiB are free"})
    async with workbench(runs, run=run).run_test(size=(80, 24)) as pilot:
        await until(pilot, "! this needs 10.6 GiB of memory")
        status = read_status(run)
        assert status is not None
        write_status(run, replace(status, step=1, heartbeat=time.time()))
        await until(pilot, "1/200")
        await pilot.pause(0.3)
        assert "! this needs" not in screen_text(pilot.app)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)], ids=str)
async def test_out_of_memory_is_told_whole_with_what_took_it_and_what_to_change(
    runs: Runs, size: tuple[int, int]
) -> None:
    run = runs.make("one", "failed", steps=0, gpu=True, error=SHORT)
    on_a_gpu(run, tried=False, steps=False)
    async with workbench(runs, run=run).run_test(size=size) as pilot:
        shown = " ".join((await until(pilot, "(-1.3 GiB)")).split())
        for expected in (
            "out of memory at the loss",
            "logits take 2.5 GiB and weights 6.0 GiB of 10.0 GiB",
            "training.loss=chunked (-2.4 GiB)",
            "training.per_device_train_batch_size=1",
            "Anew: sftui train",
        ):
            assert expected in shown, f"{expected!r} is missing:\n{shown}"


@pytest.mark.parametrize(("width", "column"), [(80, False), (120, True)])
async def test_the_list_of_runs_tells_the_highest_measured_peak(runs: Runs, width: int, column: bool) -> None:
    run = runs.make("2026-11-20_041200-smollm2-gsm8k", gpu=True)
    on_a_gpu(run)
    runs.make("2026-11-19_another")
    async with workbench(runs).run_test(size=(width, 24)) as pilot:
        shown = await until(pilot, "10.2 GiB" if column else "at most 10.2 GiB on the GPU")
        header = next(line for line in shown.splitlines() if "state" in line)
        assert ("memory" in header) == column
        if column:
            append(run, step_memory(121, *STEP, factor=1.3))
            await until(pilot, "13.0 GiB")


async def test_where_no_run_was_measured_there_is_no_column_of_memory(runs: Runs) -> None:
    runs.make("one")
    async with workbench(runs).run_test(size=(200, 24)) as pilot:
        shown = await until(pilot, "● running")
        assert "memory" not in next(line for line in shown.splitlines() if "state" in line)
