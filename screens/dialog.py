"""The base of everything that opens in a box over a screen."""

from __future__ import annotations

from typing import TypeVar

from textual.await_complete import AwaitComplete
from textual.screen import ModalScreen

Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """A modal screen that closes once: keys that were on their way when it closed do nothing."""

    def dismiss(self, result: Result | None = None) -> AwaitComplete:
        """Close with a result, unless it is not the one in front."""
        return super().dismiss(result) if self.is_active else AwaitComplete()
