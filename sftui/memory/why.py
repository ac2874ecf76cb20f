"""Why a component has its size: the formula with this recipe's numbers, and what would save most of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from sftui.memory.closed_form import estimate
from sftui.memory.estimate import COMPONENTS, Component, Estimate
from sftui.memory.moments import BACKWARD, WORKSPACE
from sftui.memory.shape import ModelShape
from sftui.memory.step import AdapterSpec, Half, StepSpec
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
    """A change in words, the step that it leads to, and the bytes it takes off component and peak."""

    text: str
    step: StepSpec
    saves: int
    peak: int


@dataclass(frozen=True, slots=True)
class Reason:
    """The `bytes` of a component at the peak, their formula in a line, and the best change if any helps."""

    bytes: int
    formula: str
    remedy: Remedy | None


def why(shape: ModelShape, spec: StepSpec, found: Estimate) -> dict[Component, Reason]:
    """The reasons for each component of the peak of `found`, which is the estimate of this shape and step."""
    changes = [(text, step, estimate(shape, step)) for text, step in _changes(shape, spec)]
    reasons: dict[Component, Reason] = {}
    for name in COMPONENTS:
        size = found.components[name]
        if not size:
            continue
        best: Remedy | None = None
        for text, step, other in changes:
            saves, peak = size - other.components[name], found.peak_bytes - other.peak_bytes
            if saves > 0 and peak > 0 and (best is None or saves > best.saves):
                best = Remedy(text, step, saves, peak)
        reasons[name] = Reason(size, _FORMULAS[name](shape, spec, found), best)
    return reasons


def gigabytes(size: int) -> str:
    """`3.15 GB`; smaller ones in MB."""
    return f"{size / 1e9:,.2f} GB" if size >= 1e8 else f"{size / 1e6:,.1f} MB"


def _changes(shape: ModelShape, spec: StepSpec) -> Iterator[tuple[str, StepSpec]]:
    """What a recipe could do instead, one change at a time."""
    if not spec.checkpointing:
        yield "gradient_checkpointing: true", replace(spec, checkpointing=1)
    if spec.loss == "stock":
        yield "a chunked loss", replace(spec, loss="chunked")
    if spec.attention in ("eager", "math") and spec.dtype != "float32" and shape.attention_softcap is None:
        yield "attn_implementation: auto", replace(spec, attention="efficient")
    if spec.optimizer.startswith("adamw_torch"):
        yield "optim: adamw_bnb_8bit", replace(spec, optimizer="adamw_bnb_8bit")
        yield "optim: paged_adamw_8bit", replace(spec, optimizer="paged_adamw_8bit")
    if spec.adapter is None:
        half: Half | None = None if spec.dtype == "float32" else "bfloat16"
        lora = replace(spec, adapter=AdapterSpec(16), autocast=half, master_float32=False)
        yield "a LoRA adapter", lora
    elif spec.quantization == "none":
        yield "quantization: nf4", replace(spec, quantization="nf4")
    elif spec.quantization in ("nf4", "fp4") and not spec.double_quant:
        yield "double_quant: true", replace(spec, double_quant=True)
    if spec.adapter is not None and spec.adapter.r > 1:
        yield f"r: {spec.adapter.r // 2}", replace(spec, adapter=replace(spec.adapter, r=spec.adapter.r // 2))
    if spec.rows > 1:
        fewer = replace(spec, rows=spec.rows // 2, accumulation=spec.accumulation * 2)
        yield f"per_device_train_batch_size: {spec.rows // 2}, twice the accumulation", fewer
    if spec.length >= 2:
        yield f"max_length: {spec.length // 2:,}", replace(spec, length=spec.length // 2)


def _weights(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    width, size = WIDTHS[spec.weight_dtype], found.components["weights"]
    kinds = found.parameters.kinds
    total = found.parameters.total - kinds["adapter"]
    if spec.quantization == "none":
        return f"{total:,} parameters x {width} B = {gigabytes(size)}"
    plain = kinds["embeddings"] + kinds["head"] + kinds["experts"] + kinds["norms"]
    stored = size - plain * width
    each = stored / max(1, total - plain)
    return (
        f"{total - plain:,} parameters x {each:.3f} B ({spec.quantization}) + {plain:,} x {width} B "
        f"(embeddings, head, norms{', experts' if kinds['experts'] else ''}) = {gigabytes(size)}"
    )


def _adapter(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["adapter"]
    assert spec.adapter is not None
    width = WIDTHS[spec.adapter.dtype]
    return (
        f"{found.parameters.trainable:,} parameters of rank {spec.adapter.r} x {width} B = {gigabytes(size)}"
    )


def _gradients(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["gradients"]
    width = WIDTHS[spec.adapter.dtype if spec.adapter else spec.weight_dtype]
    copies = " x 2 (DDP reduces in a copy)" if spec.processes > 1 and not spec.shard else ""
    if size + 1024 < found.parameters.trainable * width:
        return f"those of the layers behind: {size // width:,} x {width} B = {gigabytes(size)}"
    return f"{found.parameters.trainable:,} parameters x {width} B{copies} = {gigabytes(size)}"


def _optimizer(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["optimizer"]
    each = size / max(1, found.parameters.trainable)
    text = f"{found.parameters.trainable:,} parameters x {each:.2f} B ({_OF_A_STATE[spec.optimizer]})"
    if found.peak_moment == "optimizer_step" and spec.optimizer == "adamw_torch":
        text += ", with the roots of all second moments while it steps"
    return f"{text} = {gigabytes(size)}"


def _activations(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size, layers, tokens = found.components["activations"], len(shape.layers), spec.tokens
    if found.peak_moment in ("optimizer_step", "load", "save"):
        return f"the batch = {gigabytes(size)}"
    each = size / layers / tokens
    if not spec.checkpointing:
        if found.peak_moment == "backward_first":
            return f"the first layer: {size / tokens:,.0f} B x {tokens:,} tokens = {gigabytes(size)}"
        return f"{layers} layers x {each:,.0f} B x {tokens:,} tokens = {gigabytes(size)}"
    width = WIDTHS[spec.weight_dtype]
    kept = layers * width * shape.hidden * tokens
    if found.peak_moment in ("backward_first", "evaluation"):
        kept = width * shape.hidden * tokens
        layers = 1
    rest = max(0, size - kept)
    what = "one layer run again" if found.peak_moment in BACKWARD else "what is being computed"
    return (
        f"{layers} x {width} B x {shape.hidden:,} x {tokens:,} tokens (inputs of layers) "
        f"+ {rest / tokens:,.0f} B x {tokens:,} ({what}) = {gigabytes(size)}"
    )


def _logits(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["logits"]
    tokens = min(spec.tokens, spec.loss_chunk) if spec.loss == "chunked" else spec.tokens
    if found.peak_moment == "evaluation" and spec.evaluation is not None:
        tokens = spec.evaluation.rows * spec.evaluation.length
    each = round(size / (shape.vocab * tokens))
    if each < 2:
        return f"the gradient of the last layer = {gigabytes(size)}"
    return f"{each} x V x T = {each} x {shape.vocab:,} x {tokens:,} B = {gigabytes(size)}"


def _dequantization(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["dequantization"]
    width = WIDTHS[spec.weight_dtype]
    return f"the weight that is multiplied: {size // width:,} x {width} B and its scales = {gigabytes(size)}"


def _workspace(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    size = found.components["workspace"]
    rest = size - WORKSPACE
    text = f"2 cuBLAS workspaces x {WORKSPACE // 2:,} B"
    return (
        f"{text} + {gigabytes(rest)} in a kernel = {gigabytes(size)}"
        if rest > 0
        else f"{text} = {gigabytes(size)}"
    )


def _context(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    return f"measured on this device = {gigabytes(found.components['context'])}"


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
