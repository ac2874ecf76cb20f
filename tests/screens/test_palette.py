"""The command palette: found by the words that people type, and only what applies."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from textual.pilot import Pilot

from sftui.recipe_file import parse_recipe
from sftui.runs.listing import Listed, list_runs
from sftui.screens import palette
from sftui.screens.palette import Commands

from .conftest import RECIPE, Runs
from .desk_fixtures import FakeDesk
from .workbench_fixtures import until, workbench


async def offered(pilot: Pilot[None], query: str = "") -> list[str]:
    """The titles that the palette of the screen in front shows for a query, the best first."""
    commands = Commands(pilot.app.screen)
    await commands.startup()
    if not query:
        return [title for title, _, _ in commands._commands]
    hits = [hit async for hit in commands.search(query)]
    return [str(hit.match_display) for hit in sorted(hits, key=lambda hit: -hit.score)]


async def test_it_finds_by_name_what_the_keys_do_and_opens_runs(runs: Runs) -> None:
    runs.make("one", "finished")
    async with workbench(runs).run_test(size=(120, 40)) as pilot:
        await until(pilot, "one")
        dark = pilot.app.theme
        await pilot.press("ctrl+p", *"light")
        await until(pilot, "Theme  (T)")
        await pilot.press("enter")
        while pilot.app.theme == dark:
            await pilot.pause(0.02)
        await pilot.press("ctrl+p", *"open one")
        await until(pilot, "Open one")
        await pilot.press("enter")
        await until(pilot, "120/200")


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("stop", "Stop  (X)"),
        ("save now", "Save now  (w)"),
        ("evaluate now", "Evaluate  (e)"),
        ("answer now", "Answer now  (a)"),
        ("freeze", "Freeze  (Space)"),
        ("zoom", "Zoom  (z)"),
        ("smoothing", "Smoothing  (s)"),
        ("log scale", "Log scale  (l)"),
        ("logarithmic", "Log scale  (l)"),
        ("next graph", "Graph  (g)"),
        ("warnings", "View  (v)"),
        ("copy path", "Copy path  (y)"),
        ("quit", "Quit  (q)"),
        ("theme", "Theme  (T)"),
        ("open one", "Open one"),
    ],
)
async def test_the_words_that_people_type_find_the_command(runs: Runs, query: str, title: str) -> None:
    run = runs.make("one")
    async with workbench(runs, run=run).run_test(size=(80, 24)) as pilot:
        await until(pilot, "● running")
        assert (await offered(pilot, query))[:1] == [title]


@pytest.mark.parametrize(
    ("query", "title"),
    [
        ("what is trained", "Trained  (m)"),
        ("filter", "Filter  (/)"),
        ("max_length", "Max_length  (x)"),
        ("template", "Template  (t)"),
        ("finding", "Next finding  (f)"),
        ("go to row", "Go to row  (g)"),
        ("lengths", "Overview  (o)"),
        ("spaces", "Spaces  (Space)"),
        ("save", "Save  (S)"),
    ],
)
async def test_the_words_that_people_type_find_what_the_data_screen_does(
    runs: Runs, query: str, title: str
) -> None:
    app = workbench(runs, recipe=parse_recipe(RECIPE), recipe_name="my.yaml", open_desk=FakeDesk)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "164 tokens")
        assert (await offered(pilot, query))[:1] == [title]
        assert not any("Next pane" in one or "page" in one.lower() for one in await offered(pilot))


async def test_what_does_not_apply_is_not_offered(runs: Runs) -> None:
    run = runs.make("one", "finished")
    async with workbench(runs, run=run).run_test(size=(80, 24)) as pilot:
        await until(pilot, "✓ finished")
        titles = await offered(pilot)
        assert "Freeze  (Space)" in titles and "Runs  (6)" in titles
        assert not {"Stop  (X)", "Save now  (w)", "Evaluate  (e)", "Resume  (r)"} & set(titles)
        assert not any("Left" in title or "palette" in title for title in titles)


async def test_the_runs_are_not_read_on_the_event_loop(runs: Runs, monkeypatch: pytest.MonkeyPatch) -> None:
    runs.make("one")
    threads: list[threading.Thread] = []

    def listing(folder: Path) -> list[Listed]:
        threads.append(threading.current_thread())
        return list_runs(folder)

    monkeypatch.setattr(palette, "list_runs", listing)
    async with workbench(runs).run_test(size=(80, 24)) as pilot:
        await until(pilot, "● running")
        assert "Open one" in await offered(pilot)
        await offered(pilot, "open")
    assert threads and threading.main_thread() not in threads
