"""The rows of a large file are known bit by bit, never renumbered, and next time at once."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.data.cache import cache_directory
from sftui.data.sources import line_file, line_index, open_rows
from sftui.data.sources.json_lines import JsonLines
from sftui.errors import InputError
from sftui.recipe import Source

LINES = st.lists(st.sampled_from(["", "  ", "\t\r", '{"n": 1}', '{"text": "' + "x" * 50 + '"}']), max_size=40)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def lines_file(directory: Path, count: int) -> Source:
    path = directory / "train.jsonl"
    path.write_text("".join(json.dumps({"n": n}) + "\n" for n in range(count)))
    return Source.model_validate({"path": str(path)})


@given(lines=LINES, block=st.integers(1, 60), limit=st.none() | st.integers(1, 5), ending=st.booleans())
def test_rows_their_lines_and_their_text_are_those_of_the_file(
    tmp_path_factory: pytest.TempPathFactory,
    lines: list[str],
    block: int,
    limit: int | None,
    ending: bool,
) -> None:
    path = tmp_path_factory.mktemp("lines") / "a.jsonl"
    path.write_text("\n".join([*lines, '{"n": 2}']) + "\n" * ending, newline="")
    expected = [
        (number, text)
        for number, text in enumerate([*lines, '{"n": 2}'], start=1)
        if text and not text.isspace()
    ][:limit]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_index, "_BLOCK_BYTES", block)
        rows = open_rows(Source.model_validate({"path": str(path), "limit": limit}))
    assert [(rows.where(i), rows.raw(i)) for i in range(len(rows))] == [
        (f"{path}:{number}", text) for number, text in expected
    ]


def test_a_row_a_line_costs_eight_bytes(tmp_path: Path) -> None:
    rows = open_rows(lines_file(tmp_path, 5000))
    assert isinstance(rows, JsonLines)
    index = rows._index
    assert (len(index.offsets), index.offsets.itemsize) == (5000, 8)
    assert (len(index.changes), len(index.surplus)) == (0, 0)


def test_without_waiting_the_first_rows_are_there_and_the_others_come(tmp_path: Path) -> None:
    source = lines_file(tmp_path, 5000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_index, "_BLOCK_BYTES", 1000)
        rows = open_rows(source, wait=False)
        seen = len(rows)
        assert 0 < seen < 200
        assert not rows.complete
        assert 0 < rows.share < 0.1
        assert [rows[i]["n"] for i in range(seen)] == list(range(seen))
        while not rows.complete:
            rows.read_on(0)
            assert rows[len(rows) - 1]["n"] == len(rows) - 1
    assert (len(rows), rows.share) == (5000, 1.0)


def test_a_first_row_longer_than_the_first_block_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"text": "x" * 10_000}) + "\n" + '{"text": ""}\n' * 1000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_index, "_BLOCK_BYTES", 1000)
        rows = open_rows(Source.model_validate({"path": str(path)}), wait=False)
    assert len(rows[0]["text"]) == 10_000
    assert not rows.complete


def test_a_line_beyond_all_measure_is_a_bad_row_and_the_next_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"n": 0}\n{"text": "' + "x" * 5000 + '"}\n{"n": 2}\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_index, "_BLOCK_BYTES", 100)
        patch.setattr("sftui.data.sources.text.MAX_ROW_BYTES", 1000)
        patch.setattr(line_file.LineFile._start_index, "__defaults__", (0, 1000))
        rows = open_rows(Source.model_validate({"path": str(path)}))
        assert [rows[0]["n"], rows[2]["n"]] == [0, 2]
        assert rows.where(2).endswith(":3")
        with pytest.raises(InputError, match=r"a\.jsonl:2: the row takes .* MiB: expected at most"):
            rows[1]


def test_what_is_appended_while_the_file_is_open_is_not_seen(tmp_path: Path) -> None:
    source = lines_file(tmp_path, 3)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_index, "_BLOCK_BYTES", 10)
        rows = open_rows(source, wait=False)
        with Path(source.path).open("a") as file:
            file.write('{"n": 3}\n')
        while not rows.complete:
            rows.read_on(0)
    assert [rows[i]["n"] for i in range(len(rows))] == [0, 1, 2]


def test_a_file_that_shrinks_while_it_is_indexed_ends_there(tmp_path: Path) -> None:
    source = lines_file(tmp_path, 100)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_index, "_BLOCK_BYTES", 10)
        rows = open_rows(source, wait=False)
        os.truncate(source.path, 27)
        while not rows.complete:
            rows.read_on(0)
    assert [rows[i]["n"] for i in range(len(rows))] == [0, 1, 2]


def test_rows_are_read_in_other_threads_while_the_index_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_index, "_BLOCK_BYTES", 500)
    source = lines_file(tmp_path, 20_000)
    with Path(source.path).open("a") as file:
        file.write('\n\n{"n": 20000}\n')
    rows = open_rows(source, wait=False)
    wrong: list[object] = []

    def read() -> None:
        while not rows.complete:
            last = len(rows) - 1
            if rows[last]["n"] != last or len(rows) <= last:
                wrong.append(last)

    readers = [threading.Thread(target=read) for _ in range(2)]
    indexers = [threading.Thread(target=rows.read_on, args=(60,)) for _ in range(2)]
    for thread in (*readers, *indexers):
        thread.start()
    for thread in (*readers, *indexers):
        thread.join()
    assert wrong == []
    assert (len(rows), rows[20_000]["n"], rows.where(20_000)[-6:]) == (20_001, 20_000, ":20003")


@given(content=st.binary(max_size=200), block=st.integers(1, 50))
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json"])
def test_any_bytes_are_rows_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes, block: int
) -> None:
    path = tmp_path_factory.mktemp("bytes") / name
    path.write_bytes(b'{"n": 1}\n' + content.replace(b"0", b"\n").replace(b"1", b'"'))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_index, "_BLOCK_BYTES", block)
        try:
            rows = open_rows(Source.model_validate({"path": str(path)}))
        except InputError as error:
            assert error.file == str(path)
            return
    for index in range(len(rows)):
        assert isinstance(rows.raw(index), str)
        try:
            assert isinstance(rows[index], dict)
        except InputError as error:
            assert str(error).startswith(str(path))


class TestKeptIndex:
    """The index of a large file is kept in the cache directory."""

    @pytest.fixture(autouse=True)
    def every_file_is_large(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(line_file, "_KEPT_INDEX_BYTES", 0)

    def source(self, directory: Path) -> Source:
        path = directory / "train.jsonl"
        path.write_text('{"n": 0}\n\n{"n": 1}\n  \n\n{"n": 2}\n')
        return Source.model_validate({"path": str(path)})

    def read(self, source: Source) -> list[tuple[int, str]]:
        rows = open_rows(source)
        return [(rows[i]["n"], rows.where(i).rsplit(":", 1)[1]) for i in range(len(rows))]

    EXPECTED = [(0, "1"), (1, "3"), (2, "6")]

    def test_it_is_used_instead_of_reading_the_file_again(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = self.source(tmp_path)
        assert self.read(source) == self.EXPECTED
        monkeypatch.setattr(line_index.LineIndex, "_read_block", None)
        assert self.read(source) == self.EXPECTED
        assert open_rows(source, wait=False).complete
        with pytest.raises(TypeError):  # another limit is another index
            open_rows(source.model_copy(update={"limit": 2}))

    def test_it_is_not_used_for_a_file_that_has_changed(self, tmp_path: Path) -> None:
        source = self.source(tmp_path)
        self.read(source)
        Path(source.path).write_text('{"n": 9}\n')
        assert self.read(source) == [(9, "1")]

    @pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "head", "other"])
    def test_a_damaged_one_is_made_again(self, tmp_path: Path, damage: str) -> None:
        source = self.source(tmp_path)
        self.read(source)
        (entry,) = (cache_directory() / "index").iterdir()
        data = entry.read_bytes()
        damaged = {
            "empty": b"",
            "cut": data[:-8],
            "flipped": data[:-1] + bytes([data[-1] ^ 1]),
            "head": data[:14] + b"\xff" * 8 + data[22:],
            "other": b"x" * len(data),
        }[damage]
        entry.write_bytes(damaged)
        assert self.read(source) == self.EXPECTED
        assert entry.read_bytes() == data

    def test_a_cache_directory_that_cannot_be_written_is_no_error(self, tmp_path: Path, cache: Path) -> None:
        cache.write_text("a file where the directory should be")
        assert self.read(self.source(tmp_path)) == self.EXPECTED

    def test_a_file_that_changed_while_it_was_indexed_leaves_none(self, tmp_path: Path) -> None:
        source = self.source(tmp_path)
        rows = JsonLines(line_file.DataFile.at(Path(source.path), source.path, None))
        with Path(source.path).open("a") as file:
            file.write('{"n": 3}\n')
        rows.read_on(10)
        assert rows.complete
        assert not (cache_directory() / "index").exists()
