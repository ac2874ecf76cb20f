"""What about a recipe's memory would surprise people."""

from __future__ import annotations

from sftui.memory.estimate import Estimate
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec
from sftui.memory.weights import WIDTHS
from sftui.words import count, size

# Shares of all parameters that an adapter seldom has; that of a small one in a large model is smaller.
_MANY, _MANY_WITH_EXPERTS = 0.1, 0.02


def notes(shape: ModelShape, step: StepSpec, found: Estimate) -> list[str]:
    """Sentences about a step of this model; none where all is as people expect."""
    experts = found.parameters.kinds["experts"]
    adapter = found.parameters.kinds["adapter"]
    rest = found.parameters.total - adapter
    said = []
    if experts and step.quantization != "none":
        held = size(experts * WIDTHS[step.weight_dtype])
        said.append(
            f"{step.quantization} does not reach the experts: {count(experts)} of {count(rest)} parameters "
            f"stay {step.weight_dtype} ({held}), because bitsandbytes quantises linear layers alone"
        )
    many = _MANY_WITH_EXPERTS if experts else _MANY
    if step.adapter is not None and adapter > many * rest:
        where = ", since all-linear adapts every expert" if experts else ""
        said.append(
            f"the adapter has {count(adapter)} parameters, {adapter / rest:.0%} of the model's{where}: "
            "a smaller adapter.r or fewer adapter.target_modules take less"
        )
    return said
