"""The cache directory: where it is, and that it makes room for what is used."""

from __future__ import annotations

import fcntl
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sftui.data import cache, store


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
    newer = entry(directory, "plain/newer", 10, 200)
    newest = entry(directory, "plain/newest", 10, 300)
    cache.prune(30, cache.PLAIN)
    assert all(path.exists() for path in (old, newer, newest))
    cache.prune(20, cache.PLAIN)
    assert [path.exists() for path in (old, newer, newest)] == [False, True, True]
    os.utime(newer, (400, 400))
    cache.prune(10, cache.PLAIN)
    assert [path.exists() for path in (newer, newest)] == [True, False]
    cache.prune(0, cache.PLAIN)
    assert not newer.exists()


def test_what_was_used_within_the_hour_stays(directory: Path) -> None:
    now = time.time()
    paths = [entry(directory, f"plain/{age}", 10, now - age) for age in (3500, 3700, 9000)]
    cache.mark_used(paths[2])
    cache.prune(0, cache.PLAIN)
    assert [path.exists() for path in paths] == [True, False, True]


def test_each_folder_has_a_limit_of_its_own(directory: Path) -> None:
    kinds = (cache.PLAIN, cache.INDEX, cache.ENCODED)
    paths = {kind: entry(directory, f"{kind}/large", 1000, 100) for kind in kinds}
    cache.prune(10, cache.ENCODED)
    assert [kind for kind, path in paths.items() if path.exists()] == [cache.PLAIN, cache.INDEX]
    cache.prune(1000, cache.PLAIN)
    assert paths[cache.PLAIN].exists()


def test_locks_that_nobody_took_for_a_day_are_removed(directory: Path) -> None:
    now = time.time()
    old, held, young = (
        entry(directory, f"locks/{name}", 0, now - age)
        for name, age in (("old", 90_000), ("held", 90_000), ("young", 80_000))
    )
    with held.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        cache.prune_locks()
        assert [path.exists() for path in (old, held, young)] == [False, True, True]
    cache.prune_locks()
    assert not held.exists()


def test_a_lock_that_was_removed_before_it_was_taken_is_made_anew(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = entry(directory, "locks/key", 0, 100)
    lock, removed = store._lock, []

    def lock_a_removed_one(file: Any, waiting: Any) -> None:
        if not removed:
            removed.append(path.unlink())
        lock(file, waiting)

    monkeypatch.setattr(store, "_lock", lock_a_removed_one)
    with store.Store("key").alone(lambda: None):
        assert time.time() - path.stat().st_mtime < 60, "taken now"
        with path.open("ab") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_pruning_a_store_leaves_copies_and_removes_old_locks(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = entry(directory, "plain/copy", 1000, 100)
    old = entry(directory, "encoded/old/chunk", 1000, 100)
    os.utime(old.parent, (100, 100))
    lock = entry(directory, "locks/old", 0, 100)
    monkeypatch.setattr(store, "LIMIT_BYTES", 10)
    store.Store("key").prune()
    assert [path.exists() for path in (copy, old, lock)] == [True, False, False]


def test_a_folder_goes_as_a_whole(directory: Path) -> None:
    entry(directory, "encoded/folder/a", 10, 100)
    entry(directory, "encoded/folder/b/c", 10, 100)
    os.utime(directory / "encoded" / "folder", (100, 100))
    other = entry(directory, "encoded/other", 10, 200)
    cache.prune(15, cache.ENCODED)
    assert list((directory / "encoded").iterdir()) == [other]


def test_what_is_kept_or_still_written_or_not_in_a_known_folder_stays(directory: Path) -> None:
    kept = entry(directory, "plain/kept", 10, 100)
    written = cache.unfinished(directory / "plain" / "new")
    written.write_bytes(b"x" * 10)
    foreign = entry(directory, "other/file", 10, 100)
    abandoned = entry(directory, "plain/new.1-abc.part", 10, 100)
    cache.prune(0, cache.PLAIN, keep=[kept])
    assert [path.exists() for path in (kept, written, foreign, abandoned)] == [True, True, True, False]


def test_a_directory_that_is_not_there_is_no_error(directory: Path) -> None:
    cache.prune(0, cache.PLAIN)
    cache.prune_locks()
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
        os.utime(directory / "encoded" / str(number), (number, number))
        entry(directory, f"locks/{number}", 0, number)
    errors: list[BaseException] = []

    def prune() -> None:
        try:
            cache.prune(0, cache.PLAIN)
            cache.prune(0, cache.ENCODED)
            cache.prune_locks()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=prune) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert list((directory / "locks").iterdir()) == []
    assert list((directory / "plain").iterdir()) == []
    assert list((directory / "encoded").iterdir()) == []
