"""Pictures of the screens, as README shows them: the workbench itself, without a terminal, on real content.

    python docs/screenshots.py [NAME ..]      all, or some of: data packing memory recipe train runs

Needs no network and no GPU: the rows and the model are the demo's, the runs are trained here, in about three
minutes. Pictures are written to docs/images/NAME.svg; one that names this machine, its user or their folders
is refused.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import html
import json
import os
import re
import shutil
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from textual.app import App
from textual.pilot import Pilot

from sftui import demo
from sftui.errors import InputError
from sftui.known_models import known_model
from sftui.memory.gpus import device_of
from sftui.recipe_file import load_recipe
from sftui.runs import launch
from sftui.runs.directory import RunDirectory
from sftui.runs.listing import list_runs
from sftui.runs.status import read_status
from sftui.screens.app import Workbench
from sftui.screens.themes import DARK

IMAGES = Path(__file__).resolve().parent / "images"
PLACE = Path("/tmp/demo")  # its name is in the pictures
LARGEST = 150_000  # bytes of a picture
WAIT_SECONDS = 300.0
SIZE = 120, 36  # columns and lines: more would be too small to read in a page
GPU = "RTX 4090"
MODEL = "Qwen/Qwen3-8B"

# As they are found in people's data: no answer, a row that is there twice, a placeholder never filled in.
MISTAKES = (
    ("What is the capital of Iceland?", ""),
    ("What is 7 plus 5?", '{"topic": "sums", "answer": "12"}'),
    ("What is 7 plus 5?", '{"topic": "sums", "answer": "12"}'),
    ("Name the author of Emma.", '{"topic": "books", "answer": "{{answer}}"}'),
)


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture: the recipe (a file of the place) or none, what is pressed, and when it is taken.

    `runs`: there are some that have ended; `live`: and one that goes on.
    """

    recipe: str | None
    show: Callable[[Workbench, Pilot[None]], Awaitable[None]]
    runs: bool = False
    live: bool = False
    size: tuple[int, int] = SIZE


def furnish(place: Path) -> None:
    """The demo's model and rows, rows with mistakes, and a model of which only the config.json is here."""
    source = demo.RECIPE.parent
    shutil.copytree(source / "model", place / "demo")
    rows = (source / "train.jsonl").read_text(encoding="utf-8").splitlines()
    for number, (question, answer) in enumerate(MISTAKES):
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        rows.insert(12 + 7 * number, json.dumps({"messages": messages}))
    (place / "answers.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    shutil.copy(source / "train.jsonl", place / "train.jsonl")
    shutil.copy(source / "eval.jsonl", place / "eval.jsonl")
    text = demo.RECIPE.read_text(encoding="utf-8")
    text = text.replace("name_or_path: model", "name_or_path: demo")
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


def end(run: RunDirectory) -> None:
    """Stop a run, if it still goes on."""
    with contextlib.suppress(InputError):
        launch.stop(run)
    until(run, ended)


def past_runs() -> None:
    """One that was stopped, one whose gradient was no number, one that has finished."""
    stopped = train("training.learning_rate=1e-3")
    until(stopped, lambda _state, step: step >= 40)
    end(stopped)
    until(train("training.learning_rate=1e6", "training.max_grad_norm=0", "adapter.r=64"), ended)
    until(train("training.max_steps=60", "adapter.r=8"), ended)


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
    await shows(app, pilot, "empty-answer", "longer than")
    await pilot.press("down")
    await shows(app, pilot, "row 1  ")
    await pilot.press("tab", "n", "n", "n", *["right"] * 9)
    await shows(app, pilot, "trained: ")


async def packing(app: Workbench, pilot: Pilot[None]) -> None:
    """The strategies side by side, and bins drawn to scale."""
    await shows(app, pilot, "empty-answer", "longer than")
    await pilot.press("2")
    await shows(app, pilot, "best_fit", "wrapped", "leak test")
    await when(pilot, lambda: "…" not in text_of(app).split("bins", 1)[0], "the plan")


async def memory(app: Workbench, pilot: Pilot[None]) -> None:
    """An 8B model held against a GPU of 24 GiB."""
    app.memory_device = device_of(GPU)
    await pilot.press("3")
    await shows(app, pilot, "fits", "QLoRA", "full")
    await pilot.press("down")


async def recipe(app: Workbench, pilot: Pilot[None]) -> None:
    """The form with a value changed, the text, and what a run comes to here after those before."""
    await shows(app, pilot, "none longer than")
    await pilot.press("4")
    await shows(app, pilot, "what it means here", "trained")
    await pilot.press("slash", *"learning_rate", "enter", "left", "escape")
    await pilot.press(*["down"] * 12, *["up"] * 12)
    await shows(app, pilot, "1 unsaved", "measured on")


async def training(app: Workbench, pilot: Pilot[None]) -> None:
    """A run on its way."""
    await when(pilot, lambda: step_of(app) >= 115, "step 115")


async def runs(app: Workbench, pilot: Pilot[None]) -> None:
    """What was run in the folder."""
    await when(pilot, lambda: re.search(r"running +[1-9]", text_of(app)), "the run's first steps")
    await pilot.press("down", "down")


def step_of(app: Workbench) -> int:
    """How far the run has come that is watched."""
    status = None if app.run_directory is None else read_status(app.run_directory)
    return 0 if status is None else status.step


SCENES = {
    "data": Scene("answers.yaml", data),
    "packing": Scene("answers.yaml", packing, size=(120, 38)),
    "memory": Scene("qwen3.yaml", memory),
    "recipe": Scene("demo.yaml", recipe, runs=True),
    "runs": Scene(None, runs, runs=True, live=True, size=(120, 20)),
    "train": Scene("demo.yaml", training, runs=True, live=True),
}


# -- pictures


def text_of(app: App[None]) -> str:
    """What is on the screen."""
    strips = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)


async def picture(scene: Scene, run: RunDirectory | None) -> str:
    """The SVG of a scene."""
    recipe = None if scene.recipe is None else load_recipe(scene.recipe)
    watched = run if scene.show is training else None
    app = Workbench(Path("runs"), refresh=0.3, recipe=recipe, recipe_name=scene.recipe or "", run=watched)
    async with app.run_test(size=scene.size) as pilot:
        app.theme = DARK.name
        await scene.show(app, pilot)
        await pilot.pause(0.5)
        svg: str = app.export_screenshot(title="sftui", simplify=True)
        return svg


def refuse_traces(name: str, svg: str) -> None:
    """A picture for everybody says nothing of where it was made."""
    text = html.unescape(re.sub(r"<[^>]*>", " ", svg)).replace("\xa0", " ")
    own = {
        str(Path.home()),
        str(Path(__file__).resolve().parents[1]),
        socket.gethostname(),
        getpass.getuser(),
    }
    if found := [word for word in own if re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text)]:
        raise SystemExit(f"{name}.svg shows {', '.join(found)}")
    if len(svg.encode()) > LARGEST:
        raise SystemExit(f"{name}.svg has {len(svg.encode()):,} bytes: expected at most {LARGEST:,}")


def make(names: list[str]) -> None:
    """Write the pictures of these scenes; the current directory is the place."""
    furnish(Path.cwd())
    live: RunDirectory | None = None
    try:
        if any(SCENES[name].runs for name in names):
            past_runs()
        for name in names:
            if SCENES[name].live and live is None:
                live = train()
            svg = asyncio.run(picture(SCENES[name], live))
            refuse_traces(name, svg)
            (IMAGES / f"{name}.svg").write_text(svg, encoding="utf-8")
            print(f"docs/images/{name}.svg  {len(svg.encode()):,} bytes", flush=True)
    finally:
        for one in list_runs(Path("runs")):
            end(one.run)


def main() -> None:
    """Make the pictures that are named, or all."""
    parser = argparse.ArgumentParser(description="Pictures of the screens for README.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(SCENES)} (default: all)")
    names = parser.parse_args().names
    if unknown := set(names) - set(SCENES):
        parser.error(f"found {', '.join(sorted(unknown))}: expected some of {', '.join(SCENES)}")
    IMAGES.mkdir(exist_ok=True)
    try:
        PLACE.mkdir()
    except FileExistsError:
        raise SystemExit(f"{PLACE} is there already: remove it first") from None
    os.chdir(PLACE)
    os.environ |= {
        "SFTUI_CACHE": str(PLACE / "cache"),
        "SFTUI_STATE": str(PLACE / "state"),
        "HF_HUB_OFFLINE": "1",
        "COLORTERM": "truecolor",
    }
    try:
        make([name for name in SCENES if not names or name in names])
    finally:
        os.chdir("/")
        shutil.rmtree(PLACE)


if __name__ == "__main__":
    main()
