"""Limits on what a stranger's template or row may cost: time, memory and text."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType, TracebackType
from typing import Any, Self

from sftui.errors import InputError

MAX_CHARACTERS = 32_000_000  # of any text that a template makes: far more than any model reads
MAX_ITEMS = 1_000_000  # of any list that it makes
_AGAIN = 0.2  # seconds after which the alarm is repeated
MAX_BITS = 100_000  # of any whole number that it makes


class OutOfTime(InputError):  # noqa: N818  # it is said in one word what is wrong
    """What `bounded` raises."""


class bounded:  # noqa: N801  # a context manager, named as it reads: with bounded(10)
    """Interrupt the Python code within by OutOfTime after `seconds`.

    Works by SIGALRM, and therefore only in the main thread of a process; elsewhere it does nothing. An
    earlier alarm, of an outer `bounded` or of others, is left to come first; a later one is put back. The
    alarm is repeated until the block is left: Python drops an exception that comes up in a finaliser.
    """

    __slots__ = ("_began", "_handler", "_interval", "_left", "_seconds")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._began: float | None = None

    def __enter__(self) -> Self:
        if threading.get_ident() != threading.main_thread().ident:
            return self
        self._left, self._interval = signal.getitimer(signal.ITIMER_REAL)
        if 0 < self._left <= self._seconds:
            return self
        self._began = time.monotonic()
        self._handler: Any = signal.signal(signal.SIGALRM, self._expire)
        signal.setitimer(signal.ITIMER_REAL, self._seconds, _AGAIN)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._began is None:
            return
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL if self._handler is None else self._handler)
        if self._left:
            left = self._left - (time.monotonic() - self._began)
            signal.setitimer(signal.ITIMER_REAL, max(left, 1e-6), self._interval)

    def _expire(self, number: int, frame: FrameType | None) -> None:
        if frame is None or frame.f_code is not bounded.__exit__.__code__:  # which is about to end it
            raise OutOfTime(f"took longer than {self._seconds:g} s")


def limit_memory(extra: int) -> None:
    """Let this process have no more than `extra` bytes of data beyond what it has now.

    Python code that asks for more gets a MemoryError. Meant for processes that render what strangers
    wrote; code that is not Python's may end the process instead. Does nothing where /proc or the limit
    are not to be had.
    """
    import resource
    from pathlib import Path

    try:
        pages = int(Path("/proc/self/statm").read_text().split()[5])
        limit = pages * resource.getpagesize() + extra
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        if hard != resource.RLIM_INFINITY:
            limit = min(limit, hard)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))
    except (OSError, ValueError, IndexError):
        return
