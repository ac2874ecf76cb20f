"""The plot: what is drawn where, and how a range is chosen."""

from __future__ import annotations

import math
import unicodedata
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from textual.app import App, ComposeResult

from sftui.runs.series import Series
from sftui.screens.widgets.axis import (
    compact,
    last_step,
    log_ticks,
    step_ticks,
    tick_labels,
    tick_step,
    value_scale,
)
from sftui.screens.widgets.braille import GlyphName
from sftui.screens.widgets.drawing import Drawing, PlotOptions, draw
from sftui.screens.widgets.plot import Plot


def filled(values: list[float], first: int = 0, every: int = 1, smoothing: float = 0.0) -> Series:
    series = Series(smoothing)
    for index, value in enumerate(values):
        series.append(first + index * every, value)
    return series


def text(drawing: Drawing) -> list[str]:
    return ["".join(part for part, _ in row) for row in drawing.rows]


def cells(drawing: Drawing, role: str) -> set[tuple[int, int]]:
    """(x, y) of every cell with `role`, from the top left of the data."""
    found = set()
    for y, row in enumerate(drawing.rows):
        x = -drawing.left
        for part, part_role in row:
            if part_role == role:
                found |= {(x + offset, y) for offset in range(len(part))}
            x += len(part)
    return found


# -- ticks and labels


@pytest.mark.parametrize(
    ("span", "count", "step"), [(1.0, 5, 0.2), (1.2, 4, 0.5), (0.3, 3, 0.1), (1870, 8, 500), (2e-4, 4, 5e-5)]
)
def test_ticks_are_1_2_5(span: float, count: int, step: float) -> None:
    assert tick_step(span, count) == pytest.approx(step)


@pytest.mark.parametrize(
    ("ticks", "labels"),
    [
        ([0.6, 1.0, 1.4, 1.8], ["0.6", "1.0", "1.4", "1.8"]),
        ([0.0, 5e-5, 1e-4, 1.5e-4, 2e-4], ["0", "5e-5", "1e-4", "1.5e-4", "2e-4"]),
        ([0, 500, 1000, 1500], ["0", "500", "1k", "1.5k"]),
        ([12345, 12346, 12347], ["12345", "12346", "12347"]),
        ([-1.0, 0.0, 1.0], ["-1", "0", "1"]),
        ([0.25, 0.3], ["0.25", "0.30"]),
        ([], []),
    ],
)
def test_labels_have_the_digits_that_tell_neighbours_apart(ticks: list[float], labels: list[str]) -> None:
    assert tick_labels(ticks) == labels


@pytest.mark.parametrize(
    ("value", "label"),
    [
        (0.6123, "0.612"),
        (1234, "1.23k"),
        (12_340, "12.3k"),
        (999.9, "1k"),
        (3e7, "30M"),
        (2e-4, "2e-4"),
        (1.913e-4, "1.91e-4"),
        (0, "0"),
        (-0.5, "-0.5"),
        (math.nan, "nan"),
        (math.inf, "inf"),
    ],
)
def test_compact_numbers(value: float, label: str) -> None:
    assert compact(value) == label


def test_log_ticks_are_decades_or_finer_or_coarser_as_there_is_room() -> None:
    assert log_ticks(1e-4, 1, 5) == [1e-4, 1e-3, 1e-2, 1e-1, 1]
    assert log_ticks(0.3, 3, 5) == [0.5, 1, 2]
    assert log_ticks(1e-20, 1, 5) == [1e-20, 1e-15, 1e-10, 1e-5, 1]
    assert log_ticks(0.61, 0.69, 4) == pytest.approx([0.62, 0.64, 0.66, 0.68])


def test_step_labels_fit_beside_one_another() -> None:
    for width in range(16, 200):
        for x1 in (1, 9, 415, 1870, 99_990, 1_234_000):
            ticks, labels = step_ticks(0, x1, width)
            assert sum(map(len, labels)) + len(labels) - 1 <= width
            assert ticks == sorted(set(ticks))


def test_the_right_end_rests_while_steps_are_added() -> None:
    assert [last_step(step) for step in (0, 1, 7, 412, 415, 416)] == [1, 1, 7, 415, 415, 420]
    assert all(step <= last_step(step) <= step * 41 / 40 for step in range(40, 5000))


# -- the range of values


def test_one_spike_does_not_flatten_the_rest() -> None:
    values = [50.0] + [1.0 + 0.1 * math.sin(step) for step in range(99)]
    scale = value_scale(values, min(values), max(values), log=False, count=5)
    assert scale.low <= 0.9 and 1.1 <= scale.high < 1.5


def test_a_falling_loss_is_shown_from_its_start() -> None:
    values = [0.6 + 1.2 * math.exp(-step / 60) for step in range(400)]
    scale = value_scale(values, min(values), max(values), log=False, count=5)
    assert scale.low <= min(values) and max(values) <= scale.high


def test_constant_values_are_a_level_line_in_the_middle() -> None:
    drawing = draw(filled([2e-4] * 50), None, 40, 9, PlotOptions())
    assert {y for _, y in cells(drawing, "smooth")} == {3}


# -- drawing


def test_a_rising_line_runs_from_the_bottom_left_to_the_top_right() -> None:
    drawing = draw(filled([float(value) for value in range(101)]), None, 60, 22, PlotOptions())
    line = cells(drawing, "smooth")
    assert (0, 19) in line and (drawing.width - 1, 0) in line
    assert {x for x, _ in line} == set(range(drawing.width))
    for x in range(drawing.width - 1):
        here, after = ({y for column, y in line if column == place} for place in (x, x + 1))
        assert min(here) >= min(after) and min(here) - max(after) <= 1


def test_axes_name_values_and_steps() -> None:
    drawing = draw(filled([1.8 - 0.0012 * step for step in range(1001)]), None, 60, 12, PlotOptions())
    lines = text(drawing)
    assert [line.split("┤")[0] for line in lines if "┤" in line] == [" 1.5 ", " 1.0 "]
    assert len({line.index(edge) for line in lines for edge in "┤│└" if edge in line}) == 1
    assert lines[-2].startswith("     └┬─")
    assert lines[-1].split() == ["0", "200", "400", "600", "800", "1k"]


def test_many_points_are_a_band_behind_the_line() -> None:
    values = [1.0 + 0.5 * (-1) ** step for step in range(5000)]
    drawing = draw(filled(values, smoothing=0.99), None, 60, 12, PlotOptions())
    raw, line = cells(drawing, "raw"), cells(drawing, "smooth")
    assert len(raw) > 5 * drawing.width
    assert not raw & line
    assert {x for x, _ in line} >= set(range(drawing.width - 3))


def test_few_points_are_joined_by_the_line() -> None:
    drawing = draw(filled([1.0, 2.0, 1.0], every=100), None, 60, 12, PlotOptions())
    assert {x for x, _ in cells(drawing, "smooth")} == set(range(drawing.width))


def noisy(count: int) -> list[float]:
    random = Random(3)
    return [1.0 + random.gauss(0, 0.3) for _ in range(count)]


@pytest.mark.parametrize("count", [3, 20, 60, 100, 108, 115, 200, 5000])
@pytest.mark.parametrize("glyphs", ["braille", "block"])
def test_raw_values_are_one_connected_shape_however_many_there_are(count: int, glyphs: GlyphName) -> None:
    drawing = draw(
        filled(noisy(count), smoothing=0.99), None, 60, 22, PlotOptions(x_range=(0, count - 1), glyphs=glyphs)
    )
    drawn = cells(drawing, "raw") | cells(drawing, "smooth")
    for x in range(drawing.width - 1):
        here, after = ({y for column, y in drawn if column == place} for place in (x, x + 1))
        assert here and after
        assert min(here) - max(after) <= 1 and min(after) - max(here) <= 1


def test_raw_values_are_not_joined_across_a_gap() -> None:
    values = [1.0] * 10 + [math.nan] * 10 + [2.0] * 10
    drawing = draw(filled(values, smoothing=0.9), None, 60, 12, PlotOptions(x_range=(0, 29)))
    drawn = {x for x, _ in cells(drawing, "raw") | cells(drawing, "smooth")}
    broken = {x for x, _ in cells(drawing, "gap")}
    assert drawn & {0, drawing.width - 1} == {0, drawing.width - 1}
    assert not drawn & set(range(min(broken) + 1, max(broken)))


def test_the_line_breaks_where_values_are_not_finite_and_a_mark_says_so() -> None:
    values = [1.0] * 40 + [math.nan] * 20 + [2.0] * 41
    drawing = draw(filled(values), None, 60, 12, PlotOptions())
    gaps = cells(drawing, "gap")
    assert {y for _, y in gaps} == {10}
    broken = {x for x, _ in gaps}
    assert len(broken) >= 0.15 * drawing.width
    inner = set(range(min(broken) + 1, max(broken)))
    assert inner and not inner & {x for x, _ in cells(drawing, "smooth")}
    bare = draw(filled(values), None, 60, 3, PlotOptions(axes=False))
    assert {y for _, y in cells(bare, "gap")} == {2}


def test_nothing_but_gaps_still_shows_them() -> None:
    drawing = draw(filled([math.nan] * 10), None, 40, 10, PlotOptions())
    assert cells(drawing, "gap") and not cells(drawing, "smooth")


def test_evaluations_are_markers_over_the_line() -> None:
    drawing = draw(filled([1.0] * 101), filled([1.0, 0.5], every=100), 60, 12, PlotOptions())
    assert {x for x, _ in cells(drawing, "eval")} == {0, drawing.width - 1}
    assert sum(line.count("◆") for line in text(drawing)) == 2


def test_values_beyond_the_axis_are_drawn_at_its_edge() -> None:
    values = [50.0] + [1.0 + 0.1 * math.sin(step) for step in range(200)]
    drawing = draw(filled(values), None, 60, 12, PlotOptions())
    assert (0, 0) in cells(drawing, "smooth")


def test_a_logarithmic_axis_makes_exponential_decay_a_straight_line() -> None:
    drawing = draw(
        filled([10 ** (-step / 25) for step in range(101)]), None, 60, 22, PlotOptions(log_scale=True)
    )
    assert [line.split()[0] for line in text(drawing) if "┤" in line] == ["1", "0.1", "0.01", "0.001", "1e-4"]
    for x, y in cells(drawing, "smooth"):
        assert abs(y - 19 * x / (drawing.width - 1)) <= 1


def test_a_logarithmic_axis_leaves_out_what_is_not_positive() -> None:
    values = [1.0] * 40 + [0.0] * 20 + [2.0] * 41
    drawing = draw(filled(values), None, 60, 12, PlotOptions(log_scale=True))
    drawn = {x for x, _ in cells(drawing, "smooth")}
    assert 0 in drawn and drawing.width // 2 not in drawn and drawing.width - 1 in drawn
    assert not cells(drawing, "gap")
    assert cells(draw(filled([-1.0] * 9), None, 60, 12, PlotOptions(log_scale=True)), "smooth") == set()


def test_without_axes_only_the_ends_are_named() -> None:
    drawing = draw(filled([0.2, 1.4, 0.8] * 9), None, 24, 3, PlotOptions(axes=False))
    lines = text(drawing)
    assert (lines[0].split()[0], lines[2].split()[0]) == ("1.4", "0.2")
    assert not any(glyph in "".join(lines) for glyph in "┤└┬─")


def test_half_blocks_stand_in_for_braille() -> None:
    values = [1.0 + 0.5 * (-1) ** step + step / 5000 for step in range(5000)]
    options = PlotOptions(glyphs="block")
    drawing = draw(filled(values, smoothing=0.99), None, 60, 12, options)
    drawn = set("".join(part for row in drawing.rows for part, role in row if role in ("raw", "smooth")))
    assert drawn <= set("░▀▄█") and {"░", "▀"} <= drawn


def test_an_empty_plot_says_so_and_an_empty_range_too() -> None:
    assert "no steps yet" in text(draw(Series(), Series(), 40, 7, PlotOptions()))[3]
    zoomed = draw(filled([1.0] * 5), None, 60, 9, PlotOptions(x_range=(50, 60)))
    assert any("no points in this range" in line for line in text(zoomed))


def test_the_gutter_rests_while_values_change_within_a_magnitude() -> None:
    lefts = {
        draw(filled([0.2, high]), None, 60, 12, PlotOptions()).left for high in (0.3, 0.5, 0.9, 1.7, 4.2, 9.9)
    }
    assert lefts == {6}


def test_cells_and_steps_are_translated_both_ways() -> None:
    drawing = draw(filled([1.0] * 1000), None, 60, 12, PlotOptions())
    assert all(drawing.cell_of(drawing.step_at(cell)) == cell for cell in range(drawing.width))


hostile = st.one_of(st.floats(), st.floats(0, 3), st.sampled_from([0.0, 1e308, -1e308, 5e-324, 1.0]))


@settings(deadline=None)
@given(
    st.lists(hostile, max_size=60),
    st.lists(hostile, max_size=5),
    st.integers(0, 90),
    st.integers(0, 30),
    st.builds(
        PlotOptions,
        x_range=st.none() | st.tuples(st.integers(-9, 90), st.integers(-9, 90)),
        log_scale=st.booleans(),
        axes=st.booleans(),
        glyphs=st.sampled_from(["braille", "block"]),
        cursor=st.none() | st.integers(-9, 90),
        edge=st.none() | st.integers(-9, 90),
    ),
)
def test_any_data_fits_any_size(
    values: list[float], evals: list[float], width: int, height: int, options: PlotOptions
) -> None:
    drawing = draw(filled(values, smoothing=0.9), filled(evals, every=7), width, height, options)
    lines = text(drawing)
    assert len(lines) == (height if width else 0)
    assert all(len(line) == width for line in lines)
    assert all(unicodedata.east_asian_width(char) not in "WF" for line in lines for char in line)


# -- the widget


class Bench(App[None]):
    """One plot in a border, and the messages it posted."""

    CSS = "Plot { border: round $foreground; }"

    def __init__(self, plot: Plot) -> None:
        super().__init__()
        self.plot = plot
        self.zooms: list[tuple[int, int] | None] = []

    def compose(self) -> ComposeResult:
        yield self.plot

    def on_plot_zoomed(self, message: Plot.Zoomed) -> None:
        self.zooms.append(message.x_range)


def falling(count: int = 400) -> Series:
    return filled([0.6 + 1.2 * math.exp(-step / 60) for step in range(count)], first=1)


def screen_text(app: App[None]) -> list[str]:
    return [strip.text for strip in app.screen._compositor.render_strips()]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (7, 3), (20, 5), (80, 24), (120, 40), (250, 60)])
async def test_it_fills_any_size(size: tuple[int, int]) -> None:
    app = Bench(Plot(falling(), filled([1.2, 0.7], every=200)))
    async with app.run_test(size=size):
        lines = screen_text(app)
        assert all(len(line) == size[0] for line in lines)
        if size >= (20, 5):
            assert any(0x2800 < ord(char) < 0x2900 for line in lines for char in line)


async def test_it_draws_only_what_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[int] = []

    def counting(series: Series, *rest: object) -> Drawing:
        drawn.append(len(series))
        return draw(series, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("sftui.screens.widgets.plot.draw", counting)
    series = falling()
    app = Bench(Plot(series))
    async with app.run_test(size=(80, 24)) as pilot:
        drawn.clear()
        app.plot.data_changed()
        app.plot.refresh()
        await pilot.pause()
        assert drawn == []
        series.append(401, 0.6)
        app.plot.data_changed()
        await pilot.pause()
        assert drawn == [401]
        app.plot.log_scale = True
        await pilot.pause()
        assert drawn == [401, 401]
        app.theme = "textual-light"
        await pilot.pause()
        assert len(drawn) == 3
        await pilot.resize_terminal(70, 20)
        await pilot.pause()
        assert len(drawn) >= 4


async def test_smoothing_is_the_views_own_and_held_in_range() -> None:
    series = filled([1.0, 3.0] * 200, smoothing=0.9)
    app = Bench(Plot(series, smoothing=0.5))
    async with app.run_test(size=(80, 24)) as pilot:
        lines = screen_text(app)
        app.plot.smoothing = 2.0
        await pilot.pause()
        assert app.plot.smoothing == 0.99 and series.smoothing == 0.9
        assert screen_text(app) != lines


async def test_the_cursor_says_the_smoothed_value_of_its_own_view() -> None:
    app = Bench(Plot(filled([1.0, 3.0], smoothing=0.9), smoothing=0.5))
    async with app.run_test(size=(80, 24)):
        app.plot.begin_zoom()
        assert app.plot.cursor_text == "step 1  raw 3  smooth 2.333"
        app.plot.smoothing = 0.0
        assert app.plot.cursor_text == "step 1  raw 3"


async def test_a_range_is_chosen_by_two_edges_and_left_step_by_step() -> None:
    app = Bench(Plot(falling(400)))
    async with app.run_test(size=(80, 24)) as pilot:
        plot = app.plot
        plot.begin_zoom()
        assert plot.zooming and plot.cursor == 400
        assert plot.cursor_text.startswith("step 400  raw 0.60")
        plot.move_cursor(-10)
        first = plot.cursor
        assert first is not None and first < 400
        plot.mark_edge()
        plot.mark_edge()  # the same step: no range yet
        assert plot.zooming and plot.cursor_text.startswith(f"from {first}")
        plot.move_cursor(-10)
        second = plot.cursor
        plot.mark_edge()
        await pilot.pause()
        assert app.zooms == [(second, first)] == [plot.x_range]
        assert not plot.zooming and plot.cursor_text == ""

        plot.begin_zoom()
        plot.mark_edge()
        assert [plot.cancel_zoom() for _ in range(4)] == [True, True, True, False]
        await pilot.pause()
        assert plot.x_range is None and app.zooms[-1] is None


async def test_the_cursor_reaches_every_step_when_few_are_shown_wide() -> None:
    app = Bench(Plot(falling(10)))
    async with app.run_test(size=(120, 24)):
        plot = app.plot
        plot.begin_zoom()
        seen = []
        for _ in range(12):
            seen.append(plot.cursor)
            plot.move_cursor(-1)
        assert seen[0] == 10 and seen[-1] is not None and seen[-1] < 10
        for _ in range(300):
            plot.move_cursor(-1)
        assert plot.cursor == 0
        for _ in range(300):
            plot.move_cursor(10)
        assert plot.cursor == 10


async def test_a_range_is_dragged_with_the_mouse() -> None:
    app = Bench(Plot(falling(400)))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.mouse_down(Plot, offset=(20, 5))
        await pilot.hover(Plot, offset=(50, 6))
        assert app.plot.zooming and app.plot.edge is not None and app.plot.cursor is not None
        chosen = app.plot.edge, app.plot.cursor
        await pilot.mouse_up(Plot, offset=(50, 6))
        await pilot.pause()
        assert app.zooms == [chosen] and chosen[0] < chosen[1]


async def test_nothing_can_be_chosen_before_there_are_points() -> None:
    app = Bench(Plot())
    async with app.run_test(size=(60, 10)) as pilot:
        app.plot.begin_zoom()
        await pilot.click(Plot, offset=(20, 3))
        assert not app.plot.zooming
        assert any("no steps yet" in line for line in screen_text(app))


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light", "ansi-dark", "ansi-light"])
async def test_raw_and_smoothed_differ_without_colour(theme: str) -> None:
    app = Bench(Plot(falling()))
    async with app.run_test(size=(80, 24)):
        app.theme = theme
        styles = {
            role: app.plot.get_component_rich_style(f"plot--{role}") for role in ("raw", "smooth", "gap")
        }
        assert styles["raw"].dim and not styles["raw"].bold
        assert styles["smooth"].bold and not styles["smooth"].dim


async def test_other_data_starts_from_the_whole_of_it() -> None:
    app = Bench(Plot(falling(400)))
    async with app.run_test(size=(80, 24)) as pilot:
        app.plot.x_range = (100, 50)
        assert app.plot.x_range == (50, 100)
        other = filled([1.0] * 30)
        app.plot.show_series(other)
        await pilot.pause()
        assert app.plot.x_range is None and other.smoothing == 0.0
