"""The Recipe screen without a recipe: ready ones, one for a dataset, one of a run."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input

from sftui.errors import InputError
from sftui.recipe_file import load_recipe
from sftui.screens.app import Workbench
from sftui.screens.open_recipe import OpenRecipe
from sftui.screens.widgets.value_input import ValueInput

from .conftest import Runs
from .memory_screen_fixtures import model
from .workbench_fixtures import screen_text, until, workbench

pytestmark = pytest.mark.usefixtures("rtx_4090_here")


async def test_without_a_recipe_ready_ones_lead_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("4")
        shown = await until(pilot, "qlora-8gb")
        assert "No recipe is open" in shown and "new recipe" in shown
        while "▌  cpu-smoke" not in screen_text(app):
            await pilot.press("down")
        await pilot.press("enter")
        await until(pilot, "trust_remote_code")
        assert app.recipe_name == "cpu-smoke" and app.unsaved == []
        await pilot.press("S")
        await until(pilot, "save as")
        field = app.screen.query_one(Input)
        assert field.value == "cpu-smoke.yaml"
        await pilot.press("enter")
        await until(pilot, "saved as")
        assert load_recipe(tmp_path / "cpu-smoke.yaml") == app.recipe and app.recipe_name == "cpu-smoke.yaml"


async def test_a_recipe_is_made_for_a_dataset_whose_path_is_typed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model(tmp_path)
    (tmp_path / "mine.jsonl").write_text('{"prompt": "one", "completion": "two"}\n' * 20)
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await pilot.press("4")
        await until(pilot, "new recipe")
        await pilot.press("enter")
        await until(pilot, "mine.jsonl")
        await pilot.press(*"missing.jsonl", "enter")
        await until(pilot, "did you mean")
        await pilot.press(
            "ctrl+u", *"mi", "tab", "tab", *"./Lla", "tab", "tab", *"f", "tab", "tab", *"gtx 9", "enter"
        )
        await until(pilot, "no GPU is known as")
        await pilot.press("ctrl+u", *"4090", "enter")
        await until(pilot, "trust_remote_code")
        assert Path(app.recipe.data.train[0].path) == tmp_path / "mine.jsonl"
        assert app.recipe.model.short_name == "Llama-3.1-8B" and app.recipe.adapter is None
        assert app.memory_device is not None and app.memory_device.name.endswith("4090")
        assert app.recipe_name == "mine.yaml" and app.opened.lost


async def test_columns_of_other_names_are_proposed_and_can_be_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    model(tmp_path)
    (tmp_path / "mine.jsonl").write_text('{"frage": "eins", "lösung": "it\'s zwei"}\n' * 9)
    app = Workbench(tmp_path / "runs")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await pilot.press("4")
        await until(pilot, "new recipe")
        await pilot.press("enter")
        await until(pilot, "mine.jsonl")
        await pilot.press(*"mine.jsonl", "down", *"./Llama-3.1-8B", "enter")
        shown = await until(pilot, "columns is a guess now")
        assert "prompt: frage, completion: lösung" in shown and "sftui new" not in shown
        await pilot.press("up", *"4090", "down", "ctrl+u", *"prompt: lösung, completion: frage", "enter")
        await until(pilot, "trust_remote_code")
        assert app.recipe.data.train[0].columns == {"prompt": "lösung", "completion": "frage"}
        assert app.memory_device is not None and app.memory_device.name.endswith("4090")


async def test_without_a_recipe_only_the_keys_that_open_one_are_named(runs: Runs) -> None:
    async with workbench(runs).run_test(size=(120, 40)) as pilot:
        await pilot.press("4")
        await until(pilot, "new recipe")
        footer = (await until(pilot, "q quit")).splitlines()[-1]
        assert "Enter open" in footer and "edit" not in footer
        await pilot.press("question_mark")
        shown = await until(pilot, "everywhere")
        assert "another recipe: ready, of a run" in shown and "double, or three steps" not in shown


async def test_the_recipe_of_a_watched_run_is_open_as_a_copy(runs: Runs, folder: Path) -> None:
    run = runs.make("one", "finished")
    started_with = run.recipe_file.read_text()
    app = workbench(runs, run=run)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, "one.yaml")
        assert app.recipe.model.name_or_path == "owner/tiny-model" and app.folder == runs.folder
        assert app.unsaved == [] and not app.opened.lost
        app.change({"adapter.lora_alpha": 64})
        assert app.unsaved == ["adapter.lora_alpha=64"] and app.opened.lost
        await pilot.press("S")
        await until(pilot, "Enter saves")
        app.screen.query_one(ValueInput).value = str(run.recipe_file)
        await pilot.press("enter")
        await until(pilot, "was started with")
        app.screen.query_one(ValueInput).value = str(runs.folder / "mine.yaml")
        await pilot.press("enter")
        await until(pilot, "saved as")
        assert app.recipe_name == str(runs.folder / "mine.yaml") and app.unsaved == []
        app.open_run(runs.make("other", "finished"))
        await until(pilot, "other")
        assert app.recipe_name == str(runs.folder / "mine.yaml"), "a recipe of one's own stays open"
        assert run.recipe_file.read_text() == started_with


async def test_the_recipe_follows_the_run_that_is_watched(runs: Runs) -> None:
    one, other = runs.make("one", "finished"), runs.make("other", "finished")
    app = workbench(runs, run=one)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "one.yaml")
        app.open_run(other)
        await until(pilot, "other.yaml")
        other.recipe_file.unlink()
        app.open_run(other)
        await pilot.pause(0.1)
        assert app.recipe_name == "other.yaml"


def test_what_a_run_was_started_with_is_not_written_over(runs: Runs) -> None:
    file = runs.make("one").recipe_file
    before = file.read_text()
    made = OpenRecipe.of_file(str(file))
    made.change({"training.seed": 7})
    assert not made.has_own_file
    for save in (made.save, lambda: made.save_as(str(file), overwrite=True)):
        with pytest.raises(InputError, match="was started with"):
            save()
    assert file.read_text() == before
