"""Quiet themes, dark and light: one accent; green, amber and red only for good, careful and bad.

A terminal of 16 colours shows the nearest of its own, which for quiet colours is white or grey: it has
themes made of its colours.
"""

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


DARK_16 = Theme(
    name="sftui-dark-16",
    primary="#5555ff",
    secondary="#ff55ff",
    accent="#55ffff",
    success="#55ff55",
    warning="#ffff55",
    error="#ff5555",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#555555",
    dark=True,
)

LIGHT_16 = Theme(
    name="sftui-light-16",
    primary="#0000aa",
    secondary="#aa00aa",
    accent="#00b8b8",
    success="#00aa00",
    warning="#aa5500",
    error="#aa0000",
    foreground="#000000",
    background="#ffffff",
    surface="#ffffff",
    panel="#aaaaaa",
    dark=False,
)

THEMES = (DARK, LIGHT, DARK_16, LIGHT_16)


def theme_for(colors: str | None, *, dark: bool) -> str:
    """The theme for a terminal with these colours (Rich's name for them), dark or light."""
    few = colors == "standard"
    if dark:
        return DARK_16.name if few else DARK.name
    return LIGHT_16.name if few else LIGHT.name


def prefers_dark() -> bool:
    """Whether the terminal is dark, which it is unless COLORFGBG says that its background is light."""
    return os.environ.get("COLORFGBG", "").rpartition(";")[2] not in ("7", "15")
