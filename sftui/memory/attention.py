"""Attention on a tape: rotary positions, the kernels of scaled_dot_product_attention, eager scores."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sftui.memory.operations import (
    add,
    cast,
    concatenate,
    copy,
    dropout,
    kept_output,
    lowered,
    matrix_product,
    multiply,
    plain,
    scale,
    slice_of,
)
from sftui.memory.step import Kernel
from sftui.memory.tape import Gradients, Storage, Tape, Tensor, rounded

_TINY = 8  # bytes: seed and offset of a kernel's random numbers
_LSE_BLOCK = 32  # rows that the memory-efficient kernel rounds its sums up to
_QUERY_BLOCK = 128  # rows that flash attention's backward rounds up to
_ALIGNED = 16  # elements: the last dimension of a mask for the memory-efficient kernel


@dataclass(frozen=True, slots=True)
class Scores:
    """What attention is computed over: `rows` of `length` tokens. `masked`: there is a dense mask."""

    kernel: Kernel
    rows: int
    length: int
    heads: int
    kv_heads: int
    head_dim: int
    masked: bool = False
    dropout: float = 0.0
    softcap: bool = False
    sequences: int = 0
    """Of which `rows` consist where they are packed without padding; 0 where they are not."""
    one_by_one: bool = False
    """Whether each of the `sequences` is computed by itself."""
    mask_width: int = 2
    """Bytes an element of a mask of numbers, which has the type of the embedding."""

    @property
    def heads_first(self) -> bool:
        """Whether gradients of keys and values come with heads before tokens."""
        if self.kernel in ("eager", "math") or self.one_by_one:
            return True
        return self.groups > 1 and (self.kernel == "efficient" or self.masked)

    @property
    def groups(self) -> int:
        """Query heads a key head."""
        return self.heads // self.kv_heads


def rotate(tape: Tape, x: Tensor, positions: tuple[Tensor, Tensor]) -> Tensor:
    """`x * cos + rotate_half(x) * sin`."""
    cos, sin = positions
    return add(tape, multiply(tape, x, cos), multiply(tape, _rotated_half(tape, x), sin))


def rotate_part(
    tape: Tape, q: Tensor, k: Tensor, positions: tuple[Tensor, Tensor], sizes: tuple[int, int], *, last: bool
) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
    """The same for the first elements of each head, `sizes` in all; the others pass.

    With `last` both are turned before either is put together (phi), else one after the other (phi3). Third is
    what the modelling code holds in variables beside the results.
    """
    q_turned, q_rest = slice_of(tape, q, sizes[0]), slice_of(tape, q, q.size - sizes[0])
    k_turned, k_rest = slice_of(tape, k, sizes[1]), slice_of(tape, k, k.size - sizes[1])
    if last:
        q_turned, k_turned = rotate(tape, q_turned, positions), rotate(tape, k_turned, positions)
        q, k = concatenate(tape, q_turned, q_rest), concatenate(tape, k_turned, k_rest)
        return q, k, (q_turned, q_rest, k_turned, k_rest)
    q = concatenate(tape, rotate(tape, q_turned, positions), q_rest)
    return q, concatenate(tape, rotate(tape, k_turned, positions), k_rest), ()


def _rotated_half(tape: Tape, x: Tensor) -> Tensor:
    first = slice_of(tape, x, x.size // 2)
    second = slice_of(tape, x, x.size // 2)
    return concatenate(tape, plain(tape, second), first)


def attend(tape: Tape, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> tuple[Tensor, Tensor | None]:
    """The output of attention, and the weights that transformers' eager one returns beside it."""
    kernel = scores.kernel
    if kernel == "eager":
        return _eager(tape, q, k, v, scores)
    if scores.one_by_one:
        return _one_by_one(tape, q, k, v, scores), None
    if kernel == "flash" and not scores.masked:
        return _flash(tape, q, k, v, scores), None
    if kernel == "math" and not scores.masked:
        return _math(tape, q, k, v, scores), None
    return _efficient(tape, q, k, v, scores), None


def _flash(tape: Tape, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Tensor:
    """Flash attention 2: a float32 a row and head is kept beside the output."""
    q, k, v = lowered(tape, q), lowered(tape, k), lowered(tape, v)
    edges = (q.edge, k.edge, v.edge)
    needed = any(edges)
    if needed:
        tape.keep(3)
    size = q.size * v.width
    output, sums = tape.new(size), tape.new(4 * scores.rows * scores.heads * scores.length)
    random = tape.new(_TINY), tape.new(_TINY)
    if needed:
        tape.keep(4)
    backs = (size, k.size * k.width, v.size * v.width)
    extra = _flash_workspace(scores, k)

    def work(
        grads: list[Storage | None],
        kept: object = (q.storage, k.storage, v.storage, output, sums, random),
    ) -> Gradients:
        made = tuple(tape.new(back) for back in backs)
        tape.borrow(extra)
        return made

    return tape.result(output, q.size, q.width, edges, work)


def _flash_workspace(scores: Scores, k: Tensor) -> int:
    """Bytes that the backward takes, `mha_bwd` in flash_api.cpp: sums of gradient times output, query
    gradients in float32, and gradients of keys and values for each query head where heads share them.
    """
    padded = -(-scores.length // _QUERY_BLOCK) * _QUERY_BLOCK
    if scores.sequences:
        # Each sequence is padded to whole blocks.
        padded = scores.length + _QUERY_BLOCK * scores.sequences
    heads = scores.rows * scores.heads * padded
    size = -(-scores.head_dim // 32) * 32 if scores.head_dim <= 192 else 256
    total = rounded(4 * heads) + rounded(4 * heads * size)
    if scores.groups > 1:
        total += 2 * rounded(k.size * scores.groups * k.width)
    return total


def _repeated(tape: Tape, x: Tensor, scores: Scores) -> Tensor:
    """`repeat_kv`: each head of keys or values once a query head; the gradient is summed over them.

    A copy, but of a single head, of which it is a view.
    """
    groups = scores.groups
    if groups == 1:
        return x
    size, back = x.size * groups, x.size * x.width
    storage = x.storage if scores.kv_heads == 1 else tape.new(size * x.width)
    return tape.result(storage, size, x.width, (x.edge,), lambda _: (tape.new(back),))


def _one_by_one(tape: Tape, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Tensor:
    """The trainer's attention of packed sequences without a kernel for all: one after the other.

    Heads of keys and values are repeated before. A sequence longer than the window has a band of true and
    false.
    """
    count = scores.sequences
    length = scores.length // count
    one = replace(scores, length=length, kv_heads=scores.heads, sequences=0, one_by_one=False)
    product = _flash if scores.kernel == "flash" and not scores.masked else _efficient
    whole = [lowered(tape, q)]
    for x in (k, v):
        whole.append(lowered(tape, x))
        if scores.groups > 1:
            whole.append(_spread(tape, whole.pop(), scores.groups))
    size, width = whole[0].size, whole[0].width
    parts = [_sequences(tape, x, count) for x in whole]
    del whole
    band: list[Storage] = []
    outputs = []
    for number in range(count):
        band.clear()
        if scores.masked:
            places, cells = tape.new(8 * one.length), one.length * one.length
            ahead = tape.new(8 * cells)
            seen = tape.new(cells), tape.new(cells)
            band.append(tape.new(cells))
            del places, ahead, seen
        outputs.append(product(tape, parts[0][number], parts[1][number], parts[2][number], one))
    edges = tuple(each.edge for each in outputs)
    joined = tape.result(tape.new(size * width), size, width, edges, lambda grads: (grads[0],) * count)
    return copy(tape, joined)


def _spread(tape: Tape, x: Tensor, groups: int) -> Tensor:
    """Each head `groups` times, in a copy; the gradients of the same head are summed."""
    size, back = x.size * groups, x.size * x.width
    return tape.result(tape.new(size * x.width), size, x.width, (x.edge,), lambda _: (tape.new(back),))


def _sequences(tape: Tape, x: Tensor, count: int) -> tuple[Tensor, ...]:
    """Views of each sequence; their gradients are put together."""
    back = x.size * x.width
    return tape.results(
        x.storage, (x.size // count,) * count, x.width, (x.edge,), lambda _: (tape.new(back),)
    )


def _efficient(tape: Tape, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Tensor:
    """CUTLASS' memory-efficient attention, with a dense mask that is kept for each layer anew."""
    keys, values = (
        _repeated(tape, k, scores),
        _repeated(tape, v, scores),
    )  # variables, whatever autocast makes
    q, k, v = lowered(tape, q), lowered(tape, keys), lowered(tape, values)
    edges = (q.edge, k.edge, v.edge)
    needed = any(edges)
    bias = _bias(tape, q.width, scores) if scores.masked else None
    if needed:
        tape.keep(3 + scores.masked)
    padded = -(-scores.length // _LSE_BLOCK) * _LSE_BLOCK if needed else 0
    output = tape.new(q.size * q.width)
    sums = tape.new(4 * scores.rows * scores.heads * padded)
    random = tape.new(_TINY), tape.new(_TINY)
    if needed:
        tape.keep(4)
    backs = (q.size * q.width, k.size * k.width, v.size * v.width)
    extra = _efficient_workspace(scores, q.width)

    def work(
        grads: list[Storage | None],
        kept: object = (q.storage, k.storage, v.storage, bias, output, sums, random),
    ) -> Gradients:
        made = tuple(tape.new(back) for back in backs)
        tape.borrow(extra)
        return made

    result = tape.result(output, q.size, q.width, edges, work)
    del bias
    return result


def _bias(tape: Tape, width: int, scores: Scores) -> Storage:
    """A mask of true and false as numbers that are added, in the type of the queries."""
    cells = scores.rows * scores.length * scores.length
    bias = tape.new(cells * width)
    opposite = tape.new(cells)
    del opposite
    if scores.length % _ALIGNED:
        aligned = scores.length + _ALIGNED - scores.length % _ALIGNED
        bias = tape.new(scores.rows * scores.length * aligned * width)
    return bias


def _efficient_workspace(scores: Scores, width: int) -> int:
    """Bytes that its backward takes: kernel_backward.h."""
    cells = scores.rows * scores.heads * scores.length
    total = rounded(4 * cells)
    if width < 4:
        size = 32 * -(-scores.head_dim // 32)
        total += rounded(4 * cells * size)
        if scores.head_dim > 128:
            total += 2 * rounded(4 * cells * size)
    return total


def _eager(tape: Tape, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> tuple[Tensor, Tensor]:
    """transformers' `eager_attention_forward`: scores of every token with every token, several times."""
    cells = scores.rows * scores.heads * scores.length * scores.length
    keys, values = _repeated(tape, k, scores), _repeated(tape, v, scores)
    strided = scores.groups == 1 or scores.kv_heads == 1
    weights = scale(
        tape,
        _product(
            tape,
            _contiguous(tape, q, scores),
            _contiguous(tape, keys, scores) if strided else keys,
            cells,
        ),
    )
    if scores.softcap:
        weights = scale(tape, weights)
        weights = kept_output(tape, weights)
        weights = scale(tape, weights)
    if scores.masked:
        mask = Tensor(tape.nothing, cells // scores.heads, scores.mask_width)
        weights = add(tape, weights, mask)
    weights = cast(tape, kept_output(tape, cast(tape, weights, 4)), q.width)
    weights = dropout(tape, weights, scores.dropout)
    output = _product(tape, weights, _contiguous(tape, values, scores) if strided else values, q.size)
    # From heads first to tokens first; with several rows the gradient is copied on its way back.
    output = copy(tape, output) if scores.rows == 1 else plain(tape, output)
    return output, weights


def _contiguous(tape: Tape, x: Tensor, scores: Scores) -> Tensor:
    """Several heads lie between tokens: with several rows a batched product needs a copy.

    The gradient passes.
    """
    return x if scores.rows == 1 or scores.heads == 1 else copy(tape, x)


def _product(tape: Tape, x: Tensor, y: Tensor, size: int) -> Tensor:
    return matrix_product(tape, lowered(tape, x), lowered(tape, y), size)


def _math(tape: Tape, q: Tensor, k: Tensor, v: Tensor, scores: Scores) -> Tensor:
    """The fallback of scaled_dot_product_attention: products, a softmax, a causal mask for each layer.

    Half types are computed in float32 (attention.cpp, `_scaled_dot_product_attention_math`).
    """
    cells = scores.rows * scores.heads * scores.length * scores.length
    q, k, v = lowered(tape, q), lowered(tape, k), lowered(tape, v)
    given = q.width
    wide = cast(tape, q, 4), cast(tape, k, 4), cast(tape, v, 4)  # variables to the end
    q, k, v = wide
    q = scale(tape, q)
    square = scores.length * scores.length
    mask = Tensor(tape.new(square * q.width), square, q.width)
    if scores.groups > 1:  # torch's own repetition, which copies a single head too
        k, v = _spread(tape, k, scores.groups), _spread(tape, v, scores.groups)
    weights = matrix_product(tape, q, scale(tape, k), cells)
    weights = add(tape, weights, mask)
    chances = kept_output(tape, weights)
    tape.borrow(rounded(cells) + rounded(4 * cells))  # where all is masked; SoftMax.cpp, `_safe_softmax`
    weights = dropout(tape, chances, scores.dropout)
    del chances
    return copy(tape, cast(tape, matrix_product(tape, weights, v, q.size), given))
