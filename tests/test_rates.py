"""What runs of this machine reached is read from their journals."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest

from sftui.recipe_file import dump_recipe
from sftui.runs.directory import RunDirectory, create_run
from sftui.runs.events import EventWriter
from sftui.runs.rates import rates_in
from sftui.runs.status import Status, write_status
from tests.test_forecast import recipe_of


def finished(folder: Path, steps: int = 20, host: str | None = None) -> RunDirectory:
    """A run whose steps have 8 rows of 100 tokens and take a second, the first two five."""
    recipe = recipe_of()
    run = create_run(folder, recipe)
    run.recipe_file.write_text(dump_recipe(recipe))
    events = EventWriter(run.events_file)
    events.write("start", device="CPU")
    for step in range(1, steps + 1):
        seconds = 5.0 if step <= 2 else 1.0
        events.write("step", step=step, seconds=seconds, tokens_per_second=800 / seconds)
        events.write("telemetry", text="x" * 50)
    events.close()
    write_status(run, Status("finished", host=host or socket.gethostname(), ended=1.0))
    return run


def test_the_rate_of_a_run_is_that_of_its_steps_after_the_first(tmp_path: Path) -> None:
    run = finished(tmp_path)
    (rate,) = rates_in(tmp_path)
    assert (rate.run, rate.device) == (run.id, "CPU")
    assert rate.tokens_per_second == pytest.approx(800)
    assert rate.row_tokens == pytest.approx(100)
    assert rate.recipe == recipe_of()


def test_the_last_steps_of_a_long_run_are_enough(tmp_path: Path) -> None:
    finished(tmp_path, steps=3000)
    (rate,) = rates_in(tmp_path)
    assert rate.tokens_per_second == pytest.approx(800)


def test_a_short_run_has_a_rate_of_all_steps_but_the_first(tmp_path: Path) -> None:
    finished(tmp_path, steps=4)
    (rate,) = rates_in(tmp_path)
    assert rate.steps == 2 and rate.tokens_per_second == pytest.approx(2400 / 7)


def test_runs_of_other_machines_and_runs_of_one_step_have_no_rate(tmp_path: Path) -> None:
    finished(tmp_path, host="another")
    finished(tmp_path, steps=1)
    write_status(finished(tmp_path, steps=9), Status("running", host=socket.gethostname()))
    assert rates_in(tmp_path) == ()
    assert rates_in(tmp_path / "nothing") == ()


def test_a_damaged_run_has_no_rate(tmp_path: Path) -> None:
    finished(tmp_path).recipe_file.write_text("model: 3")
    strange = finished(tmp_path)
    lines = [json.dumps({"type": "start", "device": 5}), '{"type": "step", "step": "x"}', "torn"]
    strange.events_file.write_text("\n".join(lines))
    finished(tmp_path).events_file.unlink()
    assert rates_in(tmp_path) == ()


def test_a_run_is_read_once(tmp_path: Path) -> None:
    run = finished(tmp_path)
    (before,) = rates_in(tmp_path)
    os.truncate(run.events_file, 0)
    assert rates_in(tmp_path) == (before,)
    write_status(run, replace(Status("finished", host=socket.gethostname()), ended=2.0))
    assert rates_in(tmp_path) == ()
