"""What a batch brings to the device, and what the model makes of it for all layers: positions and masks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftui.memory.step import Layout, StepSpec
from sftui.memory.tape import rounded

if TYPE_CHECKING:
    from sftui.memory.moments import Step


def batch_bytes(spec: StepSpec) -> int:
    """Bytes of token ids and labels, and of what the layout brings along."""
    size = rounded(8 * spec.tokens)
    total = 2 * size
    if spec.layout in ("padded", "flat", "packed_dense"):
        total += size
    if spec.layout == "flat":
        total += rounded(4 * (spec.rows + 1))
    if spec.weighted:
        total += rounded(4 * spec.tokens)
    return total


def position_table(step: Step, rows: int, length: int, layout: Layout) -> int:
    """Bytes of cosines and sines of positions for one base frequency."""
    shape = step.shape
    places = rows * length if layout in ("flat", "packed_dense") else length
    return 2 * rounded(places * shape.rotary_dim * step.width)


def made_positions(length: int, layout: Layout) -> int:
    """Bytes of the positions that the model makes where the batch has none."""
    return 0 if layout in ("flat", "packed_dense") else rounded(8 * length)


def dense_masks(
    step: Step, rows: int, length: int, layout: Layout, *, windows: bool
) -> dict[int | None, int]:
    """Bytes of dense masks by window: of true and false for kernels, of numbers for eager attention; or 0."""
    spec, shape = step.spec, step.shape
    eager = spec.attention == "eager"
    found: dict[int | None, int] = dict.fromkeys(shape.masks, 0)
    if layout == "flat" or (windows and not eager):
        return found
    for window in found:
        slides = window is not None and length >= window
        if eager or slides or layout in ("padded", "packed_dense"):
            batched = rows if layout in ("padded", "packed_dense") or eager else 1
            found[window] = rounded(batched * length * length * (step.width if eager else 1))
    return found
