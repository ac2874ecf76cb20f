"""Bytes of weights: in each type and quantisation, of adapters, and how many parameters there are."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sftui.memory.estimate import Parameters
from sftui.memory.modules import Kind, LayerPlan, ModelPlan, norm_size, quantised
from sftui.memory.shape import ModelShape
from sftui.memory.step import AdapterSpec, StepSpec, Stored
from sftui.memory.tape import rounded
from sftui.recipe import Dtype

WIDTHS = {"float32": 4, "bfloat16": 2, "float16": 2}


class _OtherHalf(int):
    """Two bytes that are of another type than other two bytes."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _OtherHalf)

    def __ne__(self, other: object) -> bool:
        return not isinstance(other, _OtherHalf)

    def __hash__(self) -> int:
        return -2


# Of bfloat16 where the model computes in float16: neither is cast to the other for free.
OTHER_HALF = _OtherHalf(2)


def adapter_width(adapter: AdapterSpec, *, float16: bool) -> int:
    """Bytes an element of an adapter on a model that computes in float16 or not."""
    return OTHER_HALF if float16 and adapter.dtype == "bfloat16" else WIDTHS[adapter.dtype]


_NF4_BLOCK = 64  # weights that share a scale
_SCALE_BLOCK = 256  # scales that share a scale, with double quantisation
_CODES = 16 * 4  # the values that 4 bits stand for
_SCALE_CODES = 256 * 4  # the values that a quantised scale stands for


def quantised_bytes(rows: int, columns: int, stored: Stored, *, double: bool) -> int:
    """Bytes of a quantised weight with its scales, each tensor rounded up.

    nf4 and fp4: half a byte a weight, a float32 scale a block of 64; with double quantisation a byte a scale,
    a float32 for each 256 of them, their mean and the tables of codes (bitsandbytes/functional.py). int8
    and fp8: a byte a weight and a float32 a row.
    """
    size = rows * columns
    if stored in ("int8", "fp8"):
        return rounded(size) + rounded(4 * rows)
    blocks = -(-size // _NF4_BLOCK)
    packed = rounded(-(-size // 2)) + rounded(_CODES)
    if not double:
        return packed + rounded(4 * blocks)
    scales = rounded(blocks) + rounded(4 * -(-blocks // _SCALE_BLOCK))
    return packed + scales + rounded(_SCALE_CODES) + rounded(4)


@dataclass(frozen=True, slots=True)
class Trained:
    """Trained parameters of one shape: `count` tensors of rows x columns; columns 0 for a vector of `rows`.

    Experts are `stacked` matrices in one tensor, `rows` counting those of all.
    """

    rows: int
    columns: int
    width: int
    count: int = 1
    embedding: bool = False
    stacked: int = 1
    before: int = 0
    """Elements of what the optimizer steps before it."""

    @property
    def size(self) -> int:
        """Elements of one of them."""
        return self.rows * (self.columns or 1)


@dataclass(frozen=True, slots=True)
class _Made:
    """`count` parameters of an adapter: bytes of one as PEFT makes it, and in its own type."""

    first: int
    last: int
    count: int
    cast: bool
    copied: bool
    """Of a module of `modules_to_save`: made when all else is there."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a model holds on the device before the first step: bytes, and what of it is trained."""

    weights: int
    adapter: int
    trained: tuple[Trained, ...]
    parameters: Parameters
    loading: int
    """Bytes that quantising takes at most beside all weights, less those that come later."""
    largest_layer: int
    """Bytes of the weights of the largest layer."""
    made: int
    """The most bytes that making the adapter and casting it to its own type take."""

    @property
    def gradients(self) -> int:
        """Bytes of all gradients."""
        return sum(rounded(part.size * part.width) * part.count for part in self.trained)


def held(shape: ModelShape, spec: StepSpec, model: ModelPlan) -> Held:
    """The bytes of weights and adapters, and the trained parameters, of a model in a step."""
    return _Count(shape, spec, model).held()


class _Count:
    """Adds up a model, module by module."""

    def __init__(self, shape: ModelShape, spec: StepSpec, model: ModelPlan) -> None:
        self.shape, self.spec, self.model = shape, spec, model
        self.width = WIDTHS[spec.weight_dtype]
        self.weights = self.adapter = self.largest_layer = 0
        self.made: list[_Made] = []
        self.made_last = slice(0, 0)  # those of the last layer's kind
        self.kinds: dict[str, int] = dict.fromkeys(
            ("embeddings", "attention", "mlp", "experts", "norms", "head", "adapter"), 0
        )
        self.trained: dict[Trained, int] = {}
        self.before = 0
        self.full = spec.adapter is None

    def held(self) -> Held:
        shape = self.shape
        self._weight(shape.vocab, shape.hidden, "embeddings", trained=self.full, embedding=True)
        if self.spec.adapter is not None:
            self._embedding(self.spec.adapter)
        for layer, count in self.model.kinds().items():
            before, made = self.weights, len(self.made)
            self._layer(layer, count)
            if layer == self.model.layers[-1]:
                self.made_last = slice(made, len(self.made))
            self.largest_layer = max(self.largest_layer, (self.weights - before) // count)
        if not shape.tied:
            self._weight(shape.vocab, shape.hidden, "head", trained=self.full)
        if shape.head_bias:
            self._weight(shape.vocab, 0, "head", trained=self.full)
        for size in norm_size(shape):
            self._weight(size, 0, "norms", trained=self.full)
        if self.spec.adapter is not None:
            self._ends(self.spec.adapter)
        self._buffers()
        trained = tuple(replace(part, count=count) for part, count in self.trained.items())
        total = sum(self.kinds.values())
        return Held(
            self.weights,
            self.adapter,
            trained,
            Parameters(total, sum(part.size * part.count for part in trained), self.kinds),
            self._loading(),
            self.largest_layer,
            self._making(),
        )

    def _layer(self, layer: LayerPlan, count: int) -> None:
        spec = self.spec
        for part in layer.projections:
            size = part.inputs * part.outputs
            if quantised(spec, part, layer):
                stored = quantised_bytes(
                    part.outputs, part.inputs, spec.quantization, double=spec.double_quant
                )
                self.weights += stored * count
                self.kinds[part.kind] += size * count
            else:
                self._weight(part.outputs, part.inputs, part.kind, trained=self.full, count=count)
            if part.bias:
                self._weight(part.outputs, 0, part.kind, trained=self.full, count=count)
            if spec.adapter is not None:
                if part.name in layer.adapted:
                    stands = quantised(spec, part, layer)
                    self._lora(part.inputs, part.outputs, spec.adapter, count, stands=stands)
                if part.name in layer.saved:
                    self._copy(part.outputs, part.inputs, count)
                    if part.bias:
                        self._copy(part.outputs, 0, count)
        if spec.adapter is not None:
            self._expert_adapters(layer, spec.adapter, count)
        for weight in layer.weights:
            rows = self._rows(weight.name)
            self._weight(weight.size, 0, weight.kind, trained=self.full, count=count, rows=rows)
            if weight.name in layer.saved_weights:
                of_rows, columns, stacked = rows or (weight.size, 0, 1)
                self._copy(of_rows, columns, count, stacked=stacked)

    def _loading(self) -> int:
        """Weights come in the order of their names: those of the last layer find all others there."""
        spec, layer = self.spec, self.model.layers[-1]
        most, later = self._stacking(), 0
        if spec.quantization == "none":
            return most
        for part in sorted(layer.projections, key=lambda each: each.name, reverse=True):
            size = part.inputs * part.outputs
            blocks = rounded(4 * -(-size // _NF4_BLOCK)) if spec.quantization in ("nf4", "fp4") else 0
            # The scales are shifted by their mean in a copy before they are quantised themselves.
            scales = 2 * blocks if spec.double_quant else 0
            if spec.quantization == "fp8":
                scales = rounded(4 * size)  # divided by them in float32
            if spec.quantization == "int8" and spec.dtype != "float16":
                scales = rounded(2 * size)  # bitsandbytes quantises a copy in float16
            most = max(most, rounded(size * self.width) + scales - later)
            later += quantised_bytes(part.outputs, part.inputs, spec.quantization, double=spec.double_quant)
        return most

    def _stacking(self) -> int:
        """Experts that a checkpoint holds apart are stacked, and gate and up, stacked each, are joined."""
        experts = self.shape.experts
        if experts is None:
            return 0
        return rounded(2 * experts.count * 2 * experts.intermediate * self.shape.hidden * self.width)

    def _rows(self, name: str) -> tuple[int, int, int] | None:
        """(rows, columns, stacked) of parameters that are matrices without being nn.Linear."""
        experts = self.shape.experts
        if experts is None or not name.startswith("mlp."):
            return None
        if name == "mlp.gate.weight":
            return experts.count, self.shape.hidden, 1
        if name.endswith("gate_up_proj"):
            return experts.count * 2 * experts.intermediate, self.shape.hidden, experts.count
        return experts.count * self.shape.hidden, experts.intermediate, experts.count

    def _weight(
        self,
        outputs: int,
        inputs: int,
        kind: Kind,
        *,
        trained: bool,
        count: int = 1,
        embedding: bool = False,
        rows: tuple[int, int, int] | None = None,
    ) -> None:
        size = outputs * (inputs or 1)
        self.weights += rounded(size * self.width) * count
        self.kinds[kind] += size * count
        if trained:
            of_rows, columns, stacked = rows or (outputs, inputs, 1)
            self._train(of_rows, columns, self.width, count, embedding=embedding, stacked=stacked)

    def _expert_adapters(self, layer: LayerPlan, adapter: AdapterSpec, count: int) -> None:
        """Factors for all experts of a layer in one matrix each; gate and up, fused, have a rank for each."""
        experts, h, r = self.shape.experts, self.shape.hidden, adapter.r
        if experts is None:
            return
        n, inner = experts.count, experts.intermediate
        if "mlp.gate" in layer.adapted:
            self._lora(h, n, adapter, count)
        if "mlp.experts.gate_up_proj" in layer.adapted:
            self._adapted(2 * r * n, h, count)
            self._adapted(2 * inner, 2 * r * n, count)
        if "mlp.experts.down_proj" in layer.adapted:
            self._adapted(r * n, inner, count)
            self._adapted(h, r * n, count)

    def _lora(
        self, inputs: int, outputs: int, adapter: AdapterSpec, count: int, *, stands: bool = False
    ) -> None:
        """Factors beside a weight, which `stands` quantised."""
        self._adapted(adapter.r, inputs, count, stands=stands)
        self._adapted(outputs, adapter.r, count, stands=stands)
        if adapter.use_dora:
            self._adapted(outputs, 0, count, stands=stands)

    def _norm_bytes(self, inputs: int, outputs: int, *, stands: bool) -> int:
        """What DoRA's first norm of a weight takes: the product of both factors, scaled, and the sum."""
        spec, size = self.spec, inputs * outputs
        rank = 0 if spec.adapter is None else spec.adapter.r
        # Factors of float16 are multiplied in float32.
        raised = rounded(4 * rank * inputs) + rounded(4 * rank * outputs) if spec.dtype == "float16" else 0
        if not stands:
            return 3 * rounded(size * self.width) + raised
        if spec.quantization in ("nf4", "fp4"):
            # PEFT dequantises a copy of the module, where the scales are twice: its own and its weight's.
            stored = quantised_bytes(outputs, inputs, spec.quantization, double=spec.double_quant)
            scales = stored - rounded(-(-size // 2))
            return stored + scales + 4 * rounded(size * self.width) + raised
        # bitsandbytes dequantises 8 bits to float32.
        weight = 4 if spec.quantization == "int8" else self.width
        return rounded(size * weight) + 3 * rounded(4 * size)

    def _adapted(
        self,
        outputs: int,
        inputs: int,
        count: int = 1,
        *,
        embedding: bool = False,
        stands: bool = False,
        copied: bool = False,
        stacked: int = 1,
    ) -> None:
        assert self.spec.adapter is not None
        width, size = WIDTHS[self.spec.adapter.dtype], outputs * (inputs or 1)
        self.adapter += rounded(size * width) * count
        kind = self._made_in(stands=stands)
        cast = kind != self.spec.adapter.dtype
        self.made.append(_Made(rounded(size * WIDTHS[kind]), rounded(size * width), count, cast, copied))
        self.kinds["adapter"] += size * count
        self._train(outputs, inputs, width, count, embedding=embedding, stacked=stacked)

    def _copy(
        self, outputs: int, inputs: int, count: int = 1, *, embedding: bool = False, stacked: int = 1
    ) -> None:
        """A module of `modules_to_save`: the trained copy beside the frozen one."""
        self._adapted(outputs, inputs, count, embedding=embedding, copied=True, stacked=stacked)

    def _made_in(self, *, stands: bool) -> Dtype:
        """What PEFT makes factors in: float32 beside weights of 8 bits, which are no type to compute in."""
        eight = stands and self.spec.quantization in ("int8", "fp8")
        return "float32" if eight else self.spec.weight_dtype

    def _embedding(self, adapter: AdapterSpec) -> None:
        shape, model = self.shape, self.model
        if model.embedding_saved:
            self._copy(shape.vocab, shape.hidden, embedding=True)
        if model.embedding_adapted:
            self._lora(shape.vocab, shape.hidden, adapter, 1)

    def _ends(self, adapter: AdapterSpec) -> None:
        shape, model = self.shape, self.model
        if model.norm_saved:
            for size in norm_size(shape):
                self._copy(size, 0)
        if model.head_saved:
            self._copy(shape.vocab, shape.hidden)
            if shape.head_bias:
                self._copy(shape.vocab, 0)
        if model.head_adapted:
            self._lora(shape.hidden, shape.vocab, adapter, 1)

    def _making(self) -> int:
        """PEFT makes factors, with DoRA norms of what they make of a weight, then copies of whole modules.

        Then the trainer casts one parameter after the other.
        """
        factors = sum(each.first * each.count for each in self.made if not each.copied)
        live = sum(each.first * each.count for each in self.made)
        most = max(live, factors + self._norming())
        made, last = [(each, each.count) for each in self.made], self.made[self.made_last]
        made[self.made_last] = [(each, each.count - 1) for each in last] + [(each, 1) for each in last]
        for each, count in made:
            if each.cast:
                most = max(most, live + each.last)
                live += (each.last - each.first) * count
                most = max(most, live + each.first)
        return most

    def _norming(self) -> int:
        """What norms take beside all factors, less those that come later: of the last layer or the head."""
        adapter, layer, shape = self.spec.adapter, self.model.layers[-1], self.shape
        if adapter is None or not adapter.use_dora:
            return 0
        parts = [(shape.hidden, shape.vocab, False)] if self.model.head_adapted else []
        parts += [
            (part.inputs, part.outputs, quantised(self.spec, part, layer))
            for part in reversed(layer.projections)
            if part.name in layer.adapted
        ]
        most = later = 0
        for inputs, outputs, stands in parts:
            most = max(most, self._norm_bytes(inputs, outputs, stands=stands) - later)
            sizes = adapter.r * inputs, adapter.r * outputs, outputs
            later += sum(rounded(size * WIDTHS[self._made_in(stands=stands)]) for size in sizes)
        return most

    def _train(
        self, rows: int, columns: int, width: int, count: int, *, embedding: bool, stacked: int
    ) -> None:
        before = self.before if columns else 0
        part = Trained(rows, columns, width, embedding=embedding, stacked=stacked, before=before)
        # Norms and biases are stepped in a group of their own, magnitudes of DoRA with their matrices.
        if columns or not self.full:
            self.before = part.size
        self.trained[part] = self.trained.get(part, 0) + count

    def _buffers(self) -> None:
        """Frequencies of the rotary positions, twice; the scale of gemma's embedding."""
        self.weights += 2 * self.shape.position_tables * rounded(4 * (self.shape.rotary_dim // 2))
        if self.shape.scaled_embedding:
            self.weights += rounded(self.width)
        if self.spec.quantization in ("nf4", "fp4") and self.spec.double_quant:
            self.weights += rounded(_SCALE_CODES)  # of bitsandbytes itself
