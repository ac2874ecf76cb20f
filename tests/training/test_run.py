"""Whole runs in their own processes: how they end, and what they leave."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sftui.progress import wait_for_end
from sftui.recipe import Recipe
from sftui.runs import launch
from sftui.runs.directory import RunDirectory, create_run
from sftui.runs.status import Status, read_status
from sftui.training.failure import explain

from .conftest import MakeRecipe, events_of, losses_of, train_here, weights_of

pytestmark = pytest.mark.slow
LONG = ("training.max_steps=5000", "training.save_strategy=steps", "training.save_steps=1000")


def start(recipe: Recipe) -> RunDirectory:
    return launch.start(recipe, ["test"])


def status_of(run: RunDirectory) -> Status:
    status = read_status(run)
    assert status is not None
    return status


def wait_for_step(run: RunDirectory, step: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        if len(events_of(run, "step")) >= step:
            return
        assert status_of(run).alive, run.log_file.read_text()
        time.sleep(0.05)
    raise AssertionError(f"no step {step} after two minutes: {run.log_file.read_text()}")


def test_a_run_finishes_with_a_log_that_warns_of_nothing(make_recipe: MakeRecipe, rows: Path) -> None:
    run = start(
        make_recipe(
            "model.quantization=nf4",
            "training.gradient_checkpointing=true",
            f"data.eval=[{{path: {rows}, limit: 3}}]",
            "training.save_strategy=steps",
            "training.save_steps=3",
            "training.sample_rows=1",
            "training.sample_max_new_tokens=4",
        )
    )
    assert wait_for_end(run) == 0, run.log_file.read_text()
    status = status_of(run)
    assert (status.state, status.step, status.max_steps) == ("finished", 6, 6)
    log = run.log_file.read_text()
    assert "warn" not in log.lower() and "error" not in log.lower() and "deprecat" not in log.lower(), log
    assert run.checkpoint_steps() == [3, 6]
    assert (run.adapter / "adapter_config.json").is_file()
    assert (run.adapter / "tokenizer.json").is_file()
    card = (run.adapter / "README.md").read_text()
    assert "More Information" not in card and "rows.jsonl for 6 steps" in card and str(run.path) not in card
    assert [event["step"] for event in events_of(run, "sample")] == [0, 6]
    assert events_of(run, "warning") == []
    assert events_of(run, "end")[0]["state"] == "finished"
    assert list(run.checkpoints.glob(".*/*")) == []


def assert_stopped_with_all_it_did(run: RunDirectory) -> None:
    """Its step finished, saved as checkpoint and result, and nothing asked for any more."""
    assert wait_for_end(run) == 0, run.log_file.read_text()
    status = status_of(run)
    assert status.state == "stopped"
    assert run.checkpoint_steps()[-1] == status.step == len(losses_of(run))
    assert run.adapter.is_dir()
    assert run.pending() == frozenset()


def test_asked_to_stop_before_its_first_step_a_run_ends_as_stopped(make_recipe: MakeRecipe) -> None:
    run = start(make_recipe(*LONG))
    launch.stop(run)
    assert wait_for_end(run) == 0, run.log_file.read_text()
    assert status_of(run).state == "stopped"


def test_a_trainer_outlives_the_terminal_that_started_it_and_stops_when_terminated(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    from sftui.recipe_file import dump_recipe

    recipe = make_recipe(*LONG)
    file = tmp_path / "recipe.yaml"
    file.write_text(dump_recipe(recipe))
    terminal = subprocess.run(
        ["script", "-qec", f"{sys.executable} -m sftui train {file} --detach; kill -HUP $$", "/dev/null"],
        capture_output=True,
        timeout=60,
        check=False,
    )
    run = RunDirectory(next(path for path in tmp_path.iterdir() if (path / "status.json").is_file()))
    assert run.id in terminal.stdout.decode()
    wait_for_step(run, 2)
    status = status_of(run)
    assert status.pid is not None and os.getsid(status.pid) == status.pid
    os.kill(status.pid, signal.SIGTERM)
    assert_stopped_with_all_it_did(run)


def test_requests_are_taken_up_between_steps(make_recipe: MakeRecipe, rows: Path) -> None:
    run = start(make_recipe(*LONG, f"data.eval=[{{path: {rows}, limit: 2}}]", "training.eval_steps=4000"))
    wait_for_step(run, 2)
    run.request("save")
    run.request("evaluate")
    deadline = time.monotonic() + 60
    while (len(events_of(run, "eval")) < 2 or not run.checkpoint_steps()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert len(events_of(run, "eval")) == 2  # one before the first step, one asked for
    assert run.checkpoint_steps()
    launch.stop(run)
    assert_stopped_with_all_it_did(run)


def test_a_loss_that_is_not_a_number_stops_before_the_optimizer_step_and_names_the_rows(
    make_recipe: MakeRecipe, nan_model: Path
) -> None:
    run = start(make_recipe(f"model.name_or_path={nan_model}", *LONG))
    assert wait_for_end(run) == 1
    error = status_of(run).error
    assert error is not None and error.kind == "nan"
    assert "rows.jsonl:" in error.cause
    assert "Traceback" in run.log_file.read_text()
    assert losses_of(run) == []


def test_rows_of_all_processes_are_named_where_the_loss_is_not_a_number(
    make_recipe: MakeRecipe, nan_model: Path
) -> None:
    run = start(make_recipe(f"model.name_or_path={nan_model}", "training.num_processes=2", *LONG))
    assert wait_for_end(run) == 1
    error = status_of(run).error
    assert error is not None and error.kind == "nan", run.log_file.read_text()
    assert error.cause.count("rows.jsonl:") > 4  # more than the four of one process


def test_bad_data_fails_the_run_as_input_with_the_line(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    file = tmp_path / "bad.jsonl"
    file.write_text('{"question": "a", "answer": "b"}\n{"question": "a", "answer": \n')
    run = start(make_recipe(f"data.train={file}"))
    assert wait_for_end(run) == 1
    error = status_of(run).error
    assert error is not None and error.kind == "input"
    assert f"{file}:2" in error.cause


def test_an_unreadable_model_fails_with_a_sentence(
    make_recipe: MakeRecipe, tiny_model: Path, tmp_path: Path
) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(tiny_model, broken)
    weights = broken / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    recipe = make_recipe(f"model.name_or_path={broken}")
    with pytest.raises(Exception) as error:
        train_here(recipe)
    failure = explain(error.value, recipe, "")
    assert failure.cause and failure.advice and "Traceback" not in failure.cause


@pytest.fixture
def small_disk(tmp_path: Path):
    """A file system of 24 MiB; needs the right to mount."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a small file system needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


def test_a_full_disk_keeps_the_checkpoint_before_and_the_run_can_go_on(
    make_recipe: MakeRecipe, small_disk: Path
) -> None:
    recipe = make_recipe(
        f"output_dir={small_disk}", "adapter.r=64", *LONG, "training.save_steps=5", "training.max_steps=40"
    )
    whole = train_here(make_recipe("adapter.r=64", *LONG, "training.max_steps=40"))
    run = start(recipe)
    deadline = time.monotonic() + 120
    while not run.checkpoint_steps() and time.monotonic() < deadline:
        time.sleep(0.005)
    kept = run.checkpoint_steps()
    ballast = small_disk / "ballast"
    with ballast.open("wb") as file:
        try:
            while True:
                file.write(b"0" * 65_536)
                file.flush()
        except OSError:
            pass
    assert wait_for_end(run) == 1
    status = status_of(run)
    assert status.state == "failed"
    assert status.error is not None and status.error.kind == "disk"
    assert kept[0] <= run.checkpoint_steps()[-1] < 40
    assert not run.adapter.exists()

    ballast.unlink()
    launch.resume(run)
    assert wait_for_end(run) == 0, run.log_file.read_text()
    assert losses_of(run) == losses_of(whole)


def test_a_periodic_save_that_fails_is_a_warning_and_training_goes_on(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sftui.training import checkpoint

    def full(folder: Path, needed: int) -> None:
        raise OSError(28, "No space left on device")

    original = checkpoint.require_space
    calls = []

    def once(folder: Path, needed: int) -> None:
        calls.append(needed)
        (full if len(calls) == 2 else original)(folder, needed)

    monkeypatch.setattr(checkpoint, "require_space", once)
    run = train_here(make_recipe("training.save_strategy=steps", "training.save_steps=2"))
    assert len(calls) == 3
    assert run.checkpoint_steps() == [2, 6]
    assert any("checkpoint 4 was not saved" in event["message"] for event in events_of(run, "warning"))
    assert calls[1] > 50_000  # a checkpoint's size is known before it is written


def test_where_the_last_checkpoint_does_not_fit_the_result_is_saved_all_the_same(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sftui.training import checkpoint
    from sftui.training.failure import explain

    original, calls = checkpoint.require_space, []

    def full_at_the_end(folder: Path, needed: int) -> None:
        calls.append(needed)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        original(folder, needed)

    monkeypatch.setattr(checkpoint, "require_space", full_at_the_end)
    recipe = make_recipe("training.save_strategy=steps", "training.save_steps=2")
    run = create_run(Path(recipe.output_dir), recipe)
    with pytest.raises(OSError, match="No space left") as error:
        train_here(recipe, run)
    failure = explain(error.value, recipe, "at step 7")
    assert failure.kind == "disk" and failure.resumable
    assert "saving checkpoint 6" in failure.cause and str(run.adapter) in failure.cause
    assert run.checkpoint_steps() == [2, 4]
    whole = train_here(recipe)
    expected, found = weights_of(whole.adapter), weights_of(run.adapter)
    assert all(bool((expected[name] == found[name]).all()) for name in expected)


def test_a_save_cut_short_leaves_no_checkpoint_that_looks_whole(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sftui.training import checkpoint

    class Killed(BaseException):
        pass

    def cut(written: Path, target: Path) -> int:
        raise Killed

    recipe = make_recipe("training.save_strategy=steps", "training.save_steps=2")
    whole = train_here(recipe)
    monkeypatch.setattr(checkpoint, "publish", lambda written, target: cut(written, target))
    run = create_run(Path(recipe.output_dir), recipe)
    with pytest.raises(Killed):
        train_here(recipe, run)
    assert run.checkpoint_steps() == []
    assert list((run.checkpoints / ".partial").iterdir())
    monkeypatch.undo()
    train_here(recipe, run)
    assert losses_of(run) == losses_of(whole)
    assert not (run.checkpoints / ".partial").exists() or not list((run.checkpoints / ".partial").iterdir())
