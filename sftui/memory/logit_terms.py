"""Of what the logits at the loss consist, by the sizes of the tensors that are there at the peak."""

from __future__ import annotations

from collections import Counter
from typing import SupportsIndex

from sftui.memory.estimate import Estimate
from sftui.memory.modules import plan
from sftui.memory.moments import Step, head_of
from sftui.memory.passes import Mode, head_pass
from sftui.memory.shape import ModelShape
from sftui.memory.step import StepSpec
from sftui.memory.tape import LOGITS, Ledger, rounded
from sftui.memory.weights import held

_WIDTHS = (4, 2)
_FLOAT32 = {
    1: "the logits in float32",
    2: "float32: the logits and their log-softmax",
    3: "float32: the logits, their log-softmax and the gradient",
}


class _Tags(list[int]):
    """Bytes by tag that remember the sizes of the logits' storages."""

    def __init__(self, values: list[int], sizes: Counter[int]) -> None:
        super().__init__(values)
        self.sizes = sizes

    def __setitem__(self, tag: SupportsIndex, value: int) -> None:  # type: ignore[override]
        change = value - self[tag]
        if int(tag) == LOGITS and change:
            self.sizes[abs(change)] += 1 if change > 0 else -1
        super().__setitem__(tag, value)

    def copy(self) -> _Tags:
        return _Tags(list(self), Counter(self.sizes))


class _Traced(Ledger):
    """A ledger whose highest has the sizes of what was there."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        self.by_tag = _Tags(self.by_tag, Counter())
        self.at_peak = self.by_tag.copy()


def logit_terms(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    """A sum of products in bytes that comes to the logits of the peak."""
    size, tokens, rows, length = found.components["logits"], spec.tokens, spec.rows, spec.length
    training = found.peak_moment != "evaluation"
    if not training and spec.evaluation is not None:
        rows, length = spec.evaluation.rows, spec.evaluation.length
        tokens = rows * length
    chunk = min(tokens, spec.loss_chunk) if spec.loss == "chunked" else tokens
    left, terms = size, list[str]()
    for bytes_, number in sorted(_sizes(shape, spec, rows, length, training=training).items(), reverse=True):
        term = _named(shape, bytes_, number, tokens, chunk)
        if term is not None and number * term[1] <= left:
            terms.append(term[0])
            left -= number * term[1]
    if left > size / 1000 or not terms:
        terms.append(f"{left:,} B ({'the rest' if terms else 'the gradient of the last layer'})")
    return " + ".join(terms)


def _sizes(shape: ModelShape, spec: StepSpec, rows: int, length: int, *, training: bool) -> Counter[int]:
    """How many storages of each size there are when the loss takes most."""
    made = plan(shape, spec.adapter)
    step = Step(shape, spec, made, held(shape, spec, made))
    needs = step.embedding_trained or spec.checkpointing > 0 or made.adapts
    mode = Mode(step.width, step.width, step.half, needs and training, training=training)
    ledger = _Traced()
    head_pass.__wrapped__(head_of(step, rows, length), mode, 0, ledger)
    assert isinstance(ledger.at_peak, _Tags)
    return +ledger.at_peak.sizes


def _named(shape: ModelShape, size: int, number: int, tokens: int, chunk: int) -> tuple[str, int] | None:
    """A term for storages of a size, and the bytes of one; None for small ones."""
    vocab, hidden = shape.vocab, shape.hidden
    times = f"{number} x " if number > 1 else ""
    for width in _WIDTHS:
        if size == rounded(vocab * chunk * width):
            what = "the logits as computed" if number == 1 else "the logits as computed, and their gradient"
            if width == _WIDTHS[0]:
                what = _FLOAT32.get(number, "logits in float32")
            return f"{times}{width} B x {vocab:,} x {chunk:,} ({what})", size
        if size == rounded(vocab * hidden * width):
            what = "the head: its gradient, and casts of it"
            return f"{times}{width} B x {vocab:,} x {hidden:,} ({what})", size
    for width in _WIDTHS:
        if size == rounded(hidden * tokens * width):
            return f"{times}{width} B x {hidden:,} x {tokens:,} (hidden states or their gradient)", size
        if size == rounded(hidden * chunk * width):
            return f"{times}{width} B x {hidden:,} x {chunk:,} (hidden states of a chunk)", size
    return None
