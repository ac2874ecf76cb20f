"""Pictures of the screens, as README shows them: the workbench itself, without a terminal, on real content.

    python docs/screenshots.py [NAME ..]      all, or some of: data packing memory recipe train runs

Needs no network and no GPU: the rows and the model are the demo's, the runs are trained here, in about two
minutes. Pictures are written to docs/images/NAME.svg. One that names this machine, its user or a path of it is
refused.
"""

from __future__ import annotations

import argparse
import asyncio
import getpass
import html
import json
import os
import re
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from textual.app import App
from textual.pilot import Pilot

from sftui import demo
from sftui.known_models import known_model
from sftui.memory.gpus import device_of
from sftui.recipe_file import load_recipe
from sftui.runs import launch
from sftui.runs.directory import RunDirectory
from sftui.runs.status import read_status
from sftui.screens.app import Workbench

IMAGES = Path(__file__).parent / "images"
LARGEST = 150_000  # bytes of a picture
WAIT_SECONDS = 120.0
SIZE = 112, 34  # columns and lines: more would be too small to read in a page
GPU = "RTX 4090"
MODEL = "Qwen/Qwen3-8B"

# What people's data are like: an answer that is missing, one cut off, a row that is there twice, a secret.
MISTAKES = (
    ("What is the capital of Iceland?", ""),
    ("What is 7 plus 5?", '{"topic": "sums", "answer": "12"}'),
    ("What is 7 plus 5?", '{"topic": "sums", "answer": "12"}'),
    ("Name the author of Emma.", '{"topic": "books", "answer": "{{answer}}"}'),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture: the recipe (a file of the place) or none, what is pressed, and when it is taken."""

    recipe: str | None
    show: Callable[[Workbench, Pilot[None]], Awaitable[None]]
    runs: bool = False
    size: tuple[int, int] = SIZE


def furnish(place: Path) -> None:
    """The demo's model and rows, rows with mistakes, and a model of which only the config.json is here."""
    source = demo.RECIPE.parent
    shutil.copytree(source / "model", place / "demo-model")
    rows = (source / "train.jsonl").read_text(encoding="utf-8").splitlines()
    for number, (question, answer) in enumerate(MISTAKES):
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        rows.insert(12 + 7 * number, json.dumps({"messages": messages}))
    (place / "answers.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    shutil.copy(source / "train.jsonl", place / "train.jsonl")
    shutil.copy(source / "eval.jsonl", place / "eval.jsonl")
    text = demo.RECIPE.read_text(encoding="utf-8")
    text = text.replace("name_or_path: model", "name_or_path: demo-model")
    (place / "demo.yaml").write_text(text, encoding="utf-8")
    text = text.replace("path: train.jsonl", "path: answers.jsonl")
    text = text.replace("max_length: 256", "max_length: 256\n  packing: best_fit")
    (place / "answers.yaml").write_text(text, encoding="utf-8")

    model = known_model(MODEL)
    assert model is not None
    folder = place / MODEL.rpartition("/")[2]
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(model.config), encoding="utf-8")
    (place / "qwen3.yaml").write_text(
        f"model: {{name_or_path: {folder.name}, quantization: nf4}}\n"
        "adapter: {r: 16, lora_alpha: 32}\n"
        "data: {train: answers.jsonl, max_length: 4096, packing: best_fit}\n"
        "training: {per_device_train_batch_size: 1, gradient_accumulation_steps: 4}\n",
        encoding="utf-8",
    )


# -- runs


def train(*overrides: str) -> RunDirectory:
    """Start a run of the demo."""
    return launch.start(load_recipe("demo.yaml", overrides), ["sftui", "train", "demo.yaml", *overrides])


def until(run: RunDirectory, holds: Callable[[str, int], bool]) -> None:
    """Wait for a state and step of a run."""
    end = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < end:
        launch.reap()
        status = read_status(run)
        if status is not None and holds(status.state, status.step):
            return
        time.sleep(0.2)
    raise SystemExit(f"{run.id} did not come that far: {run.log_file.read_text()[-2000:]}")


def ended(state: str, _step: int) -> bool:
    """Whether a run has ended."""
    return state in ("finished", "stopped", "failed")


def past_runs() -> RunDirectory:
    """One that was stopped, one whose loss was no number, one that has finished; and one that goes on."""
    stopped = train("training.learning_rate=1e-3")
    until(stopped, lambda _state, step: step >= 60)
    launch.stop(stopped)
    until(stopped, ended)
    until(train("training.learning_rate=1e6", "training.max_grad_norm=0", "adapter.r=64"), ended)
    until(train("training.max_steps=100", "adapter.r=8"), ended)
    return train()


# -- scenes


async def when(pilot: Pilot[None], holds: Callable[[], object], what: str) -> None:
    """Wait until something holds."""
    end = time.monotonic() + WAIT_SECONDS
    while not holds():
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not come:\n{text_of(pilot.app)}")
        await pilot.pause(0.1)
    await pilot.pause(0.5)


async def shows(app: Workbench, pilot: Pilot[None], *words: str) -> None:
    """Wait until these words are on the screen."""
    await when(pilot, lambda: all(word in text_of(app) for word in words), " ".join(words))


async def data(app: Workbench, pilot: Pilot[None]) -> None:
    """A row of two turns, the cursor on a trained token, and what is wrong with the rows."""
    await shows(app, pilot, "findings", "trained of")


SCENES = {
    "data": Scene("answers.yaml", data),
}


# -- pictures


def text_of(app: App[None]) -> str:
    """What is on the screen."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


async def picture(scene: Scene, run: RunDirectory | None) -> str:
    """The SVG of a scene."""
    recipe = None if scene.recipe is None else load_recipe(scene.recipe)
    app = Workbench(Path("runs"), refresh=0.3, recipe=recipe, recipe_name=scene.recipe or "", run=run)
    async with app.run_test(size=scene.size) as pilot:
        await scene.show(app, pilot)
        await pilot.pause(0.5)
        print(text_of(app))
        return app.export_screenshot(title="sftui", simplify=True)


if __name__ == "__main__":
    place = Path(tempfile.mkdtemp())
    furnish(place)
    os.chdir(place)
    os.environ |= {"SFTUI_CACHE": str(place / "cache"), "SFTUI_STATE": str(place / "state")}
    for name in sys.argv[1:] or SCENES:
        Path(f"/tmp/w/r7/{name}.svg").write_text(asyncio.run(picture(SCENES[name], None)))
