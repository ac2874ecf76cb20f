"""What is said before a run is made: errors refuse it, warnings come along."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from sftui import cli, demo, machine, preflight
from sftui.data.analysis import analyse
from sftui.data.reader import DatasetSpec
from sftui.errors import InputError
from sftui.memory.device import Device
from sftui.memory.known import Known
from sftui.recipe_file import load_recipe
from sftui.runs import launch
from sftui.runs.directory import RunDirectory
from tests.check_fixtures import machine as machine_with
from tests.run_fixtures import end, fake_interpreter


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a recipe, a model and rows; the trainer is a stand-in."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(demo.RECIPE.parent / "model", tmp_path / "model")
    Path("rows.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    Path("my.yaml").write_text("model: {name_or_path: model}\ndata: {train: rows.jsonl, max_length: 512}\n")
    monkeypatch.setattr(launch, "sys", SimpleNamespace(executable=fake_interpreter(tmp_path)))
    monkeypatch.setattr(machine, "survives_logout", lambda: (True, ""))
    yield tmp_path
    for path in tmp_path.glob("runs/*"):
        end(RunDirectory(path))
    launch.reap()


def on(monkeypatch: pytest.MonkeyPatch, *devices: Device) -> None:
    here = machine_with(*devices, folder=Path.cwd())
    monkeypatch.setattr(preflight, "look", lambda folder: here)


def test_a_warning_goes_to_stderr_and_the_run_begins(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "my.yaml", "--detach", "adapter.lora_alpha=1000"]) == 0
    told = capsys.readouterr()
    (run,) = Path("runs").iterdir()
    assert told.out == f"{run.name}\n"
    assert told.err.startswith("sftui: adapter.lora_alpha: found 1000: the update is scaled")
    assert told.err.endswith("for 2 with r 16: lora_alpha 32\n")


def test_an_error_refuses_the_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "my.yaml", "--detach", "adapter.target_modules=[nothing]"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("sftui: adapter.target_modules: found ['nothing'], which matches no module")
    assert not Path("runs").exists()


def test_what_is_only_worth_knowing_is_not_said() -> None:
    assert preflight.check(load_recipe("my.yaml", ["model.trust_remote_code=true"])) == ()


def test_what_does_not_fit_is_told_with_what_would(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, Device("a small GPU", 800 * 2**20, capability=(8, 0)))
    recipe = load_recipe("my.yaml", ["training.per_device_train_batch_size=256"])
    (warning,) = preflight.check(recipe)
    assert warning.code == "out-of-memory"
    assert warning.severity == "warning"
    assert warning.hint is not None and warning.hint.startswith("it fits with ")


def test_the_longest_sequence_decides_what_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, Device("a small GPU", 800 * 2**20, capability=(8, 0)))
    recipe = load_recipe("my.yaml", ["training.per_device_train_batch_size=256"])
    assert preflight.check(recipe, known=Known(4)) == ()
    assert preflight.check(recipe, known=Known(512)) == preflight.check(recipe) != ()


def test_rows_that_were_tokenised_before_are_not_taken_to_be_of_max_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "cache"))
    on(monkeypatch, Device("a small GPU", 800 * 2**20, capability=(8, 0)))
    recipe = load_recipe("my.yaml", ["training.per_device_train_batch_size=256"])
    assert [one.code for one in preflight.check(recipe)] == ["out-of-memory"]
    analyse(DatasetSpec.of(recipe))
    assert preflight.check(recipe) == ()


def test_the_steps_of_the_data_are_held_against_the_schedule() -> None:
    recipe = load_recipe("my.yaml", ["training.warmup_steps=200"])
    assert preflight.check(recipe) == ()
    assert [one.code for one in preflight.check(recipe, steps=100)] == ["warmup-too-long"]


def test_a_device_that_cannot_compute_the_recipe_refuses_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, Device("an old GPU", 16 * 2**30, capability=(7, 5)))
    with pytest.raises(InputError, match="bfloat16, which an old GPU does not have") as caught:
        preflight.check(load_recipe("my.yaml"))
    assert caught.value.key == "model.dtype"


def test_the_hub_is_not_asked_for_a_known_model_that_is_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: object, **__: object) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", asked)
    on(monkeypatch, Device("NVIDIA GeForce RTX 4060", 8 * 2**30, capability=(8, 9)))
    recipe = load_recipe("my.yaml", ["model.name_or_path=Qwen/Qwen3-32B"])
    (warning,) = preflight.check(recipe)
    assert warning.code == "out-of-memory"
