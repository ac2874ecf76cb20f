"""Plans and bins of made-up rows, as `sftui.data.desk.Desk` would answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sftui.data.packing.bins import BinPiece, BinView
from sftui.data.packing.layout import lay_out
from sftui.data.packing.plan import STRATEGIES, Plan
from sftui.data.packing.summary import summarise
from sftui.recipe import Packing, Recipe

Trained = tuple[tuple[int, int], ...]


def kept(length: int, recipe: Recipe, max_length: int) -> int:
    """How much of a sequence is packed."""
    if length <= max_length:
        return length
    return max_length if recipe.data.overlength == "truncate" else 0


def fake_plan(lengths: Sequence[int], rows: int, known: int, recipe: Recipe, max_length: int) -> Plan:
    """What is known of `known` rows of `rows`, scaled up."""
    share = known / rows if rows else 1.0
    packed = [size for size in (kept(length, recipe, max_length) for length in lengths) if size]
    packed = packed * round(1 / share) if share else []
    longer = [length for length in lengths if length > max_length]
    truncates = recipe.data.overlength == "truncate"
    training = recipe.training
    batch = training.per_device_train_batch_size
    return Plan(
        max_length=max_length,
        exact=known == rows,
        share=share,
        sequences=len(packed),
        tokens=sum(packed),
        dropped=0 if truncates else len(longer),
        truncated=len(longer) if truncates else 0,
        untrained=0,
        lost_tokens=sum(length - kept(length, recipe, max_length) for length in longer),
        longest=max(lengths, default=0),
        batch_size=batch,
        step_batches=batch * training.gradient_accumulation_steps,
        summaries=tuple(summarise(packed, each, max_length, batch) for each in STRATEGIES),
    )


class FakeBins:
    """Bins of (row, tokens of its sequence); `trained` gives the trained ranges of a row's tokens."""

    def __init__(
        self,
        sequences: Sequence[tuple[int, int]],
        strategy: Packing,
        max_length: int,
        trained: Callable[[int], Trained] = lambda row: (),
    ) -> None:
        lengths = [length for _, length in sequences]
        self.looked: list[int] = []
        self.layout = lay_out(lengths, strategy, max_length)
        self.summary = summarise(lengths, strategy, max_length)
        self._rows = [row for row, _ in sequences]
        self._trained = trained

    def __len__(self) -> int:
        return len(self.layout)

    def view(self, first: int, last: int) -> list[BinView]:
        return [self._bin(number) for number in range(max(first, 0), min(last, len(self)))]

    def fills(self) -> tuple[int, ...]:
        counts = [0] * 20
        for tokens in self.layout.tokens().tolist():
            counts[-(-tokens * 20 // self.layout.max_length) - 1] += 1
        return tuple(counts)

    def lost_tokens(self) -> int:
        pieces = (piece for number in range(len(self)) for piece in self.layout.pieces(number))
        return sum(
            any(first <= start < last for first, last in self._trained(self._rows[at]))
            for at, start, _ in pieces
            if start
        )

    def bin_of(self, row: int) -> int | None:
        return int(self.layout.bins_of()[self._rows.index(row)]) if row in self._rows else None

    def _bin(self, number: int) -> BinView:
        self.looked.append(number)
        pieces = tuple(
            BinPiece(self._rows[at], 0, start, end, _within(self._trained(self._rows[at]), start, end))
            for at, start, end in self.layout.pieces(number)
        )
        tokens = sum(piece.end - piece.start for piece in pieces)
        trained = sum(end - first for piece in pieces for first, end in piece.trained)
        return BinView(number, tokens, trained, self.layout.max_length, pieces)


def _within(ranges: Trained, start: int, end: int) -> Trained:
    """Counted from `start`, whose token is never trained."""
    cut = ((max(first, start + 1), min(last, end)) for first, last in ranges)
    return tuple((first - start, last - start) for first, last in cut if first < last)


def ranges_of(trained: Sequence[Any]) -> Trained:
    """The ranges in which `trained` is true."""
    found: list[tuple[int, int]] = []
    for at, taught in enumerate(trained):
        if taught and found and found[-1][1] == at:
            found[-1] = found[-1][0], at + 1
        elif taught:
            found.append((at, at + 1))
    return tuple(found)
