"""A projection on a tape: plain, quantised, with LoRA or DoRA, as PEFT and bitsandbytes compute it."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sftui.memory.operations import (
    add,
    cast,
    copy,
    dropout,
    linear,
    lowered_parameter,
    multiply,
    promoted,
    scale,
    shift,
)
from sftui.memory.step import AdapterSpec, Stored
from sftui.memory.tape import DEQUANTIZATION, Gradients, Leaf, Storage, Tape, Tensor, rounded
from sftui.memory.weights import adapter_width

# bitsandbytes 0.50 multiplies up to about so many tokens by 4-bit weights directly, and dequantises
# them for more (backends/cuda/ops.py, _gemm_4bit_use_custom_cuda, large weights on data-centre cards).
DEQUANTIZED_FROM = 128


@dataclass(frozen=True, slots=True)
class Rules:
    """What projections of a step have in common. Widths in bytes; `resident`: gradients are there already."""

    width: int
    stored: Stored
    double: bool
    adapter: AdapterSpec | None
    full: bool
    resident: bool
    float16: bool = False
    """Whether the model computes in float16."""

    def leaf(self, *, trained: bool) -> Leaf | None:
        """The end of a trained parameter's gradient."""
        return Leaf(self.resident) if trained else None

    def saved(self) -> Rules:
        """Those of a weight whose copy, in the adapter's type, is trained in full."""
        if self.adapter is None:
            return self
        return replace(self, width=adapter_width(self.adapter, float16=self.float16), full=True)


def project(
    tape: Tape,
    x: Tensor,
    rules: Rules,
    name: str,
    inputs: int,
    outputs: int,
    *,
    bias: bool = False,
    quantised: bool = False,
    adapted: bool = False,
    saved: bool = False,
) -> Tensor:
    """One nn.Linear: `x` of `inputs` features -> `outputs`. `saved`: a trained copy stands in its place."""
    adapter = rules.adapter
    if saved and adapter is not None:
        width = adapter_width(adapter, float16=rules.float16)
        return _dense(tape, x, name, inputs, outputs, width, bias=bias, leaf=rules.leaf(trained=True))
    if adapted and adapter is not None:
        return _adapted(tape, x, rules, adapter, name, inputs, outputs, bias=bias, quantised=quantised)
    return _base(tape, x, rules, name, inputs, outputs, bias=bias, quantised=quantised)


def _dense(
    tape: Tape,
    x: Tensor,
    name: str,
    inputs: int,
    outputs: int,
    width: int,
    *,
    bias: bool,
    leaf: Leaf | None,
) -> Tensor:
    weight = tape.parameter(inputs * outputs, width, leaf)
    offset = tape.parameter(outputs, width, leaf and Leaf(leaf.resident)) if bias else None
    return linear(tape, x, weight, outputs, name=name if leaf else "", bias=offset)


def _base(
    tape: Tape, x: Tensor, rules: Rules, name: str, inputs: int, outputs: int, *, bias: bool, quantised: bool
) -> Tensor:
    if not quantised:
        leaf = rules.leaf(trained=rules.full)
        return _dense(tape, x, name, inputs, outputs, rules.width, bias=bias, leaf=leaf)
    if rules.stored == "int8":
        return _int8(tape, x, rules, inputs, outputs)
    given, multiply_by = x.width, _fp8 if rules.stored == "fp8" else _four_bits
    output = multiply_by(tape, cast(tape, x, rules.width), rules, inputs, outputs)
    return cast(tape, output, given)


def _four_bits(tape: Tape, x: Tensor, rules: Rules, inputs: int, outputs: int) -> Tensor:
    """bitsandbytes' MatMul4Bit: keeps nothing of the input; the backward dequantises the weight."""
    size, rows, width = inputs * outputs, x.size // inputs, x.width
    scales = 4 * -(-size // 64) if rules.double else 0
    back = x.size * width

    def work(grads: list[Storage | None]) -> Gradients:
        absmax = tape.new(scales, DEQUANTIZATION)
        weight = tape.new(size * width, DEQUANTIZATION)
        # The scales are gone once the weight is there.
        del absmax
        made = tape.new(back)
        del weight
        return (made,)

    if rows > DEQUANTIZED_FROM:
        # Scales are dequantised, then shifted into a second tensor.
        absmax = tape.new(scales, DEQUANTIZATION), tape.new(scales, DEQUANTIZATION)
        weight = tape.new(size * width, DEQUANTIZATION)
        output = tape.new(rows * outputs * width)
        del absmax, weight
    else:
        output = tape.new(rows * outputs * width)
    return tape.result(output, rows * outputs, width, (x.edge,), work)


def _fp8(tape: Tape, x: Tensor, rules: Rules, inputs: int, outputs: int) -> Tensor:
    """The trainer's own product: keeps nothing, and has the whole weight in the model's type meanwhile."""
    size, rows, width = inputs * outputs, x.size // inputs, x.width
    back = x.size * width

    def work(grads: list[Storage | None]) -> Gradients:
        weight = tape.new(size * width, DEQUANTIZATION)
        made = tape.new(back)
        del weight
        return (made,)

    weight = tape.new(size * width, DEQUANTIZATION)
    output = tape.new(rows * outputs * width)
    del weight
    return tape.result(output, rows * outputs, width, (x.edge,), work)


def _int8(tape: Tape, x: Tensor, rules: Rules, inputs: int, outputs: int) -> Tensor:
    """bitsandbytes' MatMul8bitLt: keeps its input as long as the graph lives, whatever is checkpointed."""
    rows, width = x.size // inputs, x.width
    float16 = rules.float16 and width == 2  # what it computes with; all else is cast
    half = None if float16 else tape.new(2 * x.size)
    quantised = tape.new(x.size), tape.new(4 * rows)
    # Outliers are looked for in absolute values.
    tape.borrow(rounded(2 * x.size) + rounded(x.size))
    del half
    product = rows * outputs
    output = tape.new(product * width)
    tape.borrow(rounded(4 * product) + (0 if float16 else rounded(2 * product)))
    del quantised
    back, size = x.size * width, inputs * outputs * width
    if x.edge is not None:
        tape.beyond.append(x.storage)

    def work(grads: list[Storage | None]) -> Gradients:
        weight, scales = tape.new(size, DEQUANTIZATION), tape.new(4 * outputs)
        del scales
        made = tape.new(back)
        del weight
        return (made,)

    return tape.result(output, rows * outputs, width, (x.edge,), work)


def _adapted(
    tape: Tape,
    x: Tensor,
    rules: Rules,
    adapter: AdapterSpec,
    name: str,
    inputs: int,
    outputs: int,
    *,
    bias: bool,
    quantised: bool,
) -> Tensor:
    width, r = adapter_width(adapter, float16=rules.float16), adapter.r
    # PEFT has layers of its own for those of bitsandbytes.
    own = quantised and rules.stored != "fp8"
    result = _base(tape, x, rules, name, inputs, outputs, bias=bias, quantised=quantised)
    given = result.width
    if quantised and rules.stored in ("nf4", "fp4"):
        result = copy(tape, result)  # PEFT clones what a 4-bit layer returns
    if not own or not tape.half:
        x = cast(tape, x, width)
    down = tape.parameter(inputs * r, width, rules.leaf(trained=True))
    up = tape.parameter(r * outputs, width, rules.leaf(trained=True))

    def low_rank(x: Tensor) -> Tensor:
        return linear(tape, linear(tape, x, down, r, name=name + ".A"), up, outputs, name=name + ".B")

    if adapter.use_dora:
        moved = _moved(tape, x, result, rules, adapter, down, up, name, bias=bias, quantised=quantised)
        result = add(tape, result, moved)
        # PEFT leaves the float32 of the magnitudes to autocast where the layer is quantised.
        return result if own and tape.half else cast(tape, result, given)
    output = scale(tape, low_rank(dropout(tape, x, adapter.dropout)))
    if own and not tape.half:
        output = cast(tape, output, given)
    result = add(tape, result, output)
    return cast(tape, result, given)


def _moved(
    tape: Tape,
    x: Tensor,
    base: Tensor,
    rules: Rules,
    adapter: AdapterSpec,
    down: Tensor,
    up: Tensor,
    name: str,
    *,
    bias: bool,
    quantised: bool,
) -> Tensor:
    """What DoRA adds to the result: PEFT's DoraLinearLayer, its norms computed anew in each pass."""
    inputs, outputs = down.size // adapter.r, up.size // adapter.r
    size = inputs * outputs
    drops = adapter.dropout > 0 and tape.training
    x = dropout(tape, x, adapter.dropout)
    kept, product = _update(tape, x.width, down, up, inputs, outputs, adapter.r, name)
    if quantised:
        scales = tape.new(4 * -(-size // 64) if rules.stored in ("nf4", "fp4") else 0, DEQUANTIZATION)
        # bitsandbytes dequantises 8 bits to float32.
        made = 4 if rules.stored == "int8" else rules.width
        weight = Tensor(tape.new(size * made, DEQUANTIZATION), size, made)
        del scales
    else:
        weight = tape.parameter(size, rules.width)
    weight = cast(tape, weight, x.width)
    scaled = tape.new(size * x.width)
    summed = tape.new(size * x.width)
    del scaled
    norm = tape.new(outputs * x.width)
    del summed
    magnitude = tape.parameter(
        outputs, adapter_width(adapter, float16=rules.float16), rules.leaf(trained=True)
    )
    wide = promoted(magnitude.width, x.width)
    small = outputs * wide
    if magnitude.edge:
        tape.keep(1)

    def work(grads: list[Storage | None], held: Storage = norm) -> Gradients:
        return (tape.new(small),)

    share = tape.result(tape.new(small), outputs, wide, (magnitude.edge,), work)
    low = linear(tape, linear(tape, x, down, adapter.r, name=name + ".A"), up, outputs, name=name + ".B")
    if drops:
        base = linear(tape, x, weight, outputs, name="")
    elif bias:
        base = shift(tape, base)  # less its bias
    moved = add(tape, multiply(tape, shift(tape, share), base), scale(tape, multiply(tape, share, low)))
    del kept, product
    return moved


def _update(
    tape: Tape, width: int, down: Tensor, up: Tensor, inputs: int, outputs: int, r: int, name: str
) -> tuple[tuple[Storage, ...], Storage]:
    """The product of both factors, made by putting a unit matrix through them, and what its graph keeps."""
    unit = tape.new(inputs * inputs * down.width)
    low = tape.half if tape.half and tape.half <= down.width else down.width
    lowered_unit = tape.new(inputs * inputs * low) if low != down.width else unit
    lowered_parameter(tape, down, name + ".A")
    middle = tape.new(inputs * r * low)
    kept: tuple[Storage, ...] = (lowered_unit, middle) if tape.keeping else ()
    del lowered_unit  # the graph may hold it, the unit itself is a variable
    lowered_parameter(tape, up, name + ".B")
    product = tape.new(size := inputs * outputs * low)
    del unit
    if width != low:
        product = tape.new(size // low * width)
    if tape.recording:
        tape.count(3)
    # In the first pass of a checkpointed layer the graph holds nothing.
    return kept, product
