"""The Recipe screen on a recipe with made-up rows and a model of which there is only a config.json."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from sftui.recipe import Recipe
from sftui.screens.open_recipe import OpenRecipe
from sftui.screens.recipe import RecipeScreen
from sftui.screens.recipe_text import TextPane

from .data_screen_fixtures import Open
from .memory_screen_fixtures import GPU, model
from .workbench_fixtures import when as on_screen


def text(directory: Path) -> str:
    """A recipe with comments."""
    return (
        "# what this is for\n"
        f"model:\n  name_or_path: '{directory}'   # the model\n"
        "adapter:\n  r: 16   # rank\n"
        "data:\n  train: rows.jsonl\n  max_length: 2048   # long\n"
        "training:\n  learning_rate: 2.0e-4\n  # steps of eight\n  gradient_accumulation_steps: 8\n"
    )


def opened(folder: Path, more: str = "", **options: Any) -> Open:
    """A workbench on it, held against a GPU."""
    made = Open(folder, options.pop("text", None) or text(model(folder)) + more, **options)
    (folder / "Llama-3.1-8B" / "model.safetensors").touch()
    (folder / "rows.jsonl").write_text('{"messages": []}\n')
    made.app.memory_device = GPU
    return made


async def recipe(made: Open, pilot: Pilot[None]) -> str:
    """Go to the Recipe screen and wait for what it means."""
    await pilot.press("4")
    return await when(made, pilot, lambda screen: screen._facts.forecast is not None)


async def when(made: Open, pilot: Pilot[None], holds: Callable[[RecipeScreen], object]) -> str:
    """Wait until something holds of the screen."""
    return await on_screen(pilot, RecipeScreen, holds)


def on(made: Open) -> RecipeScreen:
    screen = made.app.screen_stack[0]
    assert isinstance(screen, RecipeScreen)
    return screen


def now(made: Open) -> OpenRecipe:
    found = made.app.opened.now
    assert found is not None
    return found


def said(made: Open) -> Recipe:
    found = made.app.recipe
    assert isinstance(found, Recipe)
    return found


async def at(made: Open, pilot: Pilot[None], key: str) -> None:
    """The cursor to a field."""
    rows = on(made)._form.list.rows
    place = next(n for n, row in enumerate(rows) if row.key == key and row.kind != "add")
    on(made)._form.list.go_to(place)
    await pilot.pause()


async def settled(made: Open, pilot: Pilot[None]) -> str:
    """Wait until the text has followed the form."""
    await when(made, pilot, lambda _: now(made).job() is None)
    return now(made).document.view


def words(made: Open, panel: str) -> str:
    """What a panel says, in one line."""
    return " ".join(str(on(made)._panels[panel]._shown).split())


def pane(made: Open) -> TextPane:
    """The YAML view."""
    return on(made)._text
