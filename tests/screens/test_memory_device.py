"""The Memory screen: the GPU that the recipe is held against."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from textual.widgets import Input

from sftui.screens.memory import MemoryScreen

from .data_screen_fixtures import RECIPE
from .memory_screen_fixtures import (
    GIB,
    GPU,
    HERE,
    answer_to,
    bar_of,
    gib,
    machine,
    memory,
    opened,
    peak,
    words,
)
from .workbench_fixtures import until

pytestmark = pytest.mark.usefixtures("no_gpu_here")


async def test_this_machines_gpu_is_taken_by_itself_with_who_holds_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sftui.devices.look", lambda folder: machine(HERE, free=GIB // 4))
    made = opened(folder, device=None)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        shown = await until(pilot, "of 139 GiB (H200)")
        assert "used by others 20.00" in shown and "GPU python 4711 holds 19 GiB" in shown
        assert bar_of(shown).startswith("│ ╱╱╱") and "disk 256 MiB free" in shown
        await pilot.press("d")
        shown = await until(pilot, "here, GPU 0")
        assert "20 GiB used" in shown


async def test_arrows_and_a_size_choose_a_device_and_an_unknown_name_is_told(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test(size=(80, 24)) as pilot:
        await memory(made, pilot)
        await pilot.press("d", *"a100")
        await pilot.pause()
        await pilot.press("down", "down", "down", "up", "enter")
        await until(pilot, "(A100")
        await pilot.press("d", "escape")
        await pilot.pause()
        assert isinstance(made.app.screen, MemoryScreen) and made.app.memory_device is not None
        await pilot.press("d", *"gtx 9")
        await until(pilot, "no GPU is known as")
        await pilot.press("enter")
        made.app.screen.query_one(Input).value = "6GB"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, f"does not fit: {peak(made)} of 6 GiB")
        await pilot.press("1", "3")
        await until(pilot, f"does not fit: {peak(made)} of 6 GiB")


async def test_measured_runs_of_the_same_step_stand_beside_the_prediction(folder: Path) -> None:
    from dataclasses import asdict

    from sftui.memory.answer import config_digest
    from sftui.memory.measured import Measured, keep

    made = opened(folder)
    found = answer_to(made.app.recipe)
    assert found.step is not None
    predicted = found.estimate.peak_bytes
    one = Measured(
        time=1.0,
        run="run",
        model="m",
        config=config_digest(made.app.recipe.model.name_or_path),
        device=GPU.name,
        versions={},
        step=json.loads(json.dumps(asdict(found.step))),
        predicted_bytes=predicted,
        allocated_bytes=round(predicted * 1.01),
        reserved_bytes=round(predicted * 1.1),
        context_bytes=300 * 2**20,
    )
    keep(one)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        shown = await until(pilot, "(+1.0%)")
        assert f"measured {gib(one.allocated_bytes)} GiB" in shown
        await pilot.press("tab", "tab", "end")
        assert "1 run on this GPU" in words(made, "why")


async def test_the_data_screens_recipe_without_a_model_directory_does_not_stop_the_others(
    folder: Path,
) -> None:
    made = opened(folder, text=RECIPE.replace("owner/tiny-model", "/nowhere/at/all"))
    async with made.run_test() as pilot:
        await pilot.press("3")
        await until(pilot, "is not known")
        await pilot.press("2")
        await until(pilot, "strategies")


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_chosen_gpu_is_in_view_where_the_list_opens(folder: Path, size: tuple[int, int]) -> None:
    from sftui.memory.gpus import device_of

    made = opened(folder, device=device_of("3060"))
    async with made.run_test(size=size) as pilot:
        await memory(made, pilot)
        await pilot.press("d")
        shown = await until(pilot, "RTX 3060 12GB")
        assert "Enter chooses, Esc leaves" in shown
