"""Layers and the end of a model, run once on a tape: what each takes from its own input on."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from sftui.memory.head import Head
from sftui.memory.layer import Layer
from sftui.memory.tape import ACTIVATIONS, GRADIENTS, LOGITS, Ledger, Node, Storage, Tape, Tensor, Work

Tags = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Mode:
    """How a pass is run.

    `width`: bytes an element of hidden states that come in, `table` of rotary positions, `half` of autocast's
    type, 0 without. `checkpointed` keeps the input alone and runs the layer again in the backward.
    """

    width: int
    table: int
    half: int
    needs_gradient: bool
    checkpointed: bool = False
    training: bool = True


@dataclass(frozen=True, slots=True)
class Pass:
    """Bytes by tag, counted from the pass's own input on, which they include.

    `forward` and `backward` are the most in each. `kept` lives from one to the other: without input and
    output, or the input alone where checkpointed. `cached`: casts of autocast, which go when the forward pass
    of the model ends. `beyond`: what stays until the whole backward is done. `gradients`: what it leaves.
    `width`: bytes an element of what comes out.
    """

    forward: Tags
    backward: Tags
    kept: int
    cached: int
    beyond: int
    gradients: int
    width: int


@lru_cache(maxsize=512)
def layer_pass(layer: Layer, mode: Mode) -> Pass:
    """One decoder layer, forward and backward."""
    size = layer.scores.rows * layer.scores.length * layer.shape.hidden
    ledger = Ledger()
    tape = _tape(ledger, mode)
    tape.keeping = mode.training and not mode.checkpointed
    given: Storage | None = Storage(ledger, size * mode.width, ACTIVATIONS)
    assert given is not None
    held = given.bytes
    x = tape.entry(size, mode.width, given, needs_gradient=mode.needs_gradient)
    output = layer.forward(tape, x, _positions(tape, mode))
    width = output.width
    forward = tuple(ledger.at_peak)
    beyond = {id(one): one.bytes for one in tape.beyond}
    if mode.checkpointed:
        beyond.pop(id(given), None)
    else:
        given = None
    del x
    left = ledger.live - output.storage.bytes
    tape.casts.clear()
    kept = ledger.live - output.storage.bytes
    stays, cached = sum(beyond.values()), left - kept
    if not mode.training or output.edge is None:
        return Pass(forward, (0,) * len(forward), kept - stays, cached, stays, 0, width)
    gradient = Storage(ledger, output.storage.bytes, ACTIVATIONS)
    edge = Tensor(tape.nothing, 0, 0, output.edge)
    del output
    if mode.checkpointed:
        # What stays is counted by the walk through all layers.
        tape.beyond.clear()
        kept, stays_here = held, 0
    else:
        kept, stays_here = kept - stays, stays
    ledger.mark()
    tape.send(edge.edge, gradient)
    del gradient  # nothing but the graph holds it when it runs
    tape.go_on()
    if mode.checkpointed:
        tape = _again(layer, mode, tape, given, size)
    peak = list(ledger.at_peak)
    peak[ACTIVATIONS] -= stays_here
    return Pass(forward, tuple(peak), kept, cached, stays, ledger.by_tag[GRADIENTS], width)


def _again(layer: Layer, mode: Mode, first: Tape, given: Storage | None, size: int) -> Tape:
    """A checkpointed layer runs forward once more, up to the last tensor that it keeps, and then backward."""
    assert given is not None
    tape = _tape(first.ledger, mode)
    tape.stop_at, tape.again = first.saves, True
    x = tape.entry(size, mode.width, given, needs_gradient=mode.needs_gradient)
    output = layer.forward(tape, x, _positions(tape, mode))
    del x, output
    tape.casts.clear()
    tape.beyond.clear()
    tape.take_over(first)
    tape.go_on()
    return tape


def _tape(ledger: Ledger, mode: Mode) -> Tape:
    return Tape(ledger, half=mode.half, training=mode.training)


def _positions(tape: Tape, mode: Mode) -> tuple[Tensor, Tensor]:
    table = Tensor(tape.nothing, 0, mode.table)
    return table, table


@dataclass(frozen=True, slots=True)
class Ending:
    """The end of a model. Bytes by tag from the output of the last layer on, which they include.

    `norm`: the last norm; `loss`: head, loss and their backward up to the gradient of the last layer.
    """

    norm: Tags
    loss: Tags
    gradients: int


@lru_cache(maxsize=128)
def head_pass(head: Head, mode: Mode, cached: int, ledger: Ledger | None = None) -> Ending:
    """Norm, head and loss, forward and backward. `cached`: casts of the layers, which go before the loss.

    `ledger`: a new one that is to be read afterwards.
    """
    size = head.rows * head.length * head.shape.hidden
    ledger = ledger or Ledger()
    tape = _tape(ledger, mode)
    casts = [Storage(ledger, cached, ACTIVATIONS)]
    x = tape.entry(
        size, mode.width, Storage(ledger, size * mode.width, ACTIVATIONS), needs_gradient=mode.needs_gradient
    )
    hidden = head.normed(tape, x)
    del x
    norm = tuple(ledger.at_peak)
    ledger.mark()
    tape.tag = LOGITS
    if head.chunk:
        last = [hidden]
        del hidden
        return _chunked(head, mode, tape, last, norm, casts)
    logits = head.logits(tape, hidden)
    if mode.half:
        # accelerate hands the outputs on in float32, while what they were is still there.
        del hidden
        tape.casts.clear()
        casts.clear()
        logits = head.handed_on(tape, logits)
    else:
        del hidden
    casts.clear()
    tape.casts.clear()
    loss = head.loss(tape, logits)
    del logits
    if not mode.training or loss.edge is None:
        return Ending(norm, tuple(ledger.at_peak), 0)
    tape.backward(loss, tape.new(4))
    return Ending(norm, tuple(ledger.at_peak), ledger.by_tag[GRADIENTS])


def _chunked(
    head: Head, mode: Mode, tape: Tape, last: list[Tensor], norm: Tags, casts: list[Storage]
) -> Ending:
    """A loss that goes through the tokens in chunks, forward and backward, and never has all logits.

    All tokens are taken for trained: others never come to the head. `last` has the output of the last norm,
    whose gradient is put together chunk by chunk; those of a trained head are added up beside what is there
    already.
    """
    ledger, tokens, hidden = tape.ledger, head.tokens, last.pop()
    # Labels one place on, the numbers of trained tokens, their weights.
    small = tape.new(8 * tokens), tape.new(8 * tokens), tape.new(4 * tokens if head.weighted else 0)
    gradient: list[Storage] = []
    sums: list[Storage] = []
    # The third chunk and later ones find what the second does.
    for number, first in enumerate(range(0, tokens, head.chunk)[:2]):
        part = _tape(ledger, mode)
        part.tag = LOGITS
        size = min(head.chunk, tokens - first) * head.shape.hidden
        needs = hidden.edge is not None
        given = [part.entry(size, hidden.width, part.new(size * hidden.width), needs_gradient=needs)]
        _renew(part, tape.casts)
        logits = head.logits(part, given[0], resident=number > 0)
        if not mode.training:
            given.clear()  # no variable of the evaluation holds it
        head.chunk_loss(part, logits)
        tape.casts.update(part.casts)
        given.clear()
        del logits
        if mode.training and hidden.edge is not None and not gradient:
            gradient.append(tape.new(hidden.size * hidden.width))
        _become(LOGITS, part.gradients)
        sums += part.gradients
        del part
    del small
    tape.casts.clear()
    casts.clear()
    _become(GRADIENTS, sums)
    if not head.waits:
        sums.clear()
    edge = Tensor(tape.nothing, 0, 0, hidden.edge)
    del hidden
    if gradient:
        tape.backward(edge, gradient.pop())
    return Ending(norm, tuple(ledger.at_peak), ledger.by_tag[GRADIENTS])


def _become(tag: int, storages: list[Storage]) -> None:
    for each in storages:
        each.becomes(tag)


def _raised(tape: Tape, size: int) -> Work:
    return lambda _: (tape.new(4 * size),)


def _renew(tape: Tape, casts: dict[str, Tensor]) -> None:
    """Casts of trained weights that an earlier chunk made, in the graph of this one."""
    for name, made in casts.items():
        edges = made.edge[0].edges if made.edge and isinstance(made.edge[0], Node) else ()
        tape.casts[name] = tape.result(made.storage, made.size, made.width, edges, _raised(tape, made.size))
