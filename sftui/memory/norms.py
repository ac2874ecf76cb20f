"""Norms on a tape, as the families' modules compute them."""

from __future__ import annotations

from sftui.memory.operations import cast, mean, multiply, plain, power, raised, rsqrt, shift
from sftui.memory.shape import HeadNorm, Norm
from sftui.memory.tape import Gradients, Leaf, Storage, Tape, Tensor


def norm(
    tape: Tape, x: Tensor, kind: Norm | HeadNorm, features: int, width: int, *, trained: bool, resident: bool
) -> Tensor:
    """`x` normalised over its last `features` elements, with weights of `width` bytes."""
    leaf = Leaf(resident) if trained else None
    if kind == "rms":
        return _rms(tape, x, tape.parameter(features, width, leaf))
    if kind == "gemma":
        return _gemma(tape, x, tape.parameter(features, width, leaf))
    return _layer(tape, x, features, width, trained=trained, resident=resident)


def _unit(tape: Tape, x: Tensor, features: int) -> Tensor:
    """`x * rsqrt(mean(x ** 2) + eps)`, `x` in float32."""
    variance = mean(tape, power(tape, x), x.size // features)
    return multiply(tape, x, rsqrt(tape, shift(tape, variance)))


def _rms(tape: Tape, x: Tensor, weight: Tensor) -> Tensor:
    """LlamaRMSNorm: computed in float32, scaled in the input's type."""
    given = x.width
    x = cast(tape, x, 4)
    variance = mean(tape, power(tape, x), x.size // weight.size)
    x = multiply(tape, x, rsqrt(tape, shift(tape, variance)))
    return multiply(tape, weight, cast(tape, x, given))


def _gemma(tape: Tape, x: Tensor, weight: Tensor) -> Tensor:
    """Gemma2RMSNorm: scaled by 1 + weight in float32."""
    output = _unit(tape, cast(tape, x, 4), weight.size)
    output = multiply(tape, output, shift(tape, cast(tape, weight, 4)))
    return cast(tape, output, x.width)


def _layer(tape: Tape, x: Tensor, features: int, width: int, *, trained: bool, resident: bool) -> Tensor:
    """torch's layer norm: keeps its input, and mean and deviation of each row. Float32 under autocast."""
    x = raised(tape, x)
    weight = raised(tape, tape.parameter(features, width, Leaf(resident) if trained else None))
    bias = raised(tape, tape.parameter(features, width, Leaf(resident) if trained else None))
    edges = (x.edge, weight.edge, bias.edge)
    if any(edges):
        tape.keep(3)
    rows, back, small = x.size // features, x.size * x.width, features * weight.width
    output = tape.new(back)
    # Statistics are float32 on CUDA for half types too.
    statistics = tape.new(4 * rows), tape.new(4 * rows)
    if any(edges):
        tape.keep(2)
    needs = x.edge is not None

    def work(
        grads: list[Storage | None], kept: object = (x.storage, weight.storage, bias.storage, statistics)
    ) -> Gradients:
        return (
            tape.new(back) if needs else None,
            tape.new(small) if trained else None,
            tape.new(small) if trained else None,
        )

    return tape.result(output, x.size, x.width, edges, work)


def embedding_scale(tape: Tape, x: Tensor) -> Tensor:
    """Gemma's scaled embedding: times a number that is a tensor of its own."""
    return plain(tape, x)
