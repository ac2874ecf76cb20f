"""The Data screen with many, long and slow rows, and at every size."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from sftui.recipe_file import parse_recipe
from sftui.screens.widgets.row_list import KEPT

from .data_screen_fixtures import RECIPE, Capped, Open, Slow, settle
from .desk_fixtures import Messages
from .workbench_fixtures import keys_are_told, screen_text, shown_keys, until


async def test_a_million_rows_are_moved_through_while_they_are_analysed(folder: Path) -> None:
    opened = Open(folder, desk=Slow, rows=1_000_000)
    waits: list[float] = []

    async def watch() -> None:
        while True:
            began = time.perf_counter()
            await asyncio.sleep(0.001)
            waits.append(time.perf_counter() - began)

    async with opened.run_test() as pilot:
        await until(pilot, "1,000,000 rows")
        await settle(opened, pilot, 0)
        watching = asyncio.create_task(watch())
        for key in ["pagedown"] * 20 + ["end", "home", "f"] + ["j"] * 20 + ["tab"] + ["right", "down"] * 10:
            await pilot.press(key)
        watching.cancel()
        assert len(opened.rows._words) <= KEPT
        assert sum(end - begin for begin, end in opened.desk.asked_lines) < 20_000
        # How long a key would have had to wait; the longest only on a machine of one's own.
        assert sorted(waits)[len(waits) * 9 // 10] < 0.05


async def test_keys_are_answered_while_a_row_takes_its_time(folder: Path) -> None:
    opened = Open(folder, view_seconds=0.5)
    async with opened.run_test() as pilot:
        await until(pilot, "200 rows")
        for _ in range(10):
            opened.app.screen.action_move(1)  # type: ignore[attr-defined]
            await asyncio.sleep(0.01)
        assert opened.rows.row == 10
        await settle(opened, pilot, 10)


async def test_a_row_that_takes_long_is_announced_and_one_that_does_not_is_not(folder: Path) -> None:
    opened = Open(folder, view_seconds=1.2, slow_row=1)
    async with opened.run_test() as pilot:
        await until(pilot, "row 0  ")
        await pilot.press("tab", "right", "right", "shift+tab", "j")
        await pilot.pause(0.1)
        assert "row 0  " in screen_text(opened.app)
        shown = await until(pilot, "rendering row 1 …")
        assert "row 0  " not in shown and "token 3 of" not in shown
        await settle(opened, pilot, 1)
        await pilot.press("k")
        await settle(opened, pilot, 0)
        assert "rendering" not in screen_text(opened.app)


async def test_the_cursor_stays_on_its_token_while_the_row_is_made_again_for_long(folder: Path) -> None:
    opened = Open(folder, view_seconds=3)
    async with opened.run_test() as pilot:
        await until(pilot, "55 trained")
        await pilot.press("tab", *["right"] * 5)
        await pilot.press("m", "j", "enter")
        await until(pilot, "rendering row 0 …")
        await until(pilot, "token 6 of 164")
        assert opened.tokens.cursor == 5


async def test_the_list_has_its_words_before_the_first_row_is_asked_for(folder: Path) -> None:
    opened = Open(folder, view_seconds=2)
    async with opened.run_test() as pilot:
        await until(pilot, "Weng earns $12")
        assert opened.tokens.row is None and opened.desk.asked[0] == "lines"
        await settle(opened, pilot, 0)


async def test_rows_are_asked_for_also_where_the_list_is_hidden(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test(size=(60, 20)) as pilot:
        await until(pilot, "53,")
        await pilot.press("enter")
        await until(pilot, "55 trained")
        await pilot.press("r")
        await pilot.pause(0.3)
        assert len(opened.desks) == 2
        await settle(opened, pilot, 0)
        assert opened.desk.asked[:2] == ["lines", "view"]


async def test_a_very_long_row_goes_to_its_end(folder: Path) -> None:
    def make(row: int) -> Messages:
        return [("user", "Count."), ("assistant", "word " * 60_000)]

    opened = Open(folder, make=make, rows=2, overrides=("data.max_length=1000000",))
    async with opened.run_test() as pilot:
        await until(pilot, "row 0  ")
        await pilot.press("tab", "end")
        row = opened.tokens.row
        assert row is not None and len(row.tokens) > 60_000
        await until(pilot, f"token {len(row.tokens):,} of")
        began = time.perf_counter()
        await pilot.press("left", "up", "up", "left")
        assert time.perf_counter() - began < 10
        await pilot.resize_terminal(80, 24)
        await pilot.pause(0.3)
        assert opened.tokens.cursor < len(row.tokens) - 1


async def test_the_end_of_a_capped_row_says_how_much_more_there_is(folder: Path) -> None:
    opened = Open(folder, desk=Capped, make=lambda row: [("user", "a b " * 2000)], rows=1)
    async with opened.run_test() as pilot:
        await until(pilot, "row 0  ")
        await pilot.press("tab", "end")
        shown = await until(pilot, "token 1,000 of ")
        row = opened.tokens.row
        assert row is not None and f"… {row.more:,} more tokens" in shown


async def test_columns_of_large_counts_keep_their_gap(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        overview = opened.desk.overview("train")
        overview.lengths[0] = overview.trained[0] = 1_600_034
        opened.desk.changed()
        assert " 0 1.60 M  1.60 M " in await until(pilot, "1.60 M")


async def test_resizing_keeps_row_and_token(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("j", "j", "j", "j")
        await settle(opened, pilot, 4)
        await pilot.press("tab", "n", "n", "n", "right")
        cursor = opened.tokens.cursor
        for size in ((80, 24), (60, 20), (50, 15), (250, 70), (120, 40)):
            await pilot.resize_terminal(*size)
            await pilot.pause(0.2)
            assert opened.tokens.cursor == cursor and opened.rows.row == 4
            if size[0] >= 60:
                assert "▏" in screen_text(opened.app) or opened.app.screen.has_class("-slim")


# -- the table of keys


async def test_keys_are_told_and_both_themes_show_the_same_words(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test(size=(120, 60)) as pilot:
        await until(pilot, "53,")
        before = await until(pilot, "1,024")
        await pilot.press("T")
        await pilot.pause(0.1)
        assert screen_text(opened.app).splitlines()[1:] == before.splitlines()[1:]
        assert shown_keys(opened.app.screen) == 6
        await keys_are_told(pilot, "m trained", "v view", "f next finding", "/ filter")


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)], ids=str)
async def test_at_most_six_keys_stand_in_the_footer(folder: Path, size: tuple[int, int]) -> None:
    opened = Open(folder)
    async with opened.run_test(size=size) as pilot:
        footer = (await until(pilot, "q quit")).splitlines()[-1]
        for words in ("m trained", "v view", "f next finding", "/ filter", "? help", "q quit"):
            assert words in footer


def test_a_recipe_for_the_screen_is_a_recipe() -> None:
    assert parse_recipe(RECIPE).data.max_length == 400
