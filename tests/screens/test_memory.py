"""The Memory screen: what stands on it at every size, and its frame."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sftui.screens.app import Workbench
from sftui.screens.memory import MemoryScreen

from .conftest import Runs
from .data_screen_fixtures import SIZES
from .memory_screen_fixtures import (
    GIB,
    GPU,
    answer_to,
    bar_of,
    gib,
    memory,
    model,
    on,
    opened,
    peak,
    recipe_text,
    tried,
    when,
)
from .workbench_fixtures import keys_are_told, screen_text, shown_keys, until

pytestmark = pytest.mark.usefixtures("no_gpu_here")


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_bar_verdict_and_table_stand_at_every_size(folder: Path, size: tuple[int, int]) -> None:
    made = opened(folder)
    async with made.run_test(size=size) as pilot:
        shown = await memory(made, pilot)
        found = answer_to(made.app.recipe)
        assert max(len(line) for line in shown.splitlines()) <= size[0]
        assert f"✓ fits: {gib(found.estimate.peak_bytes)} of 24 GiB (RTX 4090)" in shown
        assert re.search(r"W█+.*X█*.*[▒░]+·+", shown)
        for name, parts in found.estimate.components.items():
            if parts > 0.005 * GIB:
                letter = {"activations": "X", "workspace": "K"}.get(name, name[0].upper())
                line = next(line for line in shown.splitlines() if f"{letter} {name}  " in line)
                assert f" {parts / GIB:.2f}" in line
        assert f" {found.estimate.peak_bytes / GIB:.2f}" in shown and "QLoRA nf4 r16" in shown
        if size[1] >= 24:
            assert "peak" in shown and "typically" in shown
        if size[0] >= 100 and size[1] >= 34:
            for expected in (
                "driver" if GPU.used_bytes else "reserved beside",
                "6,979,321,856 parameters",
                "optimizer step",
                "◂",
                "saves most",
                "fits up to",
                "measured: none on this box",
                "RAM 60 GiB free of 64 GiB",
                "no NVIDIA driver",
            ):
                assert expected in shown, f"{expected!r} is missing:\n{shown}"


@pytest.mark.parametrize(("size", "held"), [(7, "✗ does not fit: "), (8, "~ tight: ")])
async def test_what_does_not_fit_says_so_and_what_would_make_it_fit(
    folder: Path, size: int, held: str
) -> None:
    from sftui.memory.device import Device

    device = Device(f"a GPU of {size} GiB", size * GIB)
    made = opened(folder, device=device)
    async with made.run_test() as pilot:
        shown = await memory(made, pilot)
        assert held in shown and "┃" in shown and "makes it fit" in shown
        lines = on(made)._lines
        await pilot.press("tab", "end", "enter")
        await pilot.pause()
        assert answer_to(tried(made), device).verdict == "fits"
        assert "✓ fits: " in screen_text(made.app) and lines.count
        assert made.app.unsaved == []


async def test_without_a_recipe_it_says_what_to_do(runs: Runs) -> None:
    async with Workbench(runs.folder).run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        shown = await until(pilot, "No recipe is open")
        assert "sftui RECIPE" in shown and "d device" not in shown
        await pilot.press("enter", "d", "y", "r", "v", "x", "right", "plus", "tab", "escape", "j", "end")
        assert isinstance(pilot.app.screen, MemoryScreen)


async def test_a_model_without_config_is_one_sentence_and_looked_for_again(folder: Path) -> None:
    made = opened(folder, text=recipe_text(folder / "nowhere"))
    async with made.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        shown = await until(pilot, "is not known")
        assert "neither a directory nor a Hub id" in shown and "Enter looks again" in shown
        await pilot.press("y", "r", "v", "right", "tab", "down", "escape")
        model(folder, name="nowhere")
        await pilot.press("enter")
        assert "fits: " in await when(made, pilot, lambda screen: screen._facts.comparison is not None)


async def test_a_config_that_no_model_can_have_is_refused(folder: Path) -> None:
    made = opened(folder)
    (folder / "Llama-3.1-8B" / "config.json").write_text('{"model_type": "llama", "hidden_size": -3}')
    async with made.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        assert "hidden_size" in await until(pilot, "is not known")


async def test_without_a_gpu_the_bar_ends_with_the_peak_and_one_can_be_named(folder: Path) -> None:
    made = opened(folder, device=None)
    async with made.run_test() as pilot:
        shown = await memory(made, pilot)
        assert "no GPU here: d names one" in shown and "┃" not in shown and "·" not in bar_of(shown)
        await pilot.press("d")
        await until(pilot, "the GPU to fit into")
        await pilot.press(*"4090")
        await pilot.pause()
        await pilot.press("enter")
        shown = await until(pilot, f"fits: {peak(made)} of 24 GiB (RTX 4090)")
        assert "driver 0.4" in shown and made.app.memory_device is not None


async def test_panes_fold_where_it_is_narrow_and_tab_shows_the_next(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test(size=(80, 24)) as pilot:
        shown = await memory(made, pilot)
        assert "─ change ─" in shown and "─ compare ─" not in shown
        await pilot.press("tab")
        shown = await until(pilot, "─ compare ─")
        assert "─ change ─" not in shown and "W weights" in shown and "run writes" in shown
        await pilot.press("tab", "tab")
        shown = await until(pilot, "through the step")
        assert "W weights" in shown and "optimizer step" in shown
        await pilot.press("tab")
        await until(pilot, "─ change ─")


async def test_keys_are_told_and_both_themes_show_the_same_words(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test(size=(120, 60)) as pilot:
        before = await memory(made, pilot)
        await pilot.press("T")
        await pilot.pause(0.1)
        assert screen_text(made.app).splitlines()[1:] == before.splitlines()[1:]
        assert shown_keys(made.app.screen) == 6
        await keys_are_told(pilot, "Enter apply", "d device", "y why", "r rule of thumb")


async def test_hostile_names_cannot_inject(folder: Path) -> None:
    name = "[red]a\x1b[31m\u202eb"
    directory = model(folder, name=name)
    escaped = json.dumps(str(directory))
    made = opened(folder, text=recipe_text(directory).replace(f"'{directory}'", escaped))
    async with made.run_test(size=(160, 50)) as pilot:
        shown = await memory(made, pilot)
        await pilot.press("r")
        shown += await until(pilot, "rule of thumb")
        assert "[red]a␛[31m" in shown
        for bad in "\x1b\u202e":
            assert bad not in shown


async def test_clicks_choose_a_field_change_it_and_lead_to_panes(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.click("#fields", offset=(5, 4))
        assert on(made)._fields.field.name == "rank"
        await pilot.click("#fields", offset=(5, 4))
        adapter = tried(made).adapter
        assert adapter is not None and adapter.r == 32
        await pilot.click("#components", offset=(5, 2))
        assert on(made)._pane == "components"


def test_the_screen_is_imported_without_the_engine_of_memory() -> None:
    program = "import json, sys, sftui.screens.memory; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert "textual" in loaded and not [name for name in loaded if name.startswith("sftui.memory")]
    tops = {name.partition(".")[0] for name in loaded}
    assert tops.isdisjoint(("numpy", "torch", "transformers", "pydantic", "tokenizers", "pynvml"))
