"""A miniature of autograd that knows sizes alone: what operations allocate, keep and give back.

A decoder layer written in its operations is run forward and backward once, and the ledger knows the most
that was allocated in between. Storages live as long as something refers to them, as in torch: local variables
of the modelling code, and what nodes of the graph keep for the backward pass (derivatives.yaml of torch).
The reference counts of CPython say when a storage is gone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

BLOCK = 512  # bytes: the caching allocator rounds up to a multiple of it

ACTIVATIONS, GRADIENTS, LOGITS, DEQUANTIZATION, WORKSPACE = range(5)
_TAGS = 5

# References to a storage that only a list of gradients holds: the list, a variable, an argument.
_SOLE = 3


def rounded(size: int) -> int:
    """Bytes that a tensor of `size` bytes takes."""
    return -(-size // BLOCK) * BLOCK


class Ledger:
    """Bytes that are allocated now and at most, by tag."""

    __slots__ = ("at_peak", "by_tag", "live", "peak")

    def __init__(self) -> None:
        self.live = self.peak = 0
        self.by_tag = [0] * _TAGS
        self.at_peak = [0] * _TAGS

    def borrow(self, size: int, tag: int) -> None:
        """Bytes that are there for a moment."""
        if self.live + size > self.peak:
            self.peak = self.live + size
            self.at_peak = self.by_tag.copy()
            self.at_peak[tag] += size

    def mark(self) -> None:
        """Begin a moment: what is allocated now is the most so far."""
        self.peak = self.live
        self.at_peak = self.by_tag.copy()


class Storage:
    """Bytes that are allocated until the last reference is gone."""

    __slots__ = ("_ledger", "bytes", "tag")

    def __init__(self, ledger: Ledger, size: int, tag: int) -> None:
        self.bytes = size = -(-size // BLOCK) * BLOCK
        self.tag = tag
        self._ledger = ledger
        ledger.by_tag[tag] += size
        ledger.live += size
        if ledger.live > ledger.peak:
            ledger.peak = ledger.live
            ledger.at_peak = ledger.by_tag.copy()

    def __del__(self) -> None:
        self._ledger.live -= self.bytes
        self._ledger.by_tag[self.tag] -= self.bytes

    def becomes(self, tag: int) -> None:
        """Count it under another tag from now on."""
        self._ledger.by_tag[self.tag] -= self.bytes
        self._ledger.by_tag[tag] += self.bytes
        self.tag = tag


Gradients = tuple["Storage | None", ...]
Work = Callable[[list["Storage | None"]], Gradients]


class Leaf:
    """A trained parameter. `resident`: its gradient is there already, from an earlier micro-batch."""

    __slots__ = ("resident",)

    def __init__(self, resident: bool) -> None:
        self.resident = resident


class Node:
    """An operation of the graph: where its gradients go, and the work that makes them."""

    __slots__ = ("edges", "grads", "outputs", "work")

    def __init__(self, edges: tuple[Edge, ...], work: Work | None, outputs: int) -> None:
        self.edges = edges
        self.work = work
        self.outputs = outputs
        self.grads: list[Storage | None] | None = None


Edge = tuple[Node | Leaf, int] | None


class Tensor:
    """`size` elements of `width` bytes; `edge` is where its gradient goes, None where it needs none."""

    __slots__ = ("edge", "size", "storage", "width")

    def __init__(self, storage: Storage, size: int, width: int, edge: Edge = None) -> None:
        self.storage = storage
        self.size = size
        self.width = width
        self.edge = edge


_NEVER = 1 << 60


class Tape:
    """Runs operations: allocates their results, and where `keeping`, what their backward needs.

    `recording` is torch's grad mode. Without `keeping` (the forward pass of a checkpointed layer) nothing is
    kept, but what would be is counted in `saves`: checkpointing recomputes up to the last of them and stops
    there; `again` is that second run. `beyond` are storages that live until the whole graph goes. `half`
    is the width of autocast's type, 0 without autocast. Gradients that meet are added in place where
    nothing else holds the first of them.
    """

    def __init__(self, ledger: Ledger, *, half: int = 0, training: bool = True) -> None:
        self.ledger = ledger
        self.half = half
        self.training = training
        self.recording = training
        self.keeping = training
        self.saves = 0
        self.stop_at = _NEVER
        self.again = False
        self.casts: dict[str, Tensor] = {}
        self.gradients: list[Storage] = []
        self.beyond: list[Storage] = []
        self.tag = ACTIVATIONS
        self.start: Node | None = None
        self._keeps = False
        self._stopped = False
        self._nodes: list[Node] = []
        self.nothing = Storage(Ledger(), 0, ACTIVATIONS)

    # -- tensors ---------------------------------------------------------------------------------

    def new(self, size: int, tag: int = 0) -> Storage:
        """A storage of so many bytes, under the tape's tag where none is given."""
        return Storage(self.ledger, 0 if self._stopped else size, tag or self.tag)

    def borrow(self, size: int) -> None:
        """Bytes that a kernel takes and gives back while it runs."""
        if not self._stopped:
            self.ledger.borrow(size, WORKSPACE)

    def parameter(self, size: int, width: int, leaf: Leaf | None = None) -> Tensor:
        """A weight, whose own bytes are counted elsewhere; trained where it has a leaf."""
        edge = (leaf, 0) if leaf is not None and self.recording else None
        return Tensor(self.nothing, size, width, edge)

    def keep(self, count: int) -> None:
        """So many tensors are kept for the backward pass of the operation that is next in the graph."""
        self._keeps = True
        self.count(count)

    def count(self, count: int) -> None:
        """So many tensors are kept, by a graph that is dropped again."""
        self.saves += count
        if self.saves >= self.stop_at:
            self._stopped = True

    def result(self, storage: Storage, size: int, width: int, edges: tuple[Edge, ...], work: Work) -> Tensor:
        """The output of an operation, in the graph where one of its inputs needs a gradient."""
        if not any(edges):
            return Tensor(storage, size, width)
        # Without what it would keep, an operation cannot run backward: the layer is run again for it.
        node = Node(edges, None if self._keeps and not self.keeping else work, 1)
        self._keeps = False
        self._nodes.append(node)
        return Tensor(storage, size, width, (node, 0))

    def results(
        self, storage: Storage, sizes: tuple[int, ...], width: int, edges: tuple[Edge, ...], work: Work
    ) -> tuple[Tensor, ...]:
        """Views of one storage as outputs of one operation."""
        if not any(edges):
            return tuple(Tensor(storage, size, width) for size in sizes)
        self.result(storage, sizes[0], width, edges, work)
        node = self._nodes[-1]
        node.outputs = len(sizes)
        return tuple(Tensor(storage, size, width, (node, slot)) for slot, size in enumerate(sizes))

    def entry(self, size: int, width: int, storage: Storage, *, needs_gradient: bool) -> Tensor:
        """The tensor that a graph begins with."""
        if not needs_gradient or not self.recording:
            return Tensor(storage, size, width)
        self.start = Node((), None, 1)
        self._nodes.append(self.start)
        return Tensor(storage, size, width, (self.start, 0))

    # -- backward --------------------------------------------------------------------------------

    def backward(self, output: Tensor, gradient: Storage) -> None:
        """Run the graph from its end, as far as it has what it needs; the entry's gradient stays with it."""
        self.send(output.edge, gradient)
        del gradient
        self.go_on()

    def go_on(self) -> None:
        """Run the nodes that have gradients. Later ones first: the order of torch's engine."""
        nodes = self._nodes
        while nodes:
            node = nodes[-1]
            grads = node.grads
            if grads is None:
                nodes.pop()
                continue
            work = node.work
            if work is None:
                return
            nodes.pop()
            node.grads = None
            made = list(work(grads))
            del grads, work
            node.work = None  # frees what was kept for it
            for slot, edge in enumerate(node.edges):
                if edge is not None:
                    gradient, made[slot] = made[slot], None
                    if gradient is not None:
                        self.send(edge, gradient)
                    del gradient
            del made  # gradients that go nowhere

    def take_over(self, other: Tape) -> None:
        """Go on with the gradients that a run of the same graph, without what it kept, has come to."""
        self._stopped = False
        self.gradients += other.gradients
        for mine, theirs in zip(self._nodes, other._nodes, strict=False):
            mine.grads, theirs.grads = theirs.grads, None
        other._nodes.clear()

    def send(self, edge: Edge, gradient: Storage) -> None:
        """Hand a gradient to where an edge leads, added to what is there."""
        assert edge is not None
        target, slot = edge
        if isinstance(target, Leaf):
            if not target.resident:
                gradient.becomes(GRADIENTS)
                self.gradients.append(gradient)
                target.resident = True
            return
        if target.grads is None:
            target.grads = [None] * target.outputs
        held = target.grads[slot]
        if held is None:
            target.grads[slot] = gradient
        elif sys.getrefcount(held) > _SOLE:
            target.grads[slot] = Storage(self.ledger, held.bytes, held.tag)
