"""The Data screen: rows, tokens, findings, filter, changes in place, at the sizes people have."""

from __future__ import annotations

import asyncio
import time
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from sftui.data.overview import Overview
from sftui.data.template_files import OURS
from sftui.data.views import Finding, RowView, Side
from sftui.recipe_file import load_recipe, parse_recipe
from sftui.screens.app import Workbench
from sftui.screens.data import DataScreen
from sftui.screens.data_choices import TEMPLATES, template_items
from sftui.screens.help import bindings_of
from sftui.screens.widgets.conversation import Conversation
from sftui.screens.widgets.finding_list import FindingList
from sftui.screens.widgets.row_list import KEPT, RowList

from .conftest import Runs
from .desk_fixtures import CHAT, FakeDesk, Messages
from .test_workbench import screen_text, until

RECIPE = """\
model: {name_or_path: owner/tiny-model}
data:
  train: rows.jsonl
  max_length: 400   # short
  overlength: truncate
"""
SIZES = [(60, 20), (80, 24), (120, 40), (250, 70)]


class Open:
    """A workbench on a recipe with made-up rows, and the desks that it has opened."""

    def __init__(
        self, folder: Path, text: str = RECIPE, overrides: tuple[str, ...] = (), **options: Any
    ) -> None:
        self.desks: list[FakeDesk] = []
        self.kind = options.pop("desk", FakeDesk)
        self.options = options
        self.file = folder / "my.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        self.file.write_text(text)
        self.app = Workbench(
            folder,
            refresh=0.1,
            recipe=load_recipe(self.file, overrides),
            recipe_name=str(self.file),
            read_recipe=lambda: load_recipe(self.file, overrides),
            open_desk=self.open,
        )

    def open(self, recipe: Any, changed: Any) -> FakeDesk:
        self.desks.append(self.kind(recipe, changed, **self.options))
        return self.desks[-1]

    @property
    def desk(self) -> FakeDesk:
        return self.desks[-1]

    def run_test(self, size: tuple[int, int] = (120, 40), **options: Any) -> Any:
        return self.app.run_test(size=size, notifications=True, **options)

    @property
    def rows(self) -> RowList:
        return self.app.screen_stack[0].query_one(RowList)

    @property
    def tokens(self) -> Conversation:
        return self.app.screen_stack[0].query_one(Conversation)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs"


async def settle(opened: Open, pilot: Pilot[None], row: int) -> str:
    """Wait until `row` is shown."""
    for _ in range(200):
        await pilot.pause(0.02)
        if opened.tokens.row is not None and opened.tokens.row.row == row:
            await pilot.pause(0.05)
            return screen_text(opened.app)
    raise AssertionError(f"row {row} did not come:\n{screen_text(opened.app)}")


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


# -- the filter


async def test_the_filter_shows_what_matches_and_escape_all_again_at_the_same_row(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("slash", *"tokens:>300")
        shown = await until(pilot, " match")
        await pilot.press("enter")
        await settle(opened, pilot, 2)
        rows = list(opened.rows.rows)
        assert rows and all(opened.desk.overview("train").lengths[row] > 300 for row in rows)
        await pilot.press("j")
        await settle(opened, pilot, rows[1])
        await pilot.press("escape")
        await pilot.pause(0.2)
        shown = screen_text(opened.app)
        assert " match" not in shown and opened.rows.row == rows[1] and len(opened.rows.rows) == 200


async def test_a_filter_that_means_nothing_says_so_while_it_is_typed(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("slash")
        # All at once: typed slowly, what is there so far has a meaning of its own.
        opened.app.screen.query_one(Input).value = "finding:nonsense"
        await until(pilot, "unknown finding")
        await pilot.press("enter")
        await pilot.pause(0.3)
        assert not opened.desk.searches and len(opened.rows.rows) == 200
        opened.app.screen.query_one(Input).value = "/[/"
        await pilot.pause(0.4)
        assert not opened.desk.searches
        await pilot.press("escape")
        await pilot.pause(0.1)
        assert "/[/" not in screen_text(opened.app)


async def test_another_filter_ends_the_search_before_it_and_its_late_matches_are_not_taken(
    folder: Path,
) -> None:
    opened = Open(folder, seconds=2.0)
    async with opened.run_test() as pilot:
        await until(pilot, "200 rows")
        await pilot.press("slash", *"hours")
        await until(pilot, " match")
        await pilot.press("enter", "slash", *"zzz", "enter")
        await until(pilot, "0 match")
        await pilot.pause(0.3)
        assert opened.desk.searches[0].cancelled.is_set()
        assert len(opened.rows.rows) == 0
        await pilot.press("j", "end", "f", "enter", "escape", "escape")
        await pilot.pause(0.2)
        assert len(opened.rows.rows) == 200


@pytest.mark.parametrize("size", [(80, 24), (120, 40)], ids=str)
async def test_a_wrong_filter_says_first_what_was_meant(folder: Path, size: tuple[int, int]) -> None:
    opened = Open(folder)
    async with opened.run_test(size=size) as pilot:
        await until(pilot, "53,")
        await pilot.press("slash", *"finding:unredable-row")
        await until(pilot, "unreadable-row?")


async def test_where_no_row_matches_the_row_before_goes_and_comes_again(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "55 trained")
        await pilot.press("slash", *"zzz", "enter")
        shown = await until(pilot, "no row matches")
        assert opened.tokens.row is None and "55 trained" not in shown and "token 1 of" not in shown
        await pilot.press("tab", "right", "i", "y", "v", "n", "end", "escape", "escape")
        await settle(opened, pilot, 0)


# -- changes in place


async def test_what_is_trained_is_chosen_and_the_desk_the_star_and_the_train_screen_follow(
    folder: Path,
) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("m")
        await until(pilot, "only the last answer")
        await pilot.press("j", "enter")
        shown = await until(pilot, "trains: last_assistant")
        assert opened.desk.changes[-1].data.train_on == "last_assistant" and len(opened.desks) == 1
        assert "my.yaml *" in shown
        await until(pilot, "row 0  164 tokens  6 trained")
        assert opened.app.read_recipe().data.train_on == "last_assistant"
        await pilot.press("m", "k", "enter")
        await until(pilot, "trains: assistant")
        assert "my.yaml *" not in screen_text(opened.app) and opened.app.unsaved == []


async def test_the_longest_sequence_is_chosen_with_its_cost_in_sight(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test(size=(80, 24)) as pilot:
        await until(pilot, "53,")
        await pilot.press("x")
        await until(pilot, "1 sequence longer than 400")
        await pilot.press(*["backspace"] * 3, *"300")
        await until(pilot, "54 sequences longer than 300")
        await pilot.press("up", "enter")
        await pilot.pause(0.2)
        data = opened.desk.changes[-1].data
        assert (data.max_length, data.overlength) == (300, "drop")
        assert opened.app.unsaved == ["data.max_length=300", "data.overlength=drop"]


async def test_a_length_that_is_none_is_refused_where_it_is_typed(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("x", *["backspace"] * 3, "1")
        await until(pilot, "expected a whole number from 2")
        await pilot.press("enter")
        await until(pilot, "expected a whole number from 2")
        await pilot.press("escape")
        assert opened.desk.changes == []


async def test_the_template_is_chosen_by_name(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("t")
        shown = await until(pilot, "chatml")
        assert "▸ its own" in shown and "default" not in shown
        assert "contents as they are, answers end with eos_token" in shown
        await pilot.press("down", "enter")
        await until(pilot, "template: chatml")
        assert opened.desk.changes[-1].data.chat_template == "chatml"
        await pilot.press("t", "home", "enter")
        await pilot.pause(0.2)
        assert opened.app.recipe.data.chat_template is None


async def test_a_template_file_in_use_is_in_sight_where_the_list_is_longer_than_the_screen(
    folder: Path,
) -> None:
    names = ("default", "tool_use", *TEMPLATES)
    opened = Open(folder, RECIPE + "  chat_template: mine.jinja\n", templates=names)
    async with opened.run_test(size=(80, 24)) as pilot:
        await until(pilot, "53,")
        await pilot.press("t")
        shown = await until(pilot, "▸ mine.jinja")
        assert "the file that the recipe names" in shown and "its own" not in shown


def test_a_models_own_template_is_offered_once_unless_it_has_others() -> None:
    ours = list(TEMPLATES)
    for names, current, expected in (
        (("default", *ours), None, [None, *ours]),
        (("default", *ours), "default", ["default", *ours]),
        (("default", "tool_use", *ours), "default", [None, "default", "tool_use", *ours]),
        ((), "raw", [None, *ours]),
    ):
        items = template_items(names, current)
        assert [item.value for item in items] == expected and items[0].label == "its own"
        foreign = {item.value for item in items if "of the model's own" in item.text}
        assert foreign == {"default", "tool_use"} & set(expected[1:])


def test_every_template_of_ours_is_explained() -> None:
    assert set(TEMPLATES) == set(OURS)


async def test_sequences_per_turn_are_stepped_through(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("s", "d")
        await until(pilot, "sequence 1 of 3")
        await pilot.press("s")
        await until(pilot, "sequence 2 of 3")
        await pilot.press("s", "s")
        await until(pilot, "sequence 1 of 3")
        await pilot.press("s", "j")
        await settle(opened, pilot, 1)
        assert opened.tokens.row is not None and opened.tokens.row.sequence == 0


async def test_changes_are_saved_into_the_file_and_the_star_goes(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("d")
        await until(pilot, "my.yaml *")
        await pilot.press("S")
        await until(pilot, "saved into")
        assert "my.yaml *" not in screen_text(opened.app)
        assert "  sequence_per: turn" in opened.file.read_text() and "# short" in opened.file.read_text()
        assert opened.app.unsaved == [] and load_recipe(opened.file) == opened.app.recipe
        await pilot.press("d")
        await until(pilot, "my.yaml *")


async def test_what_the_command_line_says_stays_and_is_not_unsaved_forever(folder: Path) -> None:
    opened = Open(folder, overrides=("data.max_length=200",))
    async with opened.run_test() as pilot:
        await until(pilot, "200 rows")
        opened.app.change({"data.max_length": 300})
        await until(pilot, "my.yaml *")
        await pilot.press("S")
        await until(pilot, "saved into")
        assert opened.app.recipe.data.max_length == 300 and opened.app.unsaved == []
        assert "max_length: 300   # short" in opened.file.read_text()


async def test_leaving_with_unsaved_changes_wants_a_yes_and_names_them(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("d", "q")
        await until(pilot, "Leave without saving?")
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert opened.app.is_running
        await pilot.press("q")
        await until(pilot, "data.sequence_per=turn")
        await pilot.press("y")
        await pilot.pause(0.3)
    assert "unsaved changes: data.sequence_per=turn" in opened.app.parting_words
    assert opened.desk.closed.is_set()


async def test_the_train_screen_shows_and_starts_the_changed_recipe(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("5")
        await until(pilot, "length 400")
        await pilot.press("1")
        opened.app.change({"data.max_length": 300})
        await pilot.press("5")
        await until(pilot, "length 300")


async def test_held_out_rows_are_a_key_away_where_there_are_any(folder: Path) -> None:
    opened = Open(folder, RECIPE + "  eval: test.jsonl\n")
    async with opened.run_test() as pilot:
        await until(pilot, "training rows")
        await pilot.press("e")
        await until(pilot, "held-out rows")
        await until(pilot, "test.jsonl")
        assert opened.tokens.side == "eval"
        await pilot.press("e")
        await until(pilot, "training rows")


# -- what cannot be read


async def test_a_problem_stands_in_the_place_of_the_rows_until_it_is_mended(folder: Path) -> None:
    opened = Open(folder, problem="rows.jsonl:12: found }\n  expected a value")
    async with opened.run_test(size=(80, 24)) as pilot:
        shown = await until(pilot, "The data cannot be shown")
        assert "rows.jsonl:12: found }" in shown and "expected a value" in shown and "r looks again" in shown
        await pilot.press("j", "enter", "f", "slash", "g", "v", "space", "end", "i", "o", "tab", "n")
        await until(pilot, "The data cannot be shown")
        opened.options["problem"] = None
        await pilot.press("r")
        shown = await until(pilot, "89 trained")
        assert "cannot be shown" not in shown
        assert len(opened.desks) == 2 and opened.desks[0].closed.is_set()


async def test_a_recipe_that_cannot_be_read_again_is_told_and_can_be_mended(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        text = opened.file.read_text()
        opened.file.write_text("data: [\n")
        await pilot.press("r")
        await until(pilot, "is not valid YAML")
        opened.file.write_text(text.replace("400", "350"))
        await pilot.press("r")
        await until(pilot, "350")
        assert opened.app.recipe.data.max_length == 350


async def test_a_dataset_without_rows_says_so(folder: Path) -> None:
    opened = Open(folder, rows=0)
    async with opened.run_test() as pilot:
        await until(pilot, "there are no rows in it")


# -- pace


class Slow(FakeDesk):
    """A million rows of which nothing is known yet, and words that take their time."""

    def _analyse(self, generation: int) -> None:
        for side in self.sides:
            self._overviews[side] = replace(
                self._overviews[side],
                state="analysing",
                rows=self.rows,
                counted=True,
                lengths=array("I", bytes(4 * self.rows)),
                trained=array("I", bytes(4 * self.rows)),
                flags=array("Q", bytes(8 * self.rows)),
                known=bytearray(self.rows),
            )
        while generation == self._generation and not self.closed.is_set():
            overview = self._overviews["train"]
            for row in range(overview.analysed, min(overview.analysed + 1000, self.rows)):
                overview.lengths[row], overview.known[row] = 100 + row % 50, 1
            self._overviews["train"] = replace(overview, analysed=overview.analysed + 1000)
            self.changed()
            time.sleep(0.02)


class Whole(FakeDesk):
    """With a finding about the dataset before all others."""

    def overview(self, side: Side) -> Overview:
        overview = super().overview(side)
        about = Finding("trained-share", "error", 1, (), (), "much is not trained", "why", "remedy")
        return replace(overview, findings=(about, *overview.findings)) if overview.analysed else overview


class Capped(FakeDesk):
    """Shows the first thousand tokens of a row."""

    def _view(self, side: Side, row: int, sequence: int) -> RowView:
        whole = super()._view(side, row, sequence)
        return replace(whole, tokens=whole.tokens[:1000], more=len(whole.tokens) - 1000)


class HeldOut(FakeDesk):
    """With what row 7 lacks as a finding of held-out rows alone."""

    def overview(self, side: Side) -> Overview:
        overview = super().overview(side)
        if overview.state != "done":
            return overview
        found = replace(overview.findings[0], rows=(), eval_rows=(7,), eval_count=1)
        return replace(overview, findings=(found,))


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
            opened.app.screen.action_move(0, 1)  # type: ignore[attr-defined]
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
    opened = Open(folder, view_seconds=1.5)
    async with opened.run_test() as pilot:
        await until(pilot, "55 trained")
        await pilot.press("tab", *["right"] * 5)
        await pilot.press("m", "j", "enter")
        await until(pilot, "rendering row 0 …")
        await until(pilot, "token 6 of 164")
        assert opened.tokens.cursor == 5


async def test_the_list_has_its_words_before_the_first_row_is_asked_for(folder: Path) -> None:
    opened = Open(folder, view_seconds=0.8)
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
        assert time.perf_counter() - began < 1.0
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
                assert "▌" in screen_text(opened.app) or opened.app.screen.has_class("-slim")


# -- the table of keys


async def test_help_lists_every_key_and_no_two_share_one(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test(size=(120, 60)) as pilot:
        await until(pilot, "53,")
        bindings = bindings_of(opened.app.screen)
        keys = [key for binding in bindings for key in binding.key.split(",")]
        assert sorted(keys) == sorted(set(keys))
        assert {"ctrl+c", "ctrl+a", "ctrl+b"}.isdisjoint(keys)
        await pilot.press("question_mark")
        shown = await until(pilot, "everywhere")
        for binding in bindings:
            assert binding.tooltip and binding.id and binding.tooltip[:30] in shown, binding


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)], ids=str)
async def test_at_most_six_keys_stand_in_the_footer(folder: Path, size: tuple[int, int]) -> None:
    opened = Open(folder)
    async with opened.run_test(size=size) as pilot:
        footer = (await until(pilot, "q quit")).splitlines()[-1]
        for words in ("m trained", "v view", "f next finding", "/ filter", "? help", "q quit"):
            assert words in footer
        assert sum(binding.show for binding in bindings_of(opened.app.screen)) == 6


async def test_both_themes_show_the_same_words(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        before = await until(pilot, "1,024")
        await pilot.press("T")
        await pilot.pause(0.3)
        assert screen_text(opened.app).splitlines()[1:] == before.splitlines()[1:]


def test_a_recipe_for_the_screen_is_a_recipe() -> None:
    assert parse_recipe(RECIPE).data.max_length == 400
