"""Runs by list and by name; deletion never takes a run from under its trainer."""

from __future__ import annotations

import json
import os
import shlex
import time
from dataclasses import replace
from pathlib import Path

import pytest

from sftui.errors import InputError
from sftui.runs import lock
from sftui.runs.directory import RunDirectory
from sftui.runs.listing import Listed, delete_run, find_run, list_runs, name_for_commands
from sftui.runs.status import Failure, Status, read_status
from sftui.table import runs_as_json, runs_as_text
from tests.run_fixtures import alive, held, launched_run, new_run

FINISHED = Status(
    state="finished", step=120, max_steps=120, loss=0.25, eval_loss=0.5, tokens=12_345, started=1.0
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three runs, the newest first by name."""
    for name in (
        "2026-01-01_100000-tiny-facts",
        "2026-01-02_100000-tiny-poems",
        "2026-02-01_090000-big-facts",
    ):
        new_run(tmp_path / "runs", FINISHED, name)
    return tmp_path / "runs"


def refused(name: str | None, folder: Path) -> str:
    with pytest.raises(InputError) as caught:
        find_run(name, folder)
    return str(caught.value)


# Listing


def test_runs_are_listed_newest_first_with_whole_paths(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [one.run.id for one in list_runs(folder)]
    assert names == [
        "2026-02-01_090000-big-facts",
        "2026-01-02_100000-tiny-poems",
        "2026-01-01_100000-tiny-facts",
    ]
    monkeypatch.chdir(folder.parent)
    assert [one.run.path for one in list_runs(Path("runs"))] == [folder / name for name in names]


def test_what_is_no_run_is_not_listed(folder: Path) -> None:
    (folder / "2027-notes.txt").touch()
    (folder / "2027-empty").mkdir()
    (folder / "2027-link").symlink_to(folder / "nowhere")
    damaged = new_run(folder, FINISHED, "2027-damaged")
    damaged.status_file.write_bytes(b"\0" * 1024)
    assert len(list_runs(folder)) == 3


@pytest.mark.parametrize("data", [b"", b"\0" * 1024, b'{"state": "runn', None])
def test_a_run_with_a_damaged_status_is_listed_found_and_deleted(folder: Path, data: bytes | None) -> None:
    run = launched_run(folder, data)
    (listed,) = (one for one in list_runs(folder) if one.run == run)
    assert (listed.status.state, listed.status.alive) == ("lost", False)
    _, line, reason = runs_as_text([listed]).splitlines()
    assert line.split()[:2] == [run.id, "lost"]
    assert reason in ("  status.json is damaged", "  status.json is missing")
    assert json.loads(runs_as_json([listed]))[0]["detail"] == reason.strip()
    assert find_run(run.id, folder) == find_run(str(run.path), Path("/nowhere")) == run
    with held(run), pytest.raises(InputError, match="is running: stop it first"):
        delete_run(run)
    delete_run(run)
    assert not run.path.exists()


def test_a_folder_that_is_not_there_or_no_folder_has_no_runs(tmp_path: Path) -> None:
    assert list_runs(tmp_path / "nowhere") == []
    (tmp_path / "file").touch()
    assert list_runs(tmp_path / "file") == []


# Finding


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("2026-01-02_100000-tiny-poems", "2026-01-02_100000-tiny-poems"),
        ("2026-02", "2026-02-01_090000-big-facts"),
        ("poems", "2026-01-02_100000-tiny-poems"),
        ("big", "2026-02-01_090000-big-facts"),
        (None, "2026-02-01_090000-big-facts"),
    ],
)
def test_a_run_is_found_by_id_beginning_part_or_as_the_newest(
    folder: Path, name: str | None, found: str
) -> None:
    assert find_run(name, folder).path == folder / found


def test_a_run_is_found_by_path_wherever_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = folder / "2026-01-01_100000-tiny-facts"
    for name, current in (
        (str(path), "/"),
        (f"{path}/", "/"),
        (".", path),
        ("runs/" + path.name, folder.parent),
    ):
        monkeypatch.chdir(current)
        found = find_run(name, Path("/nowhere"))
        assert found.path.is_absolute()
        assert found.path.samefile(path)


def test_a_run_found_in_a_relative_folder_has_a_whole_path(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder.parent)
    for name in (None, "big", "2026-02-01_090000-big-facts"):
        assert find_run(name, Path("runs")).path == folder / "2026-02-01_090000-big-facts"


def test_the_exact_id_wins_over_a_longer_one(tmp_path: Path) -> None:
    for name in ("2026-01-01_100000-tiny", "2026-01-01_100000-tiny-2"):
        new_run(tmp_path, FINISHED, name)
    assert find_run("2026-01-01_100000-tiny", tmp_path).id == "2026-01-01_100000-tiny"


def test_a_beginning_wins_over_a_part(tmp_path: Path) -> None:
    for name in ("facts-old", "old-facts"):
        new_run(tmp_path, FINISHED, name)
    assert find_run("facts", tmp_path).id == "facts-old"


def test_the_run_that_is_alive_wins_over_a_newer_one(folder: Path) -> None:
    older = RunDirectory(folder / "2026-01-01_100000-tiny-facts")
    alive(older)
    assert find_run(None, folder).id == "2026-02-01_090000-big-facts", "a lost run is not alive"
    with held(older):
        assert find_run(None, folder) == older


def test_an_ambiguous_or_misspelt_name_is_answered_with_names(folder: Path) -> None:
    said = refused("tiny", folder)
    assert "several runs match 'tiny'" in said
    assert "2026-01-02_100000-tiny-poems, 2026-01-01_100000-tiny-facts" in said
    assert "several runs match" in refused("", folder)
    said = refused("2026-02-01_090000-gib-facts", folder)
    assert said.endswith("did you mean 2026-02-01_090000-big-facts?")
    assert "the newest is 2026-02-01_090000-big-facts" in refused("?", folder)
    assert "there is no run" in refused("x" * 300, folder)
    assert "there is no run" in refused("a\0b", folder)


def test_without_runs_the_folder_is_named(tmp_path: Path) -> None:
    assert str(tmp_path) in refused(None, tmp_path)
    assert "there are no runs here" in refused("some", tmp_path)


# Naming


@pytest.mark.parametrize(
    ("current", "name"),
    [
        (".", "2026-02-01_090000-big-facts"),
        ("..", "here/runs/2026-02-01_090000-big-facts"),
        ("runs", "2026-02-01_090000-big-facts"),
        ("runs/2026-02-01_090000-big-facts", None),
        ("elsewhere", None),
    ],
)
def test_a_run_is_named_so_that_commands_typed_here_find_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, current: str, name: str | None
) -> None:
    folder = tmp_path / "here" / "runs"
    run = new_run(folder, FINISHED, "2026-02-01_090000-big-facts")
    (tmp_path / "here" / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "here" / current)
    shown = name_for_commands(run)
    assert shown == (name or str(run.path))
    assert find_run(shown, Path("runs")).path.samefile(run.path)


@pytest.mark.parametrize("folder", ["-x", "a b", "~", "it's $HOME", "größe", "cfg/../odd"])
def test_the_name_of_a_run_can_be_pasted_into_a_shell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cfg").mkdir()
    run = new_run(Path(folder), FINISHED)
    (word,) = shlex.split(name_for_commands(run))
    assert not word.startswith("-")
    assert find_run(word, Path("runs")).path.samefile(run.path)


def test_a_run_behind_a_linked_folder_is_named_by_its_id(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path / "big disk", FINISHED)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    Path("runs").symlink_to(tmp_path / "big disk")
    for path in (run.path, Path("runs").absolute() / run.id):
        assert name_for_commands(RunDirectory(path)) == run.id


def test_a_run_has_a_name_where_the_current_directory_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(tmp_path, FINISHED)
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert name_for_commands(run) == str(run.path)


# Deleting


def test_an_ended_or_lost_run_is_deleted(folder: Path) -> None:
    run = RunDirectory(folder / "2026-02-01_090000-big-facts")
    delete_run(run)
    assert not run.path.exists()
    lost = RunDirectory(folder / "2026-01-02_100000-tiny-poems")
    alive(lost)
    delete_run(lost)
    assert [one.run.id for one in list_runs(folder)] == ["2026-01-01_100000-tiny-facts"]


def test_a_live_run_is_not_deleted(folder: Path) -> None:
    run = RunDirectory(folder / "2026-02-01_090000-big-facts")
    alive(run)
    with held(run), pytest.raises(InputError, match="is running: stop it first"):
        delete_run(run)
    assert read_status(run) is not None


def test_a_run_that_is_alive_on_another_machine_is_not_deleted(folder: Path) -> None:
    run = RunDirectory(folder / "2026-02-01_090000-big-facts")
    alive(run, host="node7", heartbeat=time.time())
    with pytest.raises(InputError, match="is running on node7: stop it first"):
        delete_run(run)
    assert run.path.exists()


@pytest.mark.parametrize("damage", [b"", b"garbage"])
def test_a_live_run_with_a_damaged_status_is_not_deleted(
    folder: Path, damage: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock.acquire, "__defaults__", (0.05,))  # less patience
    run = RunDirectory(folder / "2026-02-01_090000-big-facts")
    run.status_file.write_bytes(damage)
    with held(run), pytest.raises(InputError, match="a trainer is alive in it"):
        delete_run(run)
    assert run.status_file.exists()
    delete_run(run)
    assert not run.path.exists()


def test_a_deletion_that_fails_says_which_file_and_keeps_the_lock_of_nobody(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = RunDirectory(folder / "2026-02-01_090000-big-facts")

    def fails(self: RunDirectory) -> None:
        raise PermissionError(13, "Permission denied", str(self.checkpoints))

    monkeypatch.setattr(RunDirectory, "delete", fails)
    with pytest.raises(InputError, match=r"checkpoints: cannot be deleted: Permission denied"):
        delete_run(run)
    assert not lock.is_held(run.lock_file)
    with pytest.raises(InputError, match="cannot be deleted"):
        delete_run(RunDirectory(folder / "nowhere"))


# Tables


def test_the_table_says_where_each_run_stands_and_why_one_failed(folder: Path) -> None:
    listed = list_runs(folder)
    error = Failure("memory", "out of memory", "try a smaller batch")
    listed[1] = Listed(listed[1].run, replace(FINISHED, state="failed", step=7, loss=None, error=error))
    header, first, second, reason, third = runs_as_text(listed).splitlines()
    assert header.split() == ["run", "state", "step", "loss", "eval", "tokens", "took", "size"]
    assert first.split()[:6] == [
        "2026-02-01_090000-big-facts",
        "finished",
        "120/120",
        "0.2500",
        "0.5000",
        "12,345",
    ]
    assert second.split()[1:4] == ["failed", "7/120", "0.5000"]
    assert reason == "  out of memory; try a smaller batch"
    assert third.startswith("2026-01-01_100000-tiny-facts")
    assert header.index("state") == first.index("finished") == second.index("failed")


def test_the_json_of_runs_has_the_keys_that_scripts_read(folder: Path) -> None:
    run = RunDirectory(folder / "2026-02-01_090000-big-facts")
    alive(run, pid=os.getpid(), step=3, max_steps=9, loss=1.5)
    with held(run):
        first, second, _ = json.loads(runs_as_json(list_runs(folder)))
    assert {"id", "state", "step", "max_steps", "loss", "pid", "path"} <= set(first)
    assert (first["id"], first["state"], first["step"], first["max_steps"]) == (run.id, "running", 3, 9)
    assert (first["pid"], first["path"], first["error"]) == (os.getpid(), str(run.path), None)
    assert second["pid"] is None, "a pid of a run that has ended may be another program's by now"
    assert json.loads(runs_as_json([])) == []
