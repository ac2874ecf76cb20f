"""Of what is asked faster than it can be done, the first and the last are done."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import CancelledError, Future, wait
from functools import partial

import pytest

from sftui.data.newest import Newest


def held(gate: threading.Event, begun: threading.Event, value: int) -> Callable[[], int]:
    def work() -> int:
        begun.set()
        assert gate.wait(10)
        return value

    return work


def test_only_the_newest_of_those_that_wait_is_done() -> None:
    newest: Newest[int] = Newest()
    gate, begun = threading.Event(), threading.Event()
    first = newest.submit(held(gate, begun, 0))
    assert begun.wait(10)
    done: list[int] = []

    def work(number: int) -> int:
        done.append(number)
        return number

    later = [newest.submit(partial(work, number)) for number in range(1, 6)]
    assert [future.cancelled() for future in later] == [True, True, True, True, False]
    assert wait(later[:-1], 10).not_done == set(), "those who wait are told"
    gate.set()
    assert (first.result(10), later[-1].result(10)) == (0, 5)
    assert done == [5]
    assert newest.submit(lambda: 7).result(10) == 7, "and it goes on"


def test_what_fails_fails_alone() -> None:
    newest: Newest[int] = Newest()
    with pytest.raises(ZeroDivisionError):
        newest.submit(lambda: 1 // 0).result(10)
    assert newest.submit(lambda: 1).result(10) == 1


def test_nothing_is_begun_after_the_end() -> None:
    newest: Newest[int] = Newest()
    gate, begun = threading.Event(), threading.Event()
    first = newest.submit(held(gate, begun, 0))
    assert begun.wait(10)
    second = newest.submit(lambda: 1)
    newest.close()
    assert second.cancelled()
    assert newest.submit(lambda: 2).cancelled()
    gate.set()
    assert first.result(10) == 0
    with pytest.raises(CancelledError):
        second.result(10)


def test_a_thread_lives_only_while_there_is_work() -> None:
    newest: Newest[threading.Thread] = Newest()
    threads = []
    for _ in range(3):
        future: Future[threading.Thread] = newest.submit(threading.current_thread)
        threads.append(future.result(10))
        threads[-1].join(10)
        assert not threads[-1].is_alive()
    assert all(thread.daemon for thread in threads)
