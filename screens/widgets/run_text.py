"""What a run says in words: the end of its log, its answers to held-out rows, its warnings."""

from __future__ import annotations

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from sftui.runs.history import History

from .. import train_view as view
from .panel import Panel

VIEWS = ("log", "answers", "warnings")


class RunText(VerticalScroll):
    """One of the three at a time; the log stays at its end unless one has scrolled up."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._text = Panel()
        self._view = 0
        self._chosen = False
        self._history = History()
        self._log: Sequence[str] = ()

    def compose(self) -> ComposeResult:
        """The text."""
        yield self._text

    def reset(self) -> None:
        """Another run: begin with its log."""
        self._view, self._chosen = 0, False
        self.say(History(), ())

    def next_view(self) -> None:
        """The next of the three, from its beginning; the log from its end."""
        self._view = (self._view + 1) % len(VIEWS)
        self._chosen = True
        self.say(self._history, self._log)
        self.call_after_refresh(
            self.scroll_end if VIEWS[self._view] == "log" else self.scroll_home, animate=False
        )

    def say(self, history: History, log: Sequence[str]) -> None:
        """Show what there is now."""
        self._history, self._log = history, log
        pairs = history.before_and_after()
        if pairs and not self._chosen:
            # The answers are what a run is for: they come up by themselves, once.
            self._view, self._chosen = VIEWS.index("answers"), True
            self.call_after_refresh(self.scroll_home, animate=False)
        name = VIEWS[self._view]
        others = ", ".join(other for other in VIEWS if other != name)
        warned = f" ({len(history.warnings)})" if history.warnings else ""
        self.border_title = name
        self.border_subtitle = f"v: {others}{warned}"
        at_end = self.max_scroll_y - self.scroll_y <= 1
        self._text.show(self._content(name, history, log))
        if at_end and name == "log":
            self.scroll_end(animate=False)

    @staticmethod
    def _content(name: str, history: History, log: Sequence[str]) -> Content:
        if name == "log":
            return view.log(log)
        if name == "answers":
            return view.answers(history.before_and_after(), history.answers)
        return view.warnings(history.warnings)
