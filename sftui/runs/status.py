"""A run's state in one small file, replaced as a whole."""

from __future__ import annotations

import json
import os
import socket
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from sftui.runs import lock
from sftui.runs.directory import RunDirectory
from sftui.runs.events import finite

State = Literal["starting", "running", "stopping", "finished", "stopped", "failed", "lost"]
STATES: tuple[State, ...] = get_args(State)
ENDED: frozenset[State] = frozenset(("finished", "stopped", "failed"))

# How old the last heartbeat may be of a run that is alive on another machine. Ours is every second; the
# rest is for file systems that hand a new status on late, and for clocks that differ.
HEARTBEAT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a run failed: `kind` for programs, `cause` and what to do about it for people."""

    kind: str
    cause: str
    advice: str

    @property
    def resumable(self) -> bool:
        """Whether the same recipe may get further when the run is resumed."""
        return self.kind not in ("nan", "memory")


@dataclass(frozen=True, slots=True)
class Status:
    """Where a run stands. Times are seconds since the epoch; `loss` is that of the last step."""

    state: State = "starting"
    detail: str = ""
    step: int = 0
    max_steps: int = 0
    epoch: float = 0.0
    num_train_epochs: float = 0.0
    loss: float | None = None
    eval_loss: float | None = None
    tokens: int = 0
    pid: int | None = None
    host: str = ""
    started: float = 0.0
    heartbeat: float = 0.0
    ended: float | None = None
    error: Failure | None = None

    @property
    def alive(self) -> bool:
        """Whether the run has neither ended nor been lost."""
        return self.state not in ENDED and self.state != "lost"

    @property
    def elsewhere(self) -> str:
        """The name of the machine of the trainer, if it is not this one."""
        return self.host if self.host != socket.gethostname() else ""

    @property
    def said(self) -> str:
        """The state with the other machine, if it is there: `running on node7`."""
        return f"{self.state} on {self.elsewhere}" if self.elsewhere else self.state

    def seconds(self, now: float) -> float:
        """How long the process has run (the last one, where the run was resumed), in seconds."""
        if not self.started:
            return 0.0
        end = self.ended or (now if self.alive else self.heartbeat)
        return max(0.0, end - self.started)


# What a value in the file may be; one that is anything else is passed over. `error` is read by itself.
KINDS: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(("state", "detail", "host"), (str,)),
    **dict.fromkeys(("step", "max_steps", "tokens", "pid"), (int,)),
    **dict.fromkeys(("epoch", "num_train_epochs", "loss", "eval_loss"), (int, float)),
    **dict.fromkeys(("started", "heartbeat", "ended"), (int, float)),
}


def write_status(run: RunDirectory, status: Status) -> None:
    """Replace the status file. On a full disk it is overwritten in place, which needs no new block.

    Floats that JSON has no word for become null.
    """
    text = json.dumps(finite(asdict(status)), allow_nan=False, default=str)
    data = text.encode().ljust(1024) + b"\n"
    temporary = run.status_file.with_suffix(".tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(run.status_file)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        try:
            descriptor = os.open(run.status_file, os.O_WRONLY)
        except FileNotFoundError:
            raise error from None
        try:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
        finally:
            os.close(descriptor)


def read_status(run: RunDirectory) -> Status | None:
    """The status with *lost* derived from the lock; None if this is no run.

    A run whose status cannot be read is running or lost, with a detail that says so.
    """
    # A second look: on a full disk the file is overwritten in place, and the first may have met that.
    stored = _parse(run.status_file) or _parse(run.status_file)
    if stored is None:
        return _without_status(run)
    if stored.alive and not lock.is_held(run.lock_file):
        # The trainer may have written its last word between the two looks.
        stored = _parse(run.status_file) or stored
        if stored.alive and not _heard_of(stored):
            return replace(stored, state="lost")
    return stored


def _heard_of(status: Status) -> bool:
    """Whether the trainer lives on another machine, where locks may not be seen from here."""
    return bool(status.elsewhere) and abs(time.time() - status.heartbeat) < HEARTBEAT_SECONDS


def _without_status(run: RunDirectory) -> Status | None:
    if not run.was_launched:
        return None
    file = run.status_file
    detail = f"{file.name} is {'damaged' if file.exists() else 'missing'}"
    return Status(state="running" if lock.is_held(run.lock_file) else "lost", detail=detail)


def _parse(path: Path) -> Status | None:
    try:
        raw: Any = finite(json.loads(path.read_bytes()))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(raw, dict) or raw.get("state") not in STATES:
        return None
    values = {key: value for key, value in raw.items() if key in KINDS and type(value) in KINDS[key]}
    error = raw.get("error")
    if isinstance(error, dict):
        values["error"] = Failure(*(str(error.get(name, "")) for name in ("kind", "cause", "advice")))
    return Status(**values)
