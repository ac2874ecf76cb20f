"""Best-fit decreasing by counts: many sequences of one length go into many bins with the same room at once.

Lengths are whole numbers up to max_length, so time and memory follow how many different ones there are,
not how many sequences.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping
from typing import TypeAlias

# Of sequences with `length` tokens each, `bins` bins from number `first` on take `each`; each of the bins
# has `before` sequences already: (length, first, bins, each, before).
Step: TypeAlias = tuple[int, int, int, int, int]


def best_fit(counts: Mapping[int, int], max_length: int) -> tuple[list[Step], int]:
    """The steps of best-fit decreasing over `counts` (length -> how many), and how many bins it takes.

    From the longest to the shortest, each sequence goes into the bin with the least room that holds it,
    or into a new one; at most 11/9 of the fewest bins and 1 (Johnson 1973; Dósa 2007 for first fit, which
    best fit does not exceed in the worst case). A bin that has taken one sequence has less room than
    any other that could, so that it is filled with sequences of the same length as long as they fit.
    Lengths are 1 to `max_length`.
    """
    steps: list[Step] = []
    # Bins that have gone the same way: the first, how many, and how many sequences are in each.
    by_room: dict[int, list[tuple[int, int, int]]] = {}
    rooms: list[int] = []  # the keys of by_room, ascending

    def put(room: int, group: tuple[int, int, int]) -> None:
        if room in by_room:
            by_room[room].append(group)
        elif room:
            by_room[room] = [group]
            insort(rooms, room)

    opened = 0
    for length in sorted(counts, reverse=True):
        left = counts[length]
        while left:
            at = bisect_left(rooms, length)
            if at < len(rooms):
                room = rooms[at]
                groups = by_room[room]
                first, bins, before = groups.pop()
                if not groups:
                    del by_room[room], rooms[at]
            else:
                room = max_length
                first, before, bins = opened, 0, -(-left // (max_length // length))
                opened += bins
            each = room // length
            filled = min(bins, left // each)
            if filled:
                steps.append((length, first, filled, each, before))
                put(room - each * length, (first, filled, before + each))
                first, bins, left = first + filled, bins - filled, left - filled * each
            if bins and left:  # fewer than `each`
                steps.append((length, first, 1, left, before))
                put(room - left * length, (first, 1, before + left))
                first, bins, left = first + 1, bins - 1, 0
            if bins:
                put(room, (first, bins, before))
    return steps, opened
