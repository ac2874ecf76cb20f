"""Stdout, whose errors are told from those of other files."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO


class OutputError(Exception):
    """Stdout cannot be written, and why."""


class ReaderGoneError(OutputError):
    """Nobody reads stdout any more. No BrokenPipeError: rich would end the process for one."""


@contextmanager
def told_output() -> Iterator[None]:
    """Errors of stdout are OutputErrors in here; at the end it is flushed, so that none is left for later."""
    stdout = sys.stdout
    with redirect_stdout(_Output(stdout)):
        try:
            yield
        finally:
            with _told():
                stdout.flush()


def silence() -> None:
    """Drop what stdout could not write, and whatever else is written: nothing is said of it at exit."""
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


class _Output:
    """A stream in all but its errors."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with _told():
            return self._stream.write(text)

    def writelines(self, lines: Iterable[str]) -> None:
        # One by one: an OSError of what makes the lines is not one of the stream.
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        with _told():
            self._stream.flush()


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGoneError(str(error)) from error
    except OSError as error:
        raise OutputError(error.strerror or str(error)) from error
