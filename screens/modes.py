"""The screens by the name of their mode."""

from __future__ import annotations

from typing import Any

from textual.screen import Screen


def screen_of(mode: str) -> Screen[Any]:
    """The screen of a mode; its module is imported when it is first shown."""
    if mode == "data":
        from .data import DataScreen

        return DataScreen()
    if mode == "packing":
        from .packing import PackingScreen

        return PackingScreen()
    if mode == "memory":
        from .memory import MemoryScreen

        return MemoryScreen()
    if mode == "recipe":
        from .recipe import RecipeScreen

        return RecipeScreen()
    if mode == "train":
        from .train import TrainScreen

        return TrainScreen()
    from .runs import RunsScreen

    return RunsScreen()
