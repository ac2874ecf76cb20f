"""The cache directory: where it is, and that it makes room for what is used."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from sftui.data import cache


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def entry(directory: Path, name: str, size: int, used: float) -> Path:
    path = directory / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    os.utime(path, (used, used))
    return path


def test_the_directory_is_the_users_choice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_directory() == tmp_path / "cache"
    monkeypatch.setenv("SFTUI_CACHE", "~/mine")
    assert cache.cache_directory() == tmp_path / "mine"
    monkeypatch.setenv("SFTUI_CACHE", "")
    monkeypatch.setenv("XDG_CACHE_HOME", "/shared")
    assert cache.cache_directory() == Path("/shared/sftui")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache.cache_directory() == tmp_path / ".cache" / "sftui"


def test_what_was_used_longest_ago_goes_first(directory: Path) -> None:
    old = entry(directory, "plain/old", 10, 100)
    newer = entry(directory, "index/newer", 10, 200)
    newest = entry(directory, "encoded/newest", 10, 300)
    cache.prune(30)
    assert all(path.exists() for path in (old, newer, newest))
    cache.prune(20)
    assert [path.exists() for path in (old, newer, newest)] == [False, True, True]
    cache.mark_used(newer)
    cache.prune(10)
    assert [path.exists() for path in (newer, newest)] == [True, False]
    cache.prune(0)
    assert not newer.exists()


def test_a_folder_goes_as_a_whole(directory: Path) -> None:
    entry(directory, "encoded/folder/a", 10, 100)
    entry(directory, "encoded/folder/b/c", 10, 100)
    os.utime(directory / "encoded" / "folder", (100, 100))
    other = entry(directory, "plain/other", 10, 200)
    cache.prune(15)
    assert list((directory / "encoded").iterdir()) == []
    assert other.exists()


def test_what_is_kept_or_still_written_or_not_in_a_known_folder_stays(directory: Path) -> None:
    kept = entry(directory, "plain/kept", 10, 100)
    written = cache.unfinished(directory / "plain" / "new")
    written.write_bytes(b"x" * 10)
    foreign = entry(directory, "other/file", 10, 100)
    abandoned = entry(directory, "plain/new.1-abc.part", 10, 100)
    cache.prune(0, keep=[kept])
    assert [path.exists() for path in (kept, written, foreign, abandoned)] == [True, True, True, False]


def test_a_directory_that_is_not_there_is_no_error(directory: Path) -> None:
    cache.prune(0)
    cache.mark_used(directory / "plain" / "gone")
    assert not directory.exists()


def test_every_writer_has_a_place_of_its_own(directory: Path) -> None:
    final = directory / "plain" / "a.jsonl"
    assert cache.unfinished(final) != cache.unfinished(final)
    assert cache.unfinished(final).parent == final.parent
    assert final.parent.is_dir()


def test_several_that_prune_at_once_do_not_break_each_other(directory: Path) -> None:
    for number in range(200):
        entry(directory, f"plain/{number}", 1, number)
        entry(directory, f"encoded/{number}/part", 1, number)
    errors: list[BaseException] = []

    def prune() -> None:
        try:
            cache.prune(0)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=prune) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list((directory / "plain").iterdir()) == []
    assert list((directory / "encoded").iterdir()) == []
