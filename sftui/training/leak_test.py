"""Whether sequences of a bin stay apart in this model, tried out before it is trained on bins.

Real sequences are packed as in training; then each in turn is replaced by other tokens. The logits of the
others must not move, and all must be those of the sequence alone.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Iterator
from collections.abc import Sequence as Many
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from sftui.data.sequences import Sequence
from sftui.memory.step import autocast_dtype
from sftui.recipe import Recipe
from sftui.training.attention import DTYPES, Attention
from sftui.training.batch import Collator, logits_of
from sftui.training.bins import BinCollator, Part
from sftui.training.failure import short

SEQUENCES = 4
LENGTH = 64  # tokens of each, at most

# How far logits may be apart, as a share of how far they move when their own tokens change: what rounding
# makes of it, with room. A leak moves them as far as their own tokens do.
TOLERANCES = {torch.float32: 1e-3, torch.float16: 0.01, torch.bfloat16: 0.05}
NOISE = 2.0  # or so many times what other rows of a padded batch do to them: a router tips over, say
MOST = 0.25  # but never more than this share

NOT_FINITE = "on a row by itself the logits of the model are not finite numbers: no run can train it"


@dataclass(frozen=True, slots=True)
class LeakTest:
    """What came of it; differences are of logits, the largest there are.

    `reason` says why it did not pass.
    """

    passed: bool
    attention: str
    sequences: int
    tokens: int
    largest_difference: float | None
    tolerance: float | None
    seconds: float
    reason: str | None = None

    def as_event(self) -> dict[str, Any]:
        """The fields of the `leak_test` event."""
        values = asdict(self)
        if self.passed:
            del values["reason"]
        return values

    def sentence(self) -> str:
        """The result in a line of a log."""
        if not self.passed:
            return f"leak test: {self.reason}"
        return (
            f"leak test: {self.sequences} sequences in a bin do not see each other with {self.attention} "
            f"(logits differ by {self.largest_difference:.2g}, tolerance {self.tolerance:.2g}; "
            f"{self.seconds:.1f} s)"
        )


def leak_test(
    model: Any, recipe: Recipe, attention: Attention, sequences: Many[Sequence], pad_id: int
) -> LeakTest:
    """Try `model` on the first of `sequences`, packed as the recipe's training packs them.

    The mode of the model and random states are left as they were.
    """
    began = time.monotonic()
    samples = _samples(sequences)
    half = autocast_dtype(recipe)
    bench = _Bench(
        model,
        BinCollator(pad_id, flat=attention.flat),
        bins=min(2, recipe.training.per_device_train_batch_size),
        autocast=None if half is None else DTYPES[half],
    )
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), _tokens_apart(model):
            found = _compare(bench, samples)
    finally:
        model.train(was_training)
    seconds = round(time.monotonic() - began, 3)
    tokens = sum(map(len, samples))
    name = attention.name
    if isinstance(found, str):
        return LeakTest(False, name, len(samples), tokens, None, None, seconds, found)
    # Where activations are rounded to 8 bits, the last bit of attention decides between two of them.
    coarse = recipe.model.quantization == "int8"
    share = TOLERANCES[torch.bfloat16 if coarse else DTYPES[recipe.model.dtype]]
    tolerance = min(max(share * found.moved, NOISE * found.noise), MOST * found.moved)
    largest = max(found.leaked, found.apart)
    reason = None
    if found.leaked > tolerance:
        reason = (
            f"with {name} attention, sequences of a bin see each other: other tokens in one move the "
            f"logits of another by {found.leaked:.3g} (its own move them by {found.moved:.3g})"
        )
    elif found.apart > tolerance:
        reason = (
            f"with {name} attention, a sequence in a bin is not read as by itself: its logits differ by "
            f"{found.apart:.3g} (other tokens move them by {found.moved:.3g})"
        )
    return LeakTest(reason is None, name, len(samples), tokens, largest, tolerance, seconds, reason)


@dataclass(frozen=True, slots=True)
class _Found:
    """Largest differences of logits: in other sequences, in the changed one, packed and alone, by padding."""

    leaked: float
    moved: float
    apart: float
    noise: float


@dataclass(frozen=True, slots=True)
class _Bench:
    """The model, and how batches of it are made and read."""

    model: Any
    collator: BinCollator
    bins: int
    autocast: torch.dtype | None

    def packed(self, samples: list[Sequence]) -> list[torch.Tensor]:
        """The logits (length, vocabulary) of each, all in the same micro-batch."""
        parts = [Part(number, sample, 0, len(sample)) for number, sample in enumerate(samples)]
        size = math.ceil(len(parts) / self.bins)
        bins = [parts[first : first + size] for first in range(0, len(parts), size)]
        logits = self._logits(self.collator(bins))
        rows = [parts] if self.collator.flat else bins
        return [
            piece
            for row, line in zip(rows, logits, strict=True)
            for piece in line[: sum(map(len, row))].split(list(map(len, row)))
        ]

    def padded(self, samples: list[Sequence]) -> list[torch.Tensor]:
        """The logits of each, as rows of a padded batch."""
        logits = self._logits(Collator(self.collator.pad_id)(list(enumerate(samples))))
        return [line[: len(sample)] for line, sample in zip(logits, samples, strict=True)]

    def _logits(self, batch: dict[str, Any]) -> torch.Tensor:
        names = ("labels", "rows", "counts", "weights")
        device = self.model.device
        inputs = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in batch.items()
            if name not in names
        }
        with torch.autocast(device.type, dtype=self.autocast, enabled=self.autocast is not None):
            return logits_of(self.model, inputs)


@contextmanager
def _tokens_apart(model: Any) -> Iterator[None]:
    """Without the outliers of LLM.int8 (Dettmers et al. 2022), which it looks for in a whole batch at once:
    a token then changes the rounding of all others, packed or not.
    """
    states: list[Any] = [getattr(module, "state", None) for module in model.modules()]
    states = [state for state in states if hasattr(state, "threshold")]
    thresholds = [state.threshold for state in states]
    for state in states:
        state.threshold = 0.0
    try:
        yield
    finally:
        for state, threshold in zip(states, thresholds, strict=True):
            state.threshold = threshold


def _compare(bench: _Bench, samples: list[Sequence]) -> _Found | str:
    """What differs; or, in words, why nothing can be compared."""
    alone = [bench.padded([sample])[0] for sample in samples]
    if not all(bool(logits.isfinite().all()) for logits in alone):
        return NOT_FINITE
    noise = _largest(bench.padded(samples), alone)
    leaked, moved = 0.0, math.inf
    try:
        packed = bench.packed(samples)
        for number, other in enumerate(_each_changed(samples)):
            logits = bench.packed(other)
            moved = min(moved, _largest([logits.pop(number)], [packed[number]]))
            leaked = max(leaked, _largest(logits, packed[:number] + packed[number + 1 :]))
    except (TypeError, ValueError, NotImplementedError) as error:
        return f"the model does not take sequences in bins: {short(error)}"
    return _Found(leaked, moved, _largest(packed, alone), noise)


def _largest(one: list[torch.Tensor], other: list[torch.Tensor]) -> float:
    """The largest difference; infinite where a logit is no number."""
    found = [float((a.float() - b.float()).abs().max()) for a, b in zip(one, other, strict=True)]
    return math.inf if any(map(math.isnan, found)) else max(found)


def _samples(sequences: Many[Sequence]) -> list[Sequence]:
    """A few short sequences, of lengths that differ; where there are too few, some several times."""
    found = [sequences[number % len(sequences)] for number in range(SEQUENCES)]
    cut = (LENGTH - 7 * number for number in range(SEQUENCES))
    return [
        replace(one, input_ids=one.input_ids[:end], trained=one.trained[:end], weights=None)
        for one, end in zip(found, cut, strict=True)
    ]


def _each_changed(samples: list[Sequence]) -> Iterator[list[Sequence]]:
    """The samples with other tokens, which occur in them too, in the first, in the second, and so on."""
    known = sorted({token for sample in samples for token in sample.input_ids})
    if len(known) == 1:
        known.append(1 if known[0] == 0 else 0)
    place = {token: number for number, token in enumerate(known)}
    turn = max(1, len(known) // 2)

    def other(sample: Sequence) -> Sequence:
        ids = (known[(place[token] + turn) % len(known)] for token in sample.input_ids)
        return replace(sample, input_ids=array(sample.input_ids.typecode, ids))

    for number, sample in enumerate(samples):
        yield [*samples[:number], other(sample), *samples[number + 1 :]]
