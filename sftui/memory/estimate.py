"""Bytes of one optimizer step, per component and per moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Component = Literal[
    "weights",
    "adapter",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "dequantization",
    "workspace",
    "context",
]
Moment = Literal[
    "load",
    "forward",
    "loss",
    "backward_last",
    "backward_first",
    "optimizer_step",
    "evaluation",
    "save",
]
COMPONENTS: tuple[Component, ...] = (
    "weights",
    "adapter",
    "gradients",
    "optimizer",
    "activations",
    "logits",
    "dequantization",
    "workspace",
    "context",
)
MOMENTS: tuple[Moment, ...] = (
    "load",
    "forward",
    "loss",
    "backward_last",
    "backward_first",
    "optimizer_step",
    "evaluation",
    "save",
)

Breakdown = dict[Component, int]


@dataclass(frozen=True, slots=True)
class Parameters:
    """Numbers of parameters.

    `kinds` by kind of module: embeddings, attention, mlp, experts, norms, head, adapter. A tied head counts
    as embeddings, quantised weights for what they stand for.
    """

    total: int
    trainable: int
    kinds: dict[str, int]


@dataclass(frozen=True, slots=True)
class Estimate:
    """The memory of one optimizer step on one device.

    Bytes as `torch.cuda.max_memory_allocated` counts them: each tensor rounded up to 512. `moments` has the
    most that is allocated in each moment, by component; moments that a run does not have are
    left out. `context` is outside of what torch counts: 0 until it was measured.
    """

    moments: dict[Moment, Breakdown]
    peak_moment: Moment
    parameters: Parameters

    @property
    def components(self) -> Breakdown:
        """What the peak is made of."""
        return self.moments[self.peak_moment]

    @property
    def peak_bytes(self) -> int:
        """The most that is allocated at any time."""
        return sum(self.components.values())

    def at(self, moment: Moment) -> int:
        """The most that is allocated in this moment; 0 where a run does not have it."""
        return sum(self.moments.get(moment, {}).values())


def estimate_from(moments: dict[Moment, Breakdown], parameters: Parameters) -> Estimate:
    """The result for these moments: the peak is the largest, the earlier one of equals."""
    peak = max(moments, key=lambda moment: sum(moments[moment].values()))
    return Estimate(moments, peak, parameters)
