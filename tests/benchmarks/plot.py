"""What a refresh of the plot costs: `python tests/benchmarks/plot.py`.

A refresh is what the dashboard does twice a second: append one point, draw, and make the lines of the
screen. The widget is compared, in the same run and in turns, with a drawing that looks at every point:
extremes and smoothed line by a loop over all of them, and a styled character per cell. Budget at
120x40: 3 ms at 10,000 points, 5 ms at 100,000.
"""

from __future__ import annotations

import asyncio
import math
import random
import statistics
import time
from collections.abc import Callable

from rich.console import Console
from rich.text import Text
from textual.app import App, ComposeResult

from sftui.runs.series import Series
from sftui.screens.widgets.plot import Plot

WIDTH, HEIGHT, ROUNDS = 120, 40, 21


class Bench(App[None]):
    """One plot that fills the screen."""

    def __init__(self, plot: Plot) -> None:
        super().__init__()
        self.plot = plot

    def compose(self) -> ComposeResult:
        yield self.plot


def loss(step: int) -> float:
    return 0.6 + 1.2 * math.exp(-step / 2000) + random.gauss(0, 0.08)


def naive(values: list[float], console: Console) -> None:
    """Every point into its column, every cell into a text with a style of its own."""
    columns, rows = 2 * WIDTH, 4 * HEIGHT
    low, high = min(values), max(values)
    dots: dict[tuple[int, int], str] = {}
    mean = values[0]
    for index, value in enumerate(values):
        mean = 0.9 * mean + 0.1 * value
        x = index * (columns - 1) // len(values)
        for y, style in ((value, "dim"), (mean, "bold cyan")):
            dots[x, round((y - low) / (high - low) * (rows - 1))] = style
    text = Text()
    for row in range(HEIGHT - 1, -1, -1):
        for cell in range(WIDTH):
            found = [
                (4 * (x - 2 * cell) + y - 4 * row, dots[x, y])
                for x in (2 * cell, 2 * cell + 1)
                for y in range(4 * row, 4 * row + 4)
                if (x, y) in dots
            ]
            bits = sum(1 << bit for bit, _ in found)
            text.append(chr(0x2800 + bits), found[-1][1] if found else "")
        text.append("\n")
    console.render_lines(text)


def milliseconds(work: Callable[[], None]) -> float:
    start = time.process_time()
    work()
    return 1000 * (time.process_time() - start)


async def measure(count: int) -> tuple[float, float, float]:
    """Milliseconds of CPU for the plot and for the naive drawing, medians; and of their ratios."""
    random.seed(count)
    series, values = Series(), [loss(step) for step in range(count)]
    for step, value in enumerate(values):
        series.append(step, value)
    app = Bench(Plot(series))
    console = Console(width=WIDTH, height=HEIGHT)
    plots, naives = [], []
    async with app.run_test(size=(WIDTH, HEIGHT)):

        def refresh() -> None:
            series.append(len(series), loss(len(series)))
            app.plot.data_changed()
            app.plot.render_lines(app.plot.size.region)

        def refresh_naively() -> None:
            values.append(loss(len(values)))
            naive(values, console)

        for _ in range(ROUNDS):
            plots.append(milliseconds(refresh))
            naives.append(milliseconds(refresh_naively))
    ratios = [slow / fast for slow, fast in zip(naives, plots, strict=True)]
    return statistics.median(plots), statistics.median(naives), statistics.median(ratios)


def main() -> None:
    """Print one line for each number of points."""
    print(f"{'points':>8} {'plot ms':>9} {'naive ms':>9} {'ratio':>7}")
    for count in (10_000, 100_000):
        plot, slow, ratio = asyncio.run(measure(count))
        print(f"{count:>8,} {plot:>9.2f} {slow:>9.1f} {ratio:>6.0f}x")


if __name__ == "__main__":
    main()
