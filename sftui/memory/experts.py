"""A mixture of experts on a tape: the router, the grouped products, the shared expert."""

from __future__ import annotations

from collections.abc import Callable, Set

from sftui.memory.operations import (
    activation,
    add,
    cast,
    kept_output,
    linear,
    multiply,
    plain,
    reshape_copy,
    split,
)
from sftui.memory.projection import Rules
from sftui.memory.shape import Experts, ModelShape
from sftui.memory.tape import Gradients, Storage, Tape, Tensor
from sftui.memory.weights import WIDTHS

Project = Callable[[Tape, Tensor, str], Tensor]
Given = list["Storage | None"]

_INDEX = 8  # bytes


def experts(
    tape: Tape,
    x: Tensor,
    shape: ModelShape,
    router: Rules,
    rules: Rules,
    adapted: Set[str],
    project: Project,
) -> Tensor:
    """The output of a sparse block; `project` runs its nn.Linear modules by name, `router` has rules too."""
    mixture = shape.experts
    assert mixture is not None
    shared = _shared(tape, x, shape, project) if mixture.shared else None
    scores = _router(tape, x, shape, mixture, router, "mlp.gate" in adapted)
    output = _grouped(tape, x, scores, shape, mixture, rules, adapted)
    if shared is None:
        return output
    shared = multiply(tape, kept_output(tape, project(tape, x, "mlp.shared_expert_gate")), shared)
    return add(tape, output, shared)


def _shared(tape: Tape, x: Tensor, shape: ModelShape, project: Project) -> Tensor:
    return project(
        tape,
        multiply(
            tape,
            activation(tape, project(tape, x, "mlp.shared_expert.gate_proj"), shape.activation),
            project(tape, x, "mlp.shared_expert.up_proj"),
        ),
        "mlp.shared_expert.down_proj",
    )


def _router(
    tape: Tape, x: Tensor, shape: ModelShape, mixture: Experts, rules: Rules, adapted: bool
) -> Tensor:
    """Weights of the chosen experts, a number an expert and token; chosen in float32."""
    size = mixture.count * shape.hidden
    if adapted and rules.adapter is not None:
        weight = _merged_router(tape, shape, mixture, rules)
    else:
        weight = tape.parameter(size, rules.width, rules.leaf(trained=rules.full))
    logits = linear(tape, x, weight, mixture.count, name="router" if rules.full else "")
    tokens = x.size // shape.hidden
    if mixture.router_copy:
        logits = cast(tape, logits, 4)
        chances = kept_output(tape, logits)
    else:
        chances = kept_output(tape, cast(tape, logits, 4))
    chosen = _chosen(tape, chances, tokens * mixture.per_token)
    if mixture.normalised:
        sums = tape.result(tape.new(4 * tokens), tokens, 4, (chosen.edge,), lambda grads: (grads[0],))
        chosen = multiply(tape, chosen, sums)
    return cast(tape, chosen, logits.width if not mixture.router_copy else 4)


def _merged_router(tape: Tape, shape: ModelShape, mixture: Experts, rules: Rules) -> Tensor:
    """PEFT's ParamWrapper: the product of both factors, scaled, added to the weight."""
    adapter = rules.adapter
    assert adapter is not None
    width = WIDTHS[adapter.dtype]
    down = tape.parameter(shape.hidden * adapter.r, width, rules.leaf(trained=True))
    up = tape.parameter(mixture.count * adapter.r, width, rules.leaf(trained=True))
    size = mixture.count * shape.hidden
    tape.keep(2)
    small = up.size * width, down.size * width

    def work(grads: Given) -> Gradients:
        return (tape.new(small[0]), tape.new(small[1]))

    delta = tape.result(tape.new(size * width), size, width, (up.edge, down.edge), work)
    delta = cast(tape, plain(tape, delta), rules.width)
    return add(tape, tape.parameter(size, rules.width), delta)


def _chosen(tape: Tape, chances: Tensor, size: int) -> Tensor:
    """`topk`: values and their places, which are kept; the gradient is put into zeros."""
    places = tape.new(_INDEX * size)
    if chances.edge:
        tape.keep(1)
    back = chances.size * chances.width

    def work(grads: Given, kept: Storage = places) -> Gradients:
        return (tape.new(back),)

    output = tape.result(tape.new(size * 4), size, 4, (chances.edge,), work)
    del places
    return output


def _rows(tape: Tape, x: Tensor, size: int, width: int, places: Storage) -> Tensor:
    """`x[places]`, `size` elements; the gradient is put into zeros of `x`."""
    back = x.size * x.width
    if x.edge:
        tape.keep(1)

    def work(grads: Given, kept: Storage = places) -> Gradients:
        return (tape.new(back),)

    return tape.result(tape.new(size * width), size, width, (x.edge,), work)


def _grouped(
    tape: Tape,
    x: Tensor,
    scores: Tensor,
    shape: ModelShape,
    mixture: Experts,
    rules: Rules,
    adapted: Set[str],
) -> Tensor:
    """transformers' `grouped_mm_experts_forward`: each token once an expert of its own, sorted by expert."""
    h, inner, count = shape.hidden, mixture.intermediate, mixture.count
    tokens = x.size // h
    chosen = tokens * mixture.per_token
    down, gate_up = "mlp.experts.down_proj", "mlp.experts.gate_up_proj"
    sizes = {down: count * h * inner, gate_up: count * 2 * inner * h}
    # PEFT makes them before all else, and they are there as long as the experts run.
    factors: dict[str, tuple[Tensor, Tensor]] = {}
    for name, ranks in ((down, 1), (gate_up, 2)):
        if name in adapted:
            factors[name] = _factors(tape, rules, count, sizes[name] // (count * h), h, ranks)
            # PEFT looks at what comes out before it puts it in the weight's place.
            probe = tape.new(sizes[name] * rules.width)
            del probe
    order = tape.new(_INDEX * chosen), tape.new(_INDEX * chosen)
    sources = tape.new(_INDEX * chosen)
    picked = _rows(tape, x, chosen * h, x.width, sources)
    weights = _rows(tape, scores, chosen, scores.width, order[1])
    del sources
    counts = tape.new(4 * chosen)
    del counts
    first = _weight(tape, rules, sizes[gate_up], factors.get(gate_up))
    output = _product(tape, picked, first, chosen * 2 * inner)
    gate, up = split(tape, output)
    output = multiply(tape, activation(tape, gate, shape.activation), up)
    del gate, up
    second = _weight(tape, rules, sizes[down], factors.get(down))
    output = _product(tape, output, second, chosen * h)
    weighted = multiply(tape, output, weights)
    inverse = tape.new(_INDEX * chosen)
    places = tape.new(_INDEX * chosen)
    del places
    weighted = _rows(tape, weighted, weighted.size, weighted.width, inverse)
    return cast(tape, _summed(tape, weighted, tokens * h), x.width)


def _summed(tape: Tape, x: Tensor, size: int) -> Tensor:
    """A token's experts added up, in float32 under autocast; the gradient is copied to each of them."""
    back = x.size * x.width
    width = 4 if tape.half else x.width
    return tape.result(tape.new(size * width), size, width, (x.edge,), lambda _: (tape.new(back),))


def _factors(
    tape: Tape, rules: Rules, count: int, inner: int, hidden: int, ranks: int
) -> tuple[Tensor, Tensor]:
    """Both factors of all experts' adapters in the weights' type, the one that is laid out anew first.

    `inner` and `hidden` are the features in and out, or out and in; `ranks`: projections that are one weight.
    """
    adapter = rules.adapter
    assert adapter is not None
    width, r = WIDTHS[adapter.dtype], adapter.r * ranks
    out, into = (inner, hidden) if ranks > 1 else (hidden, inner)
    up = tape.parameter(count * out * r, width, rules.leaf(trained=True))
    down = tape.parameter(count * into * r, width, rules.leaf(trained=True))
    return cast(tape, reshape_copy(tape, up), rules.width), cast(tape, down, rules.width)


def _weight(tape: Tape, rules: Rules, size: int, factors: tuple[Tensor, Tensor] | None) -> Tensor:
    """All experts' weights in one tensor; with an adapter, a copy that has it added (PEFT's ParamWrapper)."""
    if factors is None:
        return tape.parameter(size, rules.width, rules.leaf(trained=rules.full))
    left, right = factors
    edges = left.edge, right.edge
    if any(edges):
        tape.keep(2)
    backs = left.size * rules.width, right.size * rules.width

    def work(grads: Given, kept: object = (left.storage, right.storage)) -> Gradients:
        made = []
        for back in backs:
            product = tape.new(back)
            made.append(tape.new(back))
            del product
        return tuple(made)

    return tape.result(tape.new(size * rules.width), size, rules.width, edges, work)


def _product(tape: Tape, x: Tensor, weight: Tensor, size: int) -> Tensor:
    """`grouped_mm`, which autocast does not know: `x` in the type of the weight."""
    x = cast(tape, x, weight.width)
    x_edge, w_edge = x.edge, weight.edge
    if x_edge or w_edge:
        tape.keep((x_edge is not None) + (w_edge is not None))
    width = x.width
    mine = x.size * width if x_edge else 0
    its = weight.size * width if w_edge else 0

    def work(
        grads: Given,
        kept: object = (x.storage if w_edge else None, weight.storage if x_edge else None),
    ) -> Gradients:
        second = tape.new(its) if its else None
        return (tape.new(mine) if mine else None, second)

    return tape.result(tape.new(size * width), size, width, (x_edge, w_edge), work)
