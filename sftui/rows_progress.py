"""How far a command has come through the rows of a dataset, on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def rows_progress() -> Iterator[Callable[[int, int], None]]:
    """To be called with rows done and rows in all; a terminal is told, and nothing of it stays at the end."""
    shows = sys.stderr.isatty()

    def told(done: int, total: int) -> None:
        if shows:
            print(f"\r\x1b[Klooked at {done:,} of {total:,} rows", end="", file=sys.stderr, flush=True)

    try:
        yield told
    finally:
        if shows:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
