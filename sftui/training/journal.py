"""What the trainer tells the world: events, and from a thread of its own status, heartbeat and telemetry."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Any

from sftui.runs.directory import RunDirectory
from sftui.runs.events import EventWriter
from sftui.runs.status import Failure, State, Status, read_status, write_status
from sftui.telemetry import Sampler

log = logging.getLogger("sftui")

HEARTBEAT_SECONDS = 1.0
TELEMETRY_SECONDS = 2.0


class Journal:
    """Writes a run's events and status. Only the main process of a run has one.

    The heartbeat thread writes the status every second and a `memory` event every two: a long step,
    evaluation or download does not look like death. A step waits for one line of events, and for neither
    the status file nor telemetry.
    """

    def __init__(self, run: RunDirectory) -> None:
        self.run = run
        self._events = EventWriter(run.events_file)
        self._events_lock = threading.Lock()
        self._status_lock = threading.Lock()
        self._write_lock = threading.Lock()
        last = read_status(run) or Status()
        self._status = replace(
            last,
            state="starting",
            detail="",
            pid=os.getpid(),
            host=socket.gethostname(),
            ended=None,
            error=None,
        )
        self._closing = threading.Event()
        self._stop_asked = threading.Event()
        self.device_memory: Callable[[], dict[str, int]] = dict
        self._telemetry_failed = False
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    def __enter__(self) -> Journal:
        self._write_status()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        self._thread.join(timeout=5)
        self._events.close()

    def event(self, kind: str, **values: Any) -> None:
        """Append an event."""
        with self._events_lock:
            self._events.write(kind, **values)

    def warn(self, message: str) -> None:
        """Say something that the watcher should see: in the log and as an event."""
        log.warning(message)
        self.event("warning", message=message)

    def update(self, **values: Any) -> None:
        """Change fields of the status; the heartbeat writes them."""
        with self._status_lock:
            self._status = replace(self._status, **values)

    def phase(self, detail: str) -> None:
        """Say what is being done outside of steps; shown to watchers at once."""
        self.update(detail=detail)
        self._write_status()

    def end(self, state: State, error: Failure | None = None) -> None:
        """Write the last word on the run; the heartbeat is over."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(timeout=5)
        self.event("end", state=state, error=error.cause if error else None)
        self.update(state=state, detail="", error=error, ended=time.time())
        self._write_status()

    @property
    def status(self) -> Status:
        """The status as it stands here."""
        return self._status

    def ask_to_stop(self) -> None:
        """Finish the step, save and end: from SIGTERM or a `stop` request. Safe in a signal handler."""
        self._stop_asked.set()

    @property
    def stop_asked(self) -> bool:
        """Whether the run shall end after this step."""
        return self._stop_asked.is_set()

    def take_requests(self) -> frozenset[str]:
        """Requests dropped by watchers since the last call."""
        pending = self.run.pending()
        for name in pending:
            self.run.take(name)
        if "stop" in pending:
            self.ask_to_stop()
        return pending

    def _beat(self) -> None:
        next_sample = 0.0
        with Sampler() as sampler:
            while not self._closing.wait(HEARTBEAT_SECONDS):
                # A stop is noticed here too: loading and tokenising have no steps.
                if "stop" in self.run.pending():
                    self.ask_to_stop()
                now = time.monotonic()
                if now >= next_sample:
                    next_sample = now + TELEMETRY_SECONDS
                    self._sample(sampler)
                self._write_status()

    def _sample(self, sampler: Sampler) -> None:
        try:
            self.event("memory", **self.device_memory(), **sampler.sample().as_event())
        except Exception:
            # Telemetry is not worth the heartbeat: without it a live run looks dead.
            if not self._telemetry_failed:
                log.exception("no telemetry")
            self._telemetry_failed = True

    def _write_status(self) -> None:
        # Not under the lock that a step takes to change the status: this may wait for a slow disk.
        with self._write_lock:
            status = self._status
            if self.stop_asked and status.state in ("starting", "running"):
                status = replace(status, state="stopping")
            # The directory may be full or even gone; training is worth more than its status.
            with contextlib.suppress(OSError):
                write_status(self.run, replace(status, heartbeat=time.time()))
