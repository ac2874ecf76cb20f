"""The Packing screen on made-up rows."""

from __future__ import annotations

from textual.pilot import Pilot

from sftui.screens.packing import PackingScreen
from sftui.screens.widgets.bin_list import BinList
from sftui.screens.widgets.bin_tokens import BinTokens

from .data_screen_fixtures import RECIPE, Open
from .workbench_fixtures import screen_text

PACKED = RECIPE + "  packing: best_fit\ntraining: {per_device_train_batch_size: 4}\n"


async def packing(opened: Open, pilot: Pilot[None]) -> str:
    """Go to the Packing screen and wait for its bins."""
    await pilot.press("2")
    for _ in range(200):
        await pilot.pause(0.02)
        screen = opened.app.screen
        if isinstance(screen, PackingScreen) and screen.query_one(BinList).count:
            await pilot.pause(0.1)
            return screen_text(opened.app)
    raise AssertionError(f"no bins came:\n{screen_text(opened.app)}")


async def at_bins(opened: Open, pilot: Pilot[None]) -> str:
    """Go to the bins of the Packing screen."""
    await packing(opened, pilot)
    await pilot.press("tab")
    await pilot.pause()
    return screen_text(opened.app)


def bins(opened: Open) -> BinList:
    return opened.app.screen.query_one(BinList)


def tokens(opened: Open) -> BinTokens:
    return opened.app.screen.query_one(BinTokens)


def at(opened: Open) -> str:
    """The pane that the keys go to."""
    return next(name for name in opened.app.screen.classes if name.startswith("-at-"))
