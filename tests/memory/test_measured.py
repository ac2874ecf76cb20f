from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sftui.memory import measured
from sftui.memory.measured import Measured, keep, measured_file, measured_on

ONE = Measured(
    time=1.0,
    run="run-1",
    model="owner/name",
    config="abc",
    device="NVIDIA A100",
    versions={"torch": "2.8", "driver": None},
    step={"rows": 1, "length": 2048},
    predicted_bytes=10_000,
    allocated_bytes=9_900,
    reserved_bytes=11_000,
    context_bytes=None,
)


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SFTUI_STATE", str(tmp_path / "not" / "yet"))
    return tmp_path / "not" / "yet"


def test_what_is_kept_comes_back_for_its_device_the_newest_first() -> None:
    for time, device in ((1.0, "NVIDIA A100"), (3.0, "NVIDIA A100"), (2.0, "NVIDIA A100"), (4.0, "other")):
        keep(replace(ONE, time=time, device=device))
    assert [one.time for one in measured_on("NVIDIA A100")] == [3.0, 2.0, 1.0]
    assert measured_on("NVIDIA A100")[2] == ONE
    assert measured_on("nothing like it") == ()


def test_without_a_file_nothing_was_measured() -> None:
    assert measured_on("NVIDIA A100") == ()


def test_the_file_is_in_the_users_state_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SFTUI_STATE")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert measured_file() == tmp_path / "sftui" / "measured.jsonl"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert measured_file() == tmp_path / ".local" / "state" / "sftui" / "measured.jsonl"


@pytest.mark.parametrize(
    "change",
    [
        {"allocated_bytes": 0},
        {"reserved_bytes": "much"},
        {"reserved_bytes": True},
        {"predicted_bytes": -1},
        {"context_bytes": 0.5},
        {"time": "yesterday"},
        {"time": float("nan")},
        {"time": 10**400},
        {"step": None},
        {"step": {"length": 10**400}},
        {"versions": None},
        {"versions": ["2.8"]},
        {"versions": "2.8"},
        {"versions": {"torch": 2.8}},
        {"run": "\x1b[2J"},
        {"allocated_bytes": 10**400, "reserved_bytes": 10**400},
        {"context_bytes": 10**400},
        {"context_bytes": 2**40},
        {"reserved_bytes": 2**62},
        {"reserved_bytes": 2**40},
        {"reserved_bytes": 9_899},
        {"predicted_bytes": 1, "allocated_bytes": 2**33, "reserved_bytes": 2**33},
    ],
    ids=lambda change: f"{change}"[:60],
)
def test_a_line_with_a_wrong_value_is_passed_over(change: dict[str, Any]) -> None:
    keep(ONE)
    values = json.loads(measured_file().read_text()) | change
    with measured_file().open("a") as file:
        file.write(json.dumps(values) + "\n")
    keep(replace(ONE, time=2.0))
    assert [one.time for one in measured_on(ONE.device)] == [2.0, 1.0]


@pytest.mark.parametrize("line", [b"[1, 2]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000], ids=len)
def test_a_damaged_line_is_passed_over(line: bytes) -> None:
    keep(ONE)
    with measured_file().open("ab") as file:
        file.write(line + b"\n")
    assert measured_on(ONE.device) == (ONE,)


def test_a_line_after_a_torn_one_is_whole() -> None:
    keep(ONE)
    with measured_file().open("ab") as file:
        file.write(b'{"time": 2.0, "run": "ki')
    keep(replace(ONE, time=3.0))
    assert [one.time for one in measured_on(ONE.device)] == [3.0, 1.0]


def test_of_a_long_file_the_end_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for time in range(20):
        keep(replace(ONE, time=float(time)))
    size = measured_file().stat().st_size // 20
    monkeypatch.setattr(measured, "_MOST_READ", 5 * size)
    found = [one.time for one in measured_on(ONE.device)]
    assert found[0] == 19.0
    assert 4 <= len(found) <= 5


def test_runs_that_end_together_do_not_mix() -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(keep, (replace(ONE, time=float(time)) for time in range(200))))
    assert sorted(one.time for one in measured_on(ONE.device)) == [float(time) for time in range(200)]


def test_where_nothing_can_be_written_it_is_an_error_of_the_disk(state: Path) -> None:
    state.parent.mkdir()
    state.write_text("a file, not a folder")
    with pytest.raises(OSError, match=r"exists|directory"):
        keep(ONE)
    assert measured_on(ONE.device) == ()
