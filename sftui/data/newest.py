"""Work for a thread of which only the newest counts: what a slider asks while it moves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class Newest(Generic[T]):
    """Does one thing at a time, in a thread that ends when there is nothing left to do."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._next: tuple[Future[T], Callable[[], T]] | None = None
        self._working = self._closed = False

    def submit(self, work: Callable[[], T]) -> Future[T]:
        """Do `work` after what is under way; what else still waits is cancelled."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                _cancel(future)
                return future
            older, self._next = self._next, (future, work)
            begins, self._working = not self._working, True
        if older is not None:
            _cancel(older[0])
        if begins:
            threading.Thread(target=self._work, daemon=True).start()
        return future

    def close(self) -> None:
        """Begin nothing any more; waits for nothing."""
        with self._lock:
            self._closed = True
            waiting, self._next = self._next, None
        if waiting is not None:
            _cancel(waiting[0])

    def _work(self) -> None:
        while True:
            with self._lock:
                if self._next is None:
                    self._working = False
                    return
                (future, work), self._next = self._next, None
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = work()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)


def _cancel(future: Future[T]) -> None:
    """Cancel what has not begun, and tell those who wait for it."""
    future.cancel()
    future.set_running_or_notify_cancel()
