"""The Memory screen on models of which there is only a config.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from sftui.devices import Holder, Machine
from sftui.memory.answer import Answer, answer, known_shape
from sftui.memory.device import Device
from sftui.memory.shape import ModelShape
from sftui.recipe import Recipe
from sftui.screens.memory import MemoryScreen

from .data_screen_fixtures import Open
from .workbench_fixtures import when as on_screen

LLAMA = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "tie_word_embeddings": False,
}
GIB = 2**30
GPU = Device("NVIDIA GeForce RTX 4090", 24 * GIB)
HERE = Device("NVIDIA H200", 139 * GIB, used_bytes=20 * GIB, index=0, uuid="GPU-1", capability=(9, 0))


def machine(*devices: Device, free: int = 500 * GIB) -> Machine:
    """A machine with these GPUs, the first held by a process."""
    holder = Holder(4711, "python", "anna", 19 * GIB)
    return Machine(
        devices=devices,
        holders=tuple((holder,) if not number else () for number in range(len(devices))),
        gpu_problem=None if devices else "no NVIDIA driver is found here",
        ram_used_bytes=4 * GIB,
        ram_total_bytes=64 * GIB,
        runs_folder=Path("runs"),
        runs_free_bytes=free,
        cache_folder=Path("hub"),
        cache_free_bytes=free,
    )


def model(folder: Path, config: dict[str, Any] = LLAMA, name: str = "Llama-3.1-8B") -> Path:
    """A directory that holds only a config.json."""
    directory = folder / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(config))
    return directory


def recipe_text(directory: Path, more: str = "") -> str:
    """A recipe for bins of 2,048 tokens."""
    return (
        f"model: {{name_or_path: '{directory}'}}\n"
        f"data:\n  train: rows.jsonl\n  max_length: 2048\n  packing: best_fit\n{more}"
    )


def opened(folder: Path, more: str = "", *, device: Device | None = GPU, **options: Any) -> Open:
    """A workbench on the 8B model, held against a device."""
    made = Open(folder, options.pop("text", None) or recipe_text(model(folder), more), **options)
    made.app.memory_device = device
    return made


async def memory(made: Open, pilot: Pilot[None]) -> str:
    """Go to the Memory screen and wait for its comparison, so that nothing changes any more."""
    await pilot.press("3")
    return await when(made, pilot, lambda screen: screen._facts.comparison is not None)


async def when(made: Open, pilot: Pilot[None], holds: Callable[[MemoryScreen], object]) -> str:
    """Wait until something holds of the screen."""
    return await on_screen(pilot, MemoryScreen, holds)


async def unsaved(made: Open, pilot: Pilot[None], count: int) -> None:
    """Wait until so many changes of the recipe are said to be unsaved; a toast lies over it on the screen."""
    await when(made, pilot, lambda screen: f"{count} unsaved: S saves" in str(screen._change.border_subtitle))


def answer_to(recipe: Recipe, device: Device | None = GPU, longest: int | None = None) -> Answer:
    """The closed form's."""
    shape = known_shape(recipe.model.name_or_path)
    assert isinstance(shape, ModelShape)
    return answer(recipe, shape, device, longest=longest)


def gib(size: float) -> str:
    """As it stands in the verdict."""
    return f"{size / GIB:.1f}".removesuffix(".0")


def peak(made: Open, share: float = 1.0) -> str:
    """The open recipe's, or a share of it."""
    return gib(answer_to(made.app.recipe).estimate.peak_bytes * share)


def on(made: Open) -> MemoryScreen:
    screen = made.app.screen_stack[0]
    assert isinstance(screen, MemoryScreen)
    return screen


def tried(made: Open) -> Recipe:
    """What is tried."""
    trial = on(made)._answers.trial
    assert trial is not None
    return trial.recipe


def words(made: Open, panel: str) -> str:
    """What a panel says, in one line."""
    return " ".join(str(on(made)._panels[panel]._shown).split())


async def at_field(made: Open, pilot: Pilot[None], name: str) -> None:
    """The cursor to a field of the change pane."""
    from sftui.screens.memory_fields import FIELDS

    place = [field.name for field in FIELDS].index(name)
    await pilot.press("home", *["down"] * place)
    assert on(made)._fields.field.name == name


def bar_of(shown: str) -> str:
    """The line of the bar."""
    return next(line for line in shown.splitlines() if "W█" in line)
