"""A model of 8 billion parameters and recipes for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sftui.memory import modules, passes
from sftui.memory.config_file import shape_of
from sftui.memory.estimate import Estimate
from sftui.memory.shape import ModelShape
from sftui.recipe import Recipe

LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
FULL: dict[str, Any] = {"model": {"quantization": "none"}, "adapter": None}
LORA: dict[str, Any] = {"model": {"quantization": "none"}}


def known(config: dict[str, Any]) -> ModelShape:
    found = shape_of(config)
    assert isinstance(found, ModelShape)
    return found


def recipe(**sections: Any) -> Recipe:
    """The default recipe with keys of its sections changed."""
    tree = {"model": {"name_or_path": "m"}, "data": {"train": "rows.jsonl"}}
    for name, values in sections.items():
        tree[name] = tree.get(name, {}) | values if isinstance(values, dict) else values
    return Recipe.model_validate(tree)


def within(size: float) -> Callable[[Recipe, Estimate], bool]:
    """Whether a step fits a device of so many bytes."""
    return lambda _, found: found.peak_bytes <= size


def forget() -> None:
    """As in a process that has estimated nothing yet."""
    for remembered in (passes.layer_pass, passes.head_pass, modules.plan):
        remembered.cache_clear()
