"""The Recipe screen: its YAML view, the file, the difference, the editor; all in step with the form."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from textual.widgets import OptionList

from sftui.errors import InputError
from sftui.recipe_difference import difference
from sftui.recipe_document import Document
from sftui.recipe_fields import FIELDS, neighbour
from sftui.recipe_file import load_recipe
from sftui.screens.open_recipe import OpenRecipe
from sftui.screens.recipe_editor import edited, editor_command
from sftui.screens.recipe_edits import Edit
from sftui.screens.recipe_rows import rows_of
from sftui.screens.recipe_text import TextPane
from sftui.screens.widgets.difference_list import fold
from sftui.screens.widgets.yaml_editor import parts_of

from .data_screen_fixtures import Open
from .memory_screen_fixtures import GPU, machine, model
from .recipe_screen_fixtures import at, now, on, opened, recipe, said, settled, text, when
from .test_workbench import screen_text, until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def _this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sftui.devices.look", lambda folder: machine(GPU))


def pane(made: Open) -> TextPane:
    return on(made)._text


# -- the text


async def test_what_is_typed_into_the_text_stands_in_the_form_and_back(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await pilot.press("y")
        editor = pane(made).editor
        lines = editor.text.split("\n")
        row = next(n for n, line in enumerate(lines) if "max_length" in line)
        editor.move_cursor((row, lines[row].index("2048") + 4))
        await pilot.press(*["backspace"] * 4, *"1536")
        await when(made, pilot, lambda screen: said(made).data.max_length == 1536)
        shown = next(row for row in on(made)._form.list.rows if row.key == "data.max_length")
        assert shown.value == 1536 and "max_length: 1536   # long" in now(made).document.text
        await pilot.press("escape")
        await at(made, pilot, "data.max_length")
        await pilot.press("right")
        assert "max_length: 1600   # long" in await settled(made, pilot)
        await when(made, pilot, lambda screen: "max_length: 1600   # long" in pane(made).editor.text)


async def test_while_the_text_is_no_recipe_its_problems_have_lines_and_the_recipe_stays(
    folder: Path,
) -> None:
    made = opened(folder)
    async with made.run_test(size=(80, 24)) as pilot:
        await recipe(made, pilot)
        before = said(made)
        await pilot.press("y")
        pane(made).editor.move_cursor((0, 0))
        await pilot.press("enter", "up", *"adapter: [")
        await until(pilot, "✗ line ")
        assert said(made) is before
        await pilot.press("escape")
        rows = on(made)._form.list.rows
        assert next(row for row in rows if row.key == "adapter.r").value == 16
        await at(made, pilot, "training.seed")
        await pilot.press("right")
        await until(pilot, "mend it")
        await pilot.press("u")
        await pilot.pause(0.2)
        assert now(made).is_valid and now(made).document.text == made.file.read_text()


async def test_leaving_the_text_reads_at_once_what_was_typed(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await pilot.press("y")
        pane(made).editor.move_cursor((0, 0))
        await pilot.press(*"# hello", "enter", "escape")
        assert now(made).document.text.startswith("# hello\n")
        assert made.app.unsaved == ["comments and layout"]
        await pilot.press("S")
        await until(pilot, "saved into")
        assert made.file.read_text().startswith("# hello\n")


EDITABLE = [field for field in FIELDS if field.kind in ("choice", "switch", "integer", "number")]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("step"), st.sampled_from(EDITABLE), st.sampled_from([-2, -1, 1, 2])),
        st.tuples(st.just("default"), st.sampled_from(EDITABLE), st.just(0)),
        st.tuples(st.just("type"), st.sampled_from(EDITABLE), st.sampled_from([-1, 1])),
        st.tuples(st.just("comment"), st.sampled_from(EDITABLE), st.integers(0, 9)),
        st.tuples(st.sampled_from(["undo", "redo", "settle"]), st.sampled_from(EDITABLE), st.just(0)),
    ),
    max_size=12,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_the_form_and_the_text_agree_after_any_edits_in_both(tmp_path: Path, steps: Any) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(text(model(tmp_path)))
    made = OpenRecipe.of_file(str(file))
    for kind, field, amount in steps:
        if kind == "step":
            made.edit(field.key, neighbour(field, made.value(field.key), amount))
        elif kind == "default":
            made.edit(field.key, field.default)
        elif kind == "settle":
            made.settle()
        elif kind in ("undo", "redo"):
            getattr(made, kind)()
        elif kind == "comment":
            made.settle()
            made.type_text(made.document.with_text(f"{made.document.view}# comment {amount}\n"))
        else:
            made.settle()
            value = neighbour(field, made.value(field.key), amount)
            made.type_text(made.document.with_value(field.key, value))
        job = made.job()
        written = job.made() if job is not None else made.document
        assert written.values == made.values
        if written.recipe is not None:
            assert made.recipe == written.recipe
        for row in rows_of(made):
            if row.kind == "field":
                assert row.value == written.value(row.key)
    made.settle()
    kept = ["# what this is for", "# the model", "# long"]
    assert all(comment in made.document.text for comment in kept)
    fresh = Document(made.document.text, made.document.file, made.document.base)
    assert fresh.recipe == made.document.recipe and fresh.values == made.values


KEYS = ["right", "left", "L", "H", "delete", "u", "U", "down", "down", "down", "up", "n", "f", "o", "enter"]


@pytest.mark.parametrize("seed", range(3))
async def test_the_screen_shows_the_same_in_form_and_text_after_any_keys(folder: Path, seed: int) -> None:
    random = Random(seed)
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        for _ in range(12):
            keys = random.choices(KEYS, k=6)
            await pilot.press(*keys)
            if made.app.screen is not on(made):
                await pilot.press("escape")
            await pilot.press("escape")  # out of a value that is being typed
            if random.random() < 0.4:
                await pilot.press("y")
                editor = pane(made).editor
                editor.move_cursor((random.randrange(editor.document.line_count), 0))
                editor.insert(f"# note {random.randrange(100)}\n")
                await pilot.press("escape")
            await settled(made, pilot)
            opened_recipe, editor = now(made), pane(made).editor
            await when(made, pilot, lambda screen: pane(made).editor.text == now(made).document.view)
            document = opened_recipe.document
            assert document.values == opened_recipe.values and document.problems == opened_recipe.problems
            for row in on(made)._form.list.rows:
                if row.kind in ("field", "source"):
                    assert row.value == document.value(row.key)
            if document.recipe is not None:
                assert said(made) == document.recipe
            assert "# what this is for" in document.text


def test_undo_takes_back_step_by_step_to_the_first_text(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(text(model(tmp_path)))
    made = OpenRecipe.of_file(str(file))
    first = made.document
    for seed, key in ((7, "training.seed"), (512, "data.max_length"), (8, "adapter.r")):
        made.edit(key, seed)
        made.settle()
    assert [made.undo() for _ in range(4)] == [True, True, True, False]
    assert made.document == first and made.unsaved == []
    assert [made.redo() for _ in range(4)] == [True, True, True, False]
    assert made.recipe.adapter is not None and made.recipe.adapter.r == 8


def test_many_steps_of_a_field_are_one_edit_of_the_text(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text(text(model(tmp_path)))
    made = OpenRecipe.of_file(str(file))
    for length in (64, 128, 192):
        made.edit("data.max_length", length)
    made.edit("training.seed", 1)
    job = made.job()
    assert job is not None
    assert set(job.edits) == {Edit("data.max_length", 192), Edit("training.seed", 1)}


# -- the file


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


async def test_saving_meets_a_change_that_was_not_seen_yet(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await until(pilot, "53,")
        made.app.change({"training.seed": 7})
        made.file.write_text(made.file.read_text().replace("2048", "1024"))
        await pilot.press("S")
        await until(pilot, "both changes: they are of different fields")
        await pilot.press("enter")
        await pilot.pause(0.2)
        assert (said(made).data.max_length, said(made).training.seed) == (1024, 7)


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


# -- the difference


async def test_the_difference_is_against_the_file_or_another_recipe(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await pilot.press("d")
        await until(pilot, "difference from my.yaml: the same")
        made.app.change({"data.max_length": 4096})
        await settled(made, pilot)
        shown = await until(pilot, "+   max_length: 4096   # long")
        assert "-   max_length: 2048   # long" in shown
        await pilot.press("c")
        await until(pilot, "the difference from")
        options = made.app.screen.query_one(OptionList)
        names = [str(options.get_option_at_index(n).prompt) for n in range(options.option_count)]
        options.highlighted = next(n for n, name in enumerate(names) if "cpu-smoke" in name)
        await pilot.press("enter")
        await until(pilot, "difference from cpu-smoke")
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


# -- the editor


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


# -- colours


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("# all of it", [("# all of it", "comment")]),
        ("model:", [("model:", "key")]),
        ("  r: 16   # rank", [("r:", "key"), ("16", "value"), ("# rank", "comment")]),
        ("  name: a#b", [("name:", "key")]),
        ('  name: "x # y"', [("name:", "key")]),
        ("  rate: 2.0e-4", [("rate:", "key"), ("2.0e-4", "value")]),
        ("  on: true", [("on:", "key"), ("true", "value")]),
        ("  path: runs-2.jsonl", [("path:", "key")]),
        ("  - path: x", [("path:", "key")]),
        ("  - {path: x, limit: 5}", [("path:", "key"), ("limit:", "key"), ("5", "value")]),
        ("", []),
    ],
)
def test_keys_values_and_comments_are_told_apart(line: str, parts: list[tuple[str, str]]) -> None:
    assert [(line[begin:end], name) for begin, end, name in parts_of(line)] == parts
