"""The Packing screen: what stands on it, and going about it with keys and mouse."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sftui.screens.app import Workbench
from sftui.screens.packing import PackingScreen
from sftui.screens.packing_view import percent
from sftui.screens.widgets.strategy_list import StrategyList

from .conftest import Runs
from .data_screen_fixtures import SIZES, Open, settle
from .desk_fixtures import HOSTILE, FakeDesk
from .packing_screen_fixtures import PACKED, at, at_bins, packing
from .workbench_fixtures import keys_are_told, screen_text, shown_keys, until

# -- what stands on the screen


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_strategies_bins_and_leak_test_stand_at_every_size(folder: Path, size: tuple[int, int]) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test(size=size) as pilot:
        shown = await packing(opened, pilot)
        assert max(len(line) for line in shown.splitlines()) <= size[0]
        assert re.search(r"best_fit .*199 sequences → \d+ bins  fill \d\d\.\d%", shown)
        for expected in ("none", "next_fit", "best_fit ◂", "wrapped", "▏    0 ▐", "not run yet: runs on the"):
            assert expected in shown, f"{expected!r} is missing:\n{shown}"
        lines = [line for line in shown.splitlines() if "▐" in line]
        assert len(lines) >= (5 if size[1] < 24 else 8)
        if size[0] >= 100 and size[1] >= 34:
            for expected in (
                "a micro-batch",
                "fill of the bins",
                "above 95%",
                "positions",
                "one causal triangle",
            ):
                assert expected in shown, f"{expected!r} is missing:\n{shown}"


async def test_numbers_agree_with_the_plan_and_the_recipe_is_marked(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        shown = await packing(opened, pilot)
        plan = opened.desk.plan().result()
        best, wrapped = plan.of("best_fit"), plan.of("wrapped")
        line = next(line for line in shown.splitlines() if "best_fit ◂" in line)
        for expected in (f"{best.bins:,}", percent(best.fill), f"~{plan.speedup('best_fit'):.2f}×"):
            assert expected in line
        assert f" {plan.steps('best_fit')} " in line and f" {plan.lost_tokens:,} " in line
        line = next(line for line in shown.splitlines() if " wrapped " in line)
        assert f" ≤{plan.lost_tokens + wrapped.lost_tokens:,} " in line and wrapped.lost_tokens > 0
        assert f"no packing takes fewer than {best.lower_bound:,} bins" in shown


async def test_opening_this_screen_first_opens_the_dataset_once(folder: Path) -> None:
    opened = Open(folder, PACKED)
    opened.app.DEFAULT_MODE = "packing"  # type: ignore[misc]
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        await pilot.press("1")
        await settle(opened, pilot, 0)
        await pilot.press("2")
        await packing(opened, pilot)
        assert len(opened.desks) == 1
    assert opened.desk.closed.is_set()


async def test_without_a_recipe_it_says_what_to_do(runs: Runs) -> None:
    async with Workbench(runs.folder).run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        shown = await until(pilot, "No recipe is open")
        assert "sftui RECIPE" in shown and "k leak test" not in shown
        await pilot.press("enter", "g", "x", "k", "right", "minus", "tab", "escape", "r", "a", "d", "end")
        assert isinstance(pilot.app.screen, PackingScreen)


async def test_numbers_are_estimates_until_all_rows_are_analysed_and_then_bins_appear(folder: Path) -> None:
    opened = Open(folder, PACKED, seconds=1.5)
    async with opened.run_test() as pilot:
        await pilot.press("2")
        shown = await until(pilot, "estimated from")
        assert re.search(r"estimated from \d+% of rows", shown)
        assert "Bins appear when all rows are analysed" in shown
        shown = await packing(opened, pilot)
        assert "estimated" not in shown and "Bins appear" not in shown


async def test_a_dataset_that_cannot_be_read_says_why_and_is_read_again(folder: Path) -> None:
    opened = Open(folder, PACKED, problem="rows.jsonl:12: found }\n  expected a value")
    async with opened.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        shown = await until(pilot, "The data cannot be shown")
        assert "rows.jsonl:12: found }" in shown and "r looks again" in shown
        await pilot.press("enter", "g", "right", "tab", "a", "d")
        opened.options["problem"] = None
        await pilot.press("r")
        shown = await packing(opened, pilot)
        assert "cannot be shown" not in shown and opened.desks[0].closed.is_set()


async def test_no_packing_says_what_packing_would_bring(folder: Path) -> None:
    opened = Open(folder, PACKED.replace("best_fit", "none"))
    async with opened.run_test() as pilot:
        shown = await packing(opened, pilot)
        assert "not packed" in shown and "none ◂" in shown and "sequences, each alone" in shown
        assert re.search(r"best_fit: \d+ bins, speed-up ~1\.\d\d×", shown)


async def test_a_length_that_no_row_has_leaves_nothing_to_pack_and_says_so(folder: Path) -> None:
    opened = Open(folder, PACKED.replace("400", "4").replace("truncate", "drop"))
    async with opened.run_test() as pilot:
        await pilot.press("2")
        await until(pilot, "No sequence can be packed")


# -- strategies


async def test_the_strategy_under_the_cursor_shows_its_bins_and_enter_chooses_it(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        await pilot.press("down")
        shown = await until(pilot, "wrapped, not chosen")
        assert "cut in two or more" in shown and opened.app.unsaved == []
        await pilot.press("enter")
        await until(pilot, "wrapped ◂")
        await until(pilot, "my.yaml *")
        assert opened.desk.changes[-1].data.packing == "wrapped" and len(opened.desk.changes) == 1
        await pilot.press("S")
        await until(pilot, "saved into")
        assert "packing: wrapped" in opened.file.read_text()


async def test_the_loss_of_cuts_is_exact_once_the_bins_of_wrapped_are_known(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        assert "≤" in await packing(opened, pilot)
        await pilot.press("down")
        await until(pilot, "wrapped, not chosen")
        await pilot.pause(0.2)
        plan, found = opened.desk.plan().result(), opened.desk.bins("wrapped").result()
        lost = plan.lost_tokens + found.lost_tokens()
        assert plan.lost_tokens < lost < plan.lost_tokens + found.summary.lost_tokens
        shown = screen_text(opened.app)
        line = next(line for line in shown.splitlines() if "▌wrapped " in line)
        assert f" {lost:,} " in line and "≤" not in line
        here = next(line for line in shown.splitlines() if "│ ▸    400" in line)
        assert f" {lost:,} " in here
        await pilot.press("enter")
        await until(pilot, f"lost {lost:,} tokens")


async def test_steps_and_speed_are_told_in_words_where_there_is_room(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        shown = await packing(opened, pilot)
        plan = opened.desk.plan().result()
        many = plan.sequences * plan.step_batches / plan.of("best_fit").bins
        assert f"{round(many)} sequences an optimizer step ({plan.step_batches} without packing)" in shown
        assert "speed: tokens computed by padded batches of 4," in shown and "over those in the bins" in shown


async def test_escape_leads_from_the_strategies_back_to_the_recipes_own(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        await pilot.press("home")
        await until(pilot, "sequences, each alone")
        await pilot.press("escape")
        await until(pilot, "longest first")
        assert at(opened) == "-at-strategies"
        assert opened.app.screen.query_one(StrategyList).strategy == "best_fit"


async def test_leaving_best_fit_takes_repacking_along(folder: Path) -> None:
    opened = Open(folder, PACKED.replace("best_fit\n", "best_fit\n  repack_each_epoch: true\n"))
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        await pilot.press("up", "enter")
        await until(pilot, "next_fit ◂")
        assert not opened.app.recipe.data.repack_each_epoch


# -- max_length


async def test_the_slider_is_followed_at_once_and_enter_applies_it(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        await pilot.press("right", "right")
        shown = await until(pilot, "Enter applies 432, Esc puts 400 back")
        await pilot.pause(0.2)
        plan = opened.desk.plan(432).result()
        line = next(line for line in screen_text(opened.app).splitlines() if "│ bins " in line)
        assert f" {plan.of('best_fit').bins:,} " in line and opened.app.unsaved == []
        assert "max_length 400" in shown
        await pilot.press("enter")
        await until(pilot, "max_length 432")
        assert opened.app.unsaved == ["data.max_length=432"] and at(opened) == "-at-strategies"
        await until(pilot, "bins of 432")


async def test_escape_puts_the_slider_back(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        await pilot.press("minus", "minus", "plus", "left")
        await until(pilot, "Enter applies 248, Esc puts 400 back")
        await pilot.press("escape")
        shown = await until(pilot, "try another, x takes a number")
        assert opened.app.unsaved == [] and at(opened) == "-at-strategies" and "Enter applies" not in shown


async def test_keys_are_answered_while_a_plan_takes_its_time_and_the_newest_is_shown(folder: Path) -> None:
    opened = Open(folder, PACKED, plan_seconds=0.15)
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        await pilot.pause(1.2)
        opened.desk.asked_plans.clear()
        await pilot.press(*["right"] * 12)
        await until(pilot, "Enter applies 672")
        asked = opened.desk.asked_plans
        for _ in range(100):
            await pilot.pause(0.02)
            if asked and asked[-1] == 672:
                break
        assert 672 in asked and len(asked) < 12


async def test_an_exact_length_is_typed_as_on_the_data_screen(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        await pilot.press("x")
        await until(pilot, "max_length: longest sequence")
        await pilot.press(*["backspace"] * 3, *"333", "enter")
        await until(pilot, "bins of 333")
        assert "max_length 333" in screen_text(opened.app)


# -- the frame


async def test_keys_are_told(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test(size=(120, 60)) as pilot:
        await packing(opened, pilot)
        assert shown_keys(opened.app.screen) == 6
        await keys_are_told(pilot, "Enter open", "Tab pane", "x max_length", "k leak test")


async def test_hostile_names_rows_and_errors_cannot_inject(folder: Path) -> None:
    text = PACKED.replace("owner/tiny-model", '"[red]a\\e[31m\\u202e"')

    def make(row: int) -> list[tuple[str, str]]:
        return HOSTILE

    opened = Open(folder, text, make=make, rows=8)
    async with opened.run_test() as pilot:
        await at_bins(opened, pilot)
        await pilot.press("enter")
        await until(pilot, "position 0 of row")
        for _ in range(12):
            await pilot.press("right")
            shown = screen_text(opened.app)
            for bad in "\x1b\x07\x9b\x00\r\t\u202e\u200b\u200d\ufe0f\xa0":
                assert bad not in shown, repr(bad)
        assert "␛[31mred␛[0m" in shown


class Failing(FakeDesk):
    """Answers nothing about packing."""

    def _plan(self, max_length: int, recipe: object) -> object:
        raise RuntimeError("\x1b[31mout of [b]memory")

    def _bins(self, strategy: object, recipe: object) -> object:
        raise RuntimeError("\x1b[31mout of [b]memory")


async def test_what_cannot_be_worked_out_is_told(folder: Path) -> None:
    opened = Open(folder, PACKED, desk=Failing)
    async with opened.run_test() as pilot:
        await pilot.press("2")
        await until(pilot, "␛[31mout of [b]memory")


async def test_both_themes_show_the_same_words(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        before = await packing(opened, pilot)
        await pilot.pause(0.5)
        before = screen_text(opened.app)
        await pilot.press("T")
        await pilot.pause(0.2)
        assert screen_text(opened.app).splitlines()[1:] == before.splitlines()[1:]


async def test_a_change_on_another_screen_is_taken_up(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await packing(opened, pilot)
        await pilot.press("1")
        opened.app.change({"data.max_length": 300})
        await pilot.press("2")
        await until(pilot, "bins of 300")
        assert len(opened.desk.changes) == 1


def test_the_screen_is_imported_without_what_only_data_needs() -> None:
    program = "import json, sys, sftui.screens.packing; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert "textual" in loaded
    assert loaded.isdisjoint(("numpy", "torch", "transformers", "datasets", "pydantic", "tokenizers"))
