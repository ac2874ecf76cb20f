from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from sftui.runs import launch
from sftui.runs.directory import RunDirectory
from sftui.runs.status import read_status

from .conftest import MakeRecipe, events_of, losses_of, train_here, weights_of

# Dropout needs the random state, two and a half epochs the data order, warm-up and decay the scheduler.
TWO_EPOCHS = (
    "training.max_steps=10",
    "adapter.lora_dropout=0.2",
    "training.warmup_steps=3",
    "training.save_strategy=steps",
    "training.save_steps=3",
)
FULL = ("adapter=null", "training.learning_rate=1e-3", *(o for o in TWO_EPOCHS if "adapter" not in o))


def train_and_stop(recipe, after: int) -> RunDirectory:
    """Train until step `after` is done, with the request a watcher would drop."""
    import threading

    from sftui.runs.directory import create_run
    from sftui.training import callback

    run = create_run(Path(recipe.output_dir), recipe)
    original = callback.StepCallback.on_step_begin

    def on_step_begin(self, args, state, control, **rest):
        if state.global_step == after - 1:
            run.request("stop")
        return original(self, args, state, control, **rest)

    callback.StepCallback.on_step_begin = on_step_begin  # type: ignore[method-assign]
    try:
        assert threading.current_thread() is threading.main_thread()
        train_here(recipe, run)
    finally:
        callback.StepCallback.on_step_begin = original  # type: ignore[method-assign]
    return run


@pytest.mark.parametrize("overrides", [TWO_EPOCHS, FULL], ids=["lora", "full"])
def test_a_resumed_run_ends_with_the_same_bits_as_an_uninterrupted_one(
    make_recipe: MakeRecipe, overrides: tuple[str, ...]
) -> None:
    recipe = make_recipe(*overrides)
    whole = train_here(recipe)
    expected, last_whole = weights_of(whole.result), events_of(whole, "step")[-1]
    for stop_after in (2, 4, 7):
        parted = train_and_stop(recipe, stop_after)
        status = read_status(parted)
        assert status is not None and status.state == "stopped" and status.step == stop_after
        assert len(losses_of(parted)) == stop_after

        train_here(recipe, parted)

        assert losses_of(parted) == losses_of(whole)
        found = weights_of(parted.result)
        assert expected.keys() == found.keys()
        assert all(torch.equal(expected[name], found[name]) for name in expected)
        last_parted = events_of(parted, "step")[-1]
        for name in ("learning_rate", "trained_tokens", "tokens"):
            assert last_whole[name] == last_parted[name]


def test_a_run_whose_data_has_changed_is_not_resumed(
    make_recipe: MakeRecipe, rows: Path, tmp_path: Path
) -> None:
    from sftui.errors import InputError

    own = tmp_path / "own.jsonl"
    own.write_text(rows.read_text())
    recipe = make_recipe(f"data.train.0.path={own}", *TWO_EPOCHS)
    run = train_and_stop(recipe, 2)
    own.write_text(rows.read_text().replace("stone", "rock"))
    with pytest.raises(InputError, match="not what this run began with"):
        train_here(recipe, run)


@pytest.mark.slow
def test_a_killed_run_is_lost_and_goes_on_from_its_last_checkpoint_to_the_same_bits(
    make_recipe: MakeRecipe,
) -> None:
    recipe = make_recipe(*TWO_EPOCHS, "training.max_steps=60", "training.save_steps=5")
    whole = train_here(recipe)
    run = launch.start(recipe, ["test"])
    deadline = time.monotonic() + 120
    while not run.checkpoint_steps() and time.monotonic() < deadline:
        time.sleep(0.01)
    status = read_status(run)
    assert status is not None and status.pid is not None
    os.kill(status.pid, signal.SIGKILL)
    for child in launch._children:
        child.wait(timeout=20)
    after = read_status(run)
    assert after is not None and after.state == "lost"

    launch.resume(run)
    while (after := read_status(run)) is not None and after.alive and time.monotonic() < deadline:
        time.sleep(0.05)

    assert after is not None and after.state == "finished", run.log_file.read_text()
    expected, found = weights_of(whole.adapter), weights_of(run.adapter)
    assert all(torch.equal(expected[name], found[name]) for name in expected)


def test_a_run_lost_while_it_saved_its_result_saves_it_when_resumed_and_trains_no_further(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sftui.runs.directory import create_run
    from sftui.training.trainer import SftTrainer

    class LostError(Exception):
        pass

    def lose(*_: object) -> None:
        raise LostError

    recipe = make_recipe("training.max_steps=5", "training.save_strategy=steps", "training.save_steps=5")
    whole = train_here(recipe)
    run = create_run(Path(recipe.output_dir), recipe)
    monkeypatch.setattr(SftTrainer, "save_result", lose)
    with pytest.raises(LostError):
        train_here(recipe, run)
    monkeypatch.undo()

    train_here(recipe, run)

    assert losses_of(run) == losses_of(whole)
    expected, found = weights_of(whole.adapter), weights_of(run.adapter)
    assert all(torch.equal(expected[name], found[name]) for name in expected)
