"""The status of a run: whole or not there, and never believed beyond the trainer's life."""

from __future__ import annotations

import errno
import json
import math
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftui.runs import lock
from sftui.runs import status as status_module
from sftui.runs.directory import RunDirectory
from sftui.runs.status import ENDED, Failure, State, Status, read_status, write_status
from tests.run_fixtures import held, launched_run, new_run

finite = st.floats(allow_nan=False, allow_infinity=False)
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
statuses = st.builds(
    Status,
    state=st.sampled_from(sorted(ENDED)),
    detail=texts,
    step=st.integers(0, 2**63),
    max_steps=st.integers(0, 2**63),
    epoch=finite,
    num_train_epochs=finite,
    loss=st.none() | finite,
    eval_loss=st.none() | finite,
    tokens=st.integers(0, 2**80),
    pid=st.none() | st.integers(2, 2**22),
    host=texts,
    started=finite,
    heartbeat=finite,
    ended=st.none() | finite,
    error=st.none() | st.builds(Failure, kind=texts, cause=texts, advice=texts),
)


@pytest.fixture(scope="module")
def shared_run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    return new_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return new_run(tmp_path, FINISHED)


FINISHED = Status(state="finished", step=9, max_steps=9, loss=0.5, host="box", started=1.0, ended=2.0)


@given(statuses)
def test_a_written_status_is_read_back_with_every_field(shared_run: RunDirectory, status: Status) -> None:
    write_status(shared_run, status)
    assert read_status(shared_run) == status


def test_every_field_of_the_status_is_known_to_its_reader() -> None:
    assert set(status_module.KINDS) | {"error"} == set(asdict(Status()))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_loss_that_is_no_number_is_written_as_null(run: RunDirectory, value: float) -> None:
    write_status(run, replace(FINISHED, loss=value, epoch=value))
    raw = json.loads(
        run.status_file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON")
    )
    assert (raw["loss"], raw["epoch"]) == (None, None)
    assert read_status(run) == replace(FINISHED, loss=None, epoch=0.0)


@given(st.data())
@settings(max_examples=60)
def test_a_truncated_status_is_none_or_the_whole(shared_run: RunDirectory, data: Any) -> None:
    write_status(shared_run, FINISHED)
    whole = shared_run.status_file.read_bytes()
    end = len(whole.rstrip())
    length = data.draw(st.integers(0, len(whole)))
    shared_run.status_file.write_bytes(whole[:length])
    assert read_status(shared_run) == (FINISHED if length >= end else None)


GARBAGE = [
    b"",
    b"\0" * 1024,
    b"\xff\xfe\x00",
    b"null",
    b"[]",
    b"3",
    b'"finished"',
    b"{}",
    b'{"state": "dancing"}',
    b'{"state": null}',
    b'{"state": ["running"]}',
    b'{"state": {"a": 1}}',
    b'{"step": 3}',
    b"[" * 100_000,
    b'{"state": "finished", "step": ' + b"9" * 5000 + b"}",
]


@pytest.mark.parametrize("data", GARBAGE, ids=lambda data: repr(data[:40]))
def test_a_file_that_is_no_status_is_none(run: RunDirectory, data: bytes) -> None:
    run.status_file.write_bytes(data)
    assert read_status(run) is None


def test_a_missing_status_is_none(run: RunDirectory) -> None:
    run.status_file.unlink()
    assert read_status(run) is None
    run.status_file.mkdir()
    assert read_status(run) is None


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_read_without_an_error(shared_run: RunDirectory, data: bytes) -> None:
    shared_run.status_file.write_bytes(data)
    assert read_status(shared_run) is None


@pytest.mark.parametrize(
    ("data", "detail"), [(b"\0" * 1024, "status.json is damaged"), (None, "status.json is missing")]
)
def test_a_launched_run_without_a_readable_status_is_lost_or_running_by_its_lock(
    tmp_path: Path, data: bytes | None, detail: str
) -> None:
    run = launched_run(tmp_path, data)
    assert read_status(run) == Status(state="lost", detail=detail)
    with held(run):
        assert read_status(run) == Status(state="running", detail=detail)
    run.recipe_file.unlink()
    assert read_status(run) is None, "not every folder with a file of that name is a run"


def test_keys_of_a_later_version_are_passed_over(run: RunDirectory) -> None:
    raw = {**asdict(FINISHED), "perplexity": 3.5, "nested": {"a": [1]}}
    raw["error"] = {"kind": "memory", "cause": "out of memory", "advice": "try less", "code": 7}
    run.status_file.write_text(json.dumps(raw))
    assert read_status(run) == replace(FINISHED, error=Failure("memory", "out of memory", "try less"))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda children: (
        st.lists(children, max_size=2) | st.dictionaries(st.text(max_size=3), children, max_size=2)
    ),
    max_leaves=4,
)


@given(
    st.sampled_from(get_args(State)), st.dictionaries(st.sampled_from(sorted(asdict(Status()))), json_values)
)
def test_values_of_the_wrong_type_are_passed_over(shared_run: RunDirectory, state: str, raw: Any) -> None:
    """What is read can be shown: the tables and screens format numbers as numbers."""
    from sftui.runs.listing import Listed
    from sftui.table import runs_as_json, runs_as_text

    shared_run.status_file.write_text(json.dumps({**raw, "state": state}))
    status = read_status(shared_run)
    assert status is not None
    assert status.state == (state if state in ENDED else "lost")
    for name, kinds in status_module.KINDS.items():
        value = getattr(status, name)
        assert type(value) in kinds or value == getattr(Status(), name)
    listed = [Listed(shared_run, status)]
    json.loads(runs_as_json(listed), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert shared_run.id in runs_as_text(listed)


# Replacing


def test_a_reader_never_meets_half_a_status(run: RunDirectory) -> None:
    short, long = FINISHED, replace(FINISHED, detail="x" * 5000)
    done = threading.Event()

    def write() -> None:
        for number in range(300):
            write_status(run, long if number % 2 else short)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = []
    while not done.is_set():
        seen.append(read_status(run))
    writer.join()
    assert len(seen) > 10
    assert {status.detail if status else None for status in seen} <= {short.detail, long.detail}


def no_space(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_on_a_full_disk_the_status_is_overwritten_in_place(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = run.status_file.stat().st_size
    real = Path.write_bytes

    def half(path: Path, data: bytes) -> int:
        real(path, data[: len(data) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    changed = replace(FINISHED, step=10, detail="saving")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", half)
        write_status(run, changed)
    assert read_status(run) == changed
    assert run.status_file.stat().st_size == size, "the file needs no new block"
    assert sorted(path.name for path in run.path.iterdir()) == ["checkpoints", "requests", "status.json"]
    write_status(run, FINISHED)
    assert read_status(run) == FINISHED


def test_a_longer_status_before_leaves_no_rest_when_overwritten(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_status(run, replace(FINISHED, detail="x" * 3000))
    monkeypatch.setattr(Path, "write_bytes", no_space)
    write_status(run, FINISHED)
    assert read_status(run) == FINISHED


def test_a_full_disk_is_named_where_there_is_no_status_to_overwrite(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    run.status_file.unlink()
    monkeypatch.setattr(Path, "write_bytes", no_space)
    with pytest.raises(OSError, match="No space left") as caught:
        write_status(run, FINISHED)
    assert caught.value.errno == errno.ENOSPC


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 64 KiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a file system cannot be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_status_is_written_on_a_disk_that_is_really_full(small_disk: Path) -> None:
    run = new_run(small_disk, FINISHED)
    with (
        (small_disk / "ballast").open("wb", buffering=0) as ballast,
        pytest.raises(OSError, match="No space"),
    ):
        while True:
            ballast.write(bytes(512))
    changed = replace(FINISHED, state="failed", error=Failure("disk", "the disk is full", "free some space"))
    write_status(run, changed)
    assert read_status(run) == changed


# Liveness


def test_a_run_is_alive_while_its_lock_is_held_and_lost_after(run: RunDirectory) -> None:
    for state in ("starting", "running", "stopping"):
        write_status(run, replace(FINISHED, state=state))
        with held(run):
            status = read_status(run)
            assert status is not None
            assert (status.state, status.alive) == (state, True)
        status = read_status(run)
        assert status is not None
        assert (status.state, status.alive) == ("lost", False)


@pytest.mark.parametrize("state", sorted(ENDED))
def test_the_last_word_of_a_run_stands_whoever_holds_the_lock(run: RunDirectory, state: State) -> None:
    write_status(run, replace(FINISHED, state=state))
    with held(run):
        assert read_status(run) == replace(FINISHED, state=state)
    assert read_status(run) == replace(FINISHED, state=state)
    assert not replace(FINISHED, state=state).alive


def test_a_last_word_between_the_two_looks_is_not_missed(
    run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_status(run, replace(FINISHED, state="running"))

    def ends_meanwhile(path: Path) -> bool:
        write_status(run, FINISHED)
        return False

    monkeypatch.setattr(lock, "is_held", ends_meanwhile)
    assert read_status(run) == FINISHED


@pytest.mark.parametrize("age", [0.0, 50.0, -50.0])
@pytest.mark.parametrize("state", ["starting", "running", "stopping"])
def test_a_run_of_another_machine_is_alive_while_its_heart_beats_though_its_lock_is_not_seen_here(
    run: RunDirectory, state: State, age: float
) -> None:
    status = replace(FINISHED, state=state, host="node7", heartbeat=time.time() - age)
    write_status(run, status)
    assert read_status(run) == status
    assert (status.elsewhere, status.said) == ("node7", f"{state} on node7")


@pytest.mark.parametrize(
    ("host", "age"), [("node7", 70.0), ("node7", -70.0), (socket.gethostname(), 0.0), ("", 0.0)]
)
def test_a_run_whose_lock_is_free_is_lost_if_it_was_here_or_its_heart_has_stopped(
    run: RunDirectory, host: str, age: float
) -> None:
    write_status(run, replace(FINISHED, state="running", host=host, heartbeat=time.time() - age))
    status = read_status(run)
    assert status is not None
    assert status.state == "lost"


def test_the_time_a_run_took_ends_with_it() -> None:
    alive = Status(state="running", started=100.0, heartbeat=150.0)
    assert alive.seconds(now=160.0) == 60.0
    assert replace(alive, state="lost").seconds(now=999.0) == 50.0
    assert replace(alive, state="finished", ended=130.0).seconds(now=999.0) == 30.0
    assert replace(alive, started=0.0).seconds(now=999.0) == 0.0
    assert alive.seconds(now=90.0) == 0.0, "a clock that was set back"
