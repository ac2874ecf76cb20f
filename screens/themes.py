"""Two quiet themes, dark and light: one accent; green, amber and red only for good, careful and bad."""

from __future__ import annotations

import os

from textual.theme import Theme

DARK = Theme(
    name="sftui-dark",
    primary="#7aa2c8",
    secondary="#b79ad6",
    accent="#6fb3d2",
    success="#7fb685",
    warning="#d9a94e",
    error="#d9706b",
    foreground="#d5d8dc",
    background="#14171a",
    surface="#1c2024",
    panel="#252a30",
    dark=True,
)

LIGHT = Theme(
    name="sftui-light",
    primary="#2b5f8a",
    secondary="#6d4a96",
    accent="#0f6c94",
    success="#2f7a3c",
    warning="#9a6200",
    error="#b3261e",
    foreground="#1d2125",
    background="#fbfbf9",
    surface="#efefec",
    panel="#e2e3df",
    dark=False,
)


def preferred() -> str:
    """The theme that suits the terminal: light where COLORFGBG says that its background is."""
    background = os.environ.get("COLORFGBG", "").rpartition(";")[2]
    return LIGHT.name if background in ("7", "15") else DARK.name
