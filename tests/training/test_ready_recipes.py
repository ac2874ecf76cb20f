"""Each ready recipe trains, with its own method, a tiny model of its model's architecture."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sftui import demo
from sftui.known_models import known_model
from sftui.recipe_file import load_recipe, ready_recipes

from .conftest import events_of, losses_of, train_here

pytestmark = pytest.mark.slow

READY = sorted(file.stem for file in ready_recipes().glob("*.yaml"))
SMALL = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 4,  # SmolLM3 leaves out positions in every fourth
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 256,
}

MakeModel = Callable[[str], Path]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> MakeModel:
    """A random model as small as can be of the architecture of a known model, by Hub id."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    source = demo.RECIPE.parent / "model"
    own = json.loads((source / "config.json").read_text())
    tokens = {key: own[key] for key in ("vocab_size", "eos_token_id", "pad_token_id")}

    def make(name: str) -> Path:
        model = known_model(name)
        assert model is not None
        facts = {key: value for key, value in model.config.items() if key != "sliding_window"}
        window = {"sliding_window": 32} if model.config.get("sliding_window") else {}
        config = AutoConfig.for_model(**(facts | SMALL | window | tokens | {"bos_token_id": None}))
        folder = tmp_path_factory.mktemp("tiny") / "model"
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        for file in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
            shutil.copy(source / file, folder / file)
        return folder

    return make


@pytest.mark.parametrize("name", READY)
def test_a_ready_recipe_trains_two_steps(name: str, tiny: MakeModel, rows: Path, tmp_path: Path) -> None:
    ready = load_recipe(ready_recipes() / f"{name}.yaml")
    recipe = load_recipe(
        ready_recipes() / f"{name}.yaml",
        [
            f"model.name_or_path={tiny(ready.model.name_or_path)}",
            f"data.train={rows}",
            "data.max_length=128",
            "training.max_steps=2",
            "training.gradient_accumulation_steps=1",
            f"output_dir={tmp_path}",
            *(["data.eval_fraction=0.1"] if ready.data.eval_fraction else []),
        ],
    )
    run = train_here(recipe)
    assert len(losses_of(run)) == 2
    assert all(map(math.isfinite, losses_of(run)))
    assert bool(events_of(run, "eval")) == bool(ready.data.eval_fraction)
