"""The peak of a recipe under another max_length and packing."""

from __future__ import annotations

import json
from pathlib import Path

from sftui.memory.recipe_peak import peak_bytes
from sftui.recipe import Recipe

CONFIG = {
    "model_type": "llama",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 32000,
}


def recipe_of(folder: Path) -> Recipe:
    return Recipe.model_validate({"model": {"name_or_path": str(folder)}, "data": {"train": "rows.jsonl"}})


def test_longer_bins_take_more_and_padded_batches_no_more_than_their_longest_row(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    recipe = recipe_of(tmp_path)
    bins = [peak_bytes(recipe, length, "best_fit", 700) for length in (512, 1024, 4096)]
    assert None not in bins and bins == sorted(set(bins), key=lambda each: each or 0)
    padded = [peak_bytes(recipe, length, "none", 700) for length in (512, 1024, 4096)]
    assert padded[0] is not None and padded[1] is not None
    assert padded[0] < padded[1] == padded[2]
    assert recipe.data.packing == "none" and recipe.data.max_length == 2048


def test_a_model_that_is_not_at_hand_or_not_known_has_no_peak(tmp_path: Path) -> None:
    assert peak_bytes(recipe_of(tmp_path / "nowhere"), 512, "none", 100) is None
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "model_type": "unheard_of"}))
    assert peak_bytes(recipe_of(tmp_path), 512, "none", 100) is None
