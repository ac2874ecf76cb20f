"""What about a recipe's memory would surprise people."""

from __future__ import annotations

from collections.abc import Iterator

from sftui.memory.device import Device
from sftui.memory.estimate import Estimate
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec
from sftui.memory.weights import WIDTHS
from sftui.words import count, size

_BFLOAT16 = (8, 0)  # CUDA's capability that has it

# Shares of all parameters that an adapter seldom has; that of a small one in a large model is smaller.
_MANY, _MANY_WITH_EXPERTS = 0.1, 0.02


def notes(
    shape: ModelShape,
    step: StepSpec,
    found: Estimate,
    *,
    device: Device | None = None,
    positions: int | None = None,
) -> list[str]:
    """Sentences about a step of this model; none where all is as people expect.

    `positions`: the tokens of a sequence that the model was made for, None where that is not known.
    """
    return [*_source(shape), *_memory(step, found), *_refused(shape, step, device, positions)]


def _source(shape: ModelShape) -> Iterator[str]:
    if shape.from_table:
        yield (
            "the model's config.json is not on this machine and cannot be fetched: its sizes are from the "
            "table of well-known models that comes with sftui"
        )


def _refused(
    shape: ModelShape, step: StepSpec, device: Device | None, positions: int | None
) -> Iterator[str]:
    """What would end a run, however much memory there is, or make it worthless."""
    old = device is not None and device.capability is not None and device.capability < _BFLOAT16
    if device is not None and old and step.dtype == "bfloat16":
        yield f"{device.name} has no bfloat16: such a run is refused; model.dtype=float16 takes as much here"
    adapter = step.adapter
    if adapter is not None and shape.experts is not None and adapter.targets == "all-linear":
        for field, is_set in (("lora_dropout", adapter.dropout > 0), ("use_dora", adapter.use_dora)):
            if is_set:
                yield (
                    f"PEFT refuses adapter.{field} where all-linear adapts experts: leave it out, or name "
                    "adapter.target_modules"
                )
    if positions is not None and step.length > positions:
        yield (
            f"rows have {step.length:,} tokens, and the model was made for {positions:,}: "
            "it has not learned what comes after"
        )


def _memory(step: StepSpec, found: Estimate) -> list[str]:
    """What takes more than people expect."""
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
