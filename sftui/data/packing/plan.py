"""What each strategy would make of a dataset, side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sftui.data.packing.kept import Whole, keep, kept_lengths
from sftui.data.packing.summary import Summary, summarise
from sftui.data.used import Draws
from sftui.recipe import DataSection, Packing, TrainingSection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Integers = NDArray[np.int64]

STRATEGIES: tuple[Packing, ...] = ("none", "next_fit", "best_fit", "wrapped")
IN_ORDER = 100_000  # sequences, in a few hundredths of a second


@dataclass(frozen=True, slots=True)
class Batching:
    """`batch_size` rows in one forward pass, `step_batches` rows in one optimizer step of all processes."""

    batch_size: int
    step_batches: int

    @classmethod
    def of(cls, training: TrainingSection) -> Batching:
        """As the recipe has it."""
        batch_size = training.per_device_train_batch_size
        return cls(batch_size, batch_size * training.gradient_accumulation_steps * training.num_processes)


@dataclass(frozen=True, slots=True)
class Plan:
    """The training sequences under one max_length, and what each strategy makes of them.

    Sequences count as often as they are drawn. `exact`: all rows are analysed; before, counts are scaled up
    from the `share` that is. `sequences` and `tokens` are packed; of those longer than max_length, `dropped`
    are left out and `truncated` cut, which loses `lost_tokens`; `untrained` ones are left out for that.
    `longest` is the longest before any cut. `batch_size` and `step_batches` are the recipe's, see `Batching`.
    """

    max_length: int
    exact: bool
    share: float
    sequences: int
    tokens: int
    dropped: int
    truncated: int
    untrained: int
    lost_tokens: int
    longest: int
    batch_size: int
    step_batches: int
    summaries: tuple[Summary, ...]

    def of(self, strategy: Packing) -> Summary:
        """What a strategy makes of them."""
        return self.summaries[STRATEGIES.index(strategy)]

    def steps(self, strategy: Packing) -> int:
        """Optimizer steps an epoch."""
        return -(-self.of(strategy).bins // self.step_batches)

    def sequences_per_step(self, strategy: Packing) -> float:
        """The mean number of sequences in one whole optimizer step: the effective batch."""
        bins = self.of(strategy).bins
        return self.sequences * min(1.0, self.step_batches / bins) if bins else 0.0

    def speedup(self, strategy: Packing) -> float:
        """Tokens that batches padded at the recipe's size compute, over those that the strategy computes.

        No padding is computed in bins, as with attention of variable length (varlen, flash attention).
        """
        padded = self.of("none").padded_tokens
        return padded / self.tokens if strategy != "none" and self.tokens else 1.0


def plan_of(
    whole: Whole,
    rows: int,
    draws: Draws | None,
    data: DataSection,
    batching: Batching,
    *,
    in_order: int = IN_ORDER,
) -> Plan:
    """The plan of `rows` rows, of which `whole` is known; without `draws` all rows count once.

    What the order of the sequences decides is counted for up to `in_order` of them, expected for more.
    """
    import numpy as np

    complete = draws is not None and whole.row_count == rows
    times = None if draws is None else draws.train
    remaining = kept_lengths(whole, data)
    often = np.ones_like(remaining) if times is None else np.asarray(times)[whole.rows]
    scale = _scale(whole, rows, draws, data)
    counts = _counts(remaining, often, scale)
    sequences = sum(counts.values())
    lengths: Sequence[int] | Mapping[int, int] = counts
    if complete and sequences <= in_order:
        lengths = keep(whole, data, times).lengths.tolist()
    long, left_out = whole.lengths > data.max_length, remaining == 0
    return Plan(
        max_length=data.max_length,
        exact=complete,
        share=whole.row_count / rows if rows else 0.0,
        sequences=sequences,
        tokens=sum(length * count for length, count in counts.items()),
        dropped=round(scale * int(often[long & left_out].sum())),
        truncated=round(scale * int(often[long & ~left_out].sum())),
        untrained=round(scale * int(often[~long & left_out].sum())),
        lost_tokens=round(scale * int((often * (whole.lengths - remaining))[long].sum())),
        longest=int(whole.lengths.max(initial=0)),
        batch_size=batching.batch_size,
        step_batches=batching.step_batches,
        summaries=tuple(
            summarise(lengths, strategy, data.max_length, batching.batch_size) for strategy in STRATEGIES
        ),
    )


def _scale(whole: Whole, rows: int, draws: Draws | None, data: DataSection) -> float:
    """How many rows will be drawn for each one that is known."""
    times = None if draws is None else draws.train
    drawn = whole.drawn(times)
    total: float = rows if times is None else sum(times)
    if draws is None:
        total *= 1 - data.eval_fraction
    return total / drawn if drawn else 0.0


def _counts(remaining: Integers, often: Integers, scale: float) -> dict[int, int]:
    """How many sequences there are of each length, so rounded that the sums are right."""
    import numpy as np

    exact = np.bincount(remaining, weights=often)[1:]
    counts = np.diff(np.round(np.cumsum(exact) * scale).astype(np.int64), prepend=0)
    (lengths,) = np.nonzero(counts)
    return dict(zip((lengths + 1).tolist(), counts[lengths].tolist(), strict=True))
