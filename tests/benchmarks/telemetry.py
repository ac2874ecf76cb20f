"""What events, status, requests and telemetry add to a training step.

    python tests/benchmarks/telemetry.py [STEPS]

Trains the demo's model in this process. The time that the training thread spends in the journal, and
the CPU time of the heartbeat thread, are set against the time of the steps. The model is tiny, its
steps are short: a worst case. Budget: 1%.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sftui import demo
from sftui.recipe_file import load_recipe
from sftui.runs.directory import create_run
from sftui.runs.events import read_events
from sftui.training.journal import Journal
from sftui.training.session import train


class Clock:
    """Adds up the seconds that the main thread spends in functions it has wrapped."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._inside = False

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function`, timed; nested calls count once."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            if self._inside or threading.current_thread() is not threading.main_thread():
                return function(*args, **kwargs)
            self._inside = True
            began = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - began
                self._inside = False

        return timed


def main() -> None:
    """Train, and print the shares."""
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    clock, beating = Clock(), [0.0]
    for name in ("event", "update", "take_requests", "phase"):
        setattr(Journal, name, clock.wrap(getattr(Journal, name)))
    beat = Journal._beat

    def timed_beat(self: Journal) -> None:
        beat(self)
        beating[0] = time.thread_time()

    Journal._beat = timed_beat  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as folder:
        recipe = load_recipe(
            demo.RECIPE,
            [
                f"training.max_steps={steps}",
                "training.save_strategy=no",
                "training.eval_strategy=no",
                "training.eval_on_start=false",
                "training.sample_rows=0",
            ],
        )
        run = create_run(Path(folder), recipe)
        began = time.perf_counter()
        with Journal(run) as journal:
            train(run, recipe, journal)
        whole = time.perf_counter() - began
        spent = sum(event["seconds"] for event in read_events(run.events_file) if event["type"] == "step")
    # The heartbeat also ran while the model was loaded: its share of the steps is their share of the time.
    heartbeat = beating[0] * spent / whole
    print(f"step               {spent / steps * 1000:8.2f} ms")
    print(f"journal, a step    {clock.seconds / steps * 1000:8.3f} ms  {clock.seconds / spent:6.2%}")
    print(f"heartbeat, a step  {heartbeat / steps * 1000:8.3f} ms  {heartbeat / spent:6.2%}")
    print(f"together           {'':8}     {(clock.seconds + heartbeat) / spent:6.2%}")


if __name__ == "__main__":
    main()
