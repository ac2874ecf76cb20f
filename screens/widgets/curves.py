"""The curves of a run: one large, chosen by key, and three small ones."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Horizontal

from sftui.runs.history import History
from sftui.runs.series import Series

from .braille import GlyphName
from .plot import Plot

SMOOTHINGS = (0.0, 0.6, 0.9, 0.97, 0.99)
LOSS = "loss"
RATE = "learning rate"
OTHERS = (RATE, "gradient norm", "tokens/s")


def curves_of(history: History) -> dict[str, Series]:
    """The series of a run by the names that people give them."""
    others = (history.learning_rate, history.grad_norm, history.tokens_per_second)
    return {LOSS: history.loss, **dict(zip(OTHERS, others, strict=True))}


class MainPlot(Plot):
    """The large plot; its border says what is drawn and, while a range is chosen, the values there."""

    def __init__(self, *, glyphs: GlyphName, id: str | None = None) -> None:
        super().__init__(glyphs=glyphs, id=id)
        self._history = History()
        self._graph = 0

    @property
    def graph(self) -> str:
        """The name of the curve that is drawn."""
        return (LOSS, *OTHERS)[self._graph]

    @property
    def drawn_smoothing(self) -> float:
        """The learning rate is a schedule, not a measurement: its corners are drawn as they are."""
        return 0.0 if self.graph == RATE else self.smoothing

    def show_history(self, history: History) -> None:
        """Draw the curve of another run."""
        self._history = history
        evaluations = history.eval_loss if self.graph == LOSS else None
        self.show_series(curves_of(history)[self.graph], evaluations)
        self.retitle()

    def next_graph(self) -> None:
        """Draw the next curve."""
        self._graph = (self._graph + 1) % (1 + len(OTHERS))
        self.show_history(self._history)

    def next_smoothing(self) -> None:
        """Smooth more, or after the most not at all; nothing where the graph is never smoothed."""
        if self.graph == RATE:
            return
        self.smoothing = next((value for value in SMOOTHINGS if value > self.smoothing + 1e-9), SMOOTHINGS[0])
        self.retitle()

    def on_plot_zoomed(self) -> None:
        """A range was chosen or left."""
        self.retitle()

    def retitle(self) -> None:
        """Say in the border what is drawn now."""
        marks = ", ◆ eval" if self.graph == LOSS else ""
        scale = ", log scale" if self.log_scale else ""
        smoothing = self.drawn_smoothing
        lines = f"raw dim, smoothed {smoothing:g} bright" if smoothing else "raw values"
        self.border_title = f"{self.graph}: {lines}{marks}{scale}"
        if self.cursor_text:
            self.border_subtitle = self.cursor_text
        elif self.x_range:
            self.border_subtitle = f"steps {self.x_range[0]:,} to {self.x_range[1]:,}; Esc shows all"
        else:
            self.border_subtitle = ""


class SmallPlots(Horizontal):
    """The other curves side by side, without axes."""

    def __init__(self, *, glyphs: GlyphName, id: str | None = None) -> None:
        super().__init__(id=id)
        self._plots = [Plot(axes=False, smoothing=0.0, glyphs=glyphs) for _ in OTHERS]

    def compose(self) -> ComposeResult:
        """One plot a curve."""
        for plot, name in zip(self._plots, OTHERS, strict=True):
            plot.border_title = name
            yield plot

    def show_history(self, history: History) -> None:
        """Draw the curves of another run."""
        curves = curves_of(history)
        for plot, name in zip(self._plots, OTHERS, strict=True):
            plot.show_series(curves[name])
