"""Counts that stand in columns."""

from __future__ import annotations

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
