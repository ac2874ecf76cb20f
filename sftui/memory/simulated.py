"""Asks the simulation, in a process of its own, what a step takes; answers are kept on disk.

Nothing here imports torch: `sftui.training.simulation` does, in the child.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from sftui.data.cache import cache_directory, mark_used, prune, unfinished
from sftui.errors import InputError
from sftui.machine import installed_version
from sftui.memory.config_file import config_file, read_config
from sftui.memory.estimate import COMPONENTS, MOMENTS, Breakdown, Estimate, Moment, Parameters, estimate_from
from sftui.memory.stored import require_as_stored
from sftui.recipe import Recipe

SIMULATED = "simulated"  # the sub-folder of the cache

_LARGEST_CACHE = 16_000_000  # bytes; an answer has about 2,000
_LONGEST = 300.0  # seconds; a process that takes longer is ended
_LOOK = 0.05  # seconds between two looks at whether it is done or given up
_LIBRARIES = ("torch", "transformers", "peft", "bitsandbytes", "accelerate")
# What an answer follows from, beside the libraries: all that decides what the trainer allocates.
_SOURCES = ("training", "training/simulation", "memory")


class CancelledError(Exception):
    """The answer is not wanted any more."""


def document(estimate: Estimate) -> dict[str, Any]:
    """An estimate as JSON: bytes by moment and component."""
    return {
        "peak_bytes": estimate.peak_bytes,
        "peak_moment": estimate.peak_moment,
        "components": dict(estimate.components),
        "moments": {moment: dict(parts) for moment, parts in estimate.moments.items()},
        "parameters": {
            "total": estimate.parameters.total,
            "trainable": estimate.parameters.trainable,
            "kinds": dict(estimate.parameters.kinds),
        },
    }


def read_document(value: Any) -> Estimate:
    """The estimate of such a document. Raises InputError for an error, ValueError for anything else."""
    if isinstance(value, Mapping) and isinstance(value.get("error"), str):
        raise InputError(value["error"])
    try:
        moments: dict[Moment, Breakdown] = {
            moment: {name: int(value["moments"][moment][name]) for name in COMPONENTS}
            for moment in MOMENTS
            if moment in value["moments"]
        }
        counts = value["parameters"]
        kinds = {str(kind): int(count) for kind, count in counts["kinds"].items()}
        return estimate_from(moments, Parameters(int(counts["total"]), int(counts["trainable"]), kinds))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError("no estimate") from error


def cached(recipe: Recipe, step: Mapping[str, Any] | None = None) -> Estimate | None:
    """The answer to a question that was asked before, or None. Raises InputError where there is no model."""
    entry = _entry(recipe, step or {})
    try:
        found = read_document(json.loads(entry.read_bytes()))
    except (OSError, ValueError):
        return None
    mark_used(entry)
    return found


def simulated(
    recipe: Recipe,
    step: Mapping[str, Any] | None = None,
    *,
    cancelled: Callable[[], bool] = lambda: False,
) -> Estimate:
    """What the simulation says of this recipe's step, `step` being fields of `StepSpec` to change.

    Takes seconds unless it was asked before: for a thread. Raises InputError where the model or the step
    cannot be simulated, CancelledError as soon as `cancelled` is true; the process is ended then.
    """
    found = cached(recipe, step)
    if found is not None:
        return found
    section = recipe.model
    config = read_config(config_file(section.name_or_path, section.revision))
    require_as_stored(config, section)  # before seconds of imports
    request = {"recipe": recipe.model_dump(mode="json"), "step": dict(step or {})}
    said, ended = _ask(json.dumps(request), cancelled)
    if ended < 0:
        raise InputError(
            f"the simulation was killed (signal {-ended})",
            hint="this machine may be out of memory" if -ended == signal.SIGKILL else None,
        )
    try:
        answer = json.loads(said)
        found = read_document(answer)
    except ValueError as error:
        raise InputError("the simulation ended without an answer", hint="is torch installed here?") from error
    _keep(_entry(recipe, step or {}), answer)
    return found


def _ask(request: str, cancelled: Callable[[], bool]) -> tuple[bytes, int]:
    """What the process says, and its exit code."""
    command = [sys.executable, "-m", "sftui.training.simulation"]
    # One thread: nothing is computed. No GPU: nothing runs on one, and it may be full.
    environment = os.environ | {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
    )
    started = time.monotonic()
    left: bytes | None = request.encode()
    try:
        while True:
            if cancelled():
                raise CancelledError
            if time.monotonic() - started > _LONGEST:
                raise InputError(f"the simulation took more than {_LONGEST:.0f} s and was ended")
            try:
                said = process.communicate(left, timeout=_LOOK)[0]
                return said, process.returncode
            except subprocess.TimeoutExpired:
                left = None
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def _keep(entry: Path, answer: Mapping[str, Any]) -> None:
    part: Path | None = None
    try:
        part = unfinished(entry)
        part.write_text(json.dumps(answer), encoding="utf-8")
        part.replace(entry)
    except OSError:  # a full disk, a read-only home: it is asked again next time
        if part is not None:
            with suppress(OSError):
                part.unlink(missing_ok=True)
        return
    prune(_LARGEST_CACHE, SIMULATED, keep=(entry,))


def _entry(recipe: Recipe, step: Mapping[str, Any]) -> Path:
    """Where the answer is kept: under all that it follows from."""
    section = recipe.model
    config = config_file(section.name_or_path, section.revision).read_bytes()
    data = recipe.data
    asked = {
        "model": section.model_dump(exclude={"name_or_path", "revision"}),
        "adapter": recipe.adapter and recipe.adapter.model_dump(),
        "training": recipe.training.model_dump(),
        "data": [
            data.max_length,
            data.packing,
            bool(data.eval or data.eval_fraction),
            [s.weight for s in data.train],
        ],
        "own_code": _own_code(recipe),
        "step": dict(step),
        "versions": [installed_version(name) for name in _LIBRARIES],
        "code": _code(),
    }
    text = json.dumps(asked, sort_keys=True, default=str).encode()
    return cache_directory() / SIMULATED / f"{hashlib.sha256(config + text).hexdigest()[:32]}.json"


def _own_code(recipe: Recipe) -> list[object] | None:
    """The model's name, and sizes and times (ns) of its own Python files; None where none are run."""
    section = recipe.model
    if not section.trust_remote_code:
        return None
    folder = config_file(section.name_or_path, section.revision).parent
    found = [(file.name, file.stat()) for file in sorted(folder.glob("*.py"))]
    files = [(name, stat.st_size, stat.st_mtime_ns) for name, stat in found]
    return [section.name_or_path, section.revision, *files]


@cache
def _code() -> str:
    """A digest of our own sources that decide about an answer."""
    home = Path(__file__).parent.parent
    digest = hashlib.sha256()
    for folder in _SOURCES:
        for file in sorted((home / folder).glob("*.py")):
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()
