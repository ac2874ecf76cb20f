"""Rows that repeat others, exactly or nearly, among all the sketches of a dataset."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from sftui.data.findings.sketches import HASH_BYTES, NO_SKETCH, SKETCH_BYTES, SLOTS, duplicate_text, sketch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[Any]

__all__ = [
    "NO_SKETCH",
    "SKETCH_BYTES",
    "Copies",
    "DuplicateReport",
    "duplicate_groups",
    "duplicate_text",
    "sketch",
]

SIMILARITY = 0.8  # of the sets of word triples, from which on rows are near duplicates
# Six slots are alike in at least one of twelve places: 97 of 100 pairs at a similarity of 0.8, all but one
# in ten thousand at 0.9, three in a thousand at 0.25. Two more bytes sort those that are alike.
_BAND = 6
_BATCH = 1 << 18  # pairs compared together: 40 MB
# Unrelated texts agree in one slot of 256.
_ALIKE = round((SIMILARITY * 255 / 256 + 1 / 256) * SLOTS)


class Copies(NamedTuple):
    """Rows, ascending, and for each the first row that it repeats."""

    rows: array[int]
    firsts: array[int]


def _none() -> Copies:
    return Copies(array("I"), array("I"))


@dataclass(frozen=True, slots=True)
class DuplicateReport:
    """Every row that could be left out because another says the same.

    `exact` and `near` are training rows with an earlier training row. `leaks` and `near_leaks` are
    held-out rows, counted from 0, with the training row that they repeat.
    """

    exact: Copies = field(default_factory=_none)
    near: Copies = field(default_factory=_none)
    leaks: Copies = field(default_factory=_none)
    near_leaks: Copies = field(default_factory=_none)

    def mapped(self, train: Sequence[int], held_out: Sequence[int]) -> DuplicateReport:
        """The same with other row numbers: `train[i]` for training row i, `held_out[i]` for held-out ones."""

        def renamed(copies: Copies, rows: Sequence[int]) -> Copies:
            return Copies(
                array("I", (rows[row] for row in copies.rows)),
                array("I", (train[row] for row in copies.firsts)),
            )

        return DuplicateReport(
            renamed(self.exact, train),
            renamed(self.near, train),
            renamed(self.leaks, held_out),
            renamed(self.near_leaks, held_out),
        )


def duplicate_groups(sketches: bytes | bytearray | memoryview, eval_from: int) -> DuplicateReport:
    """Duplicates among `sketches`, SKETCH_BYTES a row: training rows, then held-out ones from `eval_from` on.

    Every pair that is reported has been compared itself: a row is not a near duplicate for resembling
    another that resembles a third. A row with NO_SKETCH repeats nothing.
    """
    import numpy as np

    table = np.frombuffer(sketches, np.uint8).reshape(-1, SKETCH_BYTES)
    rows = len(table)
    hashes = np.ascontiguousarray(table[:, :HASH_BYTES]).view(np.uint64).ravel()
    _, first_of, group = np.unique(hashes, return_index=True, return_inverse=True)
    first = first_of[group]  # of each row, the first that is equal to it
    every = np.arange(rows)
    known = table.any(axis=1)
    again = known & (first < every)
    held_out = every >= eval_from
    leaks = again & held_out & (first < eval_from)
    # Rows that are equal are near the same others: one of each side stands for them.
    alone = known & ~again
    slots = table[:, HASH_BYTES:]
    chosen = np.flatnonzero(alone & slots.any(axis=1))
    partner = _partners(np.ascontiguousarray(slots[chosen]))
    near_first = every.copy()
    near_first[chosen] = chosen[partner]
    near_first = near_first[first]  # of every copy of such a row as well
    near = alone & ~held_out & (near_first < every)
    near_leaks = known & held_out & ~leaks & (near_first < eval_from)
    return DuplicateReport(
        exact=_copies(again & ~held_out, first, 0),
        near=_copies(near, near_first, 0),
        leaks=_copies(leaks, first, eval_from),
        near_leaks=_copies(near_leaks, near_first, eval_from),
    )


def _copies(chosen: Numbers, firsts: Numbers, origin: int) -> Copies:
    import numpy as np

    rows = np.flatnonzero(chosen)
    return Copies(
        array("I", (rows - origin).astype(np.uintc).tobytes()),
        array("I", firsts[rows].astype(np.uintc).tobytes()),
    )


def _partners(slots: Numbers) -> Numbers:
    """Of each row of `slots` the earliest that is found to be nearly the same, or itself."""
    import numpy as np

    partner = np.arange(len(slots))
    for begin in range(0, SLOTS, _BAND):
        # Eight slots as one number, the band in its high bytes.
        columns = [(begin + offset) % SLOTS for offset in range(8)]
        keys = np.ascontiguousarray(slots[:, columns]).view(">u8").ravel().astype(np.uint64)
        order = np.argsort(keys, kind="stable")
        bands = keys[order] >> np.uint64(8 * (8 - _BAND))
        alike = np.flatnonzero(bands[1:] == bands[:-1])
        if not len(alike):
            continue
        # Each with its neighbour in this order, and with the earliest row of its band.
        starts = np.flatnonzero(np.concatenate(([True], bands[1:] != bands[:-1])))
        earliest = np.minimum.reduceat(order, starts)
        run = np.searchsorted(starts, alike, side="right") - 1
        _settle(slots, partner, order[alike], order[alike + 1])
        _settle(slots, partner, order[alike], earliest[run])
        _settle(slots, partner, order[alike + 1], earliest[run])
    # A partner's own partner is earlier still, and often nearly the same.
    for _ in range(2):
        _settle(slots, partner, np.arange(len(slots)), partner[partner])
    return partner


def _settle(slots: Numbers, partner: Numbers, one: Numbers, other: Numbers) -> None:
    """Make the earlier row of each pair the later one's partner, if it is the earliest and they are alike."""
    import numpy as np

    later, earlier = np.maximum(one, other), np.minimum(one, other)
    wanted = np.flatnonzero(earlier < partner[later])
    later, earlier = later[wanted], earlier[wanted]
    for begin in range(0, len(later), _BATCH):
        high, low = later[begin : begin + _BATCH], earlier[begin : begin + _BATCH]
        alike = (slots[high] == slots[low]).sum(axis=1) >= _ALIKE
        np.minimum.at(partner, high[alike], low[alike])
