"""Which rows are held out for evaluation."""

from __future__ import annotations

import hashlib

from sftui.errors import InputError


def held_out_count(rows: int, fraction: float) -> int:
    """How many of `rows` are held out. Raises InputError if that is none of them, or all."""
    count = round(rows * fraction)
    if not 0 < count < rows:
        raise InputError(
            f"{fraction:g} of {rows:,} rows is {count:,}: expected at least one row on either side",
            key="data.eval_fraction",
        )
    return count


def hold_out(rows: int, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Row numbers to train on and to hold out, ascending: round(rows * fraction) of them, at random.

    A row's lot is the hash of seed and row number, which stays the same in every version of Python.
    Raises InputError if nothing would be held out, or everything.
    """
    count = held_out_count(rows, fraction)
    lots = [hashlib.blake2b(f"{seed}:{row}".encode(), digest_size=8).digest() for row in range(rows)]
    chosen = set(sorted(range(rows), key=lots.__getitem__)[:count])
    return [row for row in range(rows) if row not in chosen], sorted(chosen)
