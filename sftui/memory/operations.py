"""Operations of torch on a tape: what each allocates, keeps, and makes of a gradient."""

from __future__ import annotations

from sftui.memory.tape import Gradients, Storage, Tape, Tensor
from sftui.memory.weights import OTHER_HALF

_CACHED = 4  # bytes an element of the weights whose casts autocast keeps

Given = list["Storage | None"]
Kept = "tuple[Storage | None, ...]"


def plain(tape: Tape, x: Tensor, width: int = 0) -> Tensor:
    """An elementwise operation that keeps no tensor: a copy, a negation, a cast to `width`."""
    back, width = x.size * x.width, width or x.width
    return tape.result(tape.new(x.size * width), x.size, width, (x.edge,), lambda _: (tape.new(back),))


def cast(tape: Tape, x: Tensor, width: int) -> Tensor:
    """`x.to(dtype)`: `x` itself where it is of that width already."""
    return x if width == x.width else plain(tape, x, width)


def promoted(x: int, y: int) -> int:
    """The width of what comes of two types: that of two kinds of halves is float32."""
    return x if x == y else max(x, y, 4 if x < 4 and y < 4 else 0)


def _lower(tape: Tape, width: int) -> bool:
    return bool(tape.half) and (width > tape.half or width == OTHER_HALF)


def lowered(tape: Tape, x: Tensor) -> Tensor:
    """`x` as autocast hands it to a matrix product."""
    return plain(tape, x, tape.half) if _lower(tape, x.width) else x


def raised(tape: Tape, x: Tensor) -> Tensor:
    """`x` as autocast hands it to an operation that it wants in float32."""
    return plain(tape, x, 4) if tape.half and x.width < 4 else x


def lowered_parameter(tape: Tape, weight: Tensor, name: str) -> Tensor:
    """A weight as autocast hands it on; the cast of a trained one (`name`) is cached where it is float32."""
    if not _lower(tape, weight.width):
        return weight
    if not name or weight.width != _CACHED:
        return plain(tape, weight, tape.half)
    found = tape.casts.get(name)
    if found is None:
        found = tape.casts[name] = plain(tape, weight, tape.half)
    return found


def scale(tape: Tape, x: Tensor) -> Tensor:
    """`x * number`."""
    return plain(tape, x)


def shift(tape: Tape, x: Tensor) -> Tensor:
    """`x + number`: the gradient passes as it is."""
    return tape.result(tape.new(x.size * x.width), x.size, x.width, (x.edge,), lambda grads: (grads[0],))


def copy(tape: Tape, x: Tensor) -> Tensor:
    """`x.contiguous()` where it is not: the gradient passes as it is."""
    return shift(tape, x)


def reshape_copy(tape: Tape, x: Tensor) -> Tensor:
    """A view whose gradient comes in another layout and is copied."""
    back = x.size * x.width
    return tape.result(x.storage, x.size, x.width, (x.edge,), lambda _: (tape.new(back),))


def add(tape: Tape, x: Tensor, y: Tensor) -> Tensor:
    """`x + y`: the gradient of both is the same tensor, where type and size are."""
    size, width = max(x.size, y.size), promoted(x.width, y.width)
    mine = x.size * x.width if x.edge and (x.width, x.size) != (width, size) else 0
    yours = y.size * y.width if y.edge and (y.width, y.size) != (width, size) else 0

    def work(grads: Given) -> Gradients:
        return (tape.new(mine) if mine else grads[0], tape.new(yours) if yours else grads[0])

    return tape.result(tape.new(size * width), size, width, (x.edge, y.edge), work)


def multiply(tape: Tape, x: Tensor, y: Tensor) -> Tensor:
    """`x * y`, either of them broadcast; each is kept where the other needs a gradient."""
    size, width = max(x.size, y.size), promoted(x.width, y.width)
    x_edge, y_edge = x.edge, y.edge
    if x_edge or y_edge:
        tape.keep((x_edge is not None) + (y_edge is not None))
    full = size * width
    mine = x.size * x.width if x_edge else 0
    yours = y.size * y.width if y_edge else 0

    held = [x.storage if y_edge else None, y.storage if x_edge else None]

    def work(grads: Given, kept: list[Storage | None] = held) -> Gradients:
        first = tape.new(full) if mine else None
        second = tape.new(full) if yours else None
        if tape.again:
            # What checkpointing recomputed is gone once it was handed out.
            kept.clear()
        # Summed over what was broadcast, and of the input's own type, when both are there.
        if mine and mine != full:
            first = tape.new(mine)
        if yours and yours != full:
            second = tape.new(yours)
        return (first, second)

    del held
    return tape.result(tape.new(full), size, width, (x_edge, y_edge), work)


def activation(tape: Tape, x: Tensor, kind: str) -> Tensor:
    """silu, gelu or relu in one operation; gelu_new as transformers writes it out."""
    if kind == "gelu_new":
        return _gelu_new(tape, x)
    back = x.size * x.width
    relu = kind == "relu"
    if x.edge and not relu:
        tape.keep(1)
    storage = tape.new(back)
    if x.edge and relu:
        tape.keep(1)

    def work(grads: Given, kept: Storage = storage if relu else x.storage) -> Gradients:
        return (tape.new(back),)

    return tape.result(storage, x.size, x.width, (x.edge,), work)


def _gelu_new(tape: Tape, x: Tensor) -> Tensor:
    """`0.5 * x * (1 + tanh(c * (x + 0.044715 * x ** 3)))`, from left to right."""
    half = scale(tape, x)
    return multiply(
        tape,
        half,
        shift(
            tape,
            kept_output(tape, scale(tape, add(tape, x, scale(tape, power(tape, raised(tape, x)))))),
        ),
    )


def power(tape: Tape, x: Tensor) -> Tensor:
    """`x ** n`: its gradient is grad * (n * x ** (n - 1)), all of them there at once."""
    back = x.size * x.width
    if x.edge:
        tape.keep(1)

    def work(grads: Given, kept: Storage = x.storage) -> Gradients:
        lower = tape.new(back)
        scaled = tape.new(back)
        made = tape.new(back)
        del lower, scaled
        return (made,)

    return tape.result(tape.new(back), x.size, x.width, (x.edge,), work)


def kept_output(tape: Tape, x: Tensor) -> Tensor:
    """tanh, sigmoid: keeps what it makes."""
    storage, back = tape.new(x.size * x.width), x.size * x.width
    if x.edge:
        tape.keep(1)

    def work(grads: Given, kept: Storage = storage) -> Gradients:
        return (tape.new(back),)

    return tape.result(storage, x.size, x.width, (x.edge,), work)


def softmax(tape: Tape, x: Tensor) -> Tensor:
    """In float32, whatever `x` is: a cast first, and the output is kept."""
    return kept_output(tape, cast(tape, x, 4))


def mean(tape: Tape, x: Tensor, size: int) -> Tensor:
    """Over the last dimension, to `size` elements."""
    back = x.size * x.width
    return tape.result(tape.new(size * x.width), size, x.width, (x.edge,), lambda _: (tape.new(back),))


def rsqrt(tape: Tape, x: Tensor) -> Tensor:
    """`1 / sqrt(x)`: keeps what it makes; its gradient is -0.5 * grad * result ** 3."""
    back = x.size * x.width
    storage = tape.new(back)
    if x.edge:
        tape.keep(1)

    def work(grads: Given, kept: Storage = storage) -> Gradients:
        cubed = tape.new(back)
        scaled = tape.new(back)
        made = tape.new(back)
        del cubed, scaled
        return (made,)

    return tape.result(storage, x.size, x.width, (x.edge,), work)


def dropout(tape: Tape, x: Tensor, share: float) -> Tensor:
    """Keeps a mask of a byte an element; `x` itself where nothing is dropped."""
    if not share or not tape.training:
        return x
    back = x.size * x.width
    storage, mask = tape.new(back), tape.new(x.size)
    if x.edge:
        tape.keep(1)

    def work(grads: Given, kept: Storage = mask) -> Gradients:
        return (tape.new(back),)

    return tape.result(storage, x.size, x.width, (x.edge,), work)


def split(tape: Tape, x: Tensor) -> tuple[Tensor, Tensor]:
    """Two halves as views; their gradients are put together in a tensor of the whole."""
    back, part = x.size * x.width, x.size // 2
    first, second = tape.results(x.storage, (part, part), x.width, (x.edge,), lambda _: (tape.new(back),))
    return first, second


def slice_of(tape: Tape, x: Tensor, size: int) -> Tensor:
    """A part as a view; its gradient is put into zeros of the whole. All of `x` is `x` itself."""
    if size == x.size:
        return x
    back = x.size * x.width
    return tape.result(x.storage, size, x.width, (x.edge,), lambda _: (tape.new(back),))


def concatenate(tape: Tape, x: Tensor, y: Tensor) -> Tensor:
    """One after the other; the gradients are views."""
    size = x.size + y.size
    return tape.result(
        tape.new(size * x.width), size, x.width, (x.edge, y.edge), lambda grads: (grads[0], grads[0])
    )


def matrix_product(tape: Tape, x: Tensor, y: Tensor, size: int) -> Tensor:
    """A batched product to `size` elements; each is kept where the other needs a gradient."""
    x_edge, y_edge = x.edge, y.edge
    if x_edge or y_edge:
        tape.keep((x_edge is not None) + (y_edge is not None))
    mine = x.size * x.width if x_edge else 0
    yours = y.size * y.width if y_edge else 0

    def work(
        grads: Given,
        kept: tuple[Storage | None, ...] = (x.storage if y_edge else None, y.storage if x_edge else None),
    ) -> Gradients:
        second = tape.new(yours) if yours else None
        return (tape.new(mine) if mine else None, second)

    return tape.result(tape.new(size * x.width), size, x.width, (x_edge, y_edge), work)


def linear(
    tape: Tape, x: Tensor, weight: Tensor, outputs: int, *, name: str, bias: Tensor | None = None
) -> Tensor:
    """`x @ weight.T + bias` with `outputs` features; under autocast in its type."""
    inputs = weight.size // outputs
    rows = x.size // inputs
    x = lowered(tape, x)
    weight = lowered_parameter(tape, weight, name)
    if bias is not None:
        bias = lowered_parameter(tape, bias, name and name + ".bias")
    x_edge, w_edge = x.edge, weight.edge
    if x_edge or w_edge:
        tape.keep((x_edge is not None) + (w_edge is not None))
    width, size = x.width, rows * outputs
    mine = x.size * width if x_edge else 0
    its = weight.size * width if w_edge else 0
    bias_edge = bias.edge if bias is not None else None

    def work(
        grads: Given,
        kept: tuple[Storage | None, ...] = (
            x.storage if w_edge else None,
            weight.storage if x_edge else None,
        ),
    ) -> Gradients:
        second = tape.new(its) if its else None
        first = tape.new(mine) if mine else None
        return (first, second, tape.new(outputs * width) if bias_edge else None)

    return tape.result(tape.new(size * width), size, width, (x_edge, w_edge, bias_edge), work)
