"""What it takes to compute every n-th layer again, and what that saves: for the checkpointing field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .memory_lengths import Lengths
from .memory_view import gib

if TYPE_CHECKING:
    from sftui.memory.shape import ModelShape
    from sftui.recipe import Recipe

EVERY = (0, 8, 4, 3, 2, 1)
"""0: no layer is computed again."""
MIB, GIB = 2**20, 2**30


@dataclass(frozen=True, slots=True)
class Recomputed:
    """Peak bytes, and how many times as long the same tokens take as without checkpointing."""

    every: int
    peak: int
    time: float


def recomputed(recipe: Recipe, shape: ModelShape, lengths: Lengths) -> tuple[Recomputed, ...]:
    """Each of EVERY that is fewer than the layers; some ten milliseconds."""
    from sftui.memory.answer import answer
    from sftui.memory.work import typical_seconds

    lines: list[Recomputed] = []
    first = 0.0
    for every in EVERY:
        if every >= len(shape.layers):
            continue
        settings = {"gradient_checkpointing": every > 0, "gradient_checkpointing_every": max(every, 1)}
        training = recipe.training.model_copy(update=settings)
        found = answer(recipe.model_copy(update={"training": training}), shape, None, **lengths._asdict())
        assert found.step is not None  # the closed form's answers have one
        seconds = typical_seconds(shape, found.step)
        first = first or seconds
        lines.append(Recomputed(every, found.estimate.peak_bytes, seconds / first))
    return tuple(lines)


def every_words(lines: Sequence[Recomputed]) -> str:
    """`every n-th: off 14.2 GiB, 8: 12.9 +4%, .., 1: 5.1 +32%`: bytes, and how much more time."""
    if not lines:
        return ""
    large = max(line.peak for line in lines) >= 0.995 * GIB
    parts = []
    for line in lines:
        size = gib(line.peak) if large else f"{line.peak / MIB:,.0f}"
        unit = "GiB" if large else "MiB"
        parts.append(f"{line.every}: {size} {line.time - 1:+.0%}" if line.every else f"off {size} {unit}")
    # A size and its time stay in one line.
    return f"every n-th: {', '.join(part.replace(' ', chr(0xA0)) for part in parts)}"
