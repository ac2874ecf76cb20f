"""The leak test, run in a process of its own: it loads the model, which takes seconds and gigabytes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

# Without the current directory on the import path: people have a folder named `datasets`.
COMMAND = [sys.executable, "-P", "-m", "sftui.training.leak_check"]
"""Takes a recipe as JSON on stdin and prints one JSON document; see `LeakState.result`."""

TICK_SECONDS = 1.0
_ERROR_LINES = 65536  # characters of what it wrote to stderr that are looked at


@dataclass(frozen=True, slots=True)
class LeakState:
    """How far the test is. `result` has passed, attention, sequences, tokens, largest_difference, tolerance,
    seconds and error, or only error where the process did not come to an answer.
    """

    state: Literal["not run", "running", "done"] = "not run"
    seconds: float = 0.0
    result: Mapping[str, Any] | None = None


class LeakCheck:
    """One test at a time. `changed` is called on the event loop whenever `state` is another."""

    def __init__(self, changed: Callable[[], None]) -> None:
        self.state = LeakState()
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._run = 0

    def drop(self) -> None:
        """Forget the result and end the test that is under way."""
        self._run += 1
        self._kill()
        self._put(LeakState())

    async def start(self, recipe_json: str) -> None:
        """Run the test on a recipe, until it is done or dropped."""
        self.drop()
        run, began = self._run, time.monotonic()
        self._put(LeakState("running"))
        work = asyncio.ensure_future(self._ask(run, recipe_json))
        try:
            while not work.done():
                await asyncio.wait([work], timeout=TICK_SECONDS)
                if run != self._run:
                    return
                if not work.done():
                    self._put(LeakState("running", time.monotonic() - began))
            self._put(LeakState("done", time.monotonic() - began, work.result()))
        finally:
            if run == self._run:
                self._kill()
            work.cancel()

    async def _ask(self, run: int, recipe_json: str) -> Mapping[str, Any]:
        try:
            process = await asyncio.create_subprocess_exec(
                *COMMAND,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            return {"error": f"the leak test cannot be started: {error}"}
        self._process = process
        if run != self._run:
            self._kill()
        out, errors = await process.communicate(recipe_json.encode())
        return _answer(out, errors, process.returncode)

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            # With whatever it has started.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

    def _put(self, state: LeakState) -> None:
        if state != self.state:
            self.state = state
            self._changed()


def _answer(out: bytes, errors: bytes, code: int | None) -> Mapping[str, Any]:
    """The document that it printed, or its last words."""
    with contextlib.suppress(ValueError):
        found = json.loads(out)
        if isinstance(found, dict) and ("passed" in found or "error" in found):
            return found
    lines = errors[-_ERROR_LINES:].decode(errors="replace").strip().splitlines()
    words = lines[-1] if lines else "it printed no result"
    return {"error": f"the leak test has failed (exit code {code}): {words}"}


def refusal_of(name: str, revision: str | None) -> str | None:
    """Why a model cannot be packed, from its config.json. For a thread."""
    from sftui.data.model_files import model_directory
    from sftui.errors import InputError
    from sftui.packing_support import refusal

    try:
        config = json.loads((model_directory(name, revision) / "config.json").read_bytes())
    except (InputError, OSError, ValueError):
        return None  # said when a run is to start
    return refusal(config) if isinstance(config, dict) else None
