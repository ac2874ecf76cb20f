"""Which models are refused for packing by their config.json."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sftui import demo, packing_support, preflight
from sftui.errors import InputError
from sftui.packing_support import refusal
from sftui.recipe_file import parse_recipe

RECURRENT = [
    {"model_type": "mamba"},
    {"model_type": "falcon_mamba", "layer_types": None},
    {"model_type": "jamba", "attn_layer_period": 8},
    {"model_type": "zamba2", "layers_block_type": ["hybrid", "mamba"]},
    {"model_type": "recurrent_gemma", "block_types": ["recurrent", "recurrent", "attention"]},
    {"model_type": "nemotron_h", "hybrid_override_pattern": "M-M*"},
    {"model_type": "qwen3_next", "layer_types": ["linear_attention", "full_attention"]},
    {"model_type": "lfm2", "layer_types": ["conv", "full_attention"]},
    {"model_type": "granitemoehybrid", "layer_types": ["mamba", "attention"]},
    {"model_type": "somebodys_own", "ssm_cfg": {"d_state": 16}},
    {
        "model_type": "qwen3_5",
        "text_config": {"model_type": "qwen3_5_text", "layer_types": ["linear_attention"]},
    },
]

PLAIN = [
    {"model_type": "llama"},
    {"model_type": "mistral", "sliding_window": 4096},
    {"model_type": "qwen3", "layer_types": ["full_attention"], "rope_scaling": {"rope_type": "yarn"}},
    {
        "model_type": "gemma3",
        "text_config": {"model_type": "gemma3_text", "layer_types": ["sliding_attention"]},
    },
    {"model_type": "granitemoehybrid", "layer_types": ["attention", "attention"], "mamba_d_state": 128},
    {"model_type": "never_heard_of"},
    {},
]


@pytest.mark.parametrize("config", RECURRENT, ids=lambda config: config["model_type"])
def test_a_state_that_runs_on_is_refused(config: dict[str, Any]) -> None:
    reason = refusal(config)
    assert reason is not None and "recurrent layers" in reason


@pytest.mark.parametrize("config", PLAIN, ids=lambda config: config.get("model_type", "nothing"))
def test_plain_attention_and_the_unknown_are_not(config: dict[str, Any]) -> None:
    assert refusal(config) is None


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "qwen2_vl", "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}},
        {"model_type": "qwen3_vl", "text_config": {"rope_parameters": {"mrope_section": [24, 20, 20]}}},
    ],
)
def test_positions_in_several_dimensions_are_refused(config: dict[str, Any]) -> None:
    reason = refusal(config)
    assert reason is not None and reason.startswith(config["model_type"]) and "several dimensions" in reason


@pytest.mark.parametrize(("version", "refused"), [("5.17.0", True), ("5.22.1", True), ("5.23.0", False)])
def test_chunks_are_refused_where_transformers_counts_them_across_sequences(
    monkeypatch: pytest.MonkeyPatch, version: str, refused: bool
) -> None:
    monkeypatch.setattr(packing_support, "installed_version", lambda _: version)
    config = {"model_type": "llama4_text", "layer_types": ["chunked_attention", "full_attention"]}
    assert (refusal(config) is not None) == refused


def test_a_refused_model_is_found_before_a_run_is_made(tmp_path: Path) -> None:
    source = demo.RECIPE.parent / "model"
    model = tmp_path / "model"
    shutil.copytree(source, model)
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps({**config, "model_type": "mamba"}))
    (tmp_path / "rows.jsonl").write_text('{"question": "a", "answer": "b"}\n')
    text = "model: {name_or_path: model}\ndata: {train: rows.jsonl}\n"
    preflight.check(parse_recipe(text, base=tmp_path))
    with pytest.raises(InputError, match="recurrent layers") as error:
        preflight.check(parse_recipe(text, ["data.packing=best_fit"], base=tmp_path))
    assert error.value.key == "data.packing"
