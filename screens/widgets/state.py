"""How a run's state is shown: always a symbol and a word, the colour on top."""

from __future__ import annotations

from textual.content import Content

from sftui.runs.status import State

SYMBOLS: dict[State, tuple[str, str]] = {
    "starting": ("◌", "$text-accent"),
    "running": ("●", "$text-success"),
    "stopping": ("◍", "$text-warning"),
    "finished": ("✓", "$text-success"),
    "stopped": ("■", "$foreground"),
    "failed": ("✗", "$text-error"),
    "lost": ("?", "$text-warning"),
}


def state_text(state: State, width: int = 0) -> Content:
    """`● running`, padded to `width` cells."""
    symbol, style = SYMBOLS[state]
    return Content.styled(f"{symbol} {state}".ljust(width), f"bold {style}")
