"""The moments of a step: what is allocated at most in each, layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from operator import itemgetter

from sftui.memory.attention import Scores
from sftui.memory.batch import batch_bytes, dense_masks, made_positions, position_table
from sftui.memory.estimate import COMPONENTS, Breakdown, Moment
from sftui.memory.head import Head
from sftui.memory.layer import Layer
from sftui.memory.modules import LayerPlan, ModelPlan
from sftui.memory.optimizer import optimizer_bytes
from sftui.memory.passes import Mode, Pass, Tags, head_pass, layer_pass
from sftui.memory.projection import Rules
from sftui.memory.shape import ModelShape
from sftui.memory.step import EvaluationSpec, Kernel, Layout, StepSpec, fused_kernel
from sftui.memory.tape import BLOCK, rounded
from sftui.memory.weights import WIDTHS, Held, adapter_width

# Of cuBLAS, each with a workspace: the backward pass runs in a thread of its own.
HANDLES = 2

# Numbers on the device: what the loss is divided by; the loss itself and its gradient.
_COUNT, _LOSS = BLOCK, 2 * BLOCK

# FSDP puts the whole weights of a layer together before it runs, and those of the next meanwhile.
_GATHERED = 2

# What a gradient comes to through turned positions.
_TURNED = (
    "input_layernorm.weight",
    *(f"self_attn.{name}" for name in ("q_proj", "k_proj", "qkv_proj")),
    *(f"self_attn.{name}.weight" for name in ("q_norm", "k_norm", "q_layernorm", "k_layernorm")),
)

BACKWARD: tuple[Moment, Moment] = ("backward_last", "backward_first")

_SEGMENT_ROWS = 10  # EmbeddingBackwardKernel.cu: rows that one warp sums
_SORTED_FROM = 3072  # indices; more are sorted first


@dataclass(frozen=True, slots=True)
class Step:
    """A step of a model, with what follows from both."""

    shape: ModelShape
    spec: StepSpec
    plan: ModelPlan
    held: Held

    @property
    def width(self) -> int:
        """Bytes an element of hidden states, which is that of the embedding or of its trained copy."""
        weights = WIDTHS[self.spec.weight_dtype]
        if self.plan.embedding_saved and self.spec.adapter is not None:
            return adapter_width(self.spec.adapter, float16=self.spec.dtype == "float16")
        return weights

    @property
    def half(self) -> int:
        """Width of autocast's type, 0 without."""
        return 2 if self.spec.autocast is not None else 0

    @property
    def embedding_trained(self) -> bool:
        """Whether the gradient goes through all layers to the embedding."""
        return self.spec.adapter is None or self.plan.embedding_saved or self.plan.embedding_adapted

    def rules(self) -> Rules:
        """What all projections of this step have in common."""
        spec = self.spec
        return Rules(
            WIDTHS[spec.weight_dtype],
            spec.quantization,
            spec.double_quant,
            spec.adapter,
            spec.adapter is None,
            spec.accumulation > 1,
            spec.dtype == "float16",
        )


def moments_of(step: Step) -> dict[Moment, Breakdown]:
    """The most that is allocated in each moment, by component."""
    spec, held = step.spec, step.held
    optimizer = optimizer_bytes(spec.optimizer, held.trained)
    copies = held.gradients if spec.processes > 1 and not spec.shard else 0
    share = spec.processes if spec.shard else 1
    resident = held.gradients if spec.accumulation > 1 else 0
    still: Breakdown = {
        "weights": held.weights if share == 1 else held.weights // share + _GATHERED * held.largest_layer,
        "adapter": held.adapter // share,
        "gradients": copies,
        "optimizer": optimizer.states // share,
        "workspace": HANDLES * spec.cublas_workspace,
    }
    moments: dict[Moment, Breakdown] = {"load": _loaded(step)}
    batch = batch_bytes(spec) * spec.accumulation
    walk = _Walk(step, still, resident, batch)
    walk.forward()
    walk.loss()
    walk.backward()
    moments.update(walk.moments)
    moments["optimizer_step"] = {
        **still,
        "gradients": held.gradients // share + copies,
        "optimizer": (optimizer.states + optimizer.transient) // share,
        "activations": batch,
    }
    if spec.evaluation is not None:
        moments["evaluation"] = _evaluation(step, still, spec.evaluation)
    moments["save"] = still
    return {moment: _complete(parts) for moment, parts in moments.items()}


def _complete(parts: Breakdown) -> Breakdown:
    return {name: parts.get(name, 0) for name in COMPONENTS}


class _Walk:
    """Goes through a step in order, and keeps the largest of each moment."""

    def __init__(self, step: Step, still: Breakdown, resident: int, batch: int) -> None:
        self.step, self.spec, self.shape = step, step.spec, step.shape
        self.still = still
        self.share = step.spec.processes if step.spec.shard else 1
        self.gradients = resident
        self.resident = resident > 0
        self.moments: dict[Moment, Breakdown] = {}
        self.most: dict[Moment, int] = {}
        self.base = batch + _COUNT
        self.mode = Mode(step.width, step.width, step.half, True)
        made = {plan: self._layer(plan) for plan in step.plan.kinds()}
        self.layers = [made[plan] for plan in step.plan.layers]
        self.turned: list[bool] = []  # whether a gradient goes through positions, by layer
        self.passes = list(self._passes())
        self.embedded = rounded(self.spec.tokens * self.shape.hidden * step.width)
        spec = step.spec
        self.table = position_table(step, spec.rows, spec.length, spec.layout)
        self.masks = dense_masks(step, spec.rows, spec.length, spec.layout, windows=spec.windows)
        self.arguments = list(self._arguments())

    def _passes(self) -> Iterable[Pass]:
        every = self.spec.checkpointing
        # transformers lets the output of the embedding need a gradient wherever it checkpoints.
        needs = self.step.embedding_trained or every > 0
        made: dict[tuple[int, int, bool, bool], Pass] = {}
        width = self.mode.width
        for number, layer in enumerate(self.layers):
            checkpointed = self._runs_again(number)
            key = (id(layer), width, needs, checkpointed)
            if key not in made:
                mode = replace(self.mode, width=width, needs_gradient=needs, checkpointed=checkpointed)
                made[key] = layer_pass(layer, mode)
            turns = needs or not layer.plan.trained.isdisjoint(_TURNED)
            self.turned.append(layer.plan.kind.rope and turns)
            yield made[key]
            width = made[key].width
            needs = needs or bool(layer.plan.trained)

    def _layer(self, plan: LayerPlan) -> Layer:
        spec = self.spec
        return layer_of(self.step, plan, spec.rows, spec.length, spec.layout, windows=spec.windows)

    def forward(self) -> None:
        """Embedding, then layer by layer, then the last norm."""
        spec = self.spec
        self.base += self.table * self.shape.position_tables
        self.base += made_positions(spec.length, spec.layout)
        masks = sum(self.masks.values())
        self._look("forward", (self.embedded * (2 if self.shape.scaled_embedding else 1),), masks)
        kept = cached = 0
        for number, one in enumerate(self.passes):
            # The embedding's output is a variable of the model until its forward ends.
            beside = self.embedded if number and not self.spec.checkpointing else 0
            self._look("forward", one.forward, kept + cached + masks + beside)
            kept += one.kept + one.beyond
            cached += one.cached
        self.kept, self.cached = kept, cached

    def loss(self) -> None:
        """The last norm, the head, cross entropy, and their backward."""
        head = head_of(self.step, self.spec.rows, self.spec.length)
        trains = self.step.embedding_trained or self.spec.checkpointing > 0 or self.step.plan.adapts
        mode = replace(self.mode, width=self.passes[-1].width, needs_gradient=trains)
        ending = head_pass(head, mode, self.cached)
        beside = 0 if self.spec.checkpointing else self.embedded
        self._look("forward", ending.norm, self.kept + sum(self.masks.values()) + beside)
        # Positions are arguments of checkpointed layers, like masks.
        if not self.spec.checkpointing:
            self.base -= made_positions(self.spec.length, self.spec.layout)
        self.base -= self.table * self.shape.position_tables
        self._look("loss", ending.loss, self.kept + self.arguments[-1])
        self.base += _LOSS
        self.gradients += ending.gradients

    def _arguments(self) -> Iterator[int]:
        """For each layer, bytes of masks and tables of positions that the graph holds for those up to it.

        Masks are arguments of checkpointed layers; others have kept what they made of them. Tables are kept
        by the products of positions, too.
        """
        total, windows, tables = 0, set[int | None](), set[int]()
        for number, layer in enumerate(self.layers):
            kind, again = layer.plan.kind, self._runs_again(number)
            if again and kind.window not in windows:
                windows.add(kind.window)
                total += self.masks[kind.window]
            if (again or self.turned[number]) and kind.positions not in tables:
                tables.add(kind.positions)
                total += self.table
            yield total

    def _runs_again(self, number: int) -> bool:
        return self.spec.checkpointing > 0 and number % self.spec.checkpointing == 0

    def backward(self) -> None:
        """The last layer first, then the embedding."""
        count = len(self.passes)
        kept = self.kept - sum(one.beyond for one in self.passes)
        beyond = self.kept - kept
        inner: list[tuple[int, Moment, Tags, int, int]] = []
        for number in range(count - 1, -1, -1):
            one = self.passes[number]
            kept -= one.kept
            moment: Moment = "backward_last" if 2 * number >= count else "backward_first"
            beside = kept + beyond + self.arguments[number]
            if 0 < number < count - 1:
                total = sum(one.backward) + beside + self.gradients
                inner.append((total, moment, one.backward, beside, self.gradients))
            else:
                self._look(moment, one.backward, beside)
            self.gradients += one.gradients
        if self.step.embedding_trained:
            self._embedding_backward(beyond)  # what layers were given went with the first of them
        # Moments are those of the last layer and of the first; others count where they need more than both.
        if inner:
            _, moment, tags, beside, gradients = max(inner, key=itemgetter(0))
            parts = self._parts(tags, beside, gradients)
            if _size(parts) > max(_size(self.moments[each]) for each in BACKWARD if each in self.moments):
                self.moments[moment] = parts

    def _embedding_backward(self, beside: int) -> None:
        step, shape = self.step, self.shape
        size = rounded(shape.vocab * shape.hidden * step.width)
        arriving = self.embedded
        if shape.scaled_embedding:
            self._look("backward_first", (2 * arriving,), beside)
        tokens = self.spec.tokens
        extra = 0
        if tokens > _SORTED_FROM:
            segments = tokens // _SEGMENT_ROWS + min(tokens, shape.vocab)
            extra = rounded(4 * segments * shape.hidden) + 6 * rounded(8 * tokens)
        self._look("backward_first", (arriving + size, 0, 0, 0, extra), beside)
        # The head's gradient is a view but under autocast: what is a view is not added to in place.
        if shape.tied and step.spec.adapter is None and not step.spec.autocast:
            self._look("backward_first", (2 * size,), beside)  # the gradient and the sum of both

    def _look(self, moment: Moment, tags: Tags, beside: int) -> None:
        """Take these bytes for the moment if they are the most so far."""
        total = sum(tags) + beside + self.gradients // self.share + self.base
        if total > self.most.get(moment, -1):
            self.most[moment] = total
            self.moments[moment] = self._parts(tags, beside, self.gradients)

    def _parts(self, tags: Tags, beside: int, held: int) -> Breakdown:
        activations, gradients, logits, dequantised, workspace = (*tags, 0, 0, 0, 0)[:5]
        parts = dict(self.still)
        parts["gradients"] += held // self.share + gradients
        parts["activations"] = self.base + beside + activations
        parts["logits"] = logits
        parts["dequantization"] = dequantised
        parts["workspace"] += workspace
        return parts


def _size(parts: Breakdown) -> int:
    return sum(parts.values())


def head_of(step: Step, rows: int, length: int) -> Head:
    """The end of the model for such a batch."""
    spec = step.spec
    chunk = spec.loss_chunk if spec.loss == "chunked" else 0
    return Head(step.shape, step.plan, step.rules(), rows, length, spec.weighted, chunk)


def layer_of(step: Step, plan: LayerPlan, rows: int, length: int, layout: Layout, *, windows: bool) -> Layer:
    """The layer on a tape for such a batch. `windows`: the kernel needs no dense mask for them."""
    shape, spec = step.shape, step.spec
    kernel: Kernel = spec.attention
    window = plan.kind.window
    slides = window is not None and not windows and length >= window
    masked = layout in ("padded", "packed_dense") or kernel == "eager" or slides
    if windows and layout == "padded":
        masked = False
    sequences = rows if layout == "flat" else 0
    if sequences:
        # Of a band of its own, a sequence that is no longer than the window has none.
        masked = slides and length != window
        rows, length = 1, rows * length
    elif kernel != "eager" and not windows:
        half = spec.dtype != "float32" and (spec.attention != "math" or layout != spec.layout)
        kernel = fused_kernel(shape, half=half, masked=masked, flash=spec.flash)
    scores = Scores(
        kernel,
        rows,
        length,
        shape.heads,
        shape.kv_heads,
        shape.head_dim,
        masked,
        shape.attention_dropout,
        shape.attention_softcap is not None,
        sequences,
        sequences > 0 and not windows,
        step.width,
    )
    return Layer(shape, plan, step.rules(), scores, 0)


def _loaded(step: Step) -> Breakdown:
    """The weights with what quantising takes, or with the adapter, which PEFT makes in float32."""
    held = step.held
    quantising: Breakdown = {"weights": held.weights + held.loading}
    adapting: Breakdown = {"weights": held.weights, "adapter": held.made}
    return max(quantising, adapting, key=_size)


def _evaluation(step: Step, still: Breakdown, spec: EvaluationSpec) -> Breakdown:
    """A pass without gradients over padded rows."""
    layout: Layout = "plain" if spec.rows == 1 else "padded"
    width = step.width
    mode = Mode(width, width, step.half, False, training=False)
    embedded = rounded(spec.rows * spec.length * step.shape.hidden * width)
    # Positions and masks go when the layers are done.
    passing = position_table(step, spec.rows, spec.length, layout) * step.shape.position_tables
    passing += made_positions(spec.length, layout)
    passing += sum(dense_masks(step, spec.rows, spec.length, layout, windows=spec.windows).values())
    base = (2 + (layout == "padded")) * rounded(8 * spec.rows * spec.length)
    best: Tags = (0,) * 5
    beside = cached = 0
    found: dict[tuple[int, int], Pass] = {}
    for number, plan in enumerate(step.plan.layers):
        key = (id(plan), mode.width)
        if key not in found:
            layer = layer_of(step, plan, spec.rows, spec.length, layout, windows=spec.windows)
            found[key] = layer_pass(layer, mode)
        one = found[key]
        if one.width != mode.width:
            mode = replace(mode, width=one.width)
        extra = passing + cached + (embedded if number else 0)
        if sum(one.forward) + extra > sum(best) + beside:
            best, beside = one.forward, extra
        cached += one.cached
    head = head_of(step, spec.rows, spec.length)
    ending = head_pass(head, mode, cached)
    if sum(ending.norm) + embedded + passing > sum(best) + beside:
        best, beside = ending.norm, embedded + passing
    if sum(ending.loss) > sum(best) + beside:
        best, beside = ending.loss, 0
    parts = dict(still)
    parts["activations"] = base + beside + best[0]
    parts["logits"], parts["dequantization"] = best[2], best[3]
    parts["workspace"] += best[4]
    return parts
