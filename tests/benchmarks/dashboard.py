"""What the live dashboard costs at 1 Hz on a run of 100,000 steps, against an idle Textual app.

    python tests/benchmarks/dashboard.py [STEPS] [SECONDS]

A writer appends ten steps a second to the run that the workbench shows in a pseudo-terminal of
120 x 40; after it has read the whole run, its CPU time is taken over SECONDS (default 30), as is that
of a Textual app that shows a clock once a second. Prints per cent of one core. Budget: 2%.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from pathlib import Path

import psutil

from sftui.recipe_file import dump_recipe, parse_recipe
from sftui.runs import lock
from sftui.runs.directory import RunDirectory
from sftui.runs.events import EventWriter
from sftui.runs.status import Status, write_status

CLOCK = """
import time
from textual.app import App
from textual.widgets import Digits
class Clock(App):
    def compose(self):
        yield Digits("")
    def on_mount(self):
        self.set_interval(1, lambda: self.query_one(Digits).update(time.strftime("%H:%M:%S")))
Clock().run()
"""


def write_step(writer: EventWriter, step: int) -> None:
    """One step as the trainer writes it."""
    writer.write(
        "step",
        step=step,
        epoch=step / 100_000,
        seconds=0.5,
        tokens_per_second=12_345.678,
        loss=0.5 + 2 / (1 + step / 500) + (step * 7919 % 1000) / 5000,
        learning_rate=2e-4,
        grad_norm=0.8 + (step * 104729 % 1000) / 2000,
        tokens=step * 4000,
        trained_tokens=step * 2000,
    )


def start(command: list[str]) -> subprocess.Popen[bytes]:
    """`command` on a terminal of its own whose output is read and thrown away."""
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    child = subprocess.Popen(
        command,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        env={**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
    )
    os.close(follower)

    def drain() -> None:
        try:
            while os.read(leader, 65_536):
                pass
        except OSError:
            return

    threading.Thread(target=drain, daemon=True).start()
    return child


def cpu_seconds(child: subprocess.Popen[bytes]) -> float:
    """User and system time of the process so far."""
    times = psutil.Process(child.pid).cpu_times()
    return float(times.user + times.system)


def main() -> None:
    """Write a long run, watch it grow, and compare."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    with tempfile.TemporaryDirectory() as folder:
        run = RunDirectory(Path(folder) / "2026-01-01_000000-long")
        run.path.mkdir()
        run.requests.mkdir()
        recipe = parse_recipe("model: {name_or_path: owner/name}\ndata: {train: rows.jsonl}\n")
        run.recipe_file.write_text(dump_recipe(recipe))
        writer = EventWriter(run.events_file)
        for step in range(1, steps + 1):
            write_step(writer, step)
        held = lock.acquire(run.lock_file)
        status = Status(state="running", step=steps, max_steps=2 * steps, started=time.time())

        ours = start([sys.executable, "-m", "sftui", "attach", str(run.path)])
        bare = start([sys.executable, "-c", CLOCK])
        settled = time.monotonic() + 15
        began: tuple[float, float, float] | None = None
        while True:
            now = time.monotonic()
            if began is None and now >= settled:
                began = (now, cpu_seconds(ours), cpu_seconds(bare))
                opening = began[1]
            if began is not None and now - began[0] >= seconds:
                break
            steps += 1
            write_step(writer, steps)
            write_status(run, Status(**{**_plain(status), "step": steps, "heartbeat": time.time()}))
            time.sleep(0.1)
        elapsed = time.monotonic() - began[0]
        used = (cpu_seconds(ours) - began[1]) / elapsed
        idle = (cpu_seconds(bare) - began[2]) / elapsed
        ours.kill()
        bare.kill()
        assert held is not None
        os.close(held)
    print(f"opening the run    {opening:6.2f} s of CPU, start included")
    print(f"dashboard at 1 Hz  {used:6.2%} of a core")
    print(f"a clock at 1 Hz    {idle:6.2%} of a core")
    print(f"ratio              {used / idle:6.2f}")


def _plain(status: Status) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(status)


if __name__ == "__main__":
    main()
