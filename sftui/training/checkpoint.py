"""Checkpoints that are complete or not there: written beside, flushed to disk, renamed."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import torch

from sftui.runs.directory import RunDirectory

STAGING = ".partial"


def staging(run: RunDirectory) -> Path:
    """The folder in which a checkpoint or result is written before it is moved to its name."""
    return run.checkpoints / STAGING


def clear_staging(run: RunDirectory) -> None:
    """Remove what an interrupted save has left."""
    shutil.rmtree(staging(run), ignore_errors=True)


def publish(written: Path, target: Path) -> int:
    """Flush all files of `written` to disk and move it to `target`; returns its size in bytes.

    `target` then holds all of it or, after a crash, what it held before.
    """
    total = 0
    for folder, _, names in os.walk(written):
        for name in names:
            with Path(folder, name).open("rb") as file:
                os.fsync(file.fileno())
                total += os.fstat(file.fileno()).st_size
        _sync_folder(Path(folder))
    replaced = written.with_name(f"{target.name}.replaced")
    if target.exists():
        target.rename(replaced)
    written.rename(target)
    _sync_folder(target.parent)
    shutil.rmtree(replaced, ignore_errors=True)
    return total


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def keep_newest(run: RunDirectory, limit: int) -> None:
    """Remove all but the newest `limit` checkpoints."""
    for step in run.checkpoint_steps()[:-limit]:
        # Renamed first: a removal cut short must not leave a checkpoint with files missing.
        doomed = staging(run) / f"removed-{step}"
        doomed.parent.mkdir(exist_ok=True)
        run.checkpoint(step).rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def checkpoint_bytes(model: Any, optimizer: Any) -> int:
    """Bytes that a checkpoint of the trained weights and the optimizer's state takes, about."""
    total = sum(p.numel() * p.element_size() for p in model.parameters() if p.requires_grad)
    for state in optimizer.state.values() if optimizer is not None else ():
        values = state.values() if isinstance(state, dict) else ()
        total += sum(v.numel() * v.element_size() for v in values if isinstance(v, torch.Tensor))
    return int(total) + (1 << 16)


def require_space(folder: Path, needed: int) -> None:
    """Raise `OSError` (ENOSPC) where fewer than `needed` bytes are free, before anything is written."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        text = f"{needed / 2**20:,.1f} MiB needed, {free / 2**20:,.1f} MiB free"
        raise OSError(errno.ENOSPC, f"No space left on device: {text}", str(folder))
