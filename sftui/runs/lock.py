"""Liveness: a trainer holds the lock on its run's `lock` file for as long as it lives.

The kernel drops the lock when the process ends, however it ends, so no stale pid is ever believed.
The launcher takes the lock and hands the open file to the trainer: from the first moment to the last
there is no gap in which a live run looks dead.
"""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path


def acquire(path: Path, patience: float = 1.0) -> int | None:
    """Take the lock; returns the open file descriptor that holds it, or None if another process does.

    A watcher that looks whether the lock is free holds a shared one for some microseconds, hence
    the patience (seconds).
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                return None
            time.sleep(0.02)
        except OSError:
            os.close(descriptor)
            raise


def is_held(path: Path) -> bool:
    """Whether a process holds the lock."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return False
