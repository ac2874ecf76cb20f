"""The modules of a model: names, sizes, which are quantised, adapted or trained in full."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Literal

from sftui.memory.shape import LayerKind, ModelShape
from sftui.memory.step import AdapterSpec, StepSpec

Kind = Literal["embeddings", "attention", "mlp", "experts", "norms", "head", "adapter"]


@dataclass(frozen=True, slots=True)
class Projection:
    """An nn.Linear of a layer: its name within the layer, features in and out."""

    name: str
    inputs: int
    outputs: int
    bias: bool
    kind: Kind


@dataclass(frozen=True, slots=True)
class Weight:
    """A parameter of a layer that is no nn.Linear: norms, routers, experts in three dimensions."""

    name: str
    size: int
    kind: Kind


@dataclass(frozen=True, slots=True)
class LayerPlan:
    """A decoder layer as it is trained: names of projections with an adapter, and of those in full.

    `saved_weights`: names of the other parameters whose copy is trained in full.
    """

    kind: LayerKind
    projections: tuple[Projection, ...]
    weights: tuple[Weight, ...]
    adapted: frozenset[str]
    saved: frozenset[str]
    saved_weights: frozenset[str] = frozenset()
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        names = self.adapted, self.saved, self.saved_weights
        object.__setattr__(self, "_hash", hash((self.kind, self.projections, names)))

    def __hash__(self) -> int:
        return self._hash

    @property
    def trained(self) -> frozenset[str]:
        """Names of all that is trained here, beside or in place of frozen weights."""
        return self.adapted | self.saved | self.saved_weights


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A model as it is trained: its layers in order, and what of embedding and head is adapted or trained."""

    layers: tuple[LayerPlan, ...]
    embedding_adapted: bool = False
    embedding_saved: bool = False
    head_adapted: bool = False
    head_saved: bool = False
    norm_saved: bool = False

    @property
    def adapts(self) -> bool:
        """Whether anything is adapted or trained beside the frozen weights."""
        ends = (self.embedding_adapted, self.embedding_saved, self.head_adapted, self.head_saved)
        return any(ends) or any(layer.trained for layer in self.kinds())

    def kinds(self) -> dict[LayerPlan, int]:
        """Each way in which a layer of the model is trained, with how many layers are so."""
        counts: dict[LayerPlan, int] = {}
        for layer in self.layers:
            counts[layer] = counts.get(layer, 0) + 1
        return counts


@lru_cache(maxsize=256)
def projections(shape: ModelShape, kind: LayerKind) -> tuple[Projection, ...]:
    """The nn.Linear modules of a layer, in the order in which transformers makes them."""
    h, q, k = shape.hidden, shape.q_size, shape.kv_size
    parts: list[Projection] = []

    def put(name: str, inputs: int, outputs: int, bias: bool, kind: Kind) -> None:
        parts.append(Projection(name, inputs, outputs, bias, kind))

    if shape.fused_qkv:
        put("self_attn.o_proj", q, h, shape.out_bias, "attention")
        put("self_attn.qkv_proj", h, q + 2 * k, shape.qkv_bias, "attention")
    else:
        for name, size in (("q_proj", q), ("k_proj", k), ("v_proj", k)):
            put(f"self_attn.{name}", h, size, shape.qkv_bias, "attention")
        put(f"self_attn.{'dense' if shape.parallel else 'o_proj'}", q, h, shape.out_bias, "attention")
    if kind.experts:
        assert shape.experts is not None
        if shape.experts.shared:
            s = shape.experts.shared
            put("mlp.shared_expert.gate_proj", h, s, False, "mlp")
            put("mlp.shared_expert.up_proj", h, s, False, "mlp")
            put("mlp.shared_expert.down_proj", s, h, False, "mlp")
            put("mlp.shared_expert_gate", h, 1, False, "mlp")
    elif not shape.gated:
        put("mlp.fc1", h, shape.intermediate, shape.mlp_bias, "mlp")
        put("mlp.fc2", shape.intermediate, h, shape.mlp_bias, "mlp")
    else:
        if shape.fused_gate_up:
            put("mlp.gate_up_proj", h, 2 * shape.intermediate, shape.mlp_bias, "mlp")
        else:
            put("mlp.gate_proj", h, shape.intermediate, shape.mlp_bias, "mlp")
            put("mlp.up_proj", h, shape.intermediate, shape.mlp_bias, "mlp")
        put("mlp.down_proj", shape.intermediate, h, shape.mlp_bias, "mlp")
    return tuple(parts)


@lru_cache(maxsize=256)
def weights(shape: ModelShape, kind: LayerKind) -> tuple[Weight, ...]:
    """The parameters of a layer outside of nn.Linear. Experts are one parameter in three dimensions."""
    h = shape.hidden
    parts: list[Weight] = []
    if kind.experts:
        experts = shape.experts
        assert experts is not None
        parts.append(Weight("mlp.gate.weight", experts.count * h, "mlp"))
        parts.append(
            Weight("mlp.experts.gate_up_proj", experts.count * 2 * experts.intermediate * h, "experts")
        )
        parts.append(Weight("mlp.experts.down_proj", experts.count * h * experts.intermediate, "experts"))
    norms = ["input_layernorm"]
    if not shape.parallel:
        norms.append("post_attention_layernorm")
    if shape.sandwich:
        norms += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
    biased = shape.norm == "layer"
    for name in norms:
        parts.append(Weight(f"{name}.weight", h, "norms"))
        if biased:
            parts.append(Weight(f"{name}.bias", h, "norms"))
    if shape.head_norm != "none":
        names = ("q_layernorm", "k_layernorm") if shape.head_norm == "layer" else ("q_norm", "k_norm")
        for name in names:
            parts.append(Weight(f"self_attn.{name}.weight", shape.head_dim, "norms"))
            if shape.head_norm == "layer":
                parts.append(Weight(f"self_attn.{name}.bias", shape.head_dim, "norms"))
    return tuple(parts)


def norm_size(shape: ModelShape) -> tuple[int, ...]:
    """Sizes of the parameters of the norm before the head."""
    return (shape.hidden, shape.hidden) if shape.norm == "layer" else (shape.hidden,)


@lru_cache(maxsize=256)
def plan(shape: ModelShape, adapter: AdapterSpec | None) -> ModelPlan:
    """Which modules a step adapts, and which it trains in full, as PEFT matches their names."""
    if adapter is None:
        layers = tuple(
            LayerPlan(kind, projections(shape, kind), weights(shape, kind), frozenset(), frozenset())
            for kind in shape.layers
        )
        return ModelPlan(layers)
    names = {kind: tuple(part.name for part in projections(shape, kind)) for kind in set(shape.layers)}
    rest = {kind: tuple(part.name for part in weights(shape, kind)) for kind in names}
    made: dict[tuple[LayerKind, frozenset[str], frozenset[str], frozenset[str]], LayerPlan] = {}
    layers_made = []
    match = _Matching(adapter).resolved(shape.family, shape.prefix, [names[kind] for kind in shape.layers])
    found: dict[LayerKind, LayerPlan] = {}
    for number, kind in enumerate(shape.layers):
        if kind in found and not match.numbered:
            layers_made.append(found[kind])
            continue
        place = f"{shape.prefix}.layers.{number}."
        saved, others = match.saved_in(place, names[kind]), match.saved_in(place, rest[kind])
        adapted = frozenset(name for name in names[kind] if match.adapts(place + name, linear=True))
        if shape.family in _EXPERT_NAMES:
            adapted = match.experts(shape.family, place, kind, adapted)
        key = (kind, adapted, saved, others)
        if key not in made:
            made[key] = LayerPlan(
                kind, projections(shape, kind), weights(shape, kind), adapted, saved, others
            )
        found[kind] = made[key]
        layers_made.append(made[key])
    embedding = f"{shape.prefix}.embed_tokens"
    return ModelPlan(
        tuple(layers_made),
        embedding_adapted=match.adapts(embedding, linear=False),
        embedding_saved=match.saves(embedding),
        head_adapted=match.adapts(shape.head_name, linear=False),
        head_saved=match.saves(shape.head_name),
        norm_saved=match.saves(f"{shape.prefix}.{'final_layernorm' if shape.parallel else 'norm'}"),
    )


# Gate, up and down of an expert as target_modules name them.
_EXPERT_NAMES = {
    "mixtral": ("w1", "w3", "w2"),
    "qwen3_moe": ("gate_proj", "up_proj", "down_proj"),
}


class _Matching:
    """`peft.tuners.tuners_utils.check_target_module_exists`, and `modules_to_save` by the end of a name."""

    def __init__(self, adapter: AdapterSpec) -> None:
        self._adapter, self._targets = adapter, adapter.targets
        self._all = isinstance(adapter.targets, str) and adapter.targets.lower() == "all-linear"
        self._pattern: re.Pattern[str] | None = None
        if isinstance(adapter.targets, str) and not self._all:
            try:
                self._pattern = re.compile(adapter.targets)
            except re.error:
                self._pattern = re.compile(r"(?!)")
        self._ends = (
            tuple(f".{target}" for target in adapter.targets) if not isinstance(adapter.targets, str) else ()
        )
        self._saved = adapter.modules_to_save
        ends = "".join((*self._ends, *self._saved))
        self.numbered = self._pattern is not None or any(each.isdigit() for each in ends)
        """Whether it may tell layers of the same kind apart."""

    def resolved(self, family: str, prefix: str, layers: list[tuple[str, ...]]) -> _Matching:
        """Itself, but for families whose experts PEFT translates.

        Of a regular expression only the last parts of the names that it matches are left there, and those
        then match in every layer.
        """
        experts = _EXPERT_NAMES.get(family)
        if self._pattern is None or experts is None:
            return self
        found: set[str] = set()
        for number, names in enumerate(layers):
            place = f"{prefix}.layers.{number}."
            found |= {name.rpartition(".")[2] for name in names if self._matches("", place + name)}
            found |= {name for name in experts if self._matches("", f"{place}mlp.experts.{name}")}
            found |= {"gate"} if self._matches("", f"{place}mlp.gate") else set()
        if not found:
            return self
        return _Matching(replace(self._adapter, targets=tuple(sorted(found))))

    def experts(self, family: str, place: str, kind: LayerKind, adapted: frozenset[str]) -> frozenset[str]:
        """`adapted` with what PEFT adapts beside nn.Linear.

        For some families it translates the names that experts had in transformers 4 into the parameters
        of now (utils/transformers_weight_conversion.py).
        """
        names = _EXPERT_NAMES.get(family)
        if names is None:
            return adapted
        gate_up = all(self._expert(place, name) for name in names[:2])
        down = self._expert(place, names[2])
        router = self._all or self._matches("gate", f"{place}mlp.gate")
        if not kind.experts:
            # The names are taken for those of experts in all layers.
            gone = {"mlp.gate_proj", "mlp.up_proj"} if gate_up else set()
            gone |= {"mlp.down_proj"} if down else set()
            return adapted if self._pattern is not None else adapted - gone
        found = [("mlp.experts.gate_up_proj", gate_up), ("mlp.experts.down_proj", down), ("mlp.gate", router)]
        return adapted | {name for name, there in found if there}

    def _expert(self, place: str, name: str) -> bool:
        return self._all or self._matches(name, f"{place}mlp.experts.{name}")

    def _matches(self, end: str, name: str) -> bool:
        if self._pattern is not None:
            return self._pattern.fullmatch(name) is not None
        return any(target == end or target.endswith(f".{end}") for target in self._targets)

    def saves(self, name: str) -> bool:
        return bool(self._saved) and name.endswith(self._saved)

    def saved_in(self, place: str, names: tuple[str, ...]) -> frozenset[str]:
        """Parameters and projections of a layer that are saved, or lie in a module that is."""
        if not self._saved:
            return frozenset()
        return frozenset(
            name for name in names if any(self.saves(module) for module in _modules(place, name))
        )

    def adapts(self, name: str, *, linear: bool) -> bool:
        # What is trained in full, or lies in something that is, is never adapted.
        if self._saved and any(f".{name}.".find(f".{saved}.") >= 0 for saved in self._saved):
            return False
        if self._all:
            return linear
        if self._pattern is not None:
            return self._pattern.fullmatch(name) is not None
        return name in self._targets or name.endswith(self._ends)


def _modules(place: str, name: str) -> Iterator[str]:
    """The module of this name in a layer, or the one that has the parameter, and those that it lies in."""
    parts = name.split(".")
    if parts[-1] in ("weight", "bias") or parts[-2:-1] == ["experts"]:
        parts.pop()
    while parts:
        yield place + ".".join(parts)
        parts.pop()
    yield place.removesuffix(".")


def quantised(spec: StepSpec, part: Projection, layer: LayerPlan) -> bool:
    """Whether bitsandbytes replaces this module: every nn.Linear but the output head."""
    return spec.quantization != "none" and part.name not in layer.saved
