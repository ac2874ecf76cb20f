"""Run directories as a trainer leaves them, and the workbench on them."""

from __future__ import annotations

import math
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sftui.recipe_file import dump_recipe, parse_recipe
from sftui.runs import lock
from sftui.runs.directory import RunDirectory
from sftui.runs.events import EventWriter
from sftui.runs.status import Failure, Status, write_status

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


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path / "runs")
