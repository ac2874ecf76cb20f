"""Starting, resuming, stopping and killing the trainer process of a run."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from sftui.errors import InputError
from sftui.runs import lock
from sftui.runs.directory import RunDirectory, create_run
from sftui.runs.status import Status, read_status, write_status

if TYPE_CHECKING:
    from sftui.recipe import Recipe

# Names the file descriptor of the run's lock that the trainer inherits.
LOCK_VARIABLE = "SFTUI_LOCK_FD"

# How long a trainer may take to be gone after its last word: it unloads libraries and frees a GPU.
LAST_MOMENT_SECONDS = 15.0

RANK_VARIABLES = frozenset(
    ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
)

# Trainers that this process has started: kept so that they are reaped when they end.
_children: list[subprocess.Popen[bytes]] = []


def start(recipe: Recipe, command: list[str]) -> RunDirectory:
    """Make a run directory for the recipe and launch its trainer, detached; returns at once.

    The trainer has a session of its own and no terminal: it outlives this process, the shell and
    the connection. Raises `InputError` if the directory cannot be made.
    """
    from sftui import machine
    from sftui.recipe_file import dump_recipe

    try:
        run = create_run(Path(recipe.output_dir), recipe)
        run.recipe_file.write_text(dump_recipe(recipe, f"the recipe of run {run.id}"), encoding="utf-8")
        environment = json.dumps(machine.environment(command), indent=2)
        run.environment_file.write_text(environment + "\n", encoding="utf-8")
    except OSError as error:
        problem = f"no run can be made there: {error.strerror or error}"
        raise InputError(problem, file=recipe.output_dir, key="output_dir") from None
    launch(run)
    return run


def resume(run: RunDirectory) -> Status:
    """Launch the trainer of an ended or lost run again; it goes on after its last checkpoint.

    Returns the status that the run had. Raises `InputError` if it is alive or finished.
    """
    status = read_status(run)
    if status is None:
        raise InputError("is not a run: it has no status.json", file=run.path)
    if status.state == "finished":
        raise InputError("has finished: there is nothing left to train", file=run.id)
    if status.alive:
        raise InputError(f"is {status.said}: nothing to resume", file=run.id)
    launch(run)
    return status


def launch(run: RunDirectory) -> None:
    """Spawn the trainer, handing it the lock of the run. Raises `InputError` if that cannot be done."""
    try:
        _spawn(RunDirectory(run.path.absolute()))
    except OSError as error:
        problem = f"its trainer cannot be started: {error.strerror or error}"
        raise InputError(problem, file=run.path) from None


def _take_lock(run: RunDirectory) -> int:
    """The lock of a run; a trainer that has said its last word takes a moment to be gone."""
    deadline = time.monotonic() + LAST_MOMENT_SECONDS
    while (descriptor := lock.acquire(run.lock_file)) is None:
        status = read_status(run)
        if status is None or status.alive or time.monotonic() >= deadline:
            raise InputError("a trainer is alive in it already", file=run.id)
    return descriptor


def _spawn(run: RunDirectory) -> None:
    descriptor = _take_lock(run)
    try:
        for name in run.pending():
            run.take(name)
        now = time.time()
        last = read_status(run) or Status()
        write_status(
            run,
            Status(
                detail="starting the trainer",
                step=last.step,
                max_steps=last.max_steps,
                host=socket.gethostname(),
                started=now,
                heartbeat=now,
            ),
        )
        with run.log_file.open("ab") as log:
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "sftui.training", str(run.path)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=run.path,
                env=_environment(descriptor),
                pass_fds=(descriptor,),
                start_new_session=True,
            )
    finally:
        # The lock belongs to the open file, which the child has as well: it stays locked.
        os.close(descriptor)
    _children[:] = [other for other in _children if other.poll() is None]
    _children.append(child)


def reap() -> None:
    """Collect trainers started by this process that have ended."""
    _children[:] = [child for child in _children if child.poll() is None]


def stop(run: RunDirectory) -> None:
    """Ask the trainer to finish its step, save and end. Raises `InputError` if none is alive."""
    ask(run, "stop")


def _environment(descriptor: int) -> dict[str, str]:
    """Ours, without what a surrounding torchrun or batch system says of its own processes."""
    kept = {name: value for name, value in os.environ.items() if name not in RANK_VARIABLES}
    return {**kept, LOCK_VARIABLE: str(descriptor)}


def ask(run: RunDirectory, request: str) -> None:
    """Drop a request for the trainer (see `directory.REQUESTS`). Raises `InputError` if none is alive."""
    status = read_status(run)
    if status is None or not status.alive:
        raise InputError(f"is not running: {status.state if status else 'no status'}", file=run.id)
    try:
        run.request(request)
    except OSError as error:
        raise InputError(f"cannot be asked to {request}: {error.strerror}", file=run.requests) from None


def kill(run: RunDirectory) -> bool:
    """End the trainer at once, without saving; False if it is not alive on this machine."""
    status = read_status(run)
    if status is None or not status.alive or status.host != socket.gethostname():
        return False
    if status.pid is None or status.pid <= 1:  # 0 and 1 mean other groups than a trainer's
        return False
    try:
        # The trainer leads its own session: the group takes its data workers and other ranks along.
        os.killpg(status.pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    except PermissionError:
        raise InputError("cannot be killed: it is another user's", file=run.id) from None
    return True
