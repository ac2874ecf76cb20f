"""A run's memory in a box: predicted against measured, kept up to date while it is open."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content

from sftui.runs.history import Watch

from .dialog import Dialog
from .run_memory_view import report
from .widgets.panel import Panel


class RunMemoryScreen(Dialog[None]):
    """By component and by moment; the run is read by the screen below."""

    CSS_PATH = "run_memory.tcss"
    BINDINGS = [
        Binding("escape,m,q,enter", "dismiss", "close", show=False, id="run-memory.close"),
        Binding("down,j", "scroll(1)", "down", show=False, id="run-memory.down"),
        Binding("up,k", "scroll(-1)", "up", show=False, id="run-memory.up"),
    ]

    def __init__(self, watch: Watch, refresh: float) -> None:
        super().__init__()
        self._watch, self._seconds = watch, refresh

    def compose(self) -> ComposeResult:
        """One block of text that scrolls where it is too long."""
        box = VerticalScroll(Panel(id="report"), id="run-memory")
        box.border_title = "memory: predicted and measured"
        box.border_subtitle = "▀ predicted  ▄ measured  Esc closes"
        yield box

    def on_mount(self) -> None:
        """Show what is known, then look every so often."""
        self.call_after_refresh(self._show)
        self.set_interval(self._seconds, self._show)

    def on_resize(self) -> None:
        """Other columns may fit now."""
        self.call_after_refresh(self._show)

    def _show(self) -> None:
        status, history = self._watch.status, self._watch.history
        if status is None:
            self.query_one(Panel).show(Content("the run directory is gone, or not readable yet"))
            return
        width = self.query_one(VerticalScroll).scrollable_content_region.width
        self.query_one(Panel).show(report(status, history, width))

    def action_scroll(self, lines: int) -> None:
        """Up or down."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)
