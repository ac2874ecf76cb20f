"""Which modules of each decoder layer an adapter takes or replaces, by PEFT's own rules."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.tuners_utils import check_target_module_exists
from peft.utils import transformers_weight_conversion as conversion

from sftui.recipe import AdapterSection
from sftui.training.simulation import skeleton

Marks = tuple[frozenset[str], ...]


def marks_of(model: Any, section: AdapterSection | None) -> Marks:
    """For each decoder layer, the names within it that are targets or trained in full."""
    layers = skeleton.decoder_layers(model)
    if layers is None:
        return ()
    if section is None:
        return (frozenset(),) * len(layers)
    prefix = next(name for name, module in model.named_modules() if module is layers)
    targets = section.target_modules
    config = LoraConfig(target_modules=targets, modules_to_save=section.modules_to_save or None)
    return tuple(
        frozenset(_marked(layer, f"{prefix}.{number}", config, tuple(section.modules_to_save)))
        for number, layer in enumerate(layers)
    )


def _marked(layer: torch.nn.Module, place: str, config: Any, saved: tuple[str, ...]) -> set[str]:
    found = set()
    for name, _ in layer.named_modules():
        key = f"{place}.{name}" if name else place
        if saved and key.endswith(saved):
            found.add(f"saved {name}")
        if check_target_module_exists(config, key):
            found.add(name)
    return found


def renumbering_changes(model: Any, section: AdapterSection | None) -> bool:
    """Whether a pattern may match names that no module has: PEFT makes up the experts of transformers 4."""
    if section is None or not isinstance(section.target_modules, str):
        return False
    family = conversion._MODEL_TO_CONVERSION_PATTERN.get(model.config.model_type)
    numbered = any(character.isdigit() for character in section.target_modules)
    return numbered and bool(conversion._MOE_TARGET_MODULE_MAPPING.get(family))
