"""Events: a reader takes whole lines, every one of them once, whatever happens to the file."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftui.runs import events as events_module
from sftui.runs.events import EventReader, EventWriter, read_events


def lines(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"type": "step", "step": step, **more} for step in range(1, count + 1)]


def encoded(events: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(event, ensure_ascii=False).encode() + b"\n" for event in events)


def drained(reader: EventReader, limit: int = events_module.PIECE) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        before = reader.offset
        found += reader.read(limit)
        if reader.offset == before:
            return found


@pytest.fixture(scope="module")
def shared_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("events") / "events.jsonl"


def strict(line: str) -> Any:
    return json.loads(line, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


# Writing


def test_an_event_is_one_line_with_type_and_time(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write("sample", prompt="zwei\nZeilen, \u2028 und 😀", answer=None)
    writer.write("step", step=1)
    writer.close()
    first, second = path.read_text(encoding="utf-8").split("\n")[:2]
    assert strict(first)["prompt"] == "zwei\nZeilen, \u2028 und 😀"
    assert strict(second)["type"] == "step"
    assert strict(second)["time"] > 1_600_000_000
    assert path.read_bytes().count(b"\n") == 2


def test_floats_without_a_word_in_json_become_null_at_any_depth(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write("memory", loss=math.nan, gpus=[{"power": math.inf}, (-math.inf, 1.5)], fine=0.1)
    writer.close()
    event = strict(path.read_text())
    assert (event["loss"], event["gpus"], event["fine"]) == (None, [{"power": None}, [None, 1.5]], 0.1)


def test_a_text_that_is_no_unicode_does_not_stop_the_trainer(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    writer.write("warning", message="caf\udce9")
    writer.write("step", step=1)
    writer.close()
    assert [event["type"] for event in read_events(path)] == ["warning", "step"]


numbers = st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=3), below, max_size=3),
    max_leaves=6,
)
written_events = st.dictionaries(st.sampled_from(["step", "loss", "text", "é"]), values)


@given(st.lists(written_events, max_size=20), st.integers(1, 300))
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_in_order_in_pieces_of_any_size(
    shared_file: Path, written: list[dict[str, Any]], limit: int
) -> None:
    shared_file.unlink(missing_ok=True)
    writer = EventWriter(shared_file)
    readers = [EventReader(shared_file), EventReader(shared_file)]
    early: list[dict[str, Any]] = []
    for event in written:
        writer.write("any", **event)
        early += readers[0].read(limit)
    writer.close()
    early += drained(readers[0], limit)
    found = [
        {name: value for name, value in event.items() if name not in ("type", "time")} for event in early
    ]
    assert found == written
    assert drained(readers[1], limit) == early
    assert list(read_events(shared_file)) == early


# Reading


def test_a_file_that_is_not_there_has_no_events(tmp_path: Path) -> None:
    reader = EventReader(tmp_path / "events.jsonl")
    assert reader.read() == []
    (tmp_path / "events.jsonl").write_bytes(encoded(lines(2)))
    assert reader.read() == lines(2)
    (tmp_path / "events.jsonl").unlink()
    assert reader.read() == []
    assert list(read_events(tmp_path / "nowhere" / "events.jsonl")) == []


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_a_file_that_grows_by_any_bytes_gives_each_line_once_and_whole(shared_file: Path, data: Any) -> None:
    events = lines(6, text="grüße 😀 \u2028")
    whole = encoded(events)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=12)))
    reader, found = EventReader(shared_file), []
    for end in (*cuts, len(whole)):
        shared_file.write_bytes(whole[:end])
        found += reader.read()
        assert found == events[: whole[:end].count(b"\n")]
    assert found == events


def test_a_torn_last_line_is_not_taken_and_not_lost(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    whole = encoded(lines(3))
    path.write_bytes(whole[:-4])
    reader = EventReader(path)
    assert reader.read() == lines(2)
    assert reader.read() == []
    path.write_bytes(whole)
    assert reader.read() == lines(3)[2:]


def test_a_writer_removes_the_torn_line_of_one_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for torn in (b'{"type": "step", "st', b"x" * 10_000, b"\xf0\x9f"):
        path.write_bytes(encoded(lines(2)) + torn)
        reader = EventReader(path)
        assert reader.read() == lines(2)
        writer = EventWriter(path)
        writer.write("resume", step=2)
        writer.close()
        assert [event["type"] for event in reader.read()] == ["resume"]
        assert len(list(read_events(path))) == 3
    path.write_bytes(b"no line at all")
    EventWriter(path).close()
    assert path.read_bytes() == b""


def test_a_file_that_became_shorter_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(encoded(lines(9)))
    reader = EventReader(path)
    assert reader.read() == lines(9)
    path.write_bytes(encoded(lines(2)))
    assert reader.read() == lines(2)
    assert reader.read() == []


def test_a_line_longer_than_a_piece_is_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    events = [{"type": "sample", "text": "ü" * 1000}, *lines(2)]
    path.write_bytes(encoded(events))
    assert drained(EventReader(path), limit=16) == events
    path.write_bytes(encoded(events)[:1500])
    assert EventReader(path).read(limit=16) == []


DAMAGED = [
    *(b"", b" ", b"[", b"]", b"{", b"}", b'{"a": "', b'"}', b"[1", b"2]", b'{"type": "step", "step": 3'),
    *(b'"step": 3}', b"null", b"3", b'"text"', b"[1, 2]", b"NaN", b"{'a': 1}", b'{"a": 1,}', b'{"a": 1} x'),
    *(b"\0" * 50, b"\xff\xfe", b"\xef\xbb\xbf", b"\xf0\x9f", b"[" * 50_000, b"9" * 5000),
]


@given(st.lists(st.sampled_from(DAMAGED) | st.integers(1, 99), max_size=12))
@settings(max_examples=150, deadline=None)
def test_damaged_lines_are_passed_over_and_no_other(shared_file: Path, mixed: list[bytes | int]) -> None:
    good = [{"type": "step", "step": item} for item in mixed if isinstance(item, int)]
    rows = [
        encoded([{"type": "step", "step": item}])[:-1] if isinstance(item, int) else item for item in mixed
    ]
    shared_file.write_bytes(b"".join(row + b"\n" for row in rows))
    assert list(read_events(shared_file)) == good


def test_two_halves_that_fit_together_are_not_an_event(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"type": "step", "step": 3\n"loss": 4}\n' + encoded(lines(1)))
    assert list(read_events(path)) == lines(1)


# A full disk


class Disk:
    """`os.write` of a disk that is full after some more bytes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, short: bool) -> None:
        self.real, self.room, self.short = os.write, 0, short
        monkeypatch.setattr(events_module.os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        written = self.real(descriptor, data[: self.room]) if self.room else 0
        self.room -= written
        if written < len(data) and not (self.short and written):
            raise OSError(errno.ENOSPC, "No space left on device")
        return written


@pytest.mark.parametrize("short", [False, True], ids=["a part, then an error", "a short write"])
def test_events_wait_for_room_on_a_full_disk_and_none_is_torn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, short: bool
) -> None:
    path = tmp_path / "events.jsonl"
    writer, reader = EventWriter(path), EventReader(path)
    disk = Disk(monkeypatch, short=short)
    disk.room = 10_000
    writer.write("step", step=1)
    for step, room in ((2, 5), (3, 0), (4, 20)):
        disk.room = room
        writer.write("step", step=step)
        assert path.read_bytes().endswith(b"\n"), "what could be written of a line is taken back"
    assert [event["step"] for event in reader.read()] == [1]
    disk.room = 10_000
    writer.write("step", step=5)
    writer.close()
    assert [event["step"] for event in reader.read()] == [2, 3, 4, 5]
    assert [event["step"] for event in read_events(path)] == [1, 2, 3, 4, 5]


def test_events_that_waited_are_written_as_far_as_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    disk = Disk(monkeypatch, short=False)
    for step in range(1, 6):
        writer.write("step", step=step)
    assert path.read_bytes() == b""
    disk.room = 150
    writer.write("step", step=6)
    some = [event["step"] for event in read_events(path)]
    assert some == list(range(1, len(some) + 1))
    assert 0 < len(some) < 6
    disk.room = 10_000
    writer.write("step", step=7)
    writer.close()
    assert [event["step"] for event in read_events(path)] == [1, 2, 3, 4, 5, 6, 7]


def test_of_a_long_time_on_a_full_disk_the_last_events_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "events.jsonl"
    writer = EventWriter(path)
    disk = Disk(monkeypatch, short=False)
    for step in range(10_050):
        writer.write("step", step=step)
    disk.room = 10_000_000
    writer.write("step", step=10_050)
    writer.close()
    steps = [event["step"] for event in read_events(path)]
    assert steps == list(range(50, 10_051))
