from __future__ import annotations

from pathlib import Path

import pytest

from sftui.runs import lock
from sftui.runs.directory import RunDirectory
from sftui.runs.events import EventWriter
from sftui.runs.status import Failure, read_status
from sftui.screens.help import HelpScreen, bindings_of
from sftui.screens.widgets.plot import Plot

from .conftest import RECIPE, Runs
from .desk_fixtures import FakeDesk
from .workbench_fixtures import keys_are_told, screen_text, until, workbench

SIZES = [(60, 20), (80, 24), (120, 40), (250, 70)]


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_dashboard_shows_what_matters_at_every_size(runs: Runs, size: tuple[int, int]) -> None:
    run = runs.make("one", gpu=True)
    async with workbench(runs, run=run).run_test(size=size) as pilot:
        shown = await until(pilot, "120/200")
        screens = " 1 Data  2 Packing  3 Memory  4 Recipe  5 Train  6 Runs"
        assert screens in shown.splitlines()[0] and ("sftui" in shown.splitlines()[0]) == (size[0] > 63)
        for expected in (
            "● running",
            "loss",
            "0.61",
            "eval",
            "0.655",
            "lr",
            "2.00e-04",
            "60%",
            "one",
            "ends in",
        ):
            assert expected in shown, f"{expected!r} is missing:\n{shown}"
        assert "GPU 0" in shown and "612 W" in shown
        assert max(len(line) for line in shown.splitlines()) <= size[0]
        if size[1] >= 24:
            assert "tokens" in shown and "trained" in shown and "allocated" in shown and "reserved" in shown
        if size[0] >= 100:
            assert "allocated" in shown and "reserved" in shown and "CPU" in shown


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_list_of_runs_keeps_name_state_and_step_at_every_size(
    runs: Runs, size: tuple[int, int]
) -> None:
    runs.make("2026-11-20_041200-smollm2-gsm8k")
    runs.make(
        "2026-11-19_180100-qwen3-8b-chat", "failed", error=Failure("memory", "out of memory", "use nf4")
    )
    async with workbench(runs).run_test(size=size) as pilot:
        shown = await until(pilot, "2026-11-20_04")
        assert "● running" in shown and "✗ failed" in shown and "120/200" in shown


async def test_without_a_gpu_the_dashboard_shows_cpu_and_ram(runs: Runs) -> None:
    run = runs.make("one")
    async with workbench(runs, run=run).run_test(size=(120, 40)) as pilot:
        shown = await until(pilot, "112%")
        assert "3.0 GiB" in shown and "9.0/64.0 GiB" in shown and "GPU" not in shown


async def test_new_steps_appear_by_themselves(runs: Runs) -> None:
    run = runs.make("one", steps=3)
    async with workbench(runs, run=run).run_test(size=(120, 40)) as pilot:
        await until(pilot, "3/200")
        writer = EventWriter(run.events_file)
        runs.step(writer, 4, loss=0.1234)
        writer.close()
        await until(pilot, "0.123")


async def test_a_run_started_elsewhere_appears_in_the_list_and_an_ended_one_changes(runs: Runs) -> None:
    runs.make("first")
    app = workbench(runs)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, "first")
        runs.make("second", "finished")
        await until(pilot, "✓ finished")
        import os

        os.close(runs.locks["first"])
        await until(pilot, "? lost")


async def test_an_empty_directory_says_what_to_do(runs: Runs) -> None:
    async with workbench(runs).run_test(size=(80, 24)) as pilot:
        shown = await until(pilot, "No runs here yet")
        assert "sftui demo" in shown and "sftui train RECIPE" in shown


async def test_a_terminal_too_small_says_how_much_room_is_needed(runs: Runs) -> None:
    runs.make("one")
    async with workbench(runs).run_test(size=(50, 15)) as pilot:
        shown = await until(pilot, "60 x 20")
        assert "one" not in shown.replace("50 x 15", "")
        await pilot.resize_terminal(80, 24)
        await until(pilot, "● running")


async def test_freezing_holds_the_screen_and_reading_goes_on(runs: Runs) -> None:
    run = runs.make("one", steps=3)
    async with workbench(runs, run=run).run_test(size=(120, 40)) as pilot:
        await until(pilot, "3/200")
        await pilot.press("space")
        frozen = await until(pilot, "frozen")
        writer = EventWriter(run.events_file)
        runs.step(writer, 4, loss=0.1234)
        writer.close()
        await pilot.pause(0.5)
        assert "0.123" not in screen_text(pilot.app)  # type: ignore[arg-type]
        assert screen_text(pilot.app).splitlines()[5:] == frozen.splitlines()[5:]  # type: ignore[arg-type]
        await pilot.press("space")
        await until(pilot, "0.123")


async def test_log_scale_smoothing_graph_and_zoom_change_the_main_plot(runs: Runs) -> None:
    run = runs.make("one")
    async with workbench(runs, run=run).run_test(size=(120, 40)) as pilot:
        await until(pilot, "120/200")
        main = pilot.app.screen.query_one("#main", Plot)
        await pilot.press("l")
        assert main.log_scale
        await until(pilot, "log scale")
        before = main.smoothing
        await pilot.press("s")
        assert main.smoothing > before
        await pilot.press("z", "left", "left", "enter", "shift+left", "enter")
        assert main.x_range is not None and main.x_range[0] < main.x_range[1]
        await until(pilot, "Esc shows all")
        await pilot.press("escape")
        assert main.x_range is None
        await pilot.press("g")
        await until(pilot, "learning rate: raw")


async def test_stopping_wants_a_yes_and_enter_is_not_one(runs: Runs) -> None:
    run = runs.make("one")
    async with workbench(runs, run=run).run_test(size=(80, 24)) as pilot:
        await until(pilot, "● running")
        await pilot.press("X")
        await until(pilot, "Stop one?")
        await pilot.press("enter")
        assert run.pending() == frozenset()
        await pilot.press("X")
        await until(pilot, "Stop one?")
        await pilot.press("y")
        await pilot.pause(0.1)
        assert run.pending() == {"stop"}


async def test_save_evaluate_and_answer_are_asked_for_by_a_key(runs: Runs) -> None:
    run = runs.make("one")
    async with workbench(runs, run=run).run_test(size=(80, 24)) as pilot:
        await until(pilot, "● running")
        await pilot.press("w", "e", "a")
        assert run.pending() == {"save", "evaluate", "sample"}


async def test_an_evaluation_is_not_offered_where_no_rows_are_held_out(runs: Runs) -> None:
    run = runs.make("one", held_out=0)
    async with workbench(runs, run=run).run_test(size=(80, 24)) as pilot:
        shown = await until(pilot, "w save now")
        assert "e evaluate" not in shown
        await pilot.press("w", "e", "a")
        assert run.pending() == {"save"}


@pytest.mark.parametrize("event", ["step", "memory", "start", "eval"])
@pytest.mark.parametrize("value", ["null", '"zz"', "[]", "{}"])
async def test_an_event_with_strange_values_is_shown_without_them(runs: Runs, event: str, value: str) -> None:
    import json

    run = runs.make("one", "finished", gpu=True)
    lines = [json.loads(line) for line in run.events_file.read_text().splitlines()]
    last = next(line for line in reversed(lines) if line["type"] == event)
    with run.events_file.open("a") as file:
        for key in last:
            if key not in ("type", "time"):
                file.write(json.dumps({**last, key: json.loads(value)}) + "\n")
    for size in ((80, 24), (120, 40)):
        async with workbench(runs, run=run).run_test(size=size) as pilot:
            await until(pilot, "✓ finished")
            await pilot.pause(0.3)


async def test_keys_that_do_not_apply_do_nothing(runs: Runs) -> None:
    run = runs.make("one", "finished")
    async with workbench(runs, run=run).run_test(size=(80, 24)) as pilot:
        await until(pilot, "✓ finished")
        await pilot.press("w", "e", "a", "X", "r")
        assert run.pending() == frozenset()
        assert not isinstance(pilot.app.screen, HelpScreen)
        status = read_status(run)
        assert status is not None and status.state == "finished"


async def test_a_failure_that_resuming_would_repeat_names_the_command_to_start_anew(runs: Runs) -> None:
    run = runs.make("one", "failed", error=Failure("nan", "the loss is nan at step 3; rows: a:1", "look"))
    async with workbench(runs, run=run).run_test(size=(250, 70)) as pilot:
        shown = await until(pilot, "the loss is nan")
        assert "r resumes" not in shown and f"sftui train {run.recipe_file}" in shown


@pytest.mark.parametrize("state", ["failed", "lost", "stopped"])
async def test_an_ended_run_says_why_and_what_to_do(runs: Runs, state: str) -> None:
    error = (
        Failure("disk", "out of memory (at step 4)", "try model.quantization=nf4")
        if state == "failed"
        else None
    )
    run = runs.make("one", state, error=error)
    async with workbench(runs, run=run).run_test(size=(80, 24)) as pilot:
        shown = await until(pilot, state)
        shown = await until(pilot, "r ")
        if state == "failed":
            assert "out of memory (at step 4)" in shown and "nf4" in shown


async def test_deleting_wants_a_yes_and_spares_a_live_run(runs: Runs) -> None:
    alive, ended = runs.make("b-alive"), runs.make("a-ended", "stopped")
    async with workbench(runs).run_test(size=(120, 40)) as pilot:
        await until(pilot, "a-ended")
        await pilot.press("D")
        await pilot.pause(0.2)
        assert alive.path.exists() and "Delete" not in screen_text(pilot.app)  # type: ignore[arg-type]
        await pilot.press("j", "D")
        await until(pilot, "Delete a-ended")
        await pilot.press("n")
        assert ended.path.exists()
        await pilot.press("D")
        await until(pilot, "Delete a-ended")
        await pilot.press("y")
        await pilot.pause(0.3)
        assert not ended.path.exists() and alive.path.exists()


async def test_the_filter_shows_only_what_matches(runs: Runs) -> None:
    runs.make("alpha")
    runs.make("beta", "finished")
    async with workbench(runs).run_test(size=(120, 40)) as pilot:
        await until(pilot, "beta")
        await pilot.press("slash", *"fini", "enter")
        await pilot.pause(0.3)
        shown = screen_text(pilot.app)  # type: ignore[arg-type]
        assert "beta" in shown and "alpha" not in shown
        await pilot.press("escape")
        await until(pilot, "alpha")


async def test_enter_opens_a_run_and_escape_leads_back(runs: Runs) -> None:
    runs.make("alpha", "finished")
    async with workbench(runs).run_test(size=(120, 40)) as pilot:
        await until(pilot, "alpha")
        await pilot.press("enter")
        await until(pilot, "120/200")
        await pilot.press("escape")
        await until(pilot, "1 run in")


async def test_answers_come_up_by_themselves_when_there_is_a_before_and_an_after(runs: Runs) -> None:
    run = runs.make("one", "finished")
    writer = EventWriter(run.events_file)
    for step, text in ((0, "The capital is Paris."), (120, '{"answer": "Paris"}')):
        writer.write("sample", step=step, row=0, where="eval:1", prompt="Capital?", expected="x", answer=text)
    writer.close()
    async with workbench(runs, run=run).run_test(size=(120, 40)) as pilot:
        shown = await until(pilot, '{"answer": "Paris"}')
        assert "The capital is Paris." in shown and "Capital?" in shown


async def test_hostile_text_in_a_log_or_an_answer_is_shown_and_never_interpreted(runs: Runs) -> None:
    run = runs.make("one", "finished")
    run.log_file.write_text("\x1b[31mred\x1b[0m [bold]markup[/bold] \u202eback\u200b\n")
    async with workbench(runs, run=run).run_test(size=(120, 40)) as pilot:
        shown = await until(pilot, "[bold]markup[/bold]")
        assert "\x1b" not in shown and "\u202e" not in shown and "\u200b" not in shown
        assert "␛[31mred" in shown


async def test_keys_of_a_run_are_told(runs: Runs) -> None:
    run = runs.make("one")
    async with workbench(runs, run=run).run_test(size=(120, 60)) as pilot:
        await until(pilot, "● running")
        await keys_are_told(pilot, "X stop")


async def test_no_two_bindings_of_a_screen_share_a_key(runs: Runs) -> None:
    async with workbench(runs).run_test(size=(80, 24)) as pilot:
        await until(pilot, "No runs")
        for mode in ("data", "train", "runs"):
            pilot.app.action_show(mode)  # type: ignore[attr-defined]
            await pilot.pause(0.2)
            keys = [key for b in bindings_of(pilot.app.screen) for key in b.key.split(",")]
            assert sorted(keys) == sorted(set(keys))
            assert {"ctrl+c", "ctrl+a", "ctrl+b"}.isdisjoint(keys)


async def test_at_most_eight_keys_stand_in_the_footer_and_all_fit_in_80_columns(runs: Runs) -> None:
    run = runs.make("one")
    async with workbench(runs, run=run).run_test(size=(80, 24)) as pilot:
        shown = await until(pilot, "q quit")
        footer = shown.splitlines()[-1]
        assert "X stop" in footer and "? help" in footer


async def test_leaving_says_that_training_goes_on(runs: Runs) -> None:
    run = runs.make("one")
    app = workbench(runs, run=run)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, "● running")
        await pilot.press("q")
        await pilot.pause(0.3)
    assert "training goes on: one" in app.parting_words and "sftui attach" in app.parting_words
    assert lock.is_held(run.lock_file)


async def test_an_open_recipe_without_a_run_is_summed_up_and_a_bad_one_is_told_why(
    runs: Runs, tmp_path: Path
) -> None:
    from sftui.recipe_file import parse_recipe

    recipe = parse_recipe(RECIPE, [f"output_dir={runs.folder}", f"data.train={tmp_path / 'missing.jsonl'}"])
    app = workbench(runs, recipe=recipe, recipe_name="my.yaml", open_desk=FakeDesk)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("5")
        shown = await until(pilot, "Enter starts this run")
        assert "tiny-model" in shown and "my.yaml" in shown
        await pilot.press("enter")
        await until(pilot, "missing.jsonl")
        assert not runs.folder.exists()


async def test_starting_the_open_recipe_leads_to_its_run_and_enter_starts_no_second_one(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sftui import forecast, preflight
    from sftui.recipe_file import parse_recipe
    from sftui.runs import launch

    started: list[str] = []

    def start(recipe: object, command: list[str]) -> RunDirectory:
        started.append(f"run-{len(started)}")
        return runs.make(started[-1])

    monkeypatch.setattr(forecast, "check", lambda *_, **__: ())
    monkeypatch.setattr(preflight, "check", lambda recipe, **_: ())
    monkeypatch.setattr(launch, "start", start)
    recipe = parse_recipe(RECIPE, [f"output_dir={runs.folder}", "data.bad_rows=drop"])
    app = workbench(runs, recipe=recipe, recipe_name="my.yaml", open_desk=FakeDesk)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("5")
        await until(pilot, "Enter starts this run")
        await pilot.press("enter", "enter", "enter")
        await until(pilot, "run-0")
        await until(pilot, "120/200")
        await pilot.press("enter")
        await pilot.pause(0.3)
    assert started == ["run-0"]


async def test_a_run_directory_that_vanishes_while_watched_is_survived(runs: Runs) -> None:
    import shutil

    run: RunDirectory = runs.make("one", "stopped")
    async with workbench(runs, run=run).run_test(size=(80, 24)) as pilot:
        await until(pilot, "■ stopped")
        shutil.rmtree(run.path)
        await until(pilot, "gone")
        await pilot.press("6")
        await until(pilot, "No runs here yet")


async def test_the_mouse_switches_screens_opens_runs_and_drags_a_range(runs: Runs) -> None:
    run = runs.make("one")
    async with workbench(runs, run=run).run_test(size=(120, 40)) as pilot:
        await until(pilot, "● running")
        main = pilot.app.screen.query_one("#main", Plot)
        await pilot.mouse_down(main, offset=(20, 8))
        await pilot.hover(main, offset=(50, 8))
        await pilot.mouse_up(main, offset=(50, 8))
        await pilot.pause(0.1)
        assert main.x_range is not None and 0 < main.x_range[0] < main.x_range[1] < 120
        await pilot.click("Masthead", offset=(57, 0))
        await until(pilot, "1 run, 1 running")
        await pilot.click("#table", offset=(5, 1))
        await pilot.click("#table", offset=(5, 1))
        await until(pilot, "120/200")


async def test_both_themes_show_the_same_words(runs: Runs) -> None:
    run = runs.make("one")
    async with workbench(runs, run=run).run_test(size=(120, 40)) as pilot:
        await until(pilot, "● running")
        dark = pilot.app.theme
        await pilot.press("T")
        assert pilot.app.theme != dark
        await until(pilot, "● running")
