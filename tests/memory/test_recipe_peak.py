"""The estimate of a recipe whose model may not be at hand, and the RAM of a process that trains it."""

from __future__ import annotations

import json
from pathlib import Path

from sftui.memory.known import Known
from sftui.memory.process_ram import LIBRARIES
from sftui.memory.recipe_peak import answer_in_short
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


def recipe_of(folder: Path, **data: object) -> Recipe:
    values = {"model": {"name_or_path": str(folder)}, "data": {"train": "rows.jsonl", **data}}
    return Recipe.model_validate(values)


def peaks(folder: Path, packing: str) -> list[int]:
    made = [recipe_of(folder, max_length=length, packing=packing) for length in (512, 1024, 4096)]
    found = [answer_in_short(one, Known(700)) for one in made]
    return [one.estimate.peak_bytes for one in found if one is not None]


def test_longer_bins_take_more_and_padded_batches_no_more_than_their_longest_row(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    bins = peaks(tmp_path, "best_fit")
    assert len(bins) == 3 and bins == sorted(set(bins))
    padded = peaks(tmp_path, "none")
    assert padded[0] < padded[1] == padded[2]


def test_a_model_that_is_not_at_hand_or_not_known_has_no_estimate(tmp_path: Path) -> None:
    assert answer_in_short(recipe_of(tmp_path / "nowhere"), Known(100)) is None
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "model_type": "unheard_of"}))
    assert answer_in_short(recipe_of(tmp_path), Known(100)) is None


def test_on_a_cpu_weights_are_loaded_whole_before_they_are_quantised(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))

    def ram(quantization: str) -> tuple[int, int]:
        tree = recipe_of(tmp_path).model_dump()
        tree["model"] |= {"quantization": quantization, "dtype": "float32"}
        recipe = Recipe.model_validate(tree)
        found = answer_in_short(recipe, Known(100))
        assert found is not None
        return found.estimate.peak_bytes, found.ram_bytes

    (plain, plain_ram), (quantised, quantised_ram) = ram("none"), ram("nf4")
    assert quantised < plain and plain_ram > LIBRARIES + plain
    assert abs(quantised_ram - plain_ram) < 0.05 * plain_ram


def test_on_a_cpu_checkpointing_gives_back_a_part_of_the_activations(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "num_hidden_layers": 24}))
    ram = []
    for checkpointing in (True, False):
        recipe = recipe_of(tmp_path)
        recipe.model.quantization = "none"
        recipe.training.gradient_checkpointing = checkpointing
        found = answer_in_short(recipe, Known(2048))
        assert found is not None
        ram.append((found.ram_bytes, LIBRARIES + found.estimate.peak_bytes))
    (checkpointed, of_tensors), (whole, of_all) = ram
    assert whole == of_all and of_tensors < checkpointed < whole
