"""What is known of a whole dataset, at one moment of its analysis."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from sftui.data.views import Finding, Side, Used

if TYPE_CHECKING:
    from sftui.recipe import DataSection

State = Literal["opening", "indexing", "analysing", "done", "failed"]


@dataclass(frozen=True, slots=True)
class Loss:
    """What one choice for overlong sequences loses: whole sequences, tokens, trained tokens.

    `emptied` sequences keep no trained token and are left out for that.
    """

    sequences: int
    tokens: int
    trained_tokens: int
    emptied: int


@dataclass(frozen=True, slots=True)
class OverlengthCost:
    """What becomes of the `sequences` that are longer than `max_length`, under each choice."""

    max_length: int
    sequences: int
    drop: Loss
    truncate_right: Loss
    truncate_left: Loss


@dataclass(frozen=True, slots=True)
class Overview:
    """One side of a dataset as far as it is known.

    `rows` counts those found so far, all of them once `counted`; `analysed` those whose tokens are
    known. `share` is the progress of the present state, 0 to 1. `lengths`, `trained` and `flags` have
    one entry a row and are shared with the analysis, which fills them in any order: tokens of the row's
    longest sequence (0: not known yet), trained tokens of the row, and one bit for each finding, numbered by
    `findings.registry.BITS`. `known` has a 1 for each analysed row. `percentiles` are tokens a sequence
    at 5, 50, 95, 99 and 100%; `length_counts` has how many sequences have each length. At the end, `used`
    is what a run takes of the side, and `held_out` what eval_fraction keeps of the training rows. `problem`
    says why nothing can be shown.
    """

    side: Side
    state: State = "opening"
    problem: str | None = None
    rows: int = 0
    counted: bool = False
    analysed: int = 0
    share: float = 0.0
    formats: tuple[tuple[str, int], ...] = ()
    templates: tuple[str, ...] = ()  # the names that the recipe can choose from
    sequences: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    lengths: array[int] = field(default_factory=lambda: array("I"), repr=False)
    trained: array[int] = field(default_factory=lambda: array("I"), repr=False)
    flags: array[int] = field(default_factory=lambda: array("Q"), repr=False)
    known: bytearray = field(default_factory=bytearray, repr=False)
    findings: tuple[Finding, ...] = ()
    percentiles: tuple[int, int, int, int, int] | None = None
    length_counts: Mapping[int, int] = field(default_factory=dict, repr=False)
    cost: OverlengthCost | None = None
    used: Used | None = None
    held_out: Used | None = None

    def longest_kept(self, data: DataSection) -> int | None:
        """Tokens of the longest sequence that a run keeps; None until all rows are analysed."""
        if not self.analysed or self.analysed < self.rows:
            return None
        return longest_kept(self.length_counts, data)


def longest_kept(lengths: Iterable[int], data: DataSection) -> int | None:
    """Tokens of the longest of these sequences once longer ones are cut or left out; None of none."""
    most, drops = data.max_length, data.overlength == "drop"
    return max((min(each, most) for each in lengths if each <= most or not drops), default=0) or None
