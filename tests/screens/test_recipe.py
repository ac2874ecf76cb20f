"""The Recipe screen: the form, what it means, and how it goes together with the other screens."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftui.recipe_fields import FIELDS, SECTIONS
from sftui.recipe_file import load_recipe

from .data_screen_fixtures import SIZES, Open
from .recipe_screen_fixtures import at, now, on, opened, recipe, said, settled, when, words
from .workbench_fixtures import burst, keys_are_told, screen_text, shown_keys, until

pytestmark = pytest.mark.usefixtures("rtx_4090_here")


def verdict(made: Open) -> str | None:
    """Whether what is forecast fits."""
    memory = on(made)._facts.forecast.memory
    return None if memory is None else memory.verdict


# -- what is shown


async def test_every_field_of_the_typed_model_has_a_line_and_its_help(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        form = on(made)._form
        keys = {row.key for row in form.list.rows}
        lists = {field.key for field in FIELDS if field.kind == "sources"}
        assert {field.key for field in FIELDS} <= keys and lists <= keys
        assert {section.key for section in SECTIONS} <= keys
        for field in FIELDS:
            if field.kind != "sources":
                await at(made, pilot, field.key)
                assert field.what in str(form.words()) and field.usual in str(form.words())


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_form_and_what_it_means_stand_on_terminals_of_every_size(
    folder: Path, size: tuple[int, int]
) -> None:
    made = opened(folder)
    async with made.run_test(size=size) as pilot:
        await recipe(made, pilot)
        shown = await until(pilot, "steps")
        assert "name_or_path" in shown and "GiB" in shown and "4 Recipe" in shown
        assert max(len(line) for line in shown.splitlines()) <= size[0]
        if size[0] >= 100:
            assert "what it means here" in shown and "RTX 4090" in shown and "trained" in shown
        if size[0] >= 100 and size[1] >= 34:
            assert "# what this is for" in shown
        await pilot.press("y")
        assert "name_or_path" in await until(pilot, "data:")
        await pilot.press("escape")
        await until(pilot, "trust_remote_code")


async def test_what_a_change_does_is_seen_at_once(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await when(made, pilot, lambda screen: screen._facts.forecast.steps is not None)
        before = words(made, "meaning")
        await at(made, pilot, "training.gradient_accumulation_steps")
        await pilot.press("L")
        await when(made, pilot, lambda screen: screen._facts.of is said(made))
        assert said(made).training.gradient_accumulation_steps == 16
        assert words(made, "meaning") != before
        found = on(made)._facts.forecast
        assert found is not None and f"steps {found.steps}" in words(made, "meaning")


async def test_a_field_is_found_by_its_name_and_by_a_word_of_its_help(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await pilot.press("slash")
        await pilot.pause(0.1)
        await pilot.press(*"learning rate")
        row = on(made)._form.row
        assert row is not None and row.key == "training.learning_rate"
        shown = screen_text(made.app)
        assert "trust_remote_code" not in shown
        assert shown.index(" learning_rate ") < shown.index("in the help of ─") < shown.index(" optim ")
        await pilot.press("enter", "right")
        assert said(made).training.learning_rate > 2e-4
        await pilot.press("escape")
        await until(pilot, "trust_remote_code")


async def test_only_what_differs_from_the_defaults_is_left_and_comes_back(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await at(made, pilot, "training.seed")
        await pilot.press("right", "o")
        await pilot.pause(0.1)
        keys = [row.key for row in on(made)._form.list.rows if row.kind == "field"]
        assert keys == ["model.name_or_path", "training.seed"]
        await pilot.press("escape")
        await pilot.pause(0.1)
        assert len(on(made)._form.list.rows) > len(FIELDS)


# -- edits in the form


async def test_choices_go_round_switches_flip_and_numbers_step(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await at(made, pilot, "model.quantization")
        await pilot.press("left")
        assert said(made).model.quantization == "none"
        await at(made, pilot, "model.double_quant")
        await pilot.press("enter")
        assert said(made).model.double_quant is False
        await at(made, pilot, "adapter.r")
        await pilot.press("l", "l", "h")
        assert said(made).adapter is not None and said(made).adapter.r == 32
        await at(made, pilot, "adapter.lora_alpha")
        await pilot.press("right")
        written = await settled(made, pilot)
        assert "r: 32   # rank" in written and "lora_alpha: 64\n" in written
        assert "# what this is for" in written and "# the model" in written and "# steps of eight" in written


async def test_a_value_is_typed_in_its_place_and_refused_there(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test(size=(80, 24)) as pilot:
        await recipe(made, pilot)
        await at(made, pilot, "training.learning_rate")
        await pilot.press("enter", "ctrl+u", *"fast")
        await until(pilot, "found 'fast', expected a number")
        await pilot.press("enter")
        assert on(made)._form.is_typing and said(made).training.learning_rate == 2e-4
        await pilot.press("ctrl+u", *"1e-5", "enter")
        await pilot.pause(0.1)
        assert said(made).training.learning_rate == 1e-5 and not on(made)._form.is_typing
        await pilot.press("enter", *"99", "escape")
        assert said(made).training.learning_rate == 1e-5


async def test_a_path_is_completed_by_tab(folder: Path) -> None:
    made = opened(folder)
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "more_rows.jsonl").write_text("{}\n")
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await at(made, pilot, "data.train.0.path")
        await pilot.press("enter", "ctrl+u", *"de")
        await until(pilot, "deep/")
        await pilot.press("tab")
        await until(pilot, "deep/more_rows.jsonl")
        await pilot.press("tab", "enter")
        await pilot.pause(0.1)
        assert said(made).data.train[0].path == str(folder / "deep" / "more_rows.jsonl")
        assert "train: deep/more_rows.jsonl" in await settled(made, pilot)


async def test_sources_are_added_unfolded_edited_and_taken_out(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await at(made, pilot, "data.train.0.path")
        await pilot.press("a", *"more.jsonl", "enter")
        await pilot.pause(0.1)
        assert [Path(one.path).name for one in said(made).data.train] == ["rows.jsonl", "more.jsonl"]
        await at(made, pilot, "data.train.1.path")
        await pilot.press("right")
        await at(made, pilot, "data.train.1.limit")
        await pilot.press("enter", "ctrl+u", *"50", "enter")
        await pilot.pause(0.1)
        assert said(made).data.train[1].limit == 50
        written = await settled(made, pilot)
        assert "more.jsonl" in written and "limit: 50" in written
        await at(made, pilot, "data.train.1.path")
        await pilot.press("delete")
        await pilot.pause(0.1)
        assert len(said(made).data.train) == 1
        assert "more.jsonl" not in await settled(made, pilot)


async def test_the_adapter_goes_and_comes_back_as_it_was(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await at(made, pilot, "model.quantization")
        await pilot.press("left")
        await at(made, pilot, "adapter")
        await pilot.press("right")
        assert said(made).adapter is None
        assert not any(row.key == "adapter.r" for row in on(made)._form.list.rows)
        assert "adapter: null" in await settled(made, pilot)
        await pilot.press("right")
        assert said(made).adapter is not None and said(made).adapter.r == 16


async def test_keys_that_come_at_once_with_the_one_that_opens_an_input_are_typed_into_it(
    folder: Path,
) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await at(made, pilot, "adapter.lora_alpha")
        burst(made.app, "slash", *"lrq")
        await pilot.pause(0.2)
        assert on(made)._form._search.value == "lrq" and made.app.unsaved == []
        await pilot.press("escape")
        await at(made, pilot, "adapter.r")
        burst(made.app, "j", "enter", *"48")
        await pilot.pause(0.2)
        assert on(made)._form._input.value == "3248" and on(made)._form.is_typing
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert said(made).adapter.lora_alpha == 3248 and said(made).adapter.r == 16


async def test_an_adapter_that_comes_back_has_its_comments_and_its_place(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        before = made.file.read_text()
        await at(made, pilot, "adapter")
        await pilot.press("enter")
        assert "adapter: null" in await settled(made, pilot)
        await pilot.press("enter")
        assert await settled(made, pilot) == before and made.app.unsaved == []
        await pilot.press("enter")
        await at(made, pilot, "training.gradient_accumulation_steps")
        await pilot.press("L")
        await settled(made, pilot)
        await at(made, pilot, "adapter")
        await pilot.press("enter")
        assert await settled(made, pilot) == before.replace("steps: 8", "steps: 16")


async def test_quantised_weights_without_an_adapter_are_mended_by_a_key(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await at(made, pilot, "adapter")
        await pilot.press("enter")
        await settled(made, pilot)
        assert "f model.quantization: none" in words(made, "about")
        await pilot.press("f")
        await settled(made, pilot)
        assert now(made).is_valid and said(made).adapter is None
        assert said(made).model.quantization == "none"


async def test_leaving_the_question_open_takes_nothing_and_saving_asks_again(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        made.app.change({"data.max_length": 4096})
        await settled(made, pilot)
        theirs = made.file.read_text().replace("2048", "1024")
        made.file.write_text(theirs)
        await until(pilot, "merge, yours first")
        await pilot.press("escape")
        await on(made)._look_outside()
        assert len(made.app.screen_stack) == 1
        await pilot.press("S")
        await until(pilot, "merge, yours first")
        assert made.file.read_text() == theirs
        await pilot.press("escape")
        made.file.write_text(theirs.replace("1024", "512"))
        await on(made)._look_outside()
        assert len(made.app.screen_stack) == 2


async def test_keys_are_told_and_the_form_says_what_saves(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test(size=(120, 60)) as pilot:
        await recipe(made, pilot)
        assert shown_keys(on(made)) == 6
        await keys_are_told(pilot, "Enter edit", "y YAML", "d difference", "R start")
        await at(made, pilot, "training.seed")
        await pilot.press("right")
        await until(pilot, "1 unsaved: S saves")


async def test_a_default_comes_back_and_leaves_no_line(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        before = made.file.read_text()
        await at(made, pilot, "training.seed")
        await pilot.press("right", "right")
        assert "seed: " in await settled(made, pilot)
        await pilot.press("delete")
        assert await settled(made, pilot) == before and made.app.unsaved == []
        await at(made, pilot, "training.num_train_epochs")
        await pilot.press("right", "left")
        assert await settled(made, pilot) == before and made.app.unsaved == []


# -- what is wrong


async def test_what_fields_say_against_each_other_stands_beside_them_and_keeps_the_recipe(
    folder: Path,
) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        before = said(made)
        await at(made, pilot, "adapter")
        await pilot.press("enter")
        await settled(made, pilot)
        await until(pilot, "what it meant before the mistake")
        assert said(made) == before and not now(made).is_valid
        await at(made, pilot, "model.revision")
        await pilot.press("n")
        row = on(made)._form.row
        assert row is not None and row.key == "adapter"
        assert "quantised weights cannot be trained" in words(made, "about")
        await pilot.press("R")
        await until(pilot, "It does not start")
        await pilot.press("enter", "escape")
        assert not list(folder.glob("*/status.json"))
        await pilot.press("enter")
        await until(pilot, "what it means here")
        assert said(made) == before


async def test_a_finding_stands_beside_its_field_and_is_mended_by_a_key(folder: Path) -> None:
    made = opened(folder, "  per_device_train_batch_size: 64\n")
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await when(made, pilot, lambda screen: any(one.values for one in screen._findings))
        for _ in on(made)._findings:
            await pilot.press("n")
            if "f does that" in words(made, "about"):
                break
        proposal = on(made)._form.proposal()
        assert proposal and "f does that" in words(made, "about")
        await pilot.press("f")
        # The longest sequence is known once the rows have been analysed with the new batch.
        await when(made, pilot, lambda screen: screen._facts.of is said(made) and verdict(made) == "fits")


# -- with the other screens


async def test_a_change_on_one_screen_is_there_on_all_and_undone_on_any(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        made.app.change({"data.max_length": 1024})
        row = next(row for row in on(made)._form.list.rows if row.key == "data.max_length")
        assert row.value == 1024 and row.changed
        assert "max_length: 1024   # long" in await settled(made, pilot)
        await at(made, pilot, "data.train_on")
        await pilot.press("right", "1")
        await until(pilot, "trains: last_assistant")
        assert made.desk.changes[-1].data.max_length == 1024
        await pilot.press("u")
        shown = await until(pilot, "undone: data.train_on: assistant, was last_assistant")
        assert "trains: assistant" in shown and made.desk.changes[-1].data.train_on == "assistant"
        await pilot.press("2", "u")
        await until(pilot, "undone: data.max_length: 2048, was 1024")
        await pilot.press("3", "u")
        await until(pilot, "nothing to undo")
        assert made.app.unsaved == [] and now(made).document.text == made.file.read_text()
        await pilot.press("U")
        assert said(made).data.max_length == 1024


async def test_what_the_command_line_says_is_a_change_on_top(folder: Path) -> None:
    made = opened(folder, overrides=("training.seed=7",))
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        assert made.app.unsaved == ["training.seed=7"] and made.app.opened.lost == []
        assert "seed: 7" in now(made).document.text and "seed" not in made.file.read_text()
        await pilot.press("S")
        await until(pilot, "saved into")
        assert load_recipe(made.file) == said(made) and "seed: 7" in made.file.read_text()


async def test_a_run_is_started_after_a_summary(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sftui.runs.directory import RunDirectory

    started = []
    made = opened(folder, overrides=("data.bad_rows=drop",))

    def start(recipe: object, command_line: list[str]) -> RunDirectory:
        started.append(recipe)
        run = RunDirectory(folder / "2026-01-01_0000 one")
        run.path.mkdir()
        return run

    monkeypatch.setattr("sftui.preflight.check", lambda recipe, **_: ())
    monkeypatch.setattr("sftui.runs.launch.start", start)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await at(made, pilot, "training.seed")
        await pilot.press("right", "R")
        shown = await until(pilot, "Enter starts it")
        for expected in (
            "Llama-3.1-8B",
            "QLoRA",
            "rows.jsonl",
            "max_length 2,048",
            "memory",
            "steps",
            "time",
        ):
            assert expected in shown, f"{expected!r} is missing:\n{shown}"
        assert "training.seed=43" in shown
        await pilot.press("escape")
        assert not started
        await pilot.press("R")
        await until(pilot, "Enter starts it; it goes on")
        await pilot.press("enter")
        await until(pilot, "the run directory is gone, or not readable yet")
        assert started == [said(made)]


async def test_what_keeps_a_run_from_starting_is_told_in_the_summary(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = opened(folder, overrides=("data.bad_rows=drop",))
    (folder / "rows.jsonl").unlink()
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await pilot.press("R")
        shown = await until(pilot, "It does not start: 1 error")
        assert "data.train" in shown
        await pilot.press("enter")
        await pilot.pause(0.1)
        assert "It does not start" in screen_text(made.app)
