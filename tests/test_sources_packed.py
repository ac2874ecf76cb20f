"""gzip and zstd: unpacked once, read as the plain file, named as the archive."""

from __future__ import annotations

import gzip
import os
import shutil
from collections import namedtuple
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sftui.data.sources import open_rows, packed, plain_copy
from sftui.errors import InputError
from sftui.recipe import Source

LINES = b'{"n": 0}\nnonsense\n{"n": 2}\n'


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def zstd(data: bytes) -> bytes:
    out = pa.BufferOutputStream()
    with pa.CompressedOutputStream(out, "zstd") as stream:
        stream.write(data)
    return bytes(out.getvalue())


PACK = {".gz": gzip.compress, ".zst": zstd}


def write(directory: Path, name: str, data: bytes) -> Source:
    path = directory / name
    path.write_bytes(PACK[path.suffix](data))
    return Source.model_validate({"path": str(path)})


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize(
    ("name", "content", "place"),
    [
        ("a.jsonl", LINES, ":3"),
        ("A.JSONL", LINES, ":3"),
        ("a.v1.ndjson", LINES, ":3"),
        ("a.json", b'[{"n": 0}, {"n": 1}, {"n": 2}]', "[2]"),
        ("b.json", LINES.replace(b"nonsense", b"{}"), ":3"),
        ("a.csv", b"n,m\n0,0\n1,1\n2,2\n", ":4"),
        ("a.tsv", b"n\tm\n0\t0\n1\t1\n2\t2\n", ":4"),
    ],
)
def test_lines_are_unpacked_and_named_as_in_the_archive(
    tmp_path: Path, packing: str, name: str, content: bytes, place: str
) -> None:
    source = write(tmp_path, name + packing, content)
    rows = open_rows(source)
    assert (len(rows), str(rows[2]["n"])) == (3, "2")
    assert rows.where(2) == f"{source.path}{place}"


def test_an_archive_is_unpacked_once(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path, "a.jsonl.gz", LINES)
    identity = open_rows(source).identity
    (copy,) = (cache / "plain").iterdir()
    assert (copy.read_bytes(), copy.suffix) == (LINES, ".jsonl")
    monkeypatch.setattr(packed, "_unpack", None)
    rows = open_rows(source)
    assert rows.identity == identity
    assert str(cache) not in rows.identity
    copy.unlink()
    assert rows[2] == {"n": 2}, "the copy was open"
    with pytest.raises(InputError, match=r"a\.jsonl\.gz:2: not JSON") as error:
        rows[1]
    assert error.value.hint is None


def test_a_changed_archive_is_unpacked_anew(tmp_path: Path, cache: Path) -> None:
    open_rows(write(tmp_path, "a.jsonl.gz", LINES))
    rows = open_rows(write(tmp_path, "a.jsonl.gz", b'{"n": 7}'))
    assert rows[0] == {"n": 7}
    assert len(list((cache / "plain").iterdir())) == 2


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_archives_of_several_members_are_read_to_the_end(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(PACK[path.suffix](b'{"n": 0}\n') + PACK[path.suffix](b'{"n": 1}\n'))
    assert len(open_rows(Source.model_validate({"path": str(path)}))) == 2


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *[(f"a.jsonl{packing}", damage) for packing in PACK for damage in ("cut", "nonsense")],
        ("a.jsonl.gz", "flipped"),  # zstd has a checksum only if its writer asked for one
    ],
)
def test_a_broken_archive_is_named_and_leaves_nothing(
    tmp_path: Path, cache: Path, name: str, damage: str
) -> None:
    whole = bytearray(PACK[Path(name).suffix](b"".join(b'{"n": %d}\n' % n for n in range(100_000))))
    if damage == "cut":
        whole = whole[: len(whole) // 2]
    elif damage == "flipped":
        middle = len(whole) // 2
        whole[middle : middle + 400] = b"\xff" * 400
    else:
        whole = bytearray(b"nonsense" * 100)
    (tmp_path / name).write_bytes(whole)
    with pytest.raises(InputError, match=rf"{name}: is not a whole (gzip|zstd) file: .+\n  was it"):
        open_rows(Source.model_validate({"path": str(tmp_path / name)}))
    assert list((cache / "plain").iterdir()) == []


def test_a_full_disk_is_an_error_before_it_is_full(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 9, 1 << 20))
    with pytest.raises(InputError, match=r"a\.jsonl\.gz: no room to unpack it: 1 MiB are free in .*plain"):
        open_rows(write(tmp_path, "a.jsonl.gz", LINES))
    assert list((cache / "plain").iterdir()) == []


def test_a_cache_directory_that_cannot_be_written_is_an_error(tmp_path: Path, cache: Path) -> None:
    cache.write_text("a file")
    with pytest.raises(InputError, match=r"a\.jsonl\.gz: cannot be unpacked into .*\n  SFTUI_CACHE names"):
        open_rows(write(tmp_path, "a.jsonl.gz", LINES))


def test_a_copy_that_vanishes_before_it_is_opened_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed: list[Path] = []

    def mark_and_remove(entry: Path) -> None:
        if not removed:
            entry.unlink()
            removed.append(entry)

    monkeypatch.setattr(plain_copy, "mark_used", mark_and_remove)
    assert len(open_rows(write(tmp_path, "a.jsonl.gz", LINES))) == 3
    assert removed

    def remove(entry: Path) -> None:
        entry.unlink()

    monkeypatch.setattr(plain_copy, "mark_used", remove)
    with pytest.raises(InputError, match="is removed again and again"):
        open_rows(write(tmp_path, "b.jsonl.gz", LINES))


def test_the_oldest_copies_make_room(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    open_rows(write(tmp_path, "a.jsonl.gz", LINES))
    (old,) = (cache / "plain").iterdir()
    os.utime(old, (1, 1))
    monkeypatch.setattr(plain_copy, "_LIMIT_BYTES", len(LINES))
    open_rows(write(tmp_path, "b.jsonl.gz", LINES))
    assert [entry for entry in (cache / "plain").iterdir() if entry == old] == []


@pytest.mark.parametrize("name", ["a.txt.gz", "a.gz", "a.parquet.gz"])
def test_only_text_is_unpacked(tmp_path: Path, name: str) -> None:
    source: Any = write(tmp_path, name, LINES)
    with pytest.raises(InputError, match=r"unknown kind of file '\..*gz'"):
        open_rows(source)
