"""Whether an adapter finds what it names, and is scaled as usual."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Iterator
from functools import lru_cache

from sftui.checks.facts import Facts
from sftui.checks.finding import Finding, found, refused
from sftui.errors import InputError
from sftui.memory.modules import LayerPlan, ModelPlan, plan, projections, weights
from sftui.memory.refused import linear_names, require_pattern
from sftui.memory.shape import ModelShape
from sftui.memory.step import AdapterSpec
from sftui.recipe import AdapterSection, Recipe

# lora_alpha / r is 1 or 2 for most, 0.25 in the paper on QLoRA, 8 in that on LoRA (GPT-2).
_SMALLEST_SCALE, _LARGEST_SCALE = 0.125, 8.0
_SHOWN = 12

_TARGETS = "adapter.target_modules"


def adapter_findings(facts: Facts) -> Iterator[Finding]:
    """About the adapter, where there is one."""
    section = facts.recipe.adapter
    if section is None:
        return
    yield from _scale(section)
    if facts.shape is None or facts.plan is None:
        return
    yield from _targets(facts.recipe, section, facts.shape, facts.plan)
    yield from _saved(section, facts.shape)
    yield from _experts(section, facts.plan)
    yield from mixed(facts.recipe, linear_names(facts.shape))


def mixed(recipe: Recipe, linear: Iterable[str]) -> Iterator[Finding]:
    """What is trained in full in another type than a float32 model hands it, and multiplies that.

    `linear`: names of the model's linear layers. Half-precision models run under autocast, which casts.
    """
    section = recipe.adapter
    if section is None or recipe.model.dtype != "float32" or section.dtype == "float32":
        return
    saved = {end for name in linear for end in section.modules_to_save if name.endswith(end)}
    if not saved:
        return
    yield found(
        "saved-mixed",
        "adapter.dtype",
        f"found {section.dtype}: {', '.join(sorted(saved))}, trained in full, cannot multiply the float32 of "
        "this model",
        "expected float32, or model.dtype bfloat16",
        {"adapter.dtype": "float32"},
    )


def _scale(section: AdapterSection) -> Iterator[Finding]:
    root = section.use_rslora
    scale = section.lora_alpha / (math.sqrt(section.r) if root else section.r)
    if _SMALLEST_SCALE <= scale <= _LARGEST_SCALE:
        return
    usual = round(2 * math.sqrt(section.r)) if root else 2 * section.r
    yield found(
        "scale-unusual",
        "adapter.lora_alpha",
        f"found {section.lora_alpha:g}: the update is scaled by lora_alpha / {'sqrt(r)' if root else 'r'} = "
        f"{scale:.3g}, usually 1 or 2",
        f"for 2 with r {section.r}: lora_alpha {usual}",
        {"adapter.lora_alpha": usual},
    )


def _targets(
    recipe: Recipe, section: AdapterSection, shape: ModelShape, made: ModelPlan
) -> Iterator[Finding]:
    targets = section.target_modules
    try:
        require_pattern(recipe)
    except InputError as error:
        yield refused("targets-unknown", _TARGETS, error, {_TARGETS: "all-linear"})
        return
    if not _adapts(made):
        yield found(
            "targets-unknown",
            _TARGETS,
            f"found {targets!r}, which matches no module that LoRA can adapt",
            f"this model has: {', '.join(_names(shape)[:_SHOWN])}",
            {_TARGETS: _corrected(targets, shape)},
        )
        return
    if isinstance(targets, str):
        return
    saved = tuple(section.modules_to_save)
    unknown = [name for name in targets if not _has(shape, name, saved)]
    if unknown:
        yield found(
            "target-unknown",
            _TARGETS,
            f"{', '.join(unknown)}: no module of this model that LoRA can adapt ends so",
            f"this model has: {', '.join(_names(shape)[:_SHOWN])}",
            {_TARGETS: _corrected(targets, shape)},
        )


def _has(shape: ModelShape, target: str, saved: tuple[str, ...]) -> bool:
    """Whether there is something that LoRA adapts for one entry of target_modules."""
    if not saved and target in _names(shape):
        return True
    return _adapts(plan(shape, AdapterSpec(r=1, targets=(target,), modules_to_save=saved)))


def _adapts(made: ModelPlan) -> bool:
    ends = made.embedding_adapted or made.head_adapted
    return ends or any(layer.adapted for layer in made.kinds())


def _corrected(targets: str | list[str], shape: ModelShape) -> str | list[str]:
    """The targets that may have been meant; all-linear where none is like them."""
    if isinstance(targets, str):
        return "all-linear"
    names = _names(shape)
    near = [difflib.get_close_matches(name.rpartition(".")[2], names, n=1, cutoff=0.7) for name in targets]
    return list(dict.fromkeys(match[0] for match in near if match)) or "all-linear"


def _saved(section: AdapterSection, shape: ModelShape) -> Iterator[Finding]:
    known = _modules(shape)
    unknown = [name for name in section.modules_to_save if not any(each.endswith(name) for each in known)]
    if not unknown:
        return
    ends = sorted({each.rpartition(".")[2] for each in known})
    near = difflib.get_close_matches(unknown[0], ends, n=1)
    kept = [name for name in section.modules_to_save if name not in unknown]
    yield found(
        "saved-unknown",
        "adapter.modules_to_save",
        f"{', '.join(unknown)}: no module of this model ends so, and nothing is trained for it",
        f"did you mean {near[0]}?" if near else "usual are lm_head and embed_tokens",
        {"adapter.modules_to_save": [*kept, *near]},
    )


def _experts(section: AdapterSection, made: ModelPlan) -> Iterator[Finding]:
    if not any(_adapted_experts(layer) for layer in made.kinds()):
        return
    what = "experts stored together, whose weights the adapter of this model changes, do not take"
    without = "expected {}, or target_modules of the attention alone"
    if section.lora_dropout:
        yield found(
            "expert-dropout",
            "adapter.lora_dropout",
            f"found {section.lora_dropout:g}: {what} dropout",
            without.format("0"),
            {"adapter.lora_dropout": 0.0},
        )
    if section.use_dora:
        yield found(
            "expert-dora",
            "adapter.use_dora",
            f"found true: {what} DoRA",
            without.format("false"),
            {"adapter.use_dora": False},
        )


def _adapted_experts(layer: LayerPlan) -> bool:
    linear = {part.name for part in layer.projections}
    return any(name not in linear for name in layer.adapted)


@lru_cache(maxsize=16)
def _names(shape: ModelShape) -> list[str]:
    """The last parts of names that LoRA can adapt, in the order of the model."""
    ends = ("embed_tokens", shape.head_name)
    parts = [part.name for kind in dict.fromkeys(shape.layers) for part in projections(shape, kind)]
    return list(dict.fromkeys([*(name.rpartition(".")[2] for name in parts), *ends]))


@lru_cache(maxsize=16)
def _modules(shape: ModelShape) -> tuple[str, ...]:
    """Names of modules, those of one layer of each kind."""
    found = [f"{shape.prefix}.embed_tokens", f"{shape.prefix}.norm", shape.head_name]
    for kind in dict.fromkeys(shape.layers):
        place = f"{shape.prefix}.layers.{shape.layers.index(kind)}"
        parts = [part.name for part in projections(shape, kind)]
        parts += [
            weight.name.removesuffix(".weight").removesuffix(".bias") for weight in weights(shape, kind)
        ]
        for name in parts:
            found += [f"{place}.{name}", f"{place}.{name}".rpartition(".")[0]]
    return tuple(dict.fromkeys(found))
