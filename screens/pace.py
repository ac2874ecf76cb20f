"""How often a screen follows what changes all the time."""

from __future__ import annotations

import time

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
