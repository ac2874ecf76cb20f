"""Counts that stand in columns."""

from __future__ import annotations

import math

# Cells of the longest figure.
WIDTH = 6
UNITS = ("k", 1e3), ("M", 1e6), ("B", 1e9)


def figure(value: int) -> str:
    """A count of at most `WIDTH` cells: 412, 99,999, 600 k, 1.50 M, 12.3 M."""
    if value < 100_000:
        return f"{value:,}"
    unit, scale = next((pair for pair in UNITS if value < 999.5 * pair[1]), UNITS[-1])
    # Three digits: 9.996 is 10.0, too.
    digits = next((digits for digits in (2, 1) if value / scale < 10 ** (3 - digits) - 0.5 / 10**digits), 0)
    return f"{value / scale:.{digits}f} {unit}"


def brief(value: int) -> str:
    """A count of at most five cells, rounded up, with room for a sign before it: 9,999, 100 k, 1.6 M."""
    if value < 10_000:
        return f"{value:,}"
    unit, scale = next((pair for pair in UNITS if value <= 999 * pair[1]), UNITS[-1])
    small = value <= 9.9 * scale
    return (
        f"{math.ceil(value / scale * 10) / 10:.1f} {unit}" if small else f"{math.ceil(value / scale)} {unit}"
    )
