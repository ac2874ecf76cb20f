"""Why a component has its size: the formula with this recipe's numbers, and what would save most of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sftui import words
from sftui.memory.changes import Change
from sftui.memory.estimate import COMPONENTS, Component, Estimate
from sftui.memory.modules import plan
from sftui.memory.moments import BACKWARD, HANDLES
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec
from sftui.memory.weights import WIDTHS

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
        name: Reason(size, _FORMULAS[name](shape, spec, found), _remedy(name, size, choices))
        for name in COMPONENTS
        if (size := found.components[name])
    }


def _remedy(name: Component, size: int, choices: tuple[Change, ...]) -> Remedy | None:
    best = min(choices, key=lambda one: one.estimate.components[name], default=None)
    if best is None or best.estimate.components[name] >= size:
        return None
    return Remedy(best.text, best.values, size - best.estimate.components[name], best.saves)


def _weights(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    width, size = WIDTHS[spec.weight_dtype], found.components["weights"]
    kinds = found.parameters.kinds
    total = found.parameters.total - kinds["adapter"]
    if spec.quantization == "none":
        return f"{total:,} parameters x {width} B = {words.size(size)}"
    plain = kinds["embeddings"] + kinds["head"] + kinds["experts"] + kinds["norms"]
    stored = size - plain * width
    each = stored / max(1, total - plain)
    return (
        f"{total - plain:,} parameters x {each:.3f} B ({spec.quantization}) + {plain:,} x {width} B "
        f"(embeddings, head, norms{', experts' if kinds['experts'] else ''}) = {words.size(size)}"
    )


def _adapter(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["adapter"]
    assert spec.adapter is not None
    width = WIDTHS[spec.adapter.dtype]
    return (
        f"{found.parameters.trainable:,} parameters of rank {spec.adapter.r} x {width} B = {words.size(size)}"
    )


def _gradients(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["gradients"]
    width = WIDTHS[spec.adapter.dtype if spec.adapter else spec.weight_dtype]
    copies = " x 2 (DDP reduces in a copy)" if spec.processes > 1 and not spec.shard else ""
    if size + 1024 < found.parameters.trainable * width:
        return f"those of the layers behind: {size // width:,} x {width} B = {words.size(size)}"
    return f"{found.parameters.trainable:,} parameters x {width} B{copies} = {words.size(size)}"


def _optimizer(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["optimizer"]
    each = size / max(1, found.parameters.trainable)
    text = f"{found.parameters.trainable:,} parameters x {each:.2f} B ({_OF_A_STATE[spec.optimizer]})"
    if found.peak_moment == "optimizer_step" and spec.optimizer == "adamw_torch":
        text += ", with the roots of all second moments while it steps"
    return f"{text} = {words.size(size)}"


def _activations(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size, layers, tokens = found.components["activations"], len(shape.layers), spec.tokens
    if found.peak_moment in ("optimizer_step", "load", "save"):
        return f"the batch = {words.size(size)}"
    each = size / layers / tokens
    if not spec.checkpointing:
        if found.peak_moment == "backward_first":
            return f"the first layer: {size / tokens:,.0f} B x {tokens:,} tokens = {words.size(size)}"
        return f"{layers} layers x {each:,.0f} B x {tokens:,} tokens = {words.size(size)}"
    width = WIDTHS[spec.weight_dtype]
    again = -(-layers // spec.checkpointing)
    inputs = again * width * shape.hidden * tokens
    if found.peak_moment in ("backward_first", "evaluation"):
        inputs = width * shape.hidden * tokens
        again = layers = 1
    rest = max(0, size - inputs)
    text = f"{again} x {width} B x {shape.hidden:,} x {tokens:,} tokens (inputs of layers)"
    if layers > again:
        each = rest / (layers - again) / tokens
        return f"{text} + {layers - again} layers x {each:,.0f} B x {tokens:,} (kept) = {words.size(size)}"
    what = "one layer run again" if found.peak_moment in BACKWARD else "what is being computed"
    if spec.quantization == "int8":
        what = f"what int8 products keep, and {what}"
    return f"{text} + {rest / tokens:,.0f} B x {tokens:,} ({what}) = {words.size(size)}"


def _logits(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size, tokens = found.components["logits"], spec.tokens
    evaluates = found.peak_moment == "evaluation"
    if evaluates and spec.evaluation is not None:
        tokens = spec.evaluation.rows * spec.evaluation.length
    if spec.loss == "chunked":
        tokens = min(tokens, spec.loss_chunk)
    each = round(size / (shape.vocab * tokens))
    if each < 2:
        return f"the gradient of the last layer = {words.size(size)}"
    trained = spec.adapter is None or plan(shape, spec.adapter).head_saved
    if spec.loss == "chunked" and trained and not evaluates:
        return (
            f"{size / shape.vocab:,.0f} B x V ({shape.vocab:,}): logits of {tokens:,} tokens, gradients "
            f"of the head ({shape.hidden:,} a row) = {words.size(size)}"
        )
    return f"{each} x V x T = {each} x {shape.vocab:,} x {tokens:,} B = {words.size(size)}"


def _dequantization(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["dequantization"]
    width = WIDTHS[spec.weight_dtype]
    return f"the weight that is multiplied: {size // width:,} x {width} B and its scales = {words.size(size)}"


def _workspace(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["workspace"]
    rest = size - HANDLES * spec.cublas_workspace
    text = f"{HANDLES} cuBLAS workspaces x {spec.cublas_workspace:,} B"
    return (
        f"{text} + {words.size(rest)} in a kernel = {words.size(size)}"
        if rest > 0
        else f"{text} = {words.size(size)}"
    )


def _context(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    return f"measured on this device = {words.size(found.components['context'])}"


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
