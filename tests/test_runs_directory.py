"""The run directory: names of its own, files in one place, deletion that can be cut short."""

from __future__ import annotations

import ast
import re
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.recipe import Recipe
from sftui.runs import directory
from sftui.runs.directory import REQUESTS, RunDirectory, create_run, short_name
from sftui.runs.listing import list_runs
from sftui.runs.status import Status, write_status
from tests.run_fixtures import ROOT, new_run, recipe


def named(model: str, data: str) -> Recipe:
    tree = {"model": {"name_or_path": model}, "data": {"train": [data]}}
    return Recipe.model_validate(tree)


def test_runs_created_at_the_same_moment_have_names_of_their_own(tmp_path: Path) -> None:
    start = threading.Barrier(8)

    def create(_: int) -> list[str]:
        start.wait()
        return [create_run(tmp_path / "runs", recipe(tmp_path), now=0).id for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        ids = [name for names in pool.map(create, range(8)) for name in names]
    assert len(set(ids)) == 160
    assert sorted(path.name for path in (tmp_path / "runs").iterdir()) == sorted(ids)


def test_a_new_run_is_in_no_list_before_it_has_a_status(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    assert list_runs(tmp_path) == []
    assert run.pending() == frozenset()
    assert run.last_checkpoint() is None
    assert run.result is None
    write_status(run, Status(state="stopped"))
    assert [one.run for one in list_runs(tmp_path)] == [run]


@pytest.mark.parametrize(
    ("model", "data", "name"),
    [
        ("HuggingFaceTB/SmolLM2-135M-Instruct", "/data/gsm8k.train.jsonl", "smollm2-135m-gsm8k"),
        ("/models/Qwen3-4B-Base/", "facts_train.jsonl", "qwen3-4b-facts"),
        ("meta-llama/Llama-2-7b-chat-hf", "train.json", "llama-2-7b"),
        ("/site-packages/sftui/demo/model", "/d/train.jsonl", "demo"),
        ("模型", "данные.jsonl", "run"),
        ("..", ".jsonl", "run"),
        ("a/" + "x" * 200, "y" * 200, "x" * 32 + "-" + "y" * 32),
        ("baseline", "base.jsonl", "baseline-base"),
    ],
)
def test_a_run_is_named_after_model_and_dataset(model: str, data: str, name: str) -> None:
    assert short_name(named(model, data)) == name


@given(st.text(min_size=1), st.text(min_size=1))
def test_the_name_of_a_run_needs_no_quoting_and_is_no_hidden_or_long_file(model: str, data: str) -> None:
    try:
        made = named(model, data)
    except ValueError:
        return  # a text that no path can be
    assert re.fullmatch(r"[a-z0-9][a-z0-9.-]{0,64}", short_name(made))


def test_only_the_run_directory_names_the_files_in_it() -> None:
    owned = {
        "status.json",
        "events.jsonl",
        "trainer.log",
        "environment.json",
        "requests",
        "checkpoints",
        "lock",
    }
    strangers = {
        (file.name, node.value)
        for file in (*(ROOT / "sftui").rglob("*.py"), *(ROOT / "screens").rglob("*.py"))
        if file.name != "directory.py"
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Constant) and node.value in owned
    }
    assert strangers == set()
    own = Path(directory.__file__).read_text()
    assert all(f'"{name}"' in own for name in owned)


def test_checkpoints_are_those_that_bear_a_step(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    for name in (
        "checkpoint-90",
        "checkpoint-100",
        "checkpoint-9",
        "checkpoint-",
        "checkpoint-5.tmp",
        ".partial",
    ):
        (run.checkpoints / name).mkdir()
    assert run.checkpoint_steps() == [9, 90, 100]
    assert run.last_checkpoint() == run.checkpoint(100)
    shutil.rmtree(run.checkpoints)
    assert run.checkpoint_steps() == []


def test_a_request_is_pending_until_it_is_taken(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    for name in REQUESTS:
        run.request(name)
    run.request("stop")
    (run.requests / "something-else").touch()
    assert run.pending() == frozenset(REQUESTS)
    run.take("stop")
    run.take("stop")
    assert run.pending() == frozenset(REQUESTS) - {"stop"}
    with pytest.raises(ValueError, match="explode"):
        run.request("explode")


def test_a_request_makes_its_folder_where_that_has_gone(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.requests.rmdir()
    assert run.pending() == frozenset()
    run.request("save")
    assert run.pending() == {"save"}


def test_the_result_is_the_adapter_or_else_the_model(tmp_path: Path) -> None:
    run = new_run(tmp_path)
    run.model.mkdir()
    assert run.result == run.model
    run.adapter.mkdir()
    assert run.result == run.adapter


def test_the_size_counts_every_file_once_and_follows_no_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path)
    (run.checkpoints / "checkpoint-1").mkdir()
    (run.checkpoints / "checkpoint-1" / "weights").write_bytes(bytes(1000))
    run.log_file.write_bytes(bytes(234))
    assert run.bytes_on_disk() == 1234
    (tmp_path / "elsewhere").write_bytes(bytes(10_000))
    (run.path / "link").symlink_to(tmp_path / "elsewhere")
    assert run.bytes_on_disk() < 2000

    def vanished(path: str) -> Any:
        raise FileNotFoundError(path)

    monkeypatch.setattr(directory.os, "lstat", vanished)
    assert run.bytes_on_disk() == 0


def test_deletion_removes_the_run_and_nothing_that_it_links_to(tmp_path: Path) -> None:
    run = new_run(tmp_path / "runs", Status(state="finished"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    (run.path / "link").symlink_to(tmp_path / "mine")
    (run.checkpoints / "checkpoint-1").mkdir()
    run.delete()
    assert not run.path.exists()
    assert (tmp_path / "mine" / "file").exists()
    assert (tmp_path / "runs").exists()


def test_a_deletion_cut_short_leaves_a_run_that_can_be_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path, Status(state="finished"))

    def cut_short(path: Path) -> None:
        raise OSError(5, "Input/output error", str(path))

    with monkeypatch.context() as patch:
        patch.setattr(directory.shutil, "rmtree", cut_short)
        with pytest.raises(OSError, match="Input/output"):
            run.delete()
    assert [one.run for one in list_runs(tmp_path)] == [run]
    run.delete()
    assert list_runs(tmp_path) == []


def test_a_run_is_the_same_run_by_any_object_that_names_it(tmp_path: Path) -> None:
    assert RunDirectory(tmp_path / "a") == RunDirectory(tmp_path / "a")
    assert RunDirectory(tmp_path / "a").id == "a"
