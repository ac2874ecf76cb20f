"""What a run of the open recipe comes to before it starts, and what keeps it from starting."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sftui.data.overview import Overview
from sftui.data.views import Finding, Side
from sftui.memory.device import Device
from sftui.runs.directory import RunDirectory
from sftui.screens import recipe_start
from sftui.screens.recipe_start import StartRun

from .desk_fixtures import FakeDesk
from .memory_screen_fixtures import GIB, HERE
from .recipe_screen_fixtures import on, opened, recipe, when, words
from .workbench_fixtures import until

OLD = Device("NVIDIA Tesla T4", 15 * GIB, capability=(7, 5))


pytestmark = pytest.mark.usefixtures("h200_here")


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What was launched; nothing is."""
    asked: list[Any] = []

    def launched(recipe: Any, command_line: list[str], found: Any) -> tuple[RunDirectory, list[str]]:
        asked.append(found)
        raise recipe_start.InputError("nothing is launched here")

    monkeypatch.setattr(recipe_start, "launched", launched)
    return asked


class Unreadable(FakeDesk):
    """Three rows cannot be read."""

    def overview(self, side: Side) -> Overview:
        overview = super().overview(side)
        words = "3 rows are unreadable"
        one = Finding("unreadable-row", "error", 3, (1, 2, 3), (), words, "why", "mend the rows")
        return replace(overview, findings=(one,)) if overview.analysed else overview


async def test_unreadable_rows_keep_a_run_from_starting_and_are_told_on_both_screens(
    folder: Path, started: list[Any]
) -> None:
    made = opened(folder, desk=Unreadable)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await when(made, pilot, lambda _: "3 rows are unreadable" in words(made, "meaning"))
        assert "✗ 1" in words(made, "meaning") and "nothing found" not in words(made, "meaning")
        await pilot.press("R")
        shown = await until(pilot, "It does not start: 1 error")
        assert "3 rows are unreadable" in shown and "mend the rows" in shown
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert started == []


async def test_rows_that_are_left_out_keep_nothing_from_starting(folder: Path, started: list[Any]) -> None:
    made = opened(folder, desk=Unreadable, overrides=("data.bad_rows=drop",))
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await when(made, pilot, lambda _: "3 rows are unreadable" in words(made, "meaning"))
        await pilot.press("R")
        await until(pilot, "3 rows are unreadable")
        await pilot.press("enter")
        await until(pilot, "nothing is launched here")
        assert started[0].steps


async def test_a_start_is_about_this_machine_and_the_screen_about_the_gpu_that_was_named(
    folder: Path,
) -> None:
    made = opened(folder, overrides=("data.bad_rows=drop",))
    made.app.memory_device = OLD
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        named = on(made)._facts.forecast
        assert named is not None and named.memory is not None and named.memory.device == OLD
        assert "bfloat16-unsupported" in {one.code for one in named.findings}
        await pilot.press("R")
        await until(pilot, "Enter starts it")
        dialog = made.app.screen
        assert isinstance(dialog, StartRun)
        await until(pilot, "H200")
        here = dialog._facts.forecast
        assert here is not None and here.memory is not None and here.memory.device == HERE
        assert "bfloat16-unsupported" not in {one.code for one in here.findings}
        assert dialog.refusal() is None


async def test_several_processes_are_held_against_as_many_gpus_of_the_name(folder: Path) -> None:
    made = opened(folder, "  num_processes: 4\n")
    made.app.memory_device = OLD
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        found = on(made)._facts.forecast
        assert found is not None
        codes = {one.code for one in found.findings}
        assert "bfloat16-unsupported" in codes and "too-many-processes" not in codes


async def test_a_forecast_that_fails_is_told_and_the_screen_stays(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr("sftui.forecast.forecast", fails)
    made = opened(folder)
    async with made.run_test() as pilot:
        await pilot.press("4")
        await when(made, pilot, lambda _: "ZeroDivisionError: division by zero" in words(made, "meaning"))
        await pilot.press("R")
        await until(pilot, "could not be found out")
