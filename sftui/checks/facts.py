"""What checks look at: a recipe, this machine, and of the model what is on this disk."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sftui.devices import Machine, device_for
from sftui.errors import InputError
from sftui.known_models import known_model
from sftui.memory.config_file import read_config, shape_of
from sftui.memory.device import Device
from sftui.memory.modules import ModelPlan, plan
from sftui.memory.shape import ModelShape
from sftui.memory.step import step_of
from sftui.recipe import Recipe

_NEEDED = ("config.json", "tokenizer.json", "tokenizer_config.json")


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known without reading data or asking the network.

    `device` is the GPU that a run takes, None for the CPU. `folder` holds the model's small files, None where
    they are not here; `config` is its config.json, `shape` what follows from it, `plan` what of it is
    trained; each None where it is not known.
    `steps` are the optimizer steps of a run, None where they depend on data.
    """

    recipe: Recipe
    machine: Machine
    device: Device | None
    folder: Path | None
    config: Mapping[str, Any] | None
    shape: ModelShape | None
    plan: ModelPlan | None
    steps: int | None


def facts_of(recipe: Recipe, machine: Machine, steps: int | None = None) -> Facts:
    """The facts; `steps` where the data is known, else the recipe's max_steps if it has any."""
    folder = model_folder(recipe.model.name_or_path, recipe.model.revision, machine.cache_folder)
    config, shape = _known(recipe.model.name_or_path) if folder is None else _read(folder / "config.json")
    made = None if shape is None else plan(shape, step_of(recipe, shape).adapter)
    limit = recipe.training.max_steps
    return Facts(
        recipe=recipe,
        machine=machine,
        device=device_for(recipe, machine),
        folder=folder,
        config=config,
        shape=shape,
        plan=made,
        steps=limit if limit > 0 else steps,
    )


def model_folder(name_or_path: str, revision: str | None, cache: Path) -> Path | None:
    """Where a model's small files are on this disk: its directory, or a whole snapshot in the Hub cache.

    Where there is one, `sftui.data.model_files` asks no network for them.
    """
    if os.path.isdir(name_or_path):  # noqa: PTH112 -- False, not an error, for a name that is too long
        return Path(name_or_path)
    cached = cache / f"models--{name_or_path.replace('/', '--')}"
    wanted = revision or "main"
    try:
        commit = (cached / "refs" / wanted).read_text().strip()
    except (OSError, ValueError):
        commit = wanted  # a commit is its own name
    folder = cached / "snapshots" / commit
    whole = all(os.path.isfile(folder / name) for name in _NEEDED)  # noqa: PTH113
    return folder if whole else None


def _known(name: str) -> tuple[Mapping[str, Any] | None, ModelShape | None]:
    """Of a model that is not on this disk, but well known."""
    found = known_model(name)
    return (None, None) if found is None else (found.config, found.shape)


def _read(file: Path) -> tuple[Mapping[str, Any] | None, ModelShape | None]:
    try:
        changed = file.stat().st_mtime_ns
    except (OSError, ValueError):
        return None, None
    return _read_once(file, changed)


@lru_cache(maxsize=16)
def _read_once(file: Path, changed: int) -> tuple[Mapping[str, Any] | None, ModelShape | None]:
    """(config, shape); what is wrong with them is said where the model's memory is estimated."""
    try:
        config = read_config(file)
    except InputError:
        return None, None
    try:
        shape = shape_of(config, file=str(file))
    except InputError:
        return config, None
    return config, shape if isinstance(shape, ModelShape) else None
