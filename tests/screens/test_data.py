"""The Data screen: what stands on it, and going about it with keys and mouse."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftui.screens.app import Workbench
from sftui.screens.data import DataScreen
from sftui.screens.widgets.finding_list import FindingList

from .conftest import Runs
from .data_screen_fixtures import RECIPE, SIZES, HeldOut, Open, Whole, settle
from .desk_fixtures import CHAT
from .workbench_fixtures import screen_text, until

# -- what stands on the screen


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_rows_and_what_is_trained_stand_at_every_size(folder: Path, size: tuple[int, int]) -> None:
    opened = Open(folder)
    async with opened.run_test(size=size) as pilot:
        shown = await until(pilot, "53,")
        assert "rows.jsonl" in shown and "200 rows" in shown
        assert "164" in shown and "1,702" in shown
        if size[0] < 76:
            assert "<|im_start|>" not in shown.replace("1000 '<|im_start|>'", "")
            await pilot.press("enter")
            shown = await until(pilot, "89 trained")
        assert "row 0  164 tokens  89 trained (54%)" in shown
        assert "<|im_start|>user⏎" in shown and "not trained" in shown
        assert max(len(line) for line in shown.splitlines()) <= size[0]
        if size[0] >= 100 and size[1] >= 34:
            for expected in (
                "no-trained-tokens",
                "p50 261",
                "400",
                "truncate right",
                "bytes 3c 7c 69",
                "label -100",
            ):
                assert expected in shown, f"{expected!r} is missing:\n{shown}"


async def test_the_recipe_is_the_first_screen_and_runs_are_without_one(folder: Path, runs: Runs) -> None:
    async with Open(folder).run_test() as pilot:
        assert isinstance(pilot.app.screen, DataScreen)
    async with Workbench(runs.folder).run_test(size=(80, 24)) as pilot:
        await until(pilot, "No runs here yet")
        await pilot.press("1")
        shown = await until(pilot, "No recipe is open")
        assert "sftui RECIPE" in shown and "m trained" not in shown
        await pilot.press("slash", "m", "x", "r", "enter", "tab", "j", "g", "f")
        assert isinstance(pilot.app.screen, DataScreen)


async def test_each_turn_says_its_role_and_how_much_of_it_is_trained(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        lines = (await until(pilot, "55 trained")).splitlines()
        headings = [line for line in lines if "assistant ─" in line]
        assert "55 trained" in headings[0] and "28 trained" in headings[1]


async def test_what_the_longest_sequence_costs_is_struck_through_and_said(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("g", "1", "1", "enter")
        shown = await settle(opened, pilot, 11)
        assert "cut at max_length 400" in shown and "1,302 tokens lost" in shown
        assert "~ truncated: 1302 tokens lost" in shown
        strips = opened.app.screen._compositor.render_strips()
        struck = "".join(s.text for strip in strips for s in strip if s.style and s.style.strike)
        assert struck.startswith("6 167 168") and "165" not in struck


async def test_trained_tokens_are_underlined_and_others_are_not(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "55 trained")
        strips = opened.app.screen._compositor.render_strips()
        underlined = "".join(s.text for strip in strips for s in strip if s.style and s.style.underline)
        assert underlined.startswith("Weng earns 12/60 = $<<12/60=0.2>>0.2 per minute.⏎Working")
        assert "#### 10<|im_end|>" in underlined and "babysitting" not in underlined


async def test_an_unreadable_row_says_why_and_shows_what_the_file_has(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test(size=(80, 24)) as pilot:
        await until(pilot, "53,")
        await pilot.press("j", "j", "j", "j", "j")
        shown = await settle(opened, pilot, 5)
        assert "a run does not start with this row" in shown and "set data.bad_rows: drop" in shown
        assert "left out" not in shown and "is not JSON" in shown and '{"messages": [}' in shown
        assert "train.jsonl:6" in shown


# -- safety


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
async def test_hostile_rows_are_shown_and_never_interpreted(folder: Path, size: tuple[int, int]) -> None:
    opened = Open(folder)
    async with opened.run_test(size=size) as pilot:
        await until(pilot, "53,")
        await pilot.press("j", "j", "j")
        await settle(opened, pilot, 3)
        for _ in range(4):
            shown = screen_text(opened.app)
            assert "[bold]markup" in shown.replace("\n", "") or "[bold]" in shown
            for bad in "\x1b\x07\x9b\x00\r\t\u202e\u200b\u200d\ufe0f\xa0":
                assert bad not in shown, repr(bad)
            await pilot.press("v")
            await pilot.pause(0.1)
        assert "␛[31mred␛[0m" in shown


async def test_hostile_names_and_findings_cannot_inject_either(folder: Path) -> None:
    text = RECIPE.replace("rows.jsonl", '"[red]a\\e[31m\\u202e.jsonl"') + '  chat_template: "[b]\\e"\n'
    opened = Open(folder, text)
    async with opened.run_test() as pilot:
        shown = await until(pilot, "[red]a␛[31m⍰.jsonl")
        assert "[b]␛" in shown and "\x1b" not in shown


# -- keys


async def test_the_cursor_goes_over_rows_and_the_row_follows(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("j", "down", "k")
        await settle(opened, pilot, 1)
        await pilot.press("end")
        await settle(opened, pilot, 199)
        await pilot.press("pageup")
        page = opened.rows.size.height - 1
        await settle(opened, pilot, 199 - page)
        await pilot.press("home", "pagedown")
        await settle(opened, pilot, page)
        await pilot.press("g", *"1,2".replace(",", ""), "0", "enter")
        shown = await settle(opened, pilot, 120)
        assert "row 120" in shown
        await pilot.press("g", *"99999", "enter")
        await settle(opened, pilot, 199)


async def test_the_cursor_goes_over_tokens_lines_and_turns(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("enter", "right", "l", "left")
        await until(pilot, "token 2 of 164")
        await pilot.press("n", "right_square_bracket")
        await until(pilot, "token 47 of 164")
        view = opened.tokens
        assert opened.tokens.row is not None and opened.tokens.row.tokens[46].role == "assistant"
        await pilot.press("p", "left_square_bracket")
        assert view.cursor == 0
        await pilot.press("down")
        assert view._layout.line_of(view.cursor) == 2
        await pilot.press("up", "end")
        await until(pilot, "token 164 of 164")
        await pilot.press("home")
        await until(pilot, "token 1 of 164")


async def test_every_token_is_reached_and_the_panel_says_what_it_is(folder: Path) -> None:
    opened = Open(folder, make=lambda row: CHAT[:3], rows=5)
    async with opened.run_test() as pilot:
        await until(pilot, "55 trained")
        await pilot.press("tab")
        seen = [opened.tokens.cursor]
        row = opened.tokens.row
        assert row is not None
        for _ in range(len(row.tokens)):
            await pilot.press("right")
            seen.append(opened.tokens.cursor)
        assert seen == [*range(len(row.tokens)), len(row.tokens) - 1]
        await pilot.press("left", "left", "left")
        token = row.tokens[-4]
        shown = await until(pilot, f"id {token.id}")
        assert (
            f"'{token.text}'" in shown and token.bytes.hex(" ") in shown and f"label {token.label}" in shown
        )
        assert "trained: assistant, message 2 (train_on: assistant)" in shown


async def test_a_row_can_be_looked_at_in_four_ways(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "55 trained")
        await pilot.press("v")
        shown = await until(pilot, "[text]")
        assert "<|im_start|>" not in shown.replace("'<|im_start|>'", "") and "And for two hours?" in shown
        await pilot.press("v")
        shown = await until(pilot, "[raw]")
        assert '{"messages": [(' in shown and "train.jsonl:1" in shown
        await pilot.press("v")
        shown = await until(pilot, "[template]")
        assert "<|im_start|>system" in shown and "system ─" not in shown
        await pilot.press("v")
        await until(pilot, "[tokens]")
        await until(pilot, "55 trained")


async def test_spaces_become_visible_on_a_key(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "55 trained")
        await pilot.press("space")
        await until(pilot, "You·are·a·helpful·assistant.")
        await pilot.press("space")
        await until(pilot, "You are a helpful assistant.")


async def test_escape_leads_one_layer_out_and_tab_round(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test(size=(80, 24)) as pilot:
        await until(pilot, "53,")
        screen = opened.app.screen
        for pane in ("tokens", "findings", "rows"):
            await pilot.press("tab")
            await pilot.pause(0.05)
            assert screen.has_class(f"-at-{pane}")
            assert screen.focused is not None and screen.focused.id == pane
        await pilot.press("shift+tab")
        await until(pilot, "no-trained-tokens")
        await pilot.press("escape")
        await pilot.pause(0.05)
        assert screen.has_class("-at-rows") and "no-trained-tokens" not in screen_text(opened.app)


async def test_the_mouse_chooses_rows_tokens_and_findings(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.click("#rows", offset=(12, 4))
        await settle(opened, pilot, 4)
        await pilot.click("#rows", offset=(12, 0))
        await settle(opened, pilot, 0)
        await pilot.click("#tokens", offset=(8, 6))
        await pilot.pause(0.1)
        assert opened.app.screen.has_class("-at-tokens") and opened.tokens.cursor > 3
        await pilot.click("#findings", offset=(5, 1))
        await pilot.pause(0.1)
        await pilot.click("#findings", offset=(5, 1))
        await settle(opened, pilot, 5)


async def test_the_next_row_with_the_chosen_finding_is_found_and_the_end_is_told(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("f")
        await settle(opened, pilot, 7)
        await pilot.press("f")
        await until(pilot, "no row after this one has no-trained-tokens")
        await pilot.press("tab", "tab", "down", "F")
        await settle(opened, pilot, 5)


async def test_the_next_row_with_any_finding_is_found_where_the_chosen_one_is_about_no_row(
    folder: Path,
) -> None:
    opened = Open(folder, desk=Whole)
    async with opened.run_test() as pilot:
        await until(pilot, "trained-share")
        await pilot.press("f")
        await settle(opened, pilot, 5)
        await pilot.press("f")
        await settle(opened, pilot, 7)
        await pilot.press(*"f" * 2)
        await until(pilot, "no row after this one has a finding")


async def test_a_finding_about_no_row_shows_all_rows_and_says_so(folder: Path) -> None:
    opened = Open(folder, desk=Whole)
    async with opened.run_test() as pilot:
        await until(pilot, "trained-share")
        await pilot.press("slash", *"zzz", "enter")
        await until(pilot, "0 match")
        await pilot.press("shift+tab", "enter")
        await until(pilot, "trained-share is not about single rows")
        assert len(opened.rows.rows) == 200 and opened.app.screen.has_class("-at-rows")


async def test_a_finding_of_held_out_rows_only_leads_to_them(folder: Path) -> None:
    opened = Open(folder, RECIPE + "  eval: test.jsonl\n", desk=HeldOut)
    async with opened.run_test() as pilot:
        await until(pilot, "1 held out")
        await pilot.press("shift+tab", "enter")
        await until(pilot, "held-out rows  1 match")
        await settle(opened, pilot, 7)
        assert opened.tokens.side == "eval"


async def test_the_findings_cursor_stays_on_the_gravest_until_it_is_moved(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        found = opened.app.screen.query_one(FindingList)
        gravest, second, _ = opened.desk.overview("train").findings
        for known in ((second,), (gravest, second)):
            found.show(known, "train")
            assert found.current == known[0]
        await pilot.press("shift+tab", "down")
        found.show((second,), "train")
        found.show((gravest, second), "train")
        assert found.current == second


async def test_a_finding_explains_itself_and_filters(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("shift+tab", "i")
        shown = await until(pilot, "What to do")
        assert "1 row has no trained tokens" in shown and "rows.jsonl:8" in shown
        await pilot.press("escape")
        await pilot.pause(0.1)
        await pilot.press("enter")
        await until(pilot, "1 match")
        await settle(opened, pilot, 7)
        await pilot.press("i")
        await until(pilot, "row 7 ")
