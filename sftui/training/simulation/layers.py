"""From a few layers to all of them: peaks are linear in the number of layers that repeat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, TypeVar

from sftui.training.simulation.counting import Peak, Window
from sftui.training.simulation.parameters import Counts
from sftui.training.simulation.skeleton import Cut

Windows = dict[Window, Peak]

BACKWARD = ("backward_last", "backward_first")


class HasTotal(Protocol):
    """A peak, whoever measured it."""

    @property
    def total(self) -> int:
        """Bytes."""


P = TypeVar("P", bound=HasTotal)


def by_place(windows: Windows, cut: Cut, repeats: int) -> Windows:
    """The windows with layers named by their distance from the start or from the end.

    The first two periods and what comes before are counted from the start, the rest from the end. With three
    periods the one in the middle is counted both ways.
    """
    count = len(cut.layers(repeats))
    rest = cut.total - cut.start - cut.period * cut.repeats
    from_start, from_end = cut.start + 2 * cut.period, 2 * cut.period + rest
    found: Windows = {}
    for (moment, place), peak in windows.items():
        if not isinstance(place, int):
            found[moment, place] = peak
            continue
        if place < from_start:
            found[moment, f"start {place}"] = peak
        if place >= count - from_end:
            found[moment, f"end {count - 1 - place}"] = peak
    return found


def extrapolated(few: Windows, more: Windows, periods: tuple[int, int], wanted: int) -> Windows | None:
    """The windows of a model with `wanted` periods, from those of two models with fewer.

    None where the two do not reach their peaks in the same place: then nothing follows from them. Layers
    between the ones given lie, as peaks are linear in the number of a layer too, between their values.
    """
    if few.keys() != more.keys():
        return None
    found: Windows = {}
    for window, small in few.items():
        large = more[window]
        if small.operator != large.operator:
            return None
        factor = (wanted - periods[0]) // (periods[1] - periods[0])
        parts = [low + (high - low) * factor for low, high in zip(small.parts, large.parts, strict=True)]
        found[window] = Peak(sum(parts), parts, small.operator)
    return found


def extrapolated_counts(few: Counts, more: Counts, periods: tuple[int, int], wanted: int) -> Counts:
    """The numbers of parameters of a model with `wanted` periods."""
    factor = (wanted - periods[0]) // (periods[1] - periods[0])
    kinds = {kind: low + (more.kinds[kind] - low) * factor for kind, low in few.kinds.items()}
    return Counts(few.trainable + (more.trainable - few.trainable) * factor, kinds)


def by_moment(windows: Mapping[Window, P], total: int) -> dict[str, P]:
    """The highest peak of each moment of a model with `total` layers.

    Backward of the last layer and of the first are just that, with the embeddings at the end; layers between
    them count, in the half they are in, only where they reach higher than both.
    """
    found: dict[str, P] = {}
    between: dict[str, P] = {}
    for window, peak in windows.items():
        moment, inner = moment_of(window, total)
        highest = between if inner else found
        if moment not in highest or peak.total > highest[moment].total:
            highest[moment] = peak
    ends = max((found[moment].total for moment in BACKWARD if moment in found), default=0)
    highest_between = max(between, key=lambda moment: between[moment].total, default=None)
    if highest_between is not None and between[highest_between].total > ends:
        found[highest_between] = between[highest_between]
    return found


def moment_of(window: Window, total: int) -> tuple[str, bool]:
    """The moment of a window, and whether it is that of a layer between the first and the last."""
    moment, place = window
    if moment != "backward":
        return moment, False
    if place == "embeddings":
        return BACKWARD[1], False
    if isinstance(place, int):
        side, number = ("end", total - 1 - place) if 2 * place >= total else ("start", place)
    else:
        side, _, text = place.partition(" ")
        number = int(text)
    return BACKWARD[side == "start"], number > 0
