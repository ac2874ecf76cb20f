"""How often a screen follows what changes all the time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from textual.screen import Screen
from textual.timer import Timer

# Between two looks, and while somebody moves about: what a key changes is drawn before figures are.
SECONDS = 0.2
MOVING_SECONDS = 1.0
# After a move that it counts as moving about.
STILL_SECONDS = 0.5


class Pace:
    """Says how long to wait until the next look."""

    def __init__(self) -> None:
        self._looked = self._moved = float("-inf")

    def look(self) -> None:
        """A look is taken now."""
        self._looked = time.monotonic()

    def move(self) -> None:
        """Somebody has moved now."""
        self._moved = time.monotonic()

    def wait(self) -> float:
        """Seconds until the next look, a little at least."""
        now = time.monotonic()
        between = MOVING_SECONDS if now - self._moved < STILL_SECONDS else SECONDS
        return max(self._looked + between - now, 0.001)


class Looks:
    """Looks of a screen at what changes all the time: not too often, and none while another is in front."""

    def __init__(self, screen: Screen[Any], look: Callable[[], None]) -> None:
        self._screen, self._look = screen, look
        self._pace = Pace()
        self._timer: Timer | None = None

    def soon(self, at_least: float = 0.0) -> None:
        """There is more to see; `at_least` are seconds until the next look."""
        if self._timer is None:
            self._timer = self._screen.set_timer(max(self._pace.wait(), at_least), self.now)

    def now(self) -> None:
        """Take a look."""
        self._timer = None
        self._pace.look()
        if self._screen in self._screen.app.screen_stack:
            self._look()

    def move(self) -> None:
        """Somebody moves about: keys come before figures."""
        self._pace.move()
