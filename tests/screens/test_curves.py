"""The curves of a run: each view of a series has its own smoothing."""

from __future__ import annotations

from textual.app import App, ComposeResult

from sftui.runs.history import History
from sftui.screens.widgets.curves import RATE, MainPlot, SmallPlots
from sftui.screens.widgets.plot import Plot

from .test_plot import screen_text


class Curves(App[None]):
    """The large plot above the small ones."""

    CSS = "Plot { border: round $foreground; }"

    def compose(self) -> ComposeResult:
        yield MainPlot(glyphs="braille")
        yield SmallPlots(glyphs="braille")


def history() -> History:
    """Everything jumps up and down, so that smoothing shows."""
    told = History()
    for step in range(1, 200):
        up = step % 20 < 10
        told.loss.append(step, 2.0 if up else 1.0)
        told.learning_rate.append(step, 2e-4 if up else 1e-4)
        told.grad_norm.append(step, 0.9 if up else 0.5)
        told.tokens_per_second.append(step, 900 if up else 500)
    return told


def small_text(app: App[None]) -> str:
    region = app.query_one(SmallPlots).region
    return "\n".join(screen_text(app)[region.y : region.bottom])


async def test_smoothing_in_the_large_plot_leaves_the_small_ones_and_the_series_alone() -> None:
    app, told = Curves(), history()
    async with app.run_test(size=(120, 40)) as pilot:
        main = app.query_one(MainPlot)
        main.show_history(told)
        app.query_one(SmallPlots).show_history(told)
        await pilot.pause()
        before = small_text(app)
        for _ in range(5):
            main.next_graph()
            main.next_smoothing()
            for plot in app.query(Plot):
                plot._drawn = None
                plot.refresh()
            await pilot.pause()
            assert small_text(app) == before
        assert told.loss.smoothing == 0.9
        assert told.learning_rate.smoothing == told.grad_norm.smoothing == 0.0


async def test_the_learning_rate_is_never_smoothed_and_the_other_graphs_keep_their_smoothing() -> None:
    app = Curves()
    async with app.run_test(size=(120, 40)) as pilot:
        main = app.query_one(MainPlot)
        main.show_history(history())
        main.next_smoothing()
        assert "smoothed 0.97" in str(main.border_title)
        main.next_graph()
        assert main.graph == RATE and main.drawn_smoothing == 0.0
        assert "smooth" not in str(main.border_title)
        main.begin_zoom()
        assert "smooth" not in main.cursor_text
        main.cancel_zoom()
        before = screen_text(app)
        main.next_smoothing()
        await pilot.pause()
        assert screen_text(app) == before
        main.next_graph()
        assert main.drawn_smoothing == 0.97 and "smoothed 0.97" in str(main.border_title)


async def test_the_title_calls_no_smoothing_raw_values() -> None:
    app = Curves()
    async with app.run_test(size=(120, 40)):
        main = app.query_one(MainPlot)
        main.show_history(history())
        main.smoothing = 0.0
        main.retitle()
        assert str(main.border_title) == "loss: raw values, ◆ eval"
