"""Patterns, folders, and everything that a path can be but a readable file."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sftui.data.sources import line_index, open_rows
from sftui.data.sources.paths import is_hub_id, kind
from sftui.data.sources.rows import Rows
from sftui.errors import InputError
from sftui.recipe import Source


@pytest.fixture(autouse=True)
def offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "cache"))


def write(path: Path, numbers: list[int]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"n": n}) + "\n" for n in numbers))
    return path


def opened(path: Path | str, wait: bool = True, **more: Any) -> Rows:
    return open_rows(Source.model_validate({"path": str(path), **more}), wait=wait)


def numbers(rows: Rows) -> list[int]:
    return [int(rows[i]["n"]) for i in range(len(rows))]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "da[ta] 1"
    write(data / "b.jsonl", [2, 3])
    write(data / "a.jsonl", [0, 1])
    write(data / "sub" / "deep" / "c.jsonl", [4])
    (data / "sub" / "e.csv").write_text("n,m\n5,x\n")
    pq.write_table(pa.table({"n": [6]}), data / "z.parquet")
    for other in (
        ".hidden.jsonl",
        "_SUCCESS",
        "README.md",
        "dataset_info.json",
        ".git/x.jsonl",
        "empty.jsonl",
    ):
        (data / other).parent.mkdir(exist_ok=True)
        (data / other).write_text("")
    return data


def test_all_data_files_of_a_folder_are_one(folder: Path) -> None:
    rows = opened(folder)
    assert numbers(rows) == [0, 1, 2, 3, 4, 5, 6]
    assert [rows.where(i) for i in (2, 4, 5, 6)] == [
        f"{folder}/b.jsonl:1",
        f"{folder}/sub/deep/c.jsonl:1",
        f"{folder}/sub/e.csv:2",
        f"{folder}/z.parquet[0]",
    ]
    assert rows.raw(5) == "5,x"
    assert numbers(opened(folder, limit=3)) == [0, 1, 2]
    assert opened(folder, limit=3).identity != rows.identity


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jsonl", [0, 1, 2, 3]),
        ("[a-b].jsonl", [0, 1, 2, 3]),
        ("?.jsonl", [0, 1, 2, 3]),
        ("**/*.jsonl", [0, 1, 2, 3, 4]),
        ("**/*", [0, 1, 2, 3, 4, 5, 6]),
        ("sub/*", [5]),
        ("*", [0, 1, 2, 3, 6]),
        ("s*/deep/c.jsonl", [4]),
    ],
)
def test_a_pattern_is_all_files_that_match(folder: Path, pattern: str, expected: list[int]) -> None:
    rows = opened(folder / pattern)
    assert numbers(rows) == expected
    assert opened(folder / pattern).identity == rows.identity


def test_the_identity_changes_with_any_of_the_files(folder: Path) -> None:
    before = opened(folder / "**/*").identity
    write(folder / "sub" / "deep" / "c.jsonl", [4, 5])
    changed = opened(folder / "**/*").identity
    write(folder / "new.jsonl", [9])
    assert len({before, changed, opened(folder / "**/*").identity}) == 3


def test_a_file_whose_name_has_signs_of_a_pattern_is_a_file(tmp_path: Path) -> None:
    assert numbers(opened(write(tmp_path / "a[1]*.jsonl", [7]))) == [7]


def test_a_link_that_leads_back_gives_no_row_twice(folder: Path) -> None:
    (folder / "sub" / "up").symlink_to(folder, target_is_directory=True)
    (folder / "a2.jsonl").symlink_to(folder / "a.jsonl")
    assert sorted(numbers(opened(folder / "**/*.jsonl"))) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("*.jsonlx", "no file matches this pattern\n  '{folder}' has a.jsonl, b.jsonl, empty.jsonl, "),
        ("nowhere/*.jsonl", "no file matches this pattern\n  '{folder}' has a.jsonl"),
        ("*.md", "matches no data file: found README.md; expected a .jsonl"),
        ("empty*", "has no rows"),
    ],
)
def test_a_pattern_without_rows_says_what_is_there(folder: Path, pattern: str, message: str) -> None:
    with pytest.raises(InputError) as error:
        opened(folder / pattern)
    assert message.format(folder=folder) in str(error.value)


def test_a_bad_file_among_several_is_named(folder: Path) -> None:
    (folder / "n.parquet").write_text("nonsense")
    with pytest.raises(InputError, match=r"n\.parquet: is not a Parquet file"):
        opened(folder)


def test_files_are_opened_one_after_the_other_as_their_rows_are_wanted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for part in range(20):
        write(tmp_path / f"{part:02}.jsonl", list(range(part * 50, part * 50 + 50)))
    monkeypatch.setattr(line_index, "_BLOCK_BYTES", 100)
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    rows = opened(tmp_path / "*.jsonl", wait=False)
    assert 0 < len(rows) < 50
    assert len(os.listdir("/proc/self/fd")) <= before + 2  # noqa: PTH208
    shares, counts = [rows.share], [len(rows)]
    while not rows.complete:
        rows.read_on(0)
        assert rows[counts[-1] - 1]["n"] == counts[-1] - 1
        shares.append(rows.share)
        counts.append(len(rows))
    assert numbers(rows) == list(range(1000))
    assert shares == sorted(shares)
    assert counts == sorted(counts)
    assert (0 < shares[0] < 0.1, shares[-1]) == (True, 1.0)


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    directory = Path.cwd()
    os.chdir(path.parent)  # a socket's path must be short
    try:
        with socket.socket(socket.AF_UNIX) as place:
            place.bind(path.name)
    finally:
        os.chdir(directory)


def make_circle(path: Path) -> None:
    path.symlink_to(path)


def make_dangling(path: Path) -> None:
    path.symlink_to(path.parent / "gone")


def make_empty_folder(path: Path) -> None:
    path.mkdir()


def make_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.arrow", "a.jsonl.gz", "plain"]
)
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (make_pipe, "is a pipe: expected a .jsonl"),
        (make_socket, "is a socket: expected a .jsonl"),
        (make_device, "is a device: expected a .jsonl"),
        (make_circle, "is a link that leads round in a circle"),
        (make_dangling, "is a link to a file that does not exist"),
        (make_empty_folder, "is a directory without data files"),
    ],
)
def test_what_is_no_file_is_one_error(
    tmp_path: Path, make: Callable[[Path], None], message: str, name: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(InputError) as error:
        opened(tmp_path / name)
    assert message in str(error.value)
    assert error.value.file == str(tmp_path / name)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.arrow", "a.jsonl.gz"])
def test_a_file_that_must_not_be_read_is_one_error(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, [1]).chmod(0)
    with pytest.raises(InputError, match="cannot be read: Permission denied"):
        opened(tmp_path / name)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.arrow", "a.jsonl.gz"])
def test_what_the_system_refuses_is_one_error(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / name, [1])

    def refuse(*arguments: Any, **named: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    monkeypatch.setattr("sftui.data.sources.rows.DataFile.at", refuse)
    with pytest.raises(InputError, match=rf"{name}: cannot be read: Permission denied"):
        opened(tmp_path / name)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("{here}/trian.jsonl", "no such file\n  did you mean '{here}/train.jsonl'?"),
        ("{here}/unlike.csv", "no such file\n  '{here}' has train.jsonl"),
        ("{here}/nowhere/train.jsonl", "no such file\n  there is no directory '{here}/nowhere'"),
        ("{here}/train.jsonl/x", "no such file"),
        ("{here}/" + "x" * 300 + ".jsonl", "cannot be read: File name too long"),
        ("trian.jsonl", "trian.jsonl: no such file"),
        ("./owner/name", "no such file"),
        ("a/b/c", "a/b/c: no such file"),
        ("~nobody-at-all/train.jsonl", "no such file"),
    ],
)
def test_a_path_that_is_not_there_is_no_dataset_of_the_hub(tmp_path: Path, path: str, message: str) -> None:
    write(tmp_path / "train.jsonl", [1])
    with pytest.raises(InputError) as error:
        opened(path.format(here=tmp_path))
    assert message.format(here=tmp_path) in str(error.value)


@pytest.mark.parametrize(
    ("key", "value"), [("name", "main"), ("revision", "main"), ("split", "test"), ("split", "train[:5]")]
)
def test_what_only_the_hub_has_is_refused_for_files(tmp_path: Path, key: str, value: str) -> None:
    path = write(tmp_path / "a.jsonl", [1])
    for place in (path, tmp_path / "*.jsonl", *([tmp_path] if key == "revision" else [])):
        with pytest.raises(InputError, match=f"{key}: found .* for a file: expected it for a Hub dataset"):
            opened(place, **{key: value})
    assert numbers(opened(path, split="train")) == [1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("openai/gsm8k", True),
        ("gsm8k", True),
        ("teknium/OpenHermes-2.5", True),
        ("HuggingFaceH4/no_robots", True),
        ("train.jsonl", False),
        ("data/train.jsonl.gz", False),
        ("owner/train.parquet", False),
        ("src/a.jsnl", False),
        ("owner/train.parqet", False),
        ("train.cvs", False),
        ("owner/data.jsonlines", False),
        ("owner/rows.json5", False),
        ("owner/name.test", True),
        ("owner/name.instruct", True),
        ("owner/name-v1.1b", True),
        ("notes.txt", False),
        ("data/*", False),
        ("./name", False),
        ("../name", False),
        ("/name", False),
        ("~/name", False),
        ("owner/name/", False),
        ("a/b/c", False),
        ("owner/..", False),
        ("own er/name", False),
        ("ow--ner/name", False),
        ("naïve/name", False),
        ("", False),
        ("-x/name", False),
    ],
)
def test_names_that_can_be_datasets_of_the_hub(name: str, expected: bool) -> None:
    assert is_hub_id(name) is expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl", ".jsonl"),
        ("A.JSON", ".json"),
        ("a.b.csv", ".csv"),
        ("a.csv.zst", ".csv.zst"),
        ("a.b.tsv.gz", ".tsv.gz"),
        ("a.parquet.gz", None),
        ("a.gz", None),
        ("a", None),
        (".jsonl", None),
        ("a.txt", None),
        ("", None),
    ],
)
def test_the_kind_of_a_file_is_in_its_name(name: str, expected: str | None) -> None:
    assert kind(name) == expected
