"""Changes to a typed recipe by dotted keys."""

from __future__ import annotations

import pytest

from sftui.errors import InputError
from sftui.recipe_file import parse_recipe
from sftui.recipe_save import as_override, with_changes

TEXT = """\
model: {name_or_path: owner/x}
data: {train: a.jsonl, max_length: 512}
"""


def test_changes_are_applied_to_a_copy_and_what_does_not_fit_is_refused() -> None:
    recipe = parse_recipe(TEXT)
    changed = with_changes(recipe, {"data.train_on": "last_assistant", "data.max_length": 64})
    assert changed.data.train_on == "last_assistant" and changed.data.max_length == 64
    assert recipe.data.train_on == "assistant" and recipe.data.max_length == 512
    assert changed.model == recipe.model and changed.data.train == recipe.data.train
    with pytest.raises(InputError, match=r"data\.max_length=1"):
        with_changes(recipe, {"data.max_length": 1})


def test_a_change_is_told_as_it_is_typed() -> None:
    assert as_override("data.max_length", 5) == "data.max_length=5"
    assert as_override("adapter.lora_alpha", 64.0) == "adapter.lora_alpha=64"
    assert as_override("training.learning_rate", 2e-4) == "training.learning_rate=2.0e-4"
    assert as_override("data.chat_template", None) == "data.chat_template=null"
