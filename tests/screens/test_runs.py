"""The list of runs: what stands in it at any width, and ending runs from it."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.widgets import Input

from sftui.errors import InputError
from sftui.runs import launch
from sftui.runs.directory import RunDirectory
from sftui.screens.run_columns import BESIDE, LEAST_NAME, WIDTHS, cut, layout

from .conftest import Runs
from .workbench_fixtures import burst, until, workbench

NAME = "2026-11-20_041200-smollm2-gsm8k"


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (60, ["run", "state", "step", "took"]),
        (80, ["run", "state", "step", "loss", "took", "size"]),
        (120, ["run", "state", "step", "loss", "eval", "tokens", "took", "size"]),
    ],
)
async def test_the_columns_that_matter_stand_at_every_width(
    runs: Runs, width: int, columns: list[str]
) -> None:
    runs.make(NAME)
    async with workbench(runs).run_test(size=(width, 24)) as pilot:
        shown = await until(pilot, "KiB" if "size" in columns else "● running")
        header, row = (line for line in shown.splitlines() if "state" in line or "● running" in line)
        assert header.split() == columns
        assert row.split()[0].startswith("2026-11-20_0412") and row.split()[0].endswith("gsm8k")
        assert "120/200" in row and "1 min" in row
        assert ("0.6100" in row) == ("loss" in columns) and ("KiB" in row) == ("size" in columns)
        assert (NAME in row) == (width == 120)


@given(st.integers(60, 300), st.integers(1, 200), st.integers(1, 21), st.booleans())
def test_the_columns_fit_and_no_figure_is_cut(
    width: int, longest_name: int, longest_step: int, measured: bool
) -> None:
    widths, gap = layout(width, longest_name, longest_step, measured=measured)
    assert measured or "memory" not in widths
    assert sum(widths.values()) + gap * (len(widths) - 1) <= width - BESIDE
    assert {"run", "state", "step", "took"} <= set(widths)
    assert widths["step"] >= longest_step
    assert all(widths[name] >= WIDTHS[name] for name in widths if name != "run")
    assert min(longest_name, LEAST_NAME) <= widths["run"] <= longest_name


@given(st.text("ab-_0", max_size=60), st.integers(5, 60))
def test_a_cut_name_keeps_its_beginning_and_its_end(name: str, width: int) -> None:
    shown = cut(name, width)
    assert len(shown) == min(width, len(name))
    before, _, after = shown.partition("…")
    assert name.startswith(before) and name.endswith(after)
    assert shown == name or (before and after)


async def test_the_cursor_stays_on_its_run_when_other_columns_fit(runs: Runs) -> None:
    for name in ("a", "b", "c"):
        runs.make(name, "finished")
    async with workbench(runs).run_test(size=(120, 24)) as pilot:
        await until(pilot, "3 runs")
        await pilot.press("j")
        await pilot.resize_terminal(60, 24)
        await pilot.pause(0.3)
        await pilot.press("enter")
        await until(pilot, "120/200")
        assert pilot.app.run_directory.id == "b"  # type: ignore[attr-defined]


async def test_the_footer_says_that_enter_opens_and_enter_in_the_filter_leads_to_the_table(
    runs: Runs,
) -> None:
    runs.make("one")
    async with workbench(runs).run_test(size=(80, 24)) as pilot:
        await until(pilot, "Enter open")
        await pilot.press("slash", *"one")
        await pilot.pause(0.2)
        await pilot.press("enter")
        await until(pilot, "Enter open")
        assert pilot.app.focused is not None and pilot.app.focused.id == "table"
        await pilot.press("enter")
        await until(pilot, "120/200")


async def test_a_run_that_is_stopping_can_be_killed_after_a_yes(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed: list[str] = []

    def kill(run: RunDirectory) -> bool:
        killed.append(run.id)
        return len(killed) > 1

    monkeypatch.setattr(launch, "kill", kill)
    run = runs.make("one")
    async with workbench(runs).run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, "● running")
        await pilot.press("X")
        await until(pilot, "Stop one?")
        await pilot.press("y")
        await pilot.pause(0.2)
        assert run.pending() == {"stop"} and not killed
        await pilot.press("X")
        await until(pilot, "Kill it now, without saving?")
        await pilot.press("enter")
        assert not killed
        await pilot.press("X")
        await until(pilot, "Kill it now, without saving?")
        await pilot.press("y")
        await until(pilot, "nothing was killed")
        assert killed == ["one"]


async def test_what_takes_long_or_is_refused_holds_nothing_up(runs: Runs) -> None:
    done: list[str] = []

    def slow() -> None:
        time.sleep(0.5)

    def refused() -> None:
        raise InputError("that cannot be done")

    app = workbench(runs)
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, "No runs here yet")
        app.attempt(slow, lambda: done.append("slow"))
        app.attempt(refused, lambda: done.append("refused"))
        await asyncio.sleep(0)
        assert done == []
        await until(pilot, "that cannot be done")
        await pilot.pause(0.7)
        assert done == ["slow"]


async def test_resuming_waits_in_a_thread_and_leads_to_the_run(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()
    monkeypatch.setattr(launch, "resume", lambda run: looked.wait(10))
    runs.make("one", "stopped")
    async with workbench(runs).run_test(size=(80, 24)) as pilot:
        await until(pilot, "■ stopped")
        await pilot.press("r")
        assert pilot.app.current_mode == "runs"
        looked.set()
        await until(pilot, "stopped and saved")
        assert pilot.app.current_mode == "train"


async def test_keys_that_come_at_once_with_the_slash_are_typed_into_the_filter(runs: Runs) -> None:
    runs.make("one", "stopped")
    runs.make("two", "stopped")
    app = workbench(runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "■ stopped")
        burst(app, "slash", *"two")
        await pilot.pause(0.2)
        assert app.screen.query_one("#filter", Input).value == "two"


async def test_the_filter_is_left_also_where_no_run_is_any_more(runs: Runs) -> None:
    app = workbench(runs)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "No runs here yet")
        await pilot.press("slash", "x")
        field = app.screen.query_one("#filter", Input)
        assert not field.display, "there is nothing to filter"
        run = runs.make("one")
        await until(pilot, "● running")
        await pilot.press("slash", "x")
        shutil.rmtree(run.path)
        await until(pilot, "No runs here yet")
        assert field.display and field.value == "x"
        await pilot.press("escape", "4")
        await until(pilot, "No recipe is open")


async def test_a_tmux_that_refuses_the_copy_is_told(
    runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TMUX", "somewhere")
    monkeypatch.setenv("PATH", str(tmp_path))
    runs.make("one")
    async with workbench(runs).run_test(size=(120, 24), notifications=True) as pilot:
        await until(pilot, "● running")
        await pilot.press("y")
        await until(pilot, "tmux did not take the copy")
