"""The Recipe screen: its YAML view, and undo, in step with the form."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftui.recipe_document import Document
from sftui.recipe_fields import FIELDS, neighbour
from sftui.screens.open_recipe import OpenRecipe
from sftui.screens.recipe_edits import Edit
from sftui.screens.recipe_rows import rows_of
from sftui.screens.widgets.yaml_editor import parts_of

from .memory_screen_fixtures import model
from .recipe_screen_fixtures import at, now, on, opened, pane, recipe, said, settled, text, when
from .workbench_fixtures import screen_text, until

pytestmark = pytest.mark.usefixtures("rtx_4090_here")


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


@pytest.mark.parametrize("seed", range(2))
async def test_the_screen_shows_the_same_in_form_and_text_after_any_keys(folder: Path, seed: int) -> None:
    random = Random(seed)
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        for _ in range(6):
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


async def test_a_mistake_in_the_text_is_marked_on_every_screen(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await recipe(made, pilot)
        await pilot.press("y", *"  [x", "escape")
        shown = await until(pilot, "✗ mistake: 4")
        assert "✗ the text has a mistake" in shown and "nothing found" not in shown
        await pilot.press("3")
        await until(pilot, "components")
        assert "✗ mistake: 4" in screen_text(made.app)
        await pilot.press("u")
        await until(pilot, "undone: a change of the text")
        assert "✗ mistake" not in screen_text(made.app)


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
