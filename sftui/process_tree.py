"""A process and its descendants: which they are, and what CPU time and memory they use.

psutil is imported when a tree is made, not with this module.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

TREE_REFRESH_S = 5.0
"""Seconds between two looks for new child processes: finding them costs more than a whole sample."""


class ProcessTree:
    """CPU time and memory of a process and its descendants."""

    def __init__(self, pid: int) -> None:
        import psutil

        self._psutil = psutil
        self._pid = pid
        self._processes: dict[int, psutil.Process] = {}
        self._cpu_seconds: dict[int, float] = {}
        self._read_at: float | None = None
        self._refresh_at = 0.0
        try:
            self._processes[pid] = psutil.Process(pid)
        except psutil.Error:
            self._refresh_at = float("inf")

    def read(self) -> tuple[float | None, int | None]:
        """CPU use in percent of one core since the last read, and resident bytes; None once gone."""
        now = time.monotonic()
        if now >= self._refresh_at:
            self._refresh()
            self._refresh_at = now + TREE_REFRESH_S
        cpu_seconds: dict[int, float] = {}
        rss_bytes = 0
        for pid, process in self._processes.items():
            try:
                times = process.cpu_times()
                rss_bytes += process.memory_info().rss
            except self._psutil.Error:
                continue
            cpu_seconds[pid] = times.user + times.system
        if self._pid not in cpu_seconds:
            self._read_at = None
            return None, None
        cpu_percent = None
        if self._read_at is not None and now > self._read_at:
            # A process seen for the first time has no earlier value to subtract: it counts from the
            # next read on, rather than with its whole life in this one.
            spent = sum(max(0.0, s - self._cpu_seconds.get(pid, s)) for pid, s in cpu_seconds.items())
            cpu_percent = 100 * spent / (now - self._read_at)
        self._cpu_seconds, self._read_at = cpu_seconds, now
        return cpu_percent, rss_bytes

    def _refresh(self) -> None:
        found: dict[int, Any] = {}
        try:
            # The pid of a process that ended may be another's by now; is_running compares start times.
            if self._processes[self._pid].is_running():
                for pid in [self._pid, *descendants(self._pid)]:
                    found[pid] = self._processes.get(pid) or self._psutil.Process(pid)
        except self._psutil.Error:
            pass
        self._processes = found


def descendants(pid: int) -> list[int]:
    """Pids of all processes below `pid`, parents first; empty when it has gone.

    Asks the kernel for each thread's children. psutil's way reads every process of the machine
    instead, some 20 ms where there are thousands; it serves where the kernel does not tell.
    """
    own = Path(f"/proc/{pid}/task/{pid}/children")
    if not own.exists():
        import psutil

        try:
            return [child.pid for child in psutil.Process(pid).children(recursive=True)]
        except psutil.Error:
            return []
    found: list[int] = []
    waiting = [pid]
    while waiting:
        children = _children(waiting.pop())
        found += children
        waiting += children
    return found


def _children(pid: int) -> list[int]:
    tasks = f"/proc/{pid}/task"
    found: list[int] = []
    try:
        for thread in os.listdir(tasks):  # noqa: PTH208 -- a Path for each of hundreds of threads is slow
            with open(f"{tasks}/{thread}/children", "rb") as file:  # noqa: PTH123
                found += map(int, file.read().split())
    except OSError:  # it ended while being read
        pass
    return found
