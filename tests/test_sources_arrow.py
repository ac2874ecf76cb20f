"""Parquet, Arrow and saved datasets: any row, in plain Python, without what Arrow put into it."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

from sftui.data.sources import open_rows, parquet
from sftui.data.sources.arrow import open_arrow
from sftui.data.sources.rows import DataFile, Rows
from sftui.data.sources.values import plain_row
from sftui.errors import InputError
from sftui.recipe import Source


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def opened(path: Path, **more: Any) -> Rows:
    return open_rows(Source.model_validate({"path": str(path), **more}))


def write_parquet(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, row_group_size=7)


def write_file(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_file(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


def write_stream(table: pa.Table, path: Path) -> None:
    with pa.OSFile(str(path), "wb") as out, pa.ipc.new_stream(out, table.schema) as writer:
        writer.write_table(table, max_chunksize=7)


WRITERS = [
    pytest.param(write_parquet, "a.parquet", id="parquet"),
    pytest.param(write_file, "a.arrow", id="file"),
    pytest.param(write_stream, "a.arrow", id="stream"),
    pytest.param(lambda table, path: pa.feather.write_feather(table, str(path)), "a.feather", id="feather"),
]


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_any_row_is_read(tmp_path: Path, write: Any, name: str) -> None:
    path = tmp_path / name
    write(pa.table({"n": list(range(200)), "text": [f"é{n}" for n in range(200)]}), path)
    rows = opened(path)
    assert (len(rows), rows.complete, rows.share) == (200, True, 1.0)
    for index in (199, 0, 63, 64, 7, 6):
        assert rows[index] == {"n": index, "text": f"é{index}"}
    assert rows.where(12) == f"{path}[12]"
    assert json.loads(rows.raw(12)) == {"n": 12, "text": "é12"}
    assert "\n" in rows.raw(12)
    limited = opened(path, limit=10)
    assert len(limited) == 10
    assert limited.identity != rows.identity
    for read in (limited.__getitem__, limited.raw):
        with pytest.raises(IndexError):
            read(10)


def test_a_parquet_file_of_large_row_groups_is_copied_once_into_the_cache(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"n": list(range(3000))}), path)
    monkeypatch.setattr(parquet, "_LARGE_GROUP_BYTES", 100)
    rows = opened(path)
    assert [rows[i]["n"] for i in (2999, 0, 1024)] == [2999, 0, 1024]
    assert rows.where(5) == f"{path}[5]"
    (copy,) = (cache / "plain").iterdir()
    monkeypatch.setattr(parquet, "_copy", None)
    assert opened(path)[1]["n"] == 1
    copy.unlink()
    assert rows[2000] == {"n": 2000}, "the copy was open"


def test_nulls_that_arrow_put_into_objects_are_gone_and_those_of_columns_stay(tmp_path: Path) -> None:
    row: dict[str, Any] = {
        "messages": [
            {"role": "user", "content": "hi"},
            {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1}}}]},
        ],
        "tools": [{"function": {"name": "f", "parameters": {"properties": {"a": {"type": "int"}}}}}],
        "extra": None,
    }
    other = {
        "messages": [{"role": "tool", "content": "x", "tool_call_id": "1"}],
        "tools": [
            {"function": {"name": "g", "parameters": {"properties": {"b": {"type": "s", "enum": ["1"]}}}}}
        ],
        "extra": "y",
    }
    table = pa.Table.from_pylist([row, other])
    assert table.to_pylist()[0] != row, "Arrow fills in nulls"
    write_parquet(table, tmp_path / "a.parquet")
    rows = opened(tmp_path / "a.parquet")
    assert [rows[0], rows[1]] == [row, other]


def test_values_become_plain() -> None:
    row = {
        "time": datetime(2025, 11, 20, 1, 2, 3, tzinfo=UTC),
        "day": date(2025, 11, 20),
        "bytes": "é".encode(),
        "whole": Decimal("12.00"),
        "part": Decimal("12.5"),
        "numpy": np.float32(0.5),
        "array": np.array([[1, 2]]),
        "map": [("k", 1), ("l", None)],
        "list": [None, {"a": None, "b": [b"x"]}],
        "none": None,
    }
    plain = plain_row(row, "a.parquet[0]")
    assert plain == {
        "time": "2025-11-20T01:02:03+00:00",
        "day": "2025-11-20",
        "bytes": "é",
        "whole": 12,
        "part": 12.5,
        "numpy": 0.5,
        "array": [[1, 2]],
        "map": {"k": 1},
        "list": [None, {"b": ["x"]}],
        "none": None,
    }
    assert json.loads(json.dumps(plain)) == plain
    assert type(plain["whole"]) is int


@pytest.mark.parametrize(
    ("value", "found"),
    [(b"\xff\xfe", "2 bytes that are not UTF-8 text"), (object(), "a value of type object")],
)
def test_a_value_without_plain_form_is_named_with_its_column(value: object, found: str) -> None:
    with pytest.raises(InputError, match=rf"a\.parquet\[3\]: image: found {found}"):
        plain_row({"n": 1, "image": [value]}, "a.parquet[3]")


def test_bytes_are_shown_raw_and_refused_as_a_row(tmp_path: Path) -> None:
    write_parquet(pa.table({"n": [1, 2], "image": [b"\xff", b"ok"]}), tmp_path / "a.parquet")
    rows = opened(tmp_path / "a.parquet")
    assert json.loads(rows.raw(0)) == {"n": 1, "image": "\\xff"}
    assert rows[1] == {"n": 2, "image": "ok"}
    with pytest.raises(InputError, match=r"a\.parquet\[0\]: image: found 1 bytes"):
        rows[0]


def test_a_date_that_python_does_not_know_is_a_bad_row_and_not_the_end_of_its_neighbours(
    tmp_path: Path,
) -> None:
    times = pa.array([0, 10**18, 0], pa.timestamp("s"))
    write_file(pa.table({"n": [0, 1, 2], "at": times}), tmp_path / "a.arrow")
    rows = opened(tmp_path / "a.arrow")
    assert [rows[0]["n"], rows[2]["n"], rows[0]["at"]] == [0, 2, "1970-01-01T00:00:00"]
    with pytest.raises(InputError, match=r"a\.arrow\[1\]: has a value that cannot be read"):
        rows[1]
    assert "cannot be read" in rows.raw(1)


def test_json_text_that_datasets_marks_is_parsed(tmp_path: Path) -> None:
    features = datasets.Features({"tools": datasets.List(datasets.Json()), "id": datasets.Value("int64")})
    tools = [{"a": {"x": None}}, {"b": 1}]
    dataset = datasets.Dataset.from_dict({"tools": [tools], "id": [1]}, features=features)
    dataset.save_to_disk(str(tmp_path / "saved"))
    dataset.to_parquet(str(tmp_path / "a.parquet"))
    expected = {"tools": [{"a": {}}, {"b": 1}], "id": 1}
    assert opened(tmp_path / "saved")[0] == expected
    assert opened(tmp_path / "a.parquet")[0] == expected


class TestSaved:
    """Folders of `save_to_disk`."""

    def saved(self, directory: Path) -> Path:
        train = datasets.Dataset.from_dict({"n": list(range(10))})
        splits = datasets.DatasetDict({"train": train, "test": train.select([3, 1])})
        splits.save_to_disk(str(directory / "splits"), num_shards={"train": 3, "test": 1})
        return directory / "splits"

    def test_a_dataset_of_several_files_is_read(self, tmp_path: Path) -> None:
        path = self.saved(tmp_path)
        rows = opened(path / "train")
        assert [rows[i]["n"] for i in range(len(rows))] == list(range(10))
        assert rows.where(4) == f"{path}/train[4]"
        assert len(opened(path / "train", limit=4, split="train")) == 4

    def test_the_split_is_train_or_the_one_that_is_named(self, tmp_path: Path) -> None:
        path = self.saved(tmp_path)
        assert len(opened(path)) == 10
        test = opened(path, split="test")
        assert [test[i]["n"] for i in range(2)] == [3, 1]
        assert test.where(1) == f"{path}/test[1]"
        assert test.identity != opened(path).identity

    @pytest.mark.parametrize(
        ("split", "message"),
        [
            ("tset", "split: found split 'tset': expected one of train, test\n  did you mean 'test'?"),
            ("x", "split: found split 'x': expected one of train, test"),
        ],
    )
    def test_a_split_that_is_not_there_is_refused(self, tmp_path: Path, split: str, message: str) -> None:
        with pytest.raises(InputError) as error:
            opened(self.saved(tmp_path), split=split)
        assert message in str(error.value)

    def test_without_train_the_split_has_to_be_named(self, tmp_path: Path) -> None:
        rows = datasets.Dataset.from_dict({"n": [1]})
        datasets.DatasetDict({"a": rows, "b": rows}).save_to_disk(str(tmp_path / "two"))
        datasets.DatasetDict({"a": rows}).save_to_disk(str(tmp_path / "one"))
        assert len(opened(tmp_path / "one")) == 1
        with pytest.raises(InputError, match="split: has several splits: expected split to be one of a, b"):
            opened(tmp_path / "two")

    @pytest.mark.parametrize(
        ("file", "content", "message"),
        [
            ("dataset_dict.json", "{", "is not JSON"),
            ("dataset_dict.json", "[]", "is not a JSON object"),
            ("dataset_dict.json", '{"splits": 5}', "found no list of splits"),
            ("train/state.json", "{}", "found no list of data files"),
            ("train/state.json", '{"_data_files": [5]}', "found no list of data files"),
            ("train/state.json", '{"_data_files": []}', "has no rows"),
            ("train/state.json", '{"_data_files": [{"filename": "no"}]}', "cannot be read: No such file"),
            ("train/data-00001-of-00003.arrow", "nonsense", "is not an Arrow file"),
            ("train/data-00001-of-00003.arrow", "", "is not an Arrow file"),
        ],
    )
    def test_a_damaged_folder_is_an_error(
        self, tmp_path: Path, file: str, content: str, message: str
    ) -> None:
        path = self.saved(tmp_path)
        (path / file).write_text(content)
        with pytest.raises(InputError) as error:
            opened(path)
        assert message in str(error.value)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.feather"])
@pytest.mark.parametrize(
    "content", [b"", b"nonsense", b"PAR1", b"ARROW1", b"PAR1" + b"\0" * 100 + b"PAR1", b"\xff" * 64]
)
def test_a_file_that_is_not_what_its_name_says_is_an_error(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: (is not an? (Arrow|Parquet) file|has no rows)"):
        opened(tmp_path / name)


@pytest.mark.parametrize(("write", "name"), WRITERS)
def test_a_file_without_rows_says_so_and_a_cut_one_is_an_error(tmp_path: Path, write: Any, name: str) -> None:
    path = tmp_path / name
    write(pa.table({"n": pa.array([], pa.int64())}), path)
    with pytest.raises(InputError, match="has no rows"):
        opened(path)
    write(pa.table({"n": list(range(5000)), "t": ["x" * 20] * 5000}), path)
    path.write_bytes(path.read_bytes()[:20000])
    with pytest.raises(InputError, match=r"is not an? (Arrow|Parquet) file"):
        opened(path)


def test_a_row_group_that_is_damaged_is_an_error_of_its_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"t": [f"{n} " * 50 for n in range(200)]})
    pq.write_table(table, path, row_group_size=64, compression="zstd", use_dictionary=False)
    data = bytearray(path.read_bytes())
    start = pq.ParquetFile(path).metadata.row_group(1).column(0).data_page_offset
    data[start : start + 40] = b"\xff" * 40
    path.write_bytes(data)
    rows = opened(path)
    assert rows[0]["t"].startswith("0 ")
    with pytest.raises(InputError, match=r"a\.parquet\[70\]: cannot be read"):
        rows[70]
    assert rows[199]["t"].startswith("199 ")
    assert rows.raw(70).startswith("(")


def test_a_mapped_file_stays_readable_when_its_name_is_gone(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    write_stream(pa.table({"n": [1, 2]}), path)
    rows = open_arrow(DataFile.at(path, "a.arrow", None))
    path.unlink()
    assert rows[1] == {"n": 2}
