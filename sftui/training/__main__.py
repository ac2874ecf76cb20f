"""The trainer process: `python -m sftui.training RUN_DIRECTORY`. Started by `sftui.runs.launch`."""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import traceback
import warnings
from pathlib import Path

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.recipe_file import load_recipe
from sftui.runs import lock
from sftui.runs.directory import RunDirectory
from sftui.runs.launch import LOCK_VARIABLE
from sftui.runs.status import Failure, State
from sftui.training import processes
from sftui.training.failure import explain
from sftui.training.journal import Journal

log = logging.getLogger("sftui")


def main() -> int:
    """Run the trainer in the directory given as the only argument; 0 finished or stopped, 1 failed."""
    run = RunDirectory(Path(sys.argv[1]).absolute())
    _prepare_environment()
    _set_up_log()
    if processes.rank() > 0:
        return _follow(run)
    if not _hold_lock(run):
        log.error("another trainer is alive in %s", run.path)
        return 1
    try:
        recipe: Recipe | InputError = load_recipe(run.recipe_file)
    except InputError as error:
        recipe = error
    # Before the journal: its telemetry asks which GPUs can be seen.
    if isinstance(recipe, Recipe) and recipe.training.num_processes == 1:
        processes.one_gpu_only()
    with Journal(run) as journal:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: journal.ask_to_stop())
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        return _lead(run, recipe, journal)


def _lead(run: RunDirectory, read: Recipe | InputError, journal: Journal) -> int:
    """The first process: it writes everything, and ends the run however it ends."""
    started = time.monotonic()
    recipe = read if isinstance(read, Recipe) else None
    try:
        if isinstance(read, InputError):
            raise read
        if read.training.num_processes > 1:
            processes.spawn(run, read.training.num_processes, lambda failure: _give_up(journal, failure))
        journal.phase("importing torch")
        from sftui.training.session import train

        stopped = train(run, read, journal)
    except BaseException as error:
        failure = explain(error, recipe, _phase(journal))
        log.error("failed: %s; %s", failure.cause, failure.advice)
        traceback.print_exc()
        journal.end("failed", failure)
        return 1
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    state: State = "stopped" if stopped else "finished"
    log.info("%s after step %d, %d min %d s", state, journal.status.step, minutes, seconds)
    journal.end(state)
    return 0


def _follow(run: RunDirectory) -> int:
    """Another process of the same run: it computes and tells the first one if it fails."""
    recipe = load_recipe(run.recipe_file)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        from sftui.training.session import train

        train(run, recipe, None)
    except BaseException as error:
        traceback.print_exc()
        processes.report_failure(explain(error, recipe, f"process {processes.rank()}"))
        return 1
    return 0


def _give_up(journal: Journal, failure: Failure) -> None:
    """Another process has failed: this one would wait for it forever inside a collective operation."""
    log.error("failed: %s; %s", failure.cause, failure.advice)
    journal.end("failed", failure)
    os.killpg(os.getpgid(0), signal.SIGKILL)


def _phase(journal: Journal) -> str:
    status = journal.status
    step = min(status.step + 1, status.max_steps)
    return status.detail or (f"at step {step:,}" if step else "starting")


def _hold_lock(run: RunDirectory) -> bool:
    """Keep the lock that the launcher handed over, or take it where started by hand."""
    handed = os.environ.pop(LOCK_VARIABLE, None)
    descriptor = int(handed) if handed else lock.acquire(run.lock_file)
    if descriptor is None:
        return False
    os.set_inheritable(descriptor, False)
    # A forked data worker that outlives a killed trainer must not keep it looking alive.
    held = [descriptor]
    os.register_at_fork(after_in_child=lambda: os.close(held.pop()) if held else None)
    return True


def _prepare_environment() -> None:
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    # Fragmentation costs up to a quarter of the memory otherwise; see PyTorch's notes on CUDA memory.
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")
    # CUDA counts GPUs as NVML and nvidia-smi do, so that telemetry names the right one.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    # Threads that spin while they wait take the cores from those they wait for as soon as anything else
    # runs on the machine: measured, steps of a small model on two busy cores are ten times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def _set_up_log() -> None:
    logging.basicConfig(
        stream=sys.stdout, level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S"
    )
    for noisy in ("httpx", "accelerate", "filelock", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It says on every start that optional kernels are not installed.
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    logging.captureWarnings(True)
    # Libraries telling each other about names to come: nothing that a person training a model can mend.
    warnings.simplefilter("ignore", FutureWarning)
    warnings.simplefilter("ignore", DeprecationWarning)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "warning")


if __name__ == "__main__":
    sys.exit(main())
