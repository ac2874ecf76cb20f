"""Runs for tests: recipes, hand-written states, and a stand-in for the trainer that needs no torch.

The stand-in is a process of its own that `sftui.runs.launch` spawns instead of `sftui.training`: it
holds the lock, keeps a journal and obeys requests as the trainer does, but a step is a short sleep.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from sftui.recipe import Recipe
from sftui.recipe_file import dump_recipe
from sftui.runs import lock
from sftui.runs.directory import RunDirectory, create_run
from sftui.runs.status import Status, read_status, write_status

ROOT = Path(__file__).parent.parent

# What the stand-in does is JSON in this variable: steps, seconds (of one), end (finished, failed, die),
# linger (seconds between the last word and the end of the process), child (start one that outlives it).
PLAN = "FAKE_TRAINER_PLAN"

TRAINER = f"""\
#!{sys.executable}
import json, os, signal, subprocess, sys, time
from pathlib import Path

from sftui.runs.directory import RunDirectory
from sftui.runs.status import Failure
from sftui.training.__main__ import _hold_lock
from sftui.training.journal import Journal

plan = json.loads(os.environ.get({PLAN!r}, "{{}}"))
run = RunDirectory(Path(sys.argv[-1]).absolute())
if not _hold_lock(run):
    sys.exit(1)
print("the trainer speaks: grüße", flush=True)
if plan.get("child"):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    run.log_file.with_name("child").write_text(str(child.pid))
with Journal(run) as journal:
    signal.signal(signal.SIGTERM, lambda *_: journal.ask_to_stop())
    steps = plan.get("steps", 3)
    first = journal.status.step + 1
    journal.event("start" if first == 1 else "resume", step=first - 1)
    journal.update(state="running", max_steps=steps)
    journal.phase("")
    state = "finished"
    for step in range(first, steps + 1):
        time.sleep(plan.get("seconds", 0.0))
        journal.event("step", step=step, loss=1 / step, learning_rate=1e-4, grad_norm=1.0,
                      tokens_per_second=1000.0)
        journal.update(step=step, loss=1 / step)
        journal.take_requests()
        if journal.stop_asked:
            state = "stopped"
            break
    if plan.get("end") == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if plan.get("end") == "failed":
        kind = plan.get("kind", "memory")
        journal.end("failed", Failure(kind, "out of memory", "try less"))
        sys.exit(1)
    if state == "finished":
        journal.event("eval", step=steps, loss=0.25)
        journal.update(eval_loss=0.25)
    run.adapter.mkdir(exist_ok=True)
    journal.end(state)
    time.sleep(plan.get("linger", 0.0))
"""


def recipe(folder: Path, **training: Any) -> Recipe:
    """A valid recipe with its runs in `folder`."""
    return Recipe.model_validate(
        {
            "model": {"name_or_path": "owner/Tiny-1B-Instruct"},
            "data": {"train": ["/data/facts.train.jsonl"]},
            "training": training,
            "output_dir": str(folder),
        }
    )


def new_run(folder: Path, status: Status | None = None, name: str | None = None) -> RunDirectory:
    """A run directory in `folder` that no trainer has ever been in."""
    run = create_run(folder, recipe(folder))
    if name is not None:
        run = RunDirectory(run.path.rename(folder / name))
    if status is not None:
        write_status(run, status)
    return run


def launched_run(folder: Path, status: bytes | None) -> RunDirectory:
    """A run whose trainer is gone and whose status.json holds these bytes; None: there is none."""
    run = create_run(folder, recipe(folder))
    run.recipe_file.write_text(dump_recipe(recipe(folder)))
    run.lock_file.touch()
    if status is not None:
        run.status_file.write_bytes(status)
    return run


def fake_interpreter(folder: Path) -> str:
    """The path of a program that takes the place of `python` when a trainer is launched."""
    program = folder / "fake-python"
    program.write_text(TRAINER)
    program.chmod(0o755)
    return str(program)


@contextmanager
def python(code: str, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """A child process that runs `code`; killed at the end at the latest. Its output can be read."""
    child = subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    try:
        yield child
    finally:
        child.kill()
        child.wait()
        for stream in (child.stdin, child.stdout):
            if stream is not None:
                stream.close()


def alive(run: RunDirectory, **values: Any) -> Status:
    """Write a running state, as a trainer does; without one that holds the lock it reads as lost."""
    status = replace(Status(state="running", host=os.uname().nodename), **values)
    write_status(run, status)
    return status


@contextmanager
def held(run: RunDirectory) -> Iterator[None]:
    """Hold the run's lock, as its trainer does."""
    descriptor = lock.acquire(run.lock_file)
    assert descriptor is not None
    try:
        yield
    finally:
        os.close(descriptor)


def wait_until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Return as soon as `condition` holds; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain"
        time.sleep(0.01)


def wait_for_state(run: RunDirectory, *states: str) -> Status:
    """Wait until the run is in one of `states`."""
    wait_until(lambda: (status := read_status(run)) is not None and status.state in states)
    status = read_status(run)
    assert status is not None
    return status


def plan(**values: Any) -> dict[str, str]:
    """The environment that tells the stand-in what to do."""
    return {PLAN: json.dumps(values)}


def end(run: RunDirectory) -> None:
    """Kill what is left of a run's trainer."""
    status = read_status(run)
    if status is not None and status.alive and status.pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(status.pid, 9)
