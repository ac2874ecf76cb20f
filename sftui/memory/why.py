"""Why a component has its size: the formula with this recipe's numbers, and what would save most of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sftui import words
from sftui.memory.activation_terms import activation_terms
from sftui.memory.changes import Change
from sftui.memory.estimate import COMPONENTS, Component, Estimate
from sftui.memory.logit_terms import logit_terms
from sftui.memory.modules import plan
from sftui.memory.moments import HANDLES
from sftui.memory.optimizer import optimizer_bytes
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec
from sftui.memory.weights import WIDTHS, held

_OF_A_STATE: dict[str, str] = {
    "adamw_torch": "2 moments of the weights' type",
    "adamw_torch_fused": "2 moments of the weights' type",
    "adamw_bnb_8bit": "2 moments of 1 B, and 4 B for each 256 of them",
    "paged_adamw_32bit": "2 float32 moments, in host memory for tensors of 100,000 and more",
    "paged_adamw_8bit": "2 moments of 1 B, in host memory for tensors of 100,000 and more",
    "lion_32bit": "1 float32 moment",
    "lion_8bit": "1 moment of 1 B, and 4 B for each 256 of them",
    "adafactor": "a float32 a row and a column",
    "sgd": "no state",
}
_WORTH_A_RATE = 0.1  # bytes a parameter; of fewer the sum says more


@dataclass(frozen=True, slots=True)
class Remedy:
    """A change in words and by dotted recipe key; the bytes it takes off the component, and off the peak."""

    text: str
    values: Mapping[str, Any]
    saves: int
    peak: int


@dataclass(frozen=True, slots=True)
class Reason:
    """The `bytes` of a component at the peak, their formula in a line, and the best change if any helps."""

    bytes: int
    formula: str
    remedy: Remedy | None


def why(
    shape: ModelShape, spec: StepSpec, found: Estimate, options: Iterable[Change]
) -> dict[Component, Reason]:
    """The reasons for each component of the peak of `found`, which is the estimate of this shape and step.

    `options` are what `changes` says of the recipe; the remedy is the one that saves most of the component.
    """
    choices = tuple(options)
    return {
        name: Reason(size, _FORMULAS[name](shape, spec, found), _remedy(name, found, choices))
        for name in COMPONENTS
        if (size := found.components[name])
    }


def _remedy(name: Component, found: Estimate, choices: tuple[Change, ...]) -> Remedy | None:
    """The change with which there is least of the component in the moment of the peak."""
    moment, size = found.peak_moment, found.components[name]

    def left(one: Change) -> int:
        return one.estimate.moments.get(moment, one.estimate.components)[name]

    best = min(choices, key=lambda one: (left(one), -one.saves), default=None)
    if best is None or left(best) >= size:
        return None
    return Remedy(best.text, best.values, size - left(best), best.saves)


def _weights(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    width, size = WIDTHS[spec.weight_dtype], found.components["weights"]
    kinds = found.parameters.kinds
    total = found.parameters.total - kinds["adapter"]
    if spec.shard:
        rest = _rest(size - total * width // spec.processes, "layers put together", size)
        return f"{total:,} parameters x {width} B / {spec.processes} processes{rest} = {words.size(size)}"
    whole = held(shape, spec, plan(shape, spec.adapter)).weights
    rest = _rest(size - whole, "what loading takes", size)
    if spec.quantization == "none":
        return f"{total:,} parameters x {width} B{rest} = {words.size(size)}"
    plain = kinds["embeddings"] + kinds["head"] + kinds["experts"] + kinds["norms"]
    each = (whole - plain * width) / max(1, total - plain)
    return (
        f"{total - plain:,} parameters x {each:.3f} B ({spec.quantization}) + {plain:,} x {width} B "
        f"(embeddings, head, norms{', experts' if kinds['experts'] else ''}){rest} = {words.size(size)}"
    )


def _rest(size: int, what: str, of: int) -> str:
    """A term for bytes that are more than a thousandth of the whole."""
    return f" + {size:,} B ({what})" if size > of / 1000 else ""


def _adapter(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size, count = found.components["adapter"], found.parameters.trainable
    assert spec.adapter is not None
    what = f"rank {spec.adapter.r}"
    if spec.adapter.modules_to_save:
        what += f", copies of {', '.join(spec.adapter.modules_to_save)}"
    if found.peak_moment == "load":
        return f"{count:,} parameters x {size / count:.3f} B ({what}; while it is made) = {words.size(size)}"
    share = f" / {spec.processes} processes" if spec.shard else ""
    return f"{count:,} parameters x {WIDTHS[spec.adapter.dtype]} B{share} ({what}) = {words.size(size)}"


def _gradients(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size, count = found.components["gradients"], found.parameters.trainable
    width = WIDTHS[spec.adapter.dtype if spec.adapter else spec.weight_dtype]
    copied = spec.processes > 1 and not spec.shard
    own = size - count * width if copied else size
    term = f"{own // width:,} x {width} B (those of layers behind)"
    if spec.shard:
        term = f"{size:,} B (a share, and what is being reduced)"
    elif own * 1000 >= count * width * 999:
        term = f"{count:,} parameters x {width} B{_rest(own - count * width, 'one more of a weight', size)}"
    copy = f"{count:,} x {width} B (the copy that DDP reduces)"
    terms = [term] if own * 1000 > size or not copied else []
    return f"{' + '.join([*terms, copy] if copied else terms)} = {words.size(size)}"


def _optimizer(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size, count = found.components["optimizer"], found.parameters.trainable
    model = plan(shape, spec.adapter)
    share = spec.processes if spec.shard else 1
    states = optimizer_bytes(spec.optimizer, held(shape, spec, model).trained).states // share
    what = _OF_A_STATE[spec.optimizer].replace("weights'", "adapter's" if spec.adapter else "weights'")
    text = f"{states:,} B ({what})"
    if states >= _WORTH_A_RATE * count:
        text = f"{count:,} parameters x {states / count:.3f} B ({what})"
    roots = (
        "the roots of all second moments" if spec.optimizer == "adamw_torch" else "the step of the largest"
    )
    if not states:
        return f"{size:,} B ({what if not size else roots}) = {words.size(size)}"
    return f"{text}{_rest(size - states, f'{roots}, while it steps', size)} = {words.size(size)}"


def _activations(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    return f"{activation_terms(shape, spec, found)} = {words.size(found.components['activations'])}"


def _logits(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    return f"{logit_terms(shape, spec, found)} = {words.size(found.components['logits'])}"


def _dequantization(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["dequantization"]
    width = WIDTHS[spec.weight_dtype]
    return f"{size // width:,} x {width} B (the weight that is multiplied, and scales) = {words.size(size)}"


def _workspace(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size, one = found.components["workspace"], spec.cublas_workspace
    rest = _rest(size - HANDLES * one, "taken by a kernel while it runs", size)
    return f"{HANDLES} cuBLAS workspaces x {one:,} B{rest} = {words.size(size)}"


def _context(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["context"]
    return f"{size:,} B (measured on this device) = {words.size(size)}"


_FORMULAS: dict[Component, Callable[[ModelShape, StepSpec, Estimate], str]] = {
    "weights": _weights,
    "adapter": _adapter,
    "gradients": _gradients,
    "optimizer": _optimizer,
    "activations": _activations,
    "logits": _logits,
    "dequantization": _dequantization,
    "workspace": _workspace,
    "context": _context,
}
