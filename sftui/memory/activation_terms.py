"""Of what the activations of a moment consist: inputs of layers, scores, masks, the layer that runs."""

from __future__ import annotations

from dataclasses import replace

from sftui.memory.batch import batch_bytes, dense_masks, position_table
from sftui.memory.closed_form import estimate
from sftui.memory.estimate import Estimate, Moment
from sftui.memory.modules import plan
from sftui.memory.moments import Step
from sftui.memory.shape import ModelShape
from sftui.memory.step import Layout, StepSpec
from sftui.memory.weights import held

_NEAR = 0.02  # of a whole number of bytes a score
_SHOWN = 0.002  # of all: less than that is told with the rest
_RUNS: dict[Moment, str] = {
    "forward": "one layer while it runs",
    "loss": "the last norm: what it is given, computes and gives",
    "backward_last": "one layer run again, and its gradients",
    "backward_first": "the first layer run again, and its gradients",
    "evaluation": "one layer while it runs",
}


def activation_terms(shape: ModelShape, spec: StepSpec, found: Estimate) -> str:
    """A sum of products in bytes that comes to the activations of the peak."""
    moment, size = found.peak_moment, found.components["activations"]
    if moment in ("optimizer_step", "load", "save"):
        return f"{size:,} B (the batch)"
    rows, length, layout = _batch(spec, moment)
    tokens, left = rows * length, size
    terms: list[str] = []

    def take(term: str, bytes_: int, *, always: bool = False) -> None:
        nonlocal left
        if 0 < bytes_ <= left and (always or bytes_ >= _SHOWN * size):
            terms.append(term)
            left -= bytes_

    step = Step(shape, spec, plan(shape, spec.adapter), held(shape, spec, plan(shape, spec.adapter)))
    again = _inputs(shape, spec, moment)
    inputs = again * step.width * shape.hidden * tokens
    take(
        f"{again} x {step.width} B x {shape.hidden:,} x {tokens:,} tokens (inputs of layers)",
        inputs,
        always=True,
    )
    masks = _masks(step, rows, length, layout, moment)
    take(f"{masks:,} B (masks)", masks)
    scores = _squared(shape, spec, found) - masks
    term, bytes_ = _score_term(shape, spec, rows, length, scores)
    take(term, bytes_)
    table = position_table(step, rows, length, layout) * shape.position_tables
    take(f"{table:,} B (positions)", table)
    batch = batch_bytes(spec) * spec.accumulation if moment != "evaluation" else 0
    take(f"{batch:,} B (the batch)", batch)
    if left:
        terms.append(_rest(shape, spec, moment, left, tokens, again))
    return " + ".join(terms)


def _batch(spec: StepSpec, moment: Moment) -> tuple[int, int, Layout]:
    if moment == "evaluation" and spec.evaluation is not None:
        rows = spec.evaluation.rows
        return rows, spec.evaluation.length, "plain" if rows == 1 else "padded"
    return spec.rows, spec.length, spec.layout


def _inputs(shape: ModelShape, spec: StepSpec, moment: Moment) -> int:
    """Layers whose input alone is kept."""
    if moment == "evaluation" or not spec.checkpointing:
        return 0
    return 1 if moment == "backward_first" else -(-len(shape.layers) // spec.checkpointing)


def _masks(step: Step, rows: int, length: int, layout: Layout, moment: Moment) -> int:
    """Bytes of dense masks; those of layers that are not run again are in what these keep."""
    spec = step.spec
    if moment not in ("forward", "evaluation") and not spec.checkpointing:
        return 0
    evaluation = spec.evaluation if moment == "evaluation" else None
    windows = spec.windows if evaluation is None else evaluation.windows
    return sum(dense_masks(step, rows, length, layout, windows=windows).values())


def _squared(shape: ModelShape, spec: StepSpec, found: Estimate) -> int:
    """Bytes that grow with the square of the length: twice the length has four times as many."""
    longest = max(spec.length, spec.evaluation.length if spec.evaluation else 0)
    shortest = min(spec.length, spec.evaluation.length if spec.evaluation else spec.length)
    if any(window is not None and shortest < window <= 2 * longest for window in shape.masks):
        return 0  # twice the length has other masks
    evaluation = spec.evaluation and replace(spec.evaluation, length=2 * spec.evaluation.length)
    twice = estimate(shape, replace(spec, length=2 * spec.length, evaluation=evaluation))
    now = found.components["activations"]
    return (twice.moments[found.peak_moment]["activations"] - 2 * now) // 2


def _score_term(shape: ModelShape, spec: StepSpec, rows: int, length: int, size: int) -> tuple[str, int]:
    """Scores of every token with every other, of each head; or masks that kernels are given as numbers."""
    by_head = spec.attention in ("eager", "math")
    cells = rows * length * length * (shape.heads if by_head else 1)
    each = size / cells
    if abs(each - round(each)) > _NEAR * max(1, each) or round(each) < 1:
        return "", 0
    many = f"{rows * shape.heads:,} heads" if by_head else f"{rows:,}"
    what = "scores of each token with each" if by_head else "masks as numbers, for each layer that keeps one"
    return f"{round(each)} B x {many} x {length:,} x {length:,} ({what})", round(each) * cells


def _rest(shape: ModelShape, spec: StepSpec, moment: Moment, left: int, tokens: int, again: int) -> str:
    layers = len(shape.layers)
    if moment == "loss" and spec.checkpointing == 1:
        each, more = divmod(left, tokens * shape.hidden)
        text = f"{each} B x {shape.hidden:,} x {tokens:,} ({_RUNS[moment]})"
        return f"{text} + {more:,} B (the rest)" if each else f"{left:,} B ({_RUNS[moment]})"
    whole = moment in ("evaluation", "backward_first") or spec.checkpointing == 1
    if whole:
        what = _RUNS[moment]
        if not spec.checkpointing and moment == "backward_first":
            what = "the first layer: what it kept, and its gradients"
        if spec.quantization == "int8":
            what = f"what int8 products keep, and {what}"
        return f"{left / tokens:,.1f} B x {tokens:,} tokens ({what})"
    keeping = layers - again
    what = "what each keeps for its backward pass, and what the one that runs takes"
    return f"{keeping} layers x {left / keeping / tokens:,.1f} B x {tokens:,} tokens ({what})"
