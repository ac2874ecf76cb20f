"""The Recipe screen: the file, changed here and outside; the difference; the editor."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import OptionList

from sftui.errors import InputError
from sftui.recipe_difference import difference
from sftui.recipe_document import Document
from sftui.recipe_file import dump_recipe, load_recipe
from sftui.screens.open_recipe import OpenRecipe
from sftui.screens.recipe_compared import compared
from sftui.screens.recipe_editor import edited, editor_command
from sftui.screens.rescue import rescue
from sftui.screens.widgets.difference_list import Setting, fold, setting_line

from .recipe_screen_fixtures import now, on, opened, pane, recipe, said, settled
from .workbench_fixtures import screen_text, until

pytestmark = pytest.mark.usefixtures("rtx_4090_here")


async def test_a_change_from_outside_is_taken_where_nothing_was_changed_here(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        written = made.file.read_text()
        made.file.write_text(written.replace("2048", "1024"))
        await until(pilot, "max_length: 1024")
        assert said(made).data.max_length == 1024 and made.app.unsaved == []
        await pilot.press("u")
        assert said(made).data.max_length == 2048 and made.app.unsaved == ["data.max_length=2048"]


async def test_an_end_that_nobody_chose_leaves_what_was_changed_in_a_file(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        made.app.change({"data.max_length": 4096})
        made.app.exit()  # as a lost connection does
    kept = made.file.with_name(f"{made.file.stem}.unsaved.yaml")
    assert made.app.rescue() == f"unsaved changes are in {kept}"
    assert load_recipe(kept).data.max_length == 4096 and load_recipe(made.file).data.max_length == 2048
    assert made.app.rescue().endswith(".unsaved-2.yaml"), "what was rescued before is not written over"


def test_a_ready_recipe_is_rescued_into_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = OpenRecipe.of_file("cpu-smoke")
    made.change({"data.max_length": 300})
    assert rescue(made) == tmp_path / "cpu-smoke.unsaved.yaml"
    assert load_recipe(tmp_path / "cpu-smoke.unsaved.yaml").data.max_length == 300


async def test_leaving_on_purpose_leaves_no_file_behind(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        made.app.change({"data.max_length": 4096})
        await made.app._leave()
    assert made.app.rescue() == "" and "max_length=4096" in made.app.parting_words


async def test_changes_on_both_sides_are_merged_and_conflicts_are_named(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        made.app.change({"data.max_length": 4096, "training.seed": 7})
        written = made.file.read_text()
        made.file.write_text(written.replace("2048", "1024").replace("2.0e-4", "1.0e-5") + "# theirs\n")
        await until(pilot, "was changed by another program")
        shown = await until(pilot, "merge, yours first")
        assert "both changed data.max_length" in shown and "keep" in shown and "reload" in shown
        await pilot.press("enter")
        await pilot.pause(0.2)
        both = said(made)
        assert (both.data.max_length, both.training.seed, both.training.learning_rate) == (4096, 7, 1e-5)
        assert "# theirs" in now(made).document.text
        await pilot.press("S")
        await until(pilot, "saved into")
        assert load_recipe(made.file) == both


@pytest.mark.parametrize(("keys", "length"), [((), 4096), (("j",), 1024), (("j", "j"), 1024)])
async def test_merge_and_reload_choose_and_undo_has_what_was_here(
    folder: Path, keys: tuple[str, ...], length: int
) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        made.app.change({"data.max_length": 4096})
        await settled(made, pilot)
        made.file.write_text(made.file.read_text().replace("2048", "1024"))
        await until(pilot, "merge, yours first")
        await pilot.press(*keys, "enter")
        await pilot.pause(0.2)
        assert said(made).data.max_length == length
        if length != 4096:
            await pilot.press("u")
            assert said(made).data.max_length == 4096


async def test_keeping_what_is_here_lets_the_next_save_write_it(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        made.app.change({"data.max_length": 4096})
        await settled(made, pilot)
        made.file.write_text(made.file.read_text().replace("2048", "1024"))
        await until(pilot, "merge, yours first")
        await pilot.press("j", "j", "j", "enter")
        await pilot.pause(0.1)
        await pilot.press("S")
        await until(pilot, "saved into")
        assert load_recipe(made.file).data.max_length == 4096


async def test_two_terminals_on_one_file_lose_nothing(folder: Path) -> None:
    one, other = opened(folder), opened(folder)
    async with one.run_test() as first:
        await until(first, "53,")
        one.app.change({"training.seed": 7})
        other_made = OpenRecipe.of_file(str(other.file))
        other_made.change({"data.max_length": 512})
        other_made.save()
        await first.press("S")
        await until(first, "merge")
        await first.press("enter")
        await first.pause(0.2)
        await first.press("S")
        await until(first, "saved into")
        both = load_recipe(one.file)
        assert (both.training.seed, both.data.max_length) == (7, 512)
        with pytest.raises(InputError, match="another program"):
            other_made.change({"adapter.r": 4})
            other_made.save()
        other_made.reload()
        other_made.save()
        both = load_recipe(one.file)
        assert both.adapter is not None
        assert (both.training.seed, both.data.max_length, both.adapter.r) == (7, 512, 4)


async def test_a_text_that_is_no_recipe_is_saved_after_a_yes_only(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        before = made.file.read_text()
        await pilot.press("y")
        pane(made).editor.move_cursor(pane(made).editor.document.end)
        await pilot.press(*"nonsense: 1", "escape", "S")
        await until(pilot, "no recipe yet: 1 mistake")
        await pilot.press("n")
        assert made.file.read_text() == before
        await pilot.press("S", "y")
        await until(pilot, "saved into")
        assert made.file.read_text() == before + "nonsense: 1"


async def test_save_as_asks_before_it_writes_over_and_goes_on_there(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    (folder.parent / "there.yaml").write_text("mine\n")
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        made.app.change({"training.seed": 7})
        await pilot.press("W", "ctrl+u", *"there.yaml", "enter")
        await until(pilot, "there.yaml is there already")
        assert (folder.parent / "there.yaml").read_text() == "mine\n"
        await pilot.press("enter")
        await until(pilot, "saved as")
        assert made.app.recipe_name == "there.yaml" and made.app.unsaved == []
        written = load_recipe(folder.parent / "there.yaml")
        assert written.training.seed == 7 and written.data.train[0].path == str(folder / "rows.jsonl")
        assert "seed" not in made.file.read_text()


async def test_a_file_that_is_gone_is_told_and_saving_makes_it_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sftui.screens.recipe.OUTSIDE_SECONDS", 0.05)
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        before = made.file.read_text()
        made.file.unlink()
        await until(pilot, "is gone: S makes it again")
        assert made.app.opened.lost
        await pilot.press("S")
        await until(pilot, "saved into")
        assert made.file.read_text() == before and made.app.unsaved == []


async def test_the_difference_is_against_the_file_or_another_recipe(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await pilot.press("d")
        await until(pilot, "difference from my.yaml: the same")
        made.app.change({"data.max_length": 4096})
        await settled(made, pilot)
        shown = await until(pilot, "+   max_length: 4096   # long")
        assert "-   max_length: 2048   # long" in shown and "1 setting, theirs → here" in shown
        assert "data.max_length  2048 → 4096" in shown
        await pilot.press("c")
        await until(pilot, "the difference from")
        options = made.app.screen.query_one(OptionList)
        names = [str(options.get_option_at_index(n).prompt) for n in range(options.option_count)]
        options.highlighted = next(n for n, name in enumerate(names) if "cpu-smoke" in name)
        await pilot.press("enter")
        shown = await until(pilot, "difference from cpu-smoke")
        assert "settings, theirs → here" in shown and "# long" not in shown
        await pilot.press("escape")
        assert on(made)._pane == "form"


def test_lines_that_are_the_same_are_folded_and_counted() -> None:
    old = "".join(f"line {n}\n" for n in range(20))
    new = old.replace("line 9\n", "other\n")
    assert fold(difference(old, new)) == [
        ("folded", "⋯ 7 lines"),
        ("same", "line 7"),
        ("same", "line 8"),
        ("removed", "line 9"),
        ("added", "other"),
        ("same", "line 10"),
        ("same", "line 11"),
        ("folded", "⋯ 8 lines"),
    ]
    assert fold(difference(old, old)) == []


def test_only_settings_are_told_against_the_file_of_another(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("model: {name_or_path: ./m}\ndata: {train: rows.jsonl}\ntraining: {max_steps: 50}\n")
    made = OpenRecipe.of_file(str(file))
    run = Document(dump_recipe(made.recipe).replace("max_steps: 50", "max_steps: 4"))
    settings, lines = compared(made, run, of_one_file=False)
    assert settings == (Setting("training.max_steps", "4", "50"),) and lines == []
    made.change({"adapter": None, "model.quantization": "none", "data.eval": "held.jsonl"})
    assert [(one.key, one.theirs, one.here) for one in compared(made, run, of_one_file=False)[0]] == [
        ("model.quantization", "nf4", "none"),
        ("adapter", "given", "null"),
        ("data.eval.0", "null", f"{tmp_path}/held.jsonl"),
        ("training.max_steps", "4", "50"),
    ]
    made.type_text(made.document.with_text("model: ["))
    settings, lines = compared(made, run, of_one_file=False)
    assert settings == () and lines, "of what is no recipe there is only the text"


def test_long_values_of_a_setting_show_their_ends() -> None:
    line = setting_line(Setting("output_dir", f"/{'a' * 60}/one", f"/{'b' * 60}/two"), 50, 10)
    shown = "".join(text for text, _ in line)
    assert (
        len(shown) == 50
        and shown.startswith("output_dir  …")
        and shown.endswith("/two")
        and "/one →" in shown
    )


def program(folder: Path, body: str) -> Path:
    file = folder / "editor.sh"
    file.write_text(f"#!/bin/sh\n{body}\n")
    file.chmod(file.stat().st_mode | stat.S_IXUSR)
    return file


class Suspending:
    """An app that can be suspended."""

    def suspend(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


def test_the_editor_gives_its_text_or_nothing_where_it_changes_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app: Any = Suspending()
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(program(tmp_path, 'echo "# mine" >> "$1"')))
    assert edited(app, "a: 1\n", "x/my.yaml") == "a: 1\n# mine\n"
    monkeypatch.setenv("EDITOR", f"{program(tmp_path, 'true')} -w")
    assert edited(app, "a: 1\n", "my.yaml") is None


def test_what_an_editor_that_fails_has_written_is_kept_and_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    app: Any = Suspending()
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(program(tmp_path, 'echo "# mine" >> "$1"; exit 3')))
    with pytest.raises(InputError, match="ended with 3") as caught:
        edited(app, "a: 1\n", "my.yaml")
    kept = Path(str(caught.value).rsplit(" ", 1)[-1])
    assert kept.read_text() == "a: 1\n# mine\n"
    monkeypatch.setenv("EDITOR", str(program(tmp_path, "printf '\\377' > \"$1\"")))
    with pytest.raises(InputError, match="not UTF-8"):
        edited(app, "a: 1\n", "my.yaml")


def test_an_editor_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISUAL", "no-such-editor --wait")
    with pytest.raises(InputError, match="there is no such program"):
        editor_command()
    monkeypatch.setenv("VISUAL", "'unfinished")
    with pytest.raises(InputError, match="EDITOR"):
        editor_command()
    monkeypatch.delenv("VISUAL")
    monkeypatch.delenv("EDITOR", raising=False)
    monkeypatch.setenv("PATH", os.devnull)
    with pytest.raises(InputError, match="there is no editor"):
        editor_command()


async def test_the_editors_text_is_taken_and_a_terminal_that_cannot_be_given_away_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = opened(folder)
    monkeypatch.delenv("VISUAL", raising=False)
    monkeypatch.setenv("EDITOR", str(program(folder, "sed -i 's/2048/300/' \"$1\"")))
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await pilot.press("E")
        await until(pilot, "cannot be given to an editor")
        assert said(made).data.max_length == 2048
        monkeypatch.setattr(made.app, "suspend", contextlib.nullcontext)
        await pilot.press("E")
        await pilot.pause(0.2)
        assert said(made).data.max_length == 300 and "max_length: 300" in screen_text(made.app)
        await pilot.press("u")
        assert said(made).data.max_length == 2048
