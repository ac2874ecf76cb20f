"""Encoded chunks on disk, so that what was tokenised once is not tokenised again.

An entry is named by everything that its tokens follow from: the rows, the tokenizer, the chat template,
what is trained, and our own code. Whoever opens the same dataset finds it: workbench, `check`, trainer.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import IO

from sftui.data.cache import ENCODED, LOCKS, cache_directory, mark_used, prune, prune_locks, unfinished
from sftui.data.model_files import SMALL_FILES
from sftui.data.tokenizer import ChatTokenizer
from sftui.recipe import DataSection

CHUNK_ROWS = 512  # enough for a batch call to pay, few enough to show progress and keep memory low
_WAIT_SECONDS = 0.1
LIMIT_BYTES = 20 << 30  # of all entries together; the least recently used go first

# A template that only asks whether it is told the date prints none.
_NOW = re.compile(r"\bstrftime_now\b(?!\s+is\s+(?:not\s+)?defined\b)")
_OF_DATA = 24  # characters of a key, before those of our code
_NOW_FORMAT = re.compile(r"strftime_now\s*\(\s*(['\"])([^'\"]*)\1\s*\)")


class Store:
    """The folder of one dataset's chunks. Where nothing can be written, everything is made anew each time."""

    def __init__(self, key: str) -> None:
        self.folder = cache_directory() / ENCODED / key
        mark_used(self.folder)

    def read(self, name: str) -> bytes | None:
        """What is kept under `name`; None if it is not."""
        try:
            return (self.folder / name).read_bytes()
        except OSError:
            return None

    def has(self, name: str) -> bool:
        """Whether something is kept under `name`."""
        return (self.folder / name).is_file()

    def write(self, name: str, data: bytes) -> bool:
        """Keep `data`, which is then seen whole or not at all; whether that was possible."""
        staged: Path | None = None
        try:
            staged = unfinished(self.folder / name)
            staged.write_bytes(data)
            staged.replace(self.folder / name)
        except OSError:
            with contextlib.suppress(OSError):
                if staged is not None:
                    staged.unlink()
            return False
        return True

    @contextlib.contextmanager
    def alone(self, waiting: Callable[[], None]) -> Iterator[None]:
        """Wait until no other process fills this entry; `waiting` is called meanwhile, every so often.

        The processes of one run would otherwise all make the same chunks at once.
        """
        path = cache_directory() / LOCKS / self.folder.name
        for last in (False, False, True):
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                file = path.open("ab")
            except OSError:
                yield
                return
            with file:
                _lock(file, waiting)
                if last or _is_at(file, path):
                    mark_used(path)
                    yield
                    return

    def prune(self) -> None:
        """Remove entries used longest ago, if all together take too much; this one stays."""
        prune(LIMIT_BYTES, ENCODED, keep=(self.folder,))
        prune_locks()


def _lock(file: IO[bytes], waiting: Callable[[], None]) -> None:
    """Lock `file` when nobody else has it locked; `waiting` is called meanwhile."""
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            waiting()
            time.sleep(_WAIT_SECONDS)
        except OSError:  # a file system without locks
            return


def _is_at(file: IO[bytes], path: Path) -> bool:
    """Whether the open `file` is still what is at `path`: an old lock may have been removed meanwhile."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except OSError:
        return False


def chunks_of(rows: int) -> list[tuple[int, int]]:
    """First and end of each chunk."""
    return [(begin, min(begin + CHUNK_ROWS, rows)) for begin in range(0, rows, CHUNK_ROWS)]


def chunk_name(begin: int, end: int) -> str:
    """The file of the tokens of rows `begin` to `end`."""
    return f"{begin:09d}-{end:09d}.tokens"


def store_key(identity: str, tokenizer: ChatTokenizer, data: DataSection) -> str:
    """The name of the entry for the rows called `identity`; lengths and cuts are not in it."""
    parts = [
        identity,
        tokenizer_identity(tokenizer),
        data.train_on,
        data.sequence_per,
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:_OF_DATA] + code_identity()[:8]


def of_same_data(one: str, other: str) -> bool:
    """Whether two keys are of the same rows and the same tokenizer; our own code may be another."""
    return one[:_OF_DATA] == other[:_OF_DATA]


def tokenizer_identity(tokenizer: ChatTokenizer) -> str:
    """A digest of what decides the tokens of a conversation: files, templates, and the date they print."""
    digest = hashlib.sha256()
    for name in SMALL_FILES:
        if name in ("config.json", "generation_config.json"):
            continue
        for file in sorted(tokenizer.directory.glob(name)):
            digest.update(f"{file.name}\0".encode() + file.read_bytes())
    templates = tokenizer.templates
    chosen = (templates.chosen_template,) if templates.chosen_template is not None else ()
    for template in (*templates.by_name.values(), *chosen, templates.plain_text):
        digest.update(f"{template.name}\0{template.text}\0".encode())
        formats = [found[1] for found in _NOW_FORMAT.findall(template.text)]
        if len(formats) < len(_NOW.findall(template.text)):
            digest.update(template.now.isoformat().encode())
        for each in formats:
            digest.update(template.now.strftime(each).encode())
    return digest.hexdigest()


@cache
def code_identity() -> str:
    """A digest of the code that makes tokens of rows, ours and the libraries'."""
    import importlib.metadata

    digest = hashlib.sha256()
    folder = Path(__file__).parent
    for file in sorted([*folder.rglob("*.py"), *folder.rglob("*.jinja"), folder.parent / "printable.py"]):
        digest.update(f"{file.name}\0".encode() + file.read_bytes())
    for library in ("tokenizers", "jinja2"):
        digest.update(importlib.metadata.version(library).encode())
    return digest.hexdigest()
