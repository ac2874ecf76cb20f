"""The run directory: the only place that names the files in it."""

from __future__ import annotations

import os
import re
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sftui.recipe import Recipe

REQUESTS = ("stop", "save", "evaluate", "sample")


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Where one run keeps everything: recipe, state, events, log, checkpoints, result."""

    path: Path

    @property
    def id(self) -> str:
        """The run's name: the directory's."""
        return self.path.name

    @property
    def recipe_file(self) -> Path:
        """The recipe, resolved and frozen."""
        return self.path / "recipe.yaml"

    @property
    def environment_file(self) -> Path:
        """Versions, devices, commit and command it was started with."""
        return self.path / "environment.json"

    @property
    def status_file(self) -> Path:
        """State, step, heartbeat, error; see `sftui.runs.status`."""
        return self.path / "status.json"

    @property
    def events_file(self) -> Path:
        """What happened, one JSON object a line; see `sftui.runs.events`."""
        return self.path / "events.jsonl"

    @property
    def log_file(self) -> Path:
        """The trainer's stdout and stderr."""
        return self.path / "trainer.log"

    @property
    def lock_file(self) -> Path:
        """Locked by the trainer for as long as it lives."""
        return self.path / "lock"

    @property
    def was_launched(self) -> bool:
        """Whether a trainer has been launched in it, whatever has become of its status since."""
        try:
            return self.recipe_file.is_file() and self.lock_file.is_file()
        except OSError:  # a name that no file can have
            return False

    @property
    def requests(self) -> Path:
        """Where watchers drop requests."""
        return self.path / "requests"

    @property
    def checkpoints(self) -> Path:
        """The folder of `checkpoint-N` folders, each complete."""
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        """The trained adapter in PEFT layout."""
        return self.path / "adapter"

    @property
    def model(self) -> Path:
        """The trained model where all weights were trained."""
        return self.path / "model"

    @property
    def result(self) -> Path | None:
        """The adapter or model that the run has written, if it has."""
        return next((path for path in (self.adapter, self.model) if path.is_dir()), None)

    def checkpoint_steps(self) -> list[int]:
        """Steps of the complete checkpoints, ascending."""
        found = (re.fullmatch(r"checkpoint-(\d+)", path.name) for path in _entries(self.checkpoints))
        return sorted(int(match[1]) for match in found if match)

    def checkpoint(self, step: int) -> Path:
        """The folder of the checkpoint after `step` optimizer steps."""
        return self.checkpoints / f"checkpoint-{step}"

    def last_checkpoint(self) -> Path | None:
        """The newest complete checkpoint."""
        steps = self.checkpoint_steps()
        return self.checkpoint(steps[-1]) if steps else None

    def request(self, name: str) -> None:
        """Ask the trainer for something; it looks before each step."""
        if name not in REQUESTS:
            raise ValueError(f"unknown request {name!r}")
        self.requests.mkdir(exist_ok=True)
        (self.requests / name).touch()

    def pending(self) -> frozenset[str]:
        """Requests that the trainer has not taken up."""
        return frozenset(path.name for path in _entries(self.requests) if path.name in REQUESTS)

    def take(self, name: str) -> None:
        """Mark a request as taken up."""
        (self.requests / name).unlink(missing_ok=True)

    def bytes_on_disk(self) -> int:
        """Size of all files, in bytes; files that vanish meanwhile count nothing."""
        total = 0
        for folder, _, names in os.walk(self.path):
            for name in names:
                try:
                    total += os.lstat(os.path.join(folder, name)).st_size  # noqa: PTH118
                except OSError:
                    continue
        return total

    def delete(self) -> None:
        """Remove the run and all it holds. The caller has made sure that no trainer lives in it."""
        # Folders, which take long, go first and the status last: a deletion cut short leaves a run that is
        # still listed and can be deleted.
        for entry in sorted(_entries(self.path), key=Path.is_file):
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            elif entry != self.status_file:
                entry.unlink()
        self.status_file.unlink(missing_ok=True)
        self.path.rmdir()


def create_run(output_dir: Path, recipe: Recipe, now: float | None = None) -> RunDirectory:
    """A new, empty run directory with a name of its own: date-time, model and dataset in short."""
    moment = time.strftime("%Y-%m-%d_%H%M%S", time.localtime(now))
    name = "-".join((moment, short_name(recipe)))
    output_dir.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, 1000):
        path = output_dir / (name if attempt == 1 else f"{name}-{attempt}")
        try:
            path.mkdir()
        except FileExistsError:
            continue
        run = RunDirectory(path)
        run.requests.mkdir()
        run.checkpoints.mkdir()
        return run
    raise FileExistsError(output_dir / name)


def short_name(recipe: Recipe) -> str:
    """Model and first dataset, for people: `smollm2-135m-gsm8k`."""
    model = recipe.model.short_name
    data = Path(recipe.data.train[0].path).name.split(".", 1)[0]
    model = re.sub(r"[-_.](instruct|chat|base|it|hf)\b", "", model, flags=re.IGNORECASE)
    # What every file is called says nothing about this one.
    data = re.sub(r"(^|[-_.])(train|training|data)\b", "", data, flags=re.IGNORECASE)
    words = (re.sub(r"[^a-z0-9.]+", "-", part.lower()).strip("-.")[:32] for part in (model, data))
    return "-".join(word for word in words if word) or "run"


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
