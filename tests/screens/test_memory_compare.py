"""The Memory screen: comparisons, and where the size of each component comes from."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from sftui.screens.memory import MemoryScreen
from sftui.screens.memory_compare import lines_beside

from .memory_screen_fixtures import (
    GIB,
    answer_to,
    memory,
    on,
    opened,
    tried,
    unsaved,
    when,
    words,
)
from .workbench_fixtures import screen_text, until

pytestmark = pytest.mark.usefixtures("no_gpu_here")


async def test_methods_stand_side_by_side_and_enter_tries_one(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        shown = await memory(made, pilot)
        assert re.search(r"full +\d\d\.\d\d ✗ no", shown) and re.search(r"LoRA +\d\d\.\d\d ✓ fits", shown)
        assert re.search(r"▏QLoRA +7\.\d\d ✓ fits +◂", shown)
        await pilot.press("tab", "up", "enter")
        await until(pilot, "LoRA r16")
        assert tried(made).model.quantization == "none" and made.app.unsaved == []
        await pilot.press("enter")
        await unsaved(made, pilot, 1)
        assert made.app.unsaved == ["model.quantization=none"]


async def test_what_just_fits_is_listed_and_the_cursor_passes_over_headings(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        lines = {line.text: line for line in on(made)._lines._lines}
        longest = lines["max_length"].recipe
        assert longest is not None and answer_to(longest).verdict == "fits"
        more = longest.model_copy(deep=True)
        more.data.max_length += 64
        assert answer_to(more).verdict != "fits"
        batch = lines["micro-batch"].recipe
        assert batch is not None and answer_to(batch).verdict == "fits"
        training = batch.training
        assert training.per_device_train_batch_size * training.gradient_accumulation_steps == 8
        await pilot.press("tab", "home")
        for _ in range(30):
            assert on(made)._lines.recipe is not None or on(made)._lines.cursor == 0
            on(made).action_move(1)
        assert on(made)._lines.cursor == on(made)._lines.count - 1


async def test_sizes_are_explained_with_their_numbers(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test(size=(120, 45)) as pilot:
        await memory(made, pilot)
        await pilot.press("y")
        shown = await until(pilot, "Esc closes")
        for name, size in answer_to(made.app.recipe).estimate.components.items():
            assert not size or f" {name}  " in shown
        assert "6,979,321,856 parameters x 0.516 B (nf4)" in shown and "128,256" in shown
        await pilot.press("escape", "r")
        shown = await until(pilot, "rule of thumb")
        assert "16 GB" in shown and "Llama-3.1-8B" in shown
        assert re.search(r"to run +2 B a parameter +15\.0 GiB", shown)
        assert re.search(r"to train in full +8 B a parameter +59\.8 GiB", shown)
        await pilot.press("escape")
        assert isinstance(made.app.screen, MemoryScreen)
        await pilot.press("tab", "tab", "end")
        assert "121 published runs" in words(made, "why") and "beside the peak typically" in words(
            made, "why"
        )
        await pilot.press("home", "down")
        assert "41,943,040 parameters x 4 B (rank 16)" in words(made, "why")


async def test_the_table_follows_the_moment_under_the_cursor(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        load = answer_to(made.app.recipe).estimate.at("load")
        await pilot.press("shift+tab", "home")
        await pilot.pause()
        shown = screen_text(made.app)
        assert f"{load / GIB:.1f} GiB while loading the model; peak" in shown
        assert (
            next(line for line in shown.splitlines() if "allocated" in line).split()[2] == f"{load / GIB:.2f}"
        )
        await pilot.press("escape")
        moment = answer_to(made.app.recipe).estimate.peak_moment
        await when(made, pilot, lambda screen: screen._moments.moment == moment)


async def test_a_recipe_whose_adapter_finds_nothing_has_the_reason_and_no_number(folder: Path) -> None:
    made = opened(folder, overrides=("adapter.target_modules=nothing",))
    async with made.run_test() as pilot:
        await pilot.press("3")
        shown = await until(pilot, "matches no module that LoRA can adapt")
        assert "adapter.target_modules" in shown and "q_proj" in shown and "fits:" not in shown
        assert "v simulates again" not in shown


async def test_beside_a_simulation_the_line_of_the_recipe_has_its_verdict(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        known, found = on(made)._facts.comparison, on(made)._answers.found
    assert known is not None and found is not None
    assert lines_beside(known, found) == known.lines
    simulated = replace(found, source="simulation", verdict="no")
    lines = lines_beside(known, simulated)
    (own,) = (line for line in lines if line.current and line.text == "QLoRA")
    assert own.verdict == "no" and "simulated" in own.words
    assert [one for one in lines if not one.current] == [one for one in known.lines if not one.current]
