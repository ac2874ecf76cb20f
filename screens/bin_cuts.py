"""Where a strategy cuts sequences between bins: which of a bin's began before it, which go on after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sftui.data.packing.bins import BinView

# In place of a sequence's first cell or its last one, where it is cut there.
FROM, ON = "◂", "▸"


class Cuts(NamedTuple):
    """`begun` is the bin that the first sequence comes from, `on` the one that the last goes on in."""

    begun: int | None = None
    on: int | None = None


UNCUT = Cuts()


def cuts_of(view: BinView, after: BinView | None) -> Cuts:
    """How a bin is cut; `after` is the next bin, which may be missing."""
    if not view.pieces:
        return UNCUT
    first, last = view.pieces[0], view.pieces[-1]
    on = None
    if after is not None and after.pieces:
        rest = after.pieces[0]
        same = (rest.row, rest.sequence, rest.start) == (last.row, last.sequence, last.end)
        on = after.number if same else None
    return Cuts(view.number - 1 if first.start else None, on)


def cut_words(cuts: Cuts) -> list[str]:
    """`first from bin 6`, `last on in bin 8`: as far as they hold."""
    words = []
    if cuts.begun is not None:
        words.append(f"first from bin {cuts.begun:,}")
    if cuts.on is not None:
        words.append(f"last on in bin {cuts.on:,}")
    return words


def piece_cuts(view: BinView, number: int, cuts: Cuts) -> Cuts:
    """How piece `number` of a bin is cut."""
    begun = cuts.begun if number == 0 else None
    return Cuts(begun, cuts.on if number == len(view.pieces) - 1 else None)
