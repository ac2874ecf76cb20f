"""The workbench on runs, and what stands on it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from textual import events
from textual.pilot import Pilot
from textual.screen import Screen

from sftui.screens.app import Workbench
from sftui.screens.help import bindings_of

from .conftest import Runs

Shown = TypeVar("Shown", bound=Screen[None])


def screen_text(app: Workbench) -> str:
    """What stands on the screen, a line a row."""
    lines = app.screen._compositor.render_strips()
    return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in lines)


def burst(app: Workbench, *keys: str) -> None:
    """Keys that come all at once, as of a paste or a slow line."""
    for key in keys:
        app.post_message(events.Key(key, {"slash": "/"}.get(key, key if len(key) == 1 else None)))


async def until(pilot: Pilot[None], text: str, patience: float = 8.0) -> str:
    """Wait until `text` stands on the screen."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        await pilot.pause(0.02)
        shown = screen_text(pilot.app)  # type: ignore[arg-type]
        if text in shown:
            return shown
    raise AssertionError(f"{text!r} did not appear:\n{shown}")


def workbench(runs: Runs, **options: object) -> Workbench:
    return Workbench(runs.folder, refresh=0.1, **options)  # type: ignore[arg-type]


async def when(pilot: Pilot[None], kind: type[Shown], holds: Callable[[Shown], object]) -> str:
    """Wait until something holds of the screen below all boxes, which is then of that kind."""
    for _ in range(400):
        await pilot.pause(0.02)
        screen = pilot.app.screen_stack[0]
        if isinstance(screen, kind) and holds(screen):
            await pilot.pause(0.05)
            return screen_text(pilot.app)  # type: ignore[arg-type]
    raise AssertionError(f"it did not come to be:\n{screen_text(pilot.app)}")  # type: ignore[arg-type]


async def keys_are_told(pilot: Pilot[None], *footer: str) -> None:
    """No two keys of the screen in front are one, the help lists all, the footer `footer`; needs 60 lines."""
    bindings = bindings_of(pilot.app.screen)
    keys = [key for binding in bindings for key in binding.key.split(",")]
    assert sorted(keys) == sorted(set(keys)) and {"ctrl+c", "ctrl+a", "ctrl+b"}.isdisjoint(keys)
    line = (await until(pilot, "q quit")).splitlines()[-1]
    for words in (*footer, "? help", "q quit"):
        assert words in line
    await pilot.press("question_mark")
    shown = await until(pilot, "everywhere")
    for binding in bindings:
        assert binding.tooltip and binding.id and binding.tooltip[:30] in shown, binding
    await pilot.press("escape")


def shown_keys(screen: Screen[object]) -> int:
    """How many keys are in the footer at the most."""
    return sum(binding.show for binding in bindings_of(screen))
