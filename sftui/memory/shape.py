"""The shape of a decoder model: everything that its memory follows from, taken from a config.json."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal

Norm = Literal["rms", "gemma", "layer"]
HeadNorm = Literal["none", "rms", "gemma", "layer"]
Activation = Literal["silu", "gelu", "gelu_new", "relu"]


@dataclass(frozen=True, slots=True)
class LayerKind:
    """How one decoder layer differs from its neighbours."""

    window: int | None = None
    experts: bool = False
    rope: bool = True
    positions: int = 0
    """Which of the model's tables of rotary positions it reads."""


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of experts in place of an MLP; `shared`: intermediate size of the one for all tokens."""

    count: int
    per_token: int
    intermediate: int
    shared: int = 0
    normalised: bool = False
    """The weights of the chosen experts are divided by their sum."""
    router_copy: bool = False
    """Router logits are cast to float32 before the softmax, not in it (mixtral)."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A decoder of a family that the closed form knows. Sizes in elements.

    `layers` has one kind a layer. `prefix` is the name of the decoder inside the model, before
    `.layers.N`, and `head_name` that of the output head.
    """

    family: str
    layers: tuple[LayerKind, ...]
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocab: int
    tied: bool
    norm: Norm = "rms"
    head_norm: HeadNorm = "none"
    sandwich: bool = False
    """Norms after attention and MLP too (gemma 2 and 3)."""
    parallel: bool = False
    """Attention and MLP read the same norm (phi)."""
    gated: bool = True
    fused_qkv: bool = False
    fused_gate_up: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    head_bias: bool = False
    rotary_dim: int = 0
    activation: Activation = "silu"
    attention_softcap: float | None = None
    logit_softcap: float | None = None
    attention_dropout: float = 0.0
    residual_dropout: float = 0.0
    scaled_embedding: bool = False
    experts: Experts | None = None
    more_masks: tuple[int | None, ...] = ()
    """Windows, None for whole attention, that the model makes masks for whether a layer has them or not."""
    prefix: str = "model"
    head_name: str = "lm_head"
    from_table: bool = field(default=False, compare=False)
    """Taken from `sftui.known_models`, since no config.json is at hand. The same memory follows from it."""
    _hash: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        values = (getattr(self, each.name) for each in fields(self) if each.compare)
        object.__setattr__(self, "_hash", hash(tuple(values)))

    def __hash__(self) -> int:
        # Computed once: shapes are what nearly everything here is remembered by.
        return self._hash

    @property
    def q_size(self) -> int:
        """Elements of the queries of a token."""
        return self.heads * self.head_dim

    @property
    def kv_size(self) -> int:
        """Elements of the keys of a token, or of its values."""
        return self.kv_heads * self.head_dim

    @property
    def groups(self) -> int:
        """Query heads a key head."""
        return self.heads // self.kv_heads

    @property
    def masks(self) -> frozenset[int | None]:
        """The windows that the model makes masks for, None for whole attention."""
        return frozenset(kind.window for kind in self.layers) | frozenset(self.more_masks)

    @property
    def position_tables(self) -> int:
        """Tables of rotary positions: one a base frequency."""
        return 1 + max(kind.positions for kind in self.layers)
