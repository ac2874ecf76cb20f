"""A model small enough to train for real in a second, and runs in this process."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftui import demo
from sftui.recipe import Recipe
from sftui.recipe_file import dump_recipe, parse_recipe
from sftui.runs.directory import RunDirectory, create_run
from sftui.runs.events import read_events

# Matrices this small gain nothing from a second thread and lose much where others use the cores.
os.environ["OMP_NUM_THREADS"] = "1"

WORDS = [
    "stone",
    "river",
    "light",
    "cloud",
    "paper",
    "green",
    "seven",
    "window",
    "music",
    "garden",
    "winter",
    "bread",
]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two random llama layers of 64 with the demo's tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("models") / "tiny"
    source = demo.RECIPE.parent / "model"
    config = json.loads((source / "config.json").read_text())
    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=config["vocab_size"],
            hidden_size=64,
            intermediate_size=128,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=256,
            bos_token_id=None,
            eos_token_id=config["eos_token_id"],
            pad_token_id=config["pad_token_id"],
            initializer_range=0.05,
        )
    )
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        shutil.copy(source / name, folder / name)
    return folder


@pytest.fixture(scope="session")
def nan_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a last norm that makes every loss NaN."""
    from safetensors.torch import load_file, save_file

    folder = tmp_path_factory.mktemp("models") / "tiny-nan"
    shutil.copytree(tiny_model, folder)
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"].fill_(float("nan"))
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty questions with answers of very different lengths."""
    pick = random.Random(0)
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    with path.open("w") as file:
        for length in range(1, 21):
            question = " ".join(pick.choices(WORDS, k=3))
            answer = " ".join(pick.choices(WORDS, k=length))
            file.write(json.dumps({"question": question, "answer": answer}) + "\n")
    return path


@pytest.fixture(scope="session")
def weighted_rows(rows: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same as messages; answers weigh differently, and in every third row nothing is said of it."""
    path = tmp_path_factory.mktemp("data") / "weighted.jsonl"
    with path.open("w") as file:
        for number, row in enumerate(map(json.loads, rows.read_text().splitlines())):
            answer = {"role": "assistant", "content": row["answer"]}
            if number % 3:
                answer["weight"] = 0.25 * (number % 5 + 1)
            messages = [{"role": "user", "content": row["question"]}, answer]
            file.write(json.dumps({"messages": messages}) + "\n")
    return path


MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def make_recipe(tiny_model: Path, rows: Path, tmp_path: Path) -> MakeRecipe:
    """A recipe for the tiny model; overrides as on the command line."""

    def make(*overrides: str) -> Recipe:
        text = f"""
        model: {{name_or_path: {tiny_model}, quantization: none, dtype: float32}}
        adapter: {{r: 4, lora_alpha: 8}}
        data: {{train: [{{path: {rows}, limit: 16}}], max_length: 128}}
        training:
          per_device_train_batch_size: 2
          gradient_accumulation_steps: 2
          learning_rate: 1.0e-2
          max_steps: 6
          gradient_checkpointing: false
          save_strategy: 'no'
        output_dir: {tmp_path}
        """
        return parse_recipe(text, overrides, base=Path("/"))

    return make


def train_here(recipe: Recipe, run: RunDirectory | None = None) -> RunDirectory:
    """Train in this process; a run given is resumed."""
    from sftui.training.journal import Journal
    from sftui.training.session import train

    if run is None:
        run = create_run(Path(recipe.output_dir), recipe)
        run.recipe_file.write_text(dump_recipe(recipe))
    with Journal(run) as journal:
        stopped = train(run, recipe, journal)
        journal.end("stopped" if stopped else "finished")
    return run


def events_of(run: RunDirectory, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(run.events_file) if event["type"] == kind]


def losses_of(run: RunDirectory) -> list[float]:
    """The loss of each step, the redone ones of a resumed run in place of the first."""
    by_step = {event["step"]: event["loss"] for event in events_of(run, "step")}
    return [by_step[step] for step in sorted(by_step)]


def weights_of(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    name = "adapter_model.safetensors"
    return load_file(folder / (name if (folder / name).exists() else "model.safetensors"))


def largest_difference(one: dict[str, Any], other: dict[str, Any]) -> float:
    """Between the same weights of two results."""
    assert one.keys() == other.keys()
    return max(float((one[name] - other[name]).abs().max()) for name in one)
