"""The bins on the Packing screen: opened, gone to, and the way from and to rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from sftui.screens.data import DataScreen
from sftui.screens.dialog import Dialog
from sftui.screens.packing import PackingScreen
from sftui.screens.packing_choices import GoToBin

from .data_screen_fixtures import Open, settle
from .packing_screen_fixtures import PACKED, at, at_bins, bins, packing, tokens
from .workbench_fixtures import screen_text, until


async def test_a_bin_opens_token_by_token_with_positions_that_restart(folder: Path) -> None:
    opened = Open(folder, PACKED.replace("400", "1000"))
    async with opened.run_test() as pilot:
        await at_bins(opened, pilot)
        await pilot.press("down", "down", "enter")
        shown = await until(pilot, "position 0 of row 148")
        await pilot.pause(0.2)
        view = bins(opened).view(2)
        assert view is not None and len(view.pieces) > 1
        text = tokens(opened)._text
        assert text is not None and len(text.tokens) == view.tokens
        assert sum(text.trained) == view.trained
        positions = [text.place(number).position for number in range(view.tokens)]  # type: ignore[union-attr]
        assert positions == [at for piece in view.pieces for at in range(piece.end - piece.start)]
        assert all(not text.trained[first] for first in text.firsts)
        first, second = view.pieces[:2]
        assert f"row {first.row:,} ─" in shown and f"positions 0‥{first.end - 1:,}" in shown
        await pilot.press("n")
        await until(pilot, f"position 0 of row {second.row:,}")
        await pilot.press("right")
        await until(pilot, f"position 1 of row {second.row:,}")
        await pilot.press("escape")
        await pilot.pause(0.1)
        assert tokens(opened).bin is None and bins(opened).cursor == 2
        assert "▐" in screen_text(opened.app)


@pytest.mark.parametrize("size", [(60, 20), (80, 24)], ids=str)
async def test_an_open_bin_has_the_whole_of_a_small_screen(folder: Path, size: tuple[int, int]) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test(size=size) as pilot:
        await at_bins(opened, pilot)
        await pilot.press("enter")
        shown = await until(pilot, "position 0 of row")
        assert "next_fit" not in shown and "<|im_start|>" in shown
        await pilot.press("right")
        await until(pilot, "position 1 of row")
        await pilot.press("plus")
        shown = await until(pilot, "Enter applies 512")
        assert "a micro-batch" in shown and "next_fit" in shown
        await pilot.press("escape", "escape")
        await until(pilot, "▌    0 ▐")
        await until(pilot, "next_fit")


async def test_trained_tokens_are_underlined_in_an_open_bin(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await at_bins(opened, pilot)
        await pilot.press("end", "enter")
        await until(pilot, "position 0 of row")
        strips = opened.app.screen._compositor.render_strips()
        underlined = "".join(s.text for strip in strips for s in strip if s.style and s.style.underline)
        assert underlined and "<|im_start|>" not in underlined


async def test_a_token_of_a_bin_leads_to_its_row_on_the_data_screen_and_back(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await at_bins(opened, pilot)
        view = bins(opened).view(0)
        assert view is not None
        row = view.pieces[-1].row
        await pilot.press("enter")
        await until(pilot, "position 0 of row")
        await pilot.press(*["n"] * (len(view.pieces) - 1), "enter")
        await settle(opened, pilot, row)
        assert isinstance(opened.app.screen, DataScreen)
        await pilot.press("down", "b")
        await pilot.pause(0.3)
        assert isinstance(opened.app.screen, PackingScreen)
        found = bins(opened).current
        assert found is not None and row + 1 in [piece.row for piece in found.pieces]


async def test_a_row_is_reached_on_the_data_screen_also_through_a_filter(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await until(pilot, "200 rows")
        await pilot.press("slash", *"row 9", "enter")
        await until(pilot, "match")
        await at_bins(opened, pilot)
        await pilot.press("d")
        found = opened.app.screen_stack
        await pilot.pause(0.1)
        assert found
        row = opened.rows.row
        await settle(opened, pilot, row if row is not None else -1)
        assert len(opened.rows.rows) == 200


async def test_bins_are_gone_to_by_number_and_by_row(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await at_bins(opened, pilot)
        await pilot.press("g", *"17", "enter")
        await pilot.pause(0.1)
        assert bins(opened).cursor == 17
        await pilot.press("g", *"row 12", "enter")
        await pilot.pause(0.1)
        found = bins(opened).current
        assert found is not None and 12 in [piece.row for piece in found.pieces]
        await pilot.press("g", *"r5", "enter")
        await until(pilot, "row 5 is in no bin")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("200", "there is no bin 200: the last is"),
        ("9" * 12, "there is no bin 1000 B: the last is"),
        ("row 200", "there is no row 200: the last is 199"),
        ("row", "expected a number, or row and a number"),
        ("abc", "expected a number, or row and a number"),
        ("", "expected a number, or row and a number"),
    ],
)
async def test_where_one_cannot_go_is_said_in_the_field_which_stays(
    folder: Path, text: str, words: str
) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test(size=(60, 20)) as pilot:
        await at_bins(opened, pilot)
        await pilot.press("g", *text, "enter")
        await until(pilot, words)
        assert isinstance(opened.app.screen, GoToBin) and opened.app.screen_stack[0] is not opened.app.screen
        await pilot.press("ctrl+u", *"3", "enter")
        await pilot.pause(0.1)
        assert isinstance(opened.app.screen, PackingScreen) and bins(opened).cursor == 3


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
async def test_one_bin_after_the_other_is_opened_and_closed(folder: Path, size: tuple[int, int]) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test(size=size) as pilot:
        await at_bins(opened, pilot)
        for number in range(6):
            await pilot.press("enter")
            await until(pilot, "position 0 of row")
            assert tokens(opened)._layout.tokens == tokens(opened).bin.tokens  # type: ignore[union-attr]
            await pilot.press("escape", "down")
            assert bins(opened).cursor == number + 1
            assert tokens(opened)._layout.tokens == 0


@pytest.mark.parametrize("key", ["g", "x", "a", "question_mark"])
async def test_a_dialog_closes_once_however_often_it_is_told_to(folder: Path, key: str) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await at_bins(opened, pilot)
        await pilot.press(key, *("2" if key == "g" else ""))
        dialog = opened.app.screen
        assert isinstance(dialog, Dialog)
        for field in dialog.query(Input):
            await field.action_submit()
            await field.action_submit()
        dialog.dismiss()
        dialog.dismiss()
        await pilot.pause(0.2)
        assert isinstance(opened.app.screen, PackingScreen)


async def test_a_sequence_that_is_cut_is_shown_in_both_bins(folder: Path) -> None:
    opened = Open(folder, PACKED.replace("best_fit", "wrapped"))
    async with opened.run_test() as pilot:
        await at_bins(opened, pilot)
        found = bins(opened)
        first, second = found.view(0), found.view(1)
        assert first is not None and second is not None
        assert first.pieces[-1].row == second.pieces[0].row and second.pieces[0].start
        lines = ["".join(text for text, _ in found.line(number, 60)) for number in (0, 1)]
        assert lines[0].count("▸") == 1 and "◂" not in lines[0]
        assert lines[1].split()[1].startswith("◂")
        shown = screen_text(opened.app)
        assert "last on in bin 1" in shown and "▸ bin 1" in shown
        await pilot.press("down")
        shown = await until(pilot, "first from bin 0")
        assert "◂ bin 0" in shown
        await pilot.press("enter")
        shown = await until(pilot, "not trained: cut before it")
        assert f"◂ from bin 0, token {second.pieces[0].start}" in shown and "first from bin 0" in shown
        await pilot.press("escape", "up", "enter", "end")
        await until(pilot, f"▸ row {first.pieces[-1].row} goes on in bin 1")


@pytest.mark.parametrize("size", [(60, 20), (80, 24)], ids=str)
async def test_cuts_are_told_on_a_small_screen(folder: Path, size: tuple[int, int]) -> None:
    opened = Open(folder, PACKED.replace("best_fit", "wrapped"))
    async with opened.run_test(size=size) as pilot:
        await at_bins(opened, pilot)
        await pilot.press("down")
        await until(pilot, "first from bin 0")


async def test_the_mouse_chooses_strategies_bins_and_lengths(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await at_bins(opened, pilot)
        await pilot.click("#strategies", offset=(5, 1))
        await until(pilot, "next_fit, not chosen")
        await pilot.click("#strategies", offset=(5, 1))
        await until(pilot, "next_fit ◂")
        await pilot.pause(0.5)
        await at_bins(opened, pilot)
        await pilot.click("#bins", offset=(20, 3))
        await pilot.pause(0.1)
        assert bins(opened).cursor == 3 and at(opened) == "-at-bins"
        await pilot.click("#bins", offset=(20, 3))
        await until(pilot, "position 0 of row")
        await pilot.click("#length-slider", offset=(40, 0))
        await until(pilot, "Enter applies")


async def test_the_attention_pattern_opens_large(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test(size=(80, 24)) as pilot:
        await at_bins(opened, pilot)
        await pilot.press("a")
        shown = await until(pilot, "one causal triangle")
        assert "⣿" in shown and "Esc closes" in shown
        await pilot.press("escape")
        await pilot.pause(0.1)
        assert isinstance(opened.app.screen, PackingScreen)


async def test_a_million_bins_cost_what_is_in_view(folder: Path) -> None:
    opened = Open(folder, PACKED)
    async with opened.run_test() as pilot:
        await at_bins(opened, pilot)
        shown_bins = bins(opened)

        class Many:
            """The first bin over and over."""

            summary = shown_bins.bins.summary  # type: ignore[union-attr]
            looked = 0

            def __len__(self) -> int:
                return 1_000_000

            def view(self, first: int, last: int) -> list[object]:
                Many.looked += 1
                return [shown_bins_first]

        shown_bins_first = shown_bins.view(0)
        shown_bins.show(Many())  # type: ignore[arg-type]
        await pilot.press(*["pagedown"] * 5, "end", "home")
        await pilot.pause(0.1)
        assert Many.looked < 300


async def test_the_cursor_stays_at_its_bin_while_the_rows_are_analysed_again(folder: Path) -> None:
    opened = Open(folder, PACKED, seconds=1.6)
    async with opened.run_test() as pilot:
        await at_bins(opened, pilot)
        await pilot.press(*["down"] * 6)
        opened.app.change({"data.train_on": "last_assistant"})
        await until(pilot, "Bins appear")
        await packing(opened, pilot)
        assert bins(opened).cursor == 6
        await until(pilot, "▌    6 ▐")
