"""What an optimizer step computes and moves, and how long that takes."""

from __future__ import annotations

from dataclasses import dataclass

from sftui.memory.modules import LayerPlan, ModelPlan, plan, quantised
from sftui.memory.optimizer import optimizer_bytes
from sftui.memory.projection import DEQUANTIZED_FROM
from sftui.memory.shape import LayerKind, ModelShape
from sftui.memory.step import StepSpec
from sftui.memory.weights import WIDTHS, held, quantised_bytes
from sftui.recipe import Optimizer

# Share of a GPU's peak that the products of a whole step reach, recomputation counted. LLM Foundry on 8 to 64
# H100 (mosaicml/llm-foundry, scripts/train/benchmarking): 0.34 to 0.59 for 760M to 70B. transformers and PEFT
# on one A100 with rows of 4,096 tokens (foundation-model-stack/fms-acceleration, scripts/benchmarks/refs),
# counted as here: 0.46 to 0.64 for 7B to 70B. Small models and short batches of eager PyTorch: half.
_UTILISED = (0.25, 0.65)
# Share of the memory bandwidth that kernels which only move data reach: 0.9 one large copy, a quarter where
# many small ones follow each other, which is what QLoRA takes longer than LoRA in the same table.
_STREAMED = (0.25, 0.9)
_SLOW_BUS = 12e9  # bytes a second to the host: copies over 16 lanes of PCIe 3

# Kernels that a layer launches forward: of a llama in transformers 5.23, 38 operators are no views, and
# 94 with seven float32 adapters; 71 and 130 backward. Those of dequantisation are an allowance.
_OF_A_LAYER, _OF_AN_ADAPTER, _OF_QUANTISED = 38, 8, 3
_BACK_FOR_ONE = 1.5
# Seconds that eager PyTorch takes to launch one, on a fast and on a slow host: small models wait for it.
_LAUNCHED = (4e-6, 15e-6)

# What a change costs is said of an A100-80GB, as measured there, with PCIe 4.
_TYPICAL_FLOPS, _TYPICAL_BYTES, _TYPICAL_BUS = 0.55 * 312e12, 0.5 * 2.04e12, 20e9

_PAGED: dict[Optimizer, Optimizer] = {
    "paged_adamw_32bit": "lion_32bit",
    "paged_adamw_8bit": "adamw_bnb_8bit",
}

# Bytes moved for a score of eager attention: read and written in its half type, float32 for the softmax.
_SCORE, _SCORE_BACK = 34, 36
# LLM.int8: bytes moved for an element of the input (copied, looked through, quantised) and of the output.
_INT8_INPUT, _INT8_OUTPUT = 10, 14
_DORA_WEIGHT = 32  # bytes moved for a weight: its update made, added and squared in float32
_EXPERT_UPDATE = 8  # bytes moved for a weight of experts that have an adapter: the update made and added

# Flash attention's backward makes the scores again: five products for the forward's two (Dao 2023).
_FUSED_BACK, _EAGER_BACK = 2.5, 2.0


@dataclass(frozen=True, slots=True)
class Work:
    """What one optimizer step of one device computes and moves.

    `flops` of matrix products. Bytes: `read`, weights that these products read, once a pass; `moved` by
    kernels that do little else (dequantisation, scores of eager attention, gradients, the optimizer);
    `paged`, optimizer states between host and device where they do not stay. `kernels`: about how many are
    launched. What processes send each other is not counted.
    """

    flops: float
    read: float
    moved: float
    paged: float
    kernels: float


@dataclass(frozen=True, slots=True)
class _Layer:
    """A decoder layer for a micro-batch: FLOPs forward, of gradients, bytes as in `Work`."""

    forward: float
    backward: float
    read: float
    moved: float
    moved_back: float
    read_back: float


def work(shape: ModelShape, spec: StepSpec, sequence: int | None = None) -> Work:
    """The work of an optimizer step.

    `sequence`: mean length of the sequences that are packed into bins, which attend to nothing else; None
    counts each bin as one. Every token counts as trained; a chunked loss leaves out the others. Source: two
    FLOPs a weight and token forward, as many for the gradient of each input and of each trained weight
    (Kaplan et al. 2020); 4 q a pair of tokens for attention.
    """
    model = plan(shape, spec.adapter)
    every = spec.checkpointing
    # transformers lets the output of the embedding need a gradient wherever it checkpoints.
    ends = model.embedding_saved or model.embedding_adapted
    needs = spec.adapter is None or ends or every > 0
    layers = {each: _layer(shape, spec, each, sequence) for each in model.kinds()}
    flops, read, moved = _head(shape, spec, model)
    kernels = 0.0
    for number, each in enumerate(model.layers):
        layer = layers[each]
        needs = needs or bool(each.trained)
        again = 1 + (needs and every > 0 and number % every == 0)
        flops += again * layer.forward + needs * layer.backward
        read += again * layer.read + needs * layer.read_back
        moved += again * layer.moved + needs * layer.moved_back
        kernels += (again + _BACK_FOR_ONE * needs) * _kernels(spec, each)
    flops, read, moved, kernels = (value * spec.accumulation for value in (flops, read, moved, kernels))
    stepped, paged = _optimizer(shape, spec, model)
    return Work(flops, read, moved + stepped, paged, kernels)


def _kernels(spec: StepSpec, layer: LayerPlan) -> int:
    """Kernels of a layer's forward pass."""
    adapted = sum(part.name in layer.adapted for part in layer.projections)
    stored = sum(quantised(spec, part, layer) for part in layer.projections)
    return _OF_A_LAYER + _OF_AN_ADAPTER * adapted + _OF_QUANTISED * stored


def seconds(work: Work, flops_per_second: float, bytes_per_second: float) -> tuple[float, float]:
    """How long a step takes at best and at worst, from what a GPU's data sheet says.

    `flops_per_second` without sparsity, of the type that the step computes in; `bytes_per_second` of its
    memory. Between 0.25 and 0.65 of the FLOP/s are reached (`_UTILISED` has the sources).
    Paged states stay on the device at best; at worst they cross the bus to it and back. No step is faster
    than its kernels can be launched.
    """
    slow_share, fast_share = _UTILISED
    soonest, latest = (each * work.kernels for each in _LAUNCHED)
    slow_stream, fast_stream = (share * bytes_per_second for share in _STREAMED)
    fast = _time(work, fast_share * flops_per_second, fast_stream)
    slow = _time(work, slow_share * flops_per_second, slow_stream) + work.paged / _SLOW_BUS
    return max(fast, soonest), max(slow, latest)


def relative_time(shape: ModelShape, before: StepSpec, after: StepSpec) -> float:
    """How much longer the same tokens take after a change: 1.3 is 30% longer. For when no device is known."""
    return typical_seconds(shape, after) / typical_seconds(shape, before)


def typical_seconds(shape: ModelShape, spec: StepSpec) -> float:
    """Seconds a token on an A100-80GB, as good as any to compare two steps by."""
    found = work(shape, spec)
    once = _time(found, _TYPICAL_FLOPS, _TYPICAL_BYTES) + found.paged / _TYPICAL_BUS
    return once / (spec.tokens * spec.accumulation)


def _time(work: Work, flops_per_second: float, bytes_per_second: float) -> float:
    """Reading weights hides behind computing, or the other way round; the rest is done in between."""
    product = max(work.flops / flops_per_second, work.read / bytes_per_second)
    return product + work.moved / bytes_per_second


def _layer(shape: ModelShape, spec: StepSpec, layer: LayerPlan, sequence: int | None) -> _Layer:
    tokens, width = spec.tokens, WIDTHS[spec.weight_dtype]
    adapter, full = spec.adapter, spec.adapter is None
    forward, back, moved, moved_back = _attention(shape, spec, layer.kind, sequence)
    read = read_back = 0.0
    for part in layer.projections:
        size = part.inputs * part.outputs
        product = 2.0 * size * tokens
        adapted = adapter is not None and part.name in layer.adapted
        if adapted and adapter is not None and adapter.use_dora:
            forward += 2.0 * part.inputs * adapter.r * (part.inputs + part.outputs)
            moved += _DORA_WEIGHT * size
            if adapter.dropout:
                product *= 2  # the frozen weight multiplies the input with and without dropout
        forward += product
        back += product * (2 if full or part.name in layer.saved else 1)
        if adapted and adapter is not None:
            low = 2.0 * adapter.r * (part.inputs + part.outputs) * tokens
            forward, back = forward + low, back + 2 * low
        read_back += size * width
        if not quantised(spec, part, layer):
            read += size * width
            continue
        stored = quantised_bytes(part.outputs, part.inputs, spec.quantization, double=spec.double_quant)
        made = stored + size * width
        moved_back += made
        if spec.quantization == "int8":
            read += stored
            moved += tokens * (_INT8_INPUT * part.inputs + _INT8_OUTPUT * part.outputs)
        elif spec.quantization in ("nf4", "fp4") and tokens <= DEQUANTIZED_FROM:
            read += stored
        else:
            read, moved = read + size * width, moved + made
    if layer.kind.experts:
        experts = _experts(shape, spec, layer)
        forward, back = forward + experts.forward, back + experts.backward
        read, read_back = read + experts.read, read_back + experts.read_back
        moved, moved_back = moved + experts.moved, moved_back + experts.moved_back
    return _Layer(forward, back, read, moved, moved_back, read_back)


def _experts(shape: ModelShape, spec: StepSpec, layer: LayerPlan) -> _Layer:
    """The router, and those experts that tokens are sent to; adapters make the weights of all anew."""
    experts, adapter, tokens = shape.experts, spec.adapter, spec.tokens
    assert experts is not None
    width = WIDTHS[spec.weight_dtype]
    sent = tokens * experts.per_token
    forward = back = read = moved = moved_back = 0.0
    for weight in layer.weights:
        if weight.kind == "norms":
            continue
        stacked = weight.kind == "experts"
        used, rows = (min(experts.count, sent), sent) if stacked else (1, tokens)
        one = weight.size / (experts.count if stacked else 1)
        product = 2.0 * one * rows
        adapted = adapter is not None and weight.name.removesuffix(".weight") in layer.adapted
        forward += product
        back += product * (2 if adapter is None or (adapted and stacked) else 1)
        read += used * one * width
        if adapted and adapter is not None:
            r = adapter.r * (2 if weight.name.endswith("gate_up_proj") else 1)
            # Other adapters act on tokens, those of experts on the weight.
            low = 2.0 * r * (weight.size if stacked else (shape.hidden + experts.count) * tokens)
            forward, back = forward + low, back + 2 * low
            if stacked:
                moved += _EXPERT_UPDATE * weight.size
                moved_back += _EXPERT_UPDATE * weight.size
    return _Layer(forward, back, read, moved, moved_back, read)


def _attention(
    shape: ModelShape, spec: StepSpec, kind: LayerKind, sequence: int | None
) -> tuple[float, float, float, float]:
    """FLOPs forward and backward, bytes moved forward and backward, of scores and what they weigh."""
    length, window = spec.length, kind.window
    eager = spec.attention in ("eager", "math")
    slides = window is not None and length >= window and not spec.windows
    masked = spec.layout in ("padded", "packed_dense") and not (spec.windows and spec.layout == "padded")
    if eager or masked or slides:
        # A kernel that is given a dense mask computes every score.
        pairs = float(spec.rows * length * length)
    else:
        apart = sequence is not None and spec.layout != "padded" and spec.windows
        each = min(sequence, length) if apart and sequence is not None else length
        pairs = spec.tokens / each * _causal(each, window)
    flops = 4.0 * shape.q_size * pairs
    scores = shape.heads * pairs if eager else 0.0
    back = _EAGER_BACK if eager else _FUSED_BACK
    return flops, back * flops, _SCORE * scores, _SCORE_BACK * scores


def _causal(length: int, window: int | None) -> float:
    """Pairs of a token with itself or an earlier one, at most `window` of them a token."""
    if window is None or window >= length:
        return length * (length + 1) / 2
    return window * (window + 1) / 2 + (length - window) * window


def _head(shape: ModelShape, spec: StepSpec, model: ModelPlan) -> tuple[float, float, float]:
    """FLOPs, bytes read and bytes moved of the output head, forward and backward."""
    adapter, tokens = spec.adapter, spec.tokens
    size = shape.vocab * shape.hidden
    trained = adapter is None or model.head_saved
    flops = 2.0 * size * tokens * (3 if trained else 2)
    if adapter is not None and model.head_adapted:
        flops += 3 * 2.0 * adapter.r * (shape.vocab + shape.hidden) * tokens
    chunks = -(-tokens // spec.loss_chunk) if spec.loss == "chunked" else 1
    width = WIDTHS[spec.weight_dtype]
    # Each chunk but the first adds to the gradient of a trained head.
    added = 3 * size * width * (chunks - 1) if trained else 0
    return flops, 2.0 * size * width * chunks, float(added)


def _optimizer(shape: ModelShape, spec: StepSpec, model: ModelPlan) -> tuple[float, float]:
    """Bytes moved by adding up gradients and by the optimizer, and those paged, of a whole step."""
    found = held(shape, spec, model)
    share = spec.processes if spec.shard else 1
    gradients = found.gradients
    # Written; then with each further micro-batch written, read with the sum, and the sum written.
    moved = gradients * (4 * spec.accumulation - 3)
    on_device = optimizer_bytes(spec.optimizer, found.trained)
    states = on_device.states
    paged = 0
    if spec.optimizer in _PAGED:
        whole = optimizer_bytes(_PAGED[spec.optimizer], found.trained).states
        states = whole * (2 if spec.optimizer == "paged_adamw_32bit" else 1)
        paged = max(0, states - on_device.states)
    # Weights are read and written, gradients read, states read and written.
    moved += (3 * gradients + 2 * states) // share
    if spec.optimizer == "adamw_torch":
        moved += 6 * gradients // share  # in pieces, each over all parameters: roots, quotients, sums
    if spec.optimizer == "adafactor":
        elements = sum(part.size * part.count for part in found.trained)
        moved += 24 * elements // share  # the update in float32: made, scaled and clipped
    return float(moved), 2.0 * paged / share
