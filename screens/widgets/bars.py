"""Horizontal bars made of characters."""

from __future__ import annotations

EIGHTHS = " ▏▎▍▌▋▊▉"


def meter(fraction: float, width: int) -> str:
    """A bar of `width` cells filled to `fraction` (0 to 1) in steps of an eighth of a cell."""
    eighths = round(min(max(fraction, 0.0), 1.0) * width * 8)
    full, rest = divmod(eighths, 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width)


def progress(fraction: float, width: int) -> tuple[str, str]:
    """The done and the open part of a thin line of `width` cells; half cells count."""
    halves = int(min(max(fraction, 0.0), 1.0) * width * 2)
    full, half = divmod(halves, 2)
    done = "━" * full + ("╸" if half else "")
    return done, "─" * (width - len(done))
