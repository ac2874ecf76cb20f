"""Run directories as a trainer leaves them, and the workbench on them."""

from __future__ import annotations

import asyncio
import gc
import math
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sftui.memory.device import Device
from sftui.recipe_file import dump_recipe, parse_recipe
from sftui.runs import lock
from sftui.runs.directory import RunDirectory
from sftui.runs.events import EventWriter
from sftui.runs.status import Failure, Status, write_status
from sftui.screens.app import GARBAGE

RECIPE = "model: {name_or_path: owner/tiny-model}\ndata: {train: rows.jsonl}\n"
GPU = {
    "index": 0,
    "name": "NVIDIA H200",
    "visible": True,
    "total_bytes": 140 * 2**30,
    "used_bytes": 13 * 2**30,
    "utilization_percent": 97,
    "power_watts": 612.0,
    "temperature_celsius": 61,
}

MakeRun = Callable[..., RunDirectory]


class Runs:
    """Makes runs in a folder; those that are alive hold their lock until the test ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.locks: dict[str, int] = {}

    def make(
        self,
        name: str,
        state: str = "running",
        steps: int = 120,
        error: Failure | None = None,
        gpu: bool = False,
        held_out: int = 2,
    ) -> RunDirectory:
        run = RunDirectory(self.folder / name)
        run.path.mkdir(parents=True)
        run.requests.mkdir()
        run.checkpoints.mkdir()
        run.recipe_file.write_text(dump_recipe(parse_recipe(RECIPE)))
        run.log_file.write_text("".join(f"05:00:{n % 60:02d} line {n}\n" for n in range(40)))
        writer = EventWriter(run.events_file)
        writer.write("start", eval_sequences=held_out, sample_rows=held_out)
        for step in range(1, steps + 1):
            self.step(writer, step)
        if steps:
            writer.write("eval", step=steps, loss=0.655, tokens=1000, seconds=1.0)
        writer.write(
            "memory",
            cpu_percent=112.0,
            rss_bytes=3 * 2**30,
            ram_used_bytes=9 * 2**30,
            ram_total_bytes=64 * 2**30,
            gpus=[GPU] if gpu else [],
            **(
                {"allocated_bytes": 10 * 2**30, "reserved_bytes": 12 * 2**30, "peak_bytes": 11 * 2**30}
                if gpu
                else {}
            ),
        )
        writer.close()
        now = time.time()
        write_status(
            run,
            Status(
                state=state if state != "lost" else "running",  # type: ignore[arg-type]
                step=steps,
                max_steps=200,
                epoch=0.6,
                num_train_epochs=1,
                loss=0.61,
                eval_loss=0.655,
                tokens=steps * 1000,
                pid=1,
                host=socket.gethostname(),
                started=now - 60,
                heartbeat=now,
                ended=None if state in ("running", "starting", "stopping", "lost") else now,
                error=error,
            ),
        )
        if state in ("running", "starting", "stopping"):
            held = lock.acquire(run.lock_file)
            assert held is not None
            self.locks[name] = held
        return run

    def step(self, writer: EventWriter, step: int, loss: float | None = None) -> None:
        writer.write(
            "step",
            time=time.time() - 60 + step / 4,
            step=step,
            epoch=step / 200,
            loss=0.6 + math.exp(-step / 30) if loss is None else loss,
            learning_rate=2e-4,
            grad_norm=0.8,
            tokens=step * 1000,
            trained_tokens=step * 500,
            tokens_per_second=12_340.0,
            seconds=0.5,
        )


IDLE = 0.001  # seconds of work in a wait that count as none


async def screen_is_idle(min_sleep: float = 0.0, max_sleep: float = 1.0) -> None:
    """Until the event loop has little to do: two of these are longer than a frame, and follow each key."""
    end = time.monotonic() + max_sleep
    while time.monotonic() < end:
        worked = time.thread_time()
        await asyncio.sleep(0.01)
        if time.thread_time() - worked < IDLE:
            return


@pytest.fixture(scope="session", autouse=True)
def keys_wait_for_the_screen_alone() -> Iterator[None]:
    """Keys of a Pilot wait for the event loop: by itself Textual waits for threads too, 2 s a key."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("textual.app.wait_for_idle", screen_is_idle)
        patch.setattr("textual._wait.process_time", time.thread_time)
        yield


@pytest.fixture(scope="package", autouse=True)
def garbage_is_looked_for_as_in_a_terminal() -> Iterator[None]:
    """A Pilot is headless, where the workbench leaves Python's own thresholds: a quarter of a start."""
    before = gc.get_threshold()
    gc.set_threshold(*GARBAGE)
    gc.freeze()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the runs of a workbench lie, and its recipe."""
    return tmp_path / "runs"


@pytest.fixture
def nothing_measured(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What runs took is kept here, whatever the machine on which the tests run has seen."""
    monkeypatch.setenv("SFTUI_STATE", str(tmp_path / "state"))


@pytest.fixture
def no_gpu_here(monkeypatch: pytest.MonkeyPatch, nothing_measured: None) -> None:
    """A machine without a GPU."""
    _is_here(monkeypatch)


@pytest.fixture
def rtx_4090_here(monkeypatch: pytest.MonkeyPatch, nothing_measured: None) -> None:
    """A GPU of 24 GiB that nobody else uses."""
    from .memory_screen_fixtures import GPU

    _is_here(monkeypatch, GPU)


@pytest.fixture
def h200_here(monkeypatch: pytest.MonkeyPatch, nothing_measured: None) -> None:
    """A GPU of which others hold some."""
    from .memory_screen_fixtures import HERE

    _is_here(monkeypatch, HERE)


def _is_here(monkeypatch: pytest.MonkeyPatch, *devices: Device) -> None:
    from .memory_screen_fixtures import machine

    monkeypatch.setattr("sftui.devices.look", lambda folder: machine(*devices))


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")
