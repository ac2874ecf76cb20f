"""The Data screen: filtering, and changing what is trained."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from sftui.data.template_files import OURS
from sftui.recipe_file import load_recipe
from sftui.screens.data_choices import TEMPLATES, template_items

from .data_screen_fixtures import RECIPE, Open, settle
from .workbench_fixtures import burst, screen_text, until

# -- the filter


async def test_the_filter_shows_what_matches_and_escape_all_again_at_the_same_row(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        burst(opened.app, "slash", *"tokens:>300")  # all at once: none of them is another key's
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
        await until(pilot, "role:tool")
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


async def test_what_would_be_lost_can_be_saved_on_the_way_out(folder: Path) -> None:
    opened = Open(folder)
    async with opened.run_test() as pilot:
        await until(pilot, "53,")
        await pilot.press("d", "q")
        await until(pilot, "save and leave (s)")
        await pilot.press("s")
        for _ in range(100):
            await pilot.pause(0.02)
            if not opened.app.is_running:
                break
    assert "unsaved" not in opened.app.parting_words
    assert "sequence_per: turn" in opened.file.read_text()


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
