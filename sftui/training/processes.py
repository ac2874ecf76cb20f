"""Several processes for one run (data parallel): the first starts the others and outlives none of them."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import IO

from sftui.runs.directory import RunDirectory
from sftui.runs.status import Failure

FAILURE_VARIABLE = "SFTUI_FAILURE_FD"
PR_SET_PDEATHSIG = 1


def rank() -> int:
    """Which of the run's processes this is; 0 is the one that writes."""
    return int(os.environ.get("RANK", "0"))


def one_gpu_only() -> None:
    """Let a single process see a single GPU, before CUDA starts: with several the stock trainer would
    split each batch over all of them in threads (nn.DataParallel), slowly and against the recipe.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[0] if visible is not None else "0"


def spawn(run: RunDirectory, count: int, lost: Callable[[Failure], None]) -> list[subprocess.Popen[bytes]]:
    """Start ranks 1 to `count` - 1 and make this process rank 0.

    `lost` is called from a thread, once, when one of them ends with an error.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count)}
    shared["LOCAL_WORLD_SIZE"] = str(count)
    os.environ.update(shared, RANK="0", LOCAL_RANK="0")
    # Each would otherwise use all cores for its own threads.
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // count)))
    children = []
    for number in range(1, count):
        reading, writing = os.pipe()
        environment = {
            **os.environ,
            "RANK": str(number),
            "LOCAL_RANK": str(number),
            FAILURE_VARIABLE: str(writing),
        }
        child = subprocess.Popen(
            [sys.executable, "-P", "-m", "sftui.training", str(run.path)],
            stdin=subprocess.DEVNULL,
            env=environment,
            pass_fds=(writing,),
            preexec_fn=_die_with_parent,
        )
        os.close(writing)
        children.append(child)
        arguments = (number, child, os.fdopen(reading, "rb"), lost)
        threading.Thread(target=_watch, args=arguments, name=f"rank-{number}", daemon=True).start()
    return children


def report_failure(failure: Failure) -> None:
    """Tell rank 0 why this rank ends."""
    with os.fdopen(int(os.environ[FAILURE_VARIABLE]), "wb") as pipe:
        pipe.write(json.dumps(asdict(failure)).encode())


def _die_with_parent() -> None:
    """Linux: a rank must not go on alone when the first one is killed."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _watch(
    number: int, child: subprocess.Popen[bytes], pipe: IO[bytes], lost: Callable[[Failure], None]
) -> None:
    with pipe:
        said = pipe.read()
    code = child.wait()
    if code == 0 and not said:
        return
    try:
        failure = Failure(**json.loads(said))
    except (ValueError, TypeError):
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        failure = Failure("process", f"process {number} ended unexpectedly ({how})", "see trainer.log")
    lost(failure)
