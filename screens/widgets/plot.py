"""A live plot of one series: raw values as a dim band, the smoothed line, evaluations as markers."""

from __future__ import annotations

from rich.segment import Segment
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive, var
from textual.strip import Strip
from textual.widget import Widget

from sftui.runs.series import MAX_SMOOTHING, Series

from .axis import compact
from .braille import ROLES, GlyphName
from .drawing import Drawing, PlotOptions, draw


class Plot(Widget):
    """Draws a `Series`, and again only when data, size, style or settings have changed.

    Whoever appends to the series calls `data_changed()` afterwards, as often as the screen should follow.
    Title and legend belong into the border, and keys to the screen: it calls `begin_zoom`, `move_cursor`,
    `mark_edge` and `cancel_zoom`. With the mouse a range is dragged.
    """

    COMPONENT_CLASSES = {f"plot--{role}" for role in ROLES if role}

    # Dim and bold carry the difference between raw and smoothed where colours cannot.
    DEFAULT_CSS = """
    Plot {
        width: 1fr;
        height: 1fr;

        & > .plot--raw { color: $foreground 75%; text-style: dim; }
        & > .plot--smooth { color: $accent; text-style: bold; }
        & > .plot--eval { color: $foreground; text-style: bold; }
        & > .plot--axis { color: $foreground-muted; }
        & > .plot--gap { color: $text-warning; text-style: bold; }
        & > .plot--cursor { color: $primary; }
    }
    """

    # Dragging chooses a range of steps, not text.
    ALLOW_SELECT = False

    smoothing = reactive(0.9)
    """Smoothing in this view, 0 to 0.99; the series and other views of it have their own."""

    log_scale = reactive(False)
    """A logarithmic y axis."""

    x_range: reactive[tuple[int, int] | None] = reactive(None)
    """First and last step shown; None: all, from step 0."""

    axes = reactive(True)
    """Ticks and labels; without them only the ends of the y axis are named."""

    glyphs: reactive[GlyphName] = reactive("braille")
    """`block` where the terminal's font has no braille."""

    empty_text = reactive("no steps yet")
    """Shown as long as there are no points."""

    cursor: reactive[int | None] = reactive(None)
    """The step under the cursor while a range is chosen, else None."""

    edge: reactive[int | None] = reactive(None)
    """The step where the range to be chosen begins, once it is marked."""

    cursor_text: var[str] = var("")
    """What the series says at the cursor, for the owner to show; empty without a cursor."""

    class Zoomed(Message):
        """Another range of steps is shown; `x_range` is None when it is all of them again."""

        def __init__(self, plot: Plot, x_range: tuple[int, int] | None) -> None:
            self.plot = plot
            self.x_range = x_range
            super().__init__()

        @property
        def control(self) -> Plot:
            """The plot, for `@on` with a selector."""
            return self.plot

    def __init__(
        self,
        series: Series | None = None,
        evals: Series | None = None,
        *,
        smoothing: float = 0.9,
        axes: bool = True,
        glyphs: GlyphName = "braille",
        empty_text: str = "no steps yet",
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        super().__init__(name=name, id=id, classes=classes)
        self._series = series if series is not None else Series()
        self._evals = evals
        self._strips: list[Strip] = []
        self._drawing: Drawing | None = None
        self._drawn: object = None
        self.set_reactive(Plot.axes, axes)
        self.set_reactive(Plot.glyphs, glyphs)
        self.set_reactive(Plot.empty_text, empty_text)
        self.set_reactive(Plot.smoothing, self.validate_smoothing(smoothing))

    def show_series(self, series: Series, evals: Series | None = None) -> None:
        """Draw other data: `series`, and `evals` (never smoothed) as markers. Shows all steps."""
        self._series, self._evals = series, evals
        self._drawn = None
        self.cursor = self.edge = self.x_range = None
        self.data_changed()

    def data_changed(self) -> None:
        """Look at the series again; costs next to nothing if it has not changed."""
        if self._drawn != self._state():
            self._update_cursor_text()
            self.refresh()

    # -- choosing a range

    @property
    def zooming(self) -> bool:
        """A range is being chosen: there is a cursor."""
        return self.cursor is not None

    def begin_zoom(self) -> None:
        """Show the cursor, at the last point in view. Does nothing as long as there are no points."""
        last = self._series.last
        if last is not None and (drawing := self._current_drawing()).width:
            self.cursor = min(max(last.step, drawing.x0), drawing.x1)

    def move_cursor(self, cells: int) -> None:
        """Move the cursor by `cells` columns of the screen, and by at least one step."""
        if self.cursor is None or not cells:
            return
        drawing = self._current_drawing()
        step = drawing.step_at(min(max(drawing.cell_of(self.cursor) + cells, 0), drawing.width - 1))
        least = self.cursor + (1 if cells > 0 else -1)
        step = max(step, least) if cells > 0 else min(step, least)
        self.cursor = min(max(step, drawing.x0), drawing.x1)

    def mark_edge(self) -> None:
        """The cursor is where the range begins; the second time, at another step, where it ends."""
        if self.cursor is None:
            return
        if self.edge is None:
            self.edge = self.cursor
        elif self.edge != self.cursor:
            chosen = min(self.edge, self.cursor), max(self.edge, self.cursor)
            self.cursor = self.edge = None
            self._zoom(chosen)

    def cancel_zoom(self) -> bool:
        """One step back: forget the edge, then the cursor, then the range. False if there was nothing."""
        if self.edge is not None:
            self.edge = None
        elif self.cursor is not None:
            self.cursor = None
        elif self.x_range is not None:
            self._zoom(None)
        else:
            return False
        return True

    def _zoom(self, x_range: tuple[int, int] | None) -> None:
        self.x_range = x_range
        self.post_message(self.Zoomed(self, x_range))

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begin to drag a range, or mark an edge where the cursor is shown already."""
        offset = event.get_content_offset(self)
        if event.button != 1 or offset is None or not len(self._series):
            return
        event.stop()
        self._put_cursor(offset.x)
        if self.edge is None:
            self.edge = self.cursor
        self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """The cursor follows a drag."""
        if self.app.mouse_captured is self:
            self._put_cursor(event.get_content_offset_capture(self).x)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """The end of a drag is the end of the range. A mere click leaves the cursor and the first edge."""
        if self.app.mouse_captured is self:
            event.stop()
            self.release_mouse()
            self.mark_edge()

    def _put_cursor(self, x: int) -> None:
        drawing = self._current_drawing()
        self.cursor = drawing.step_at(min(max(x - drawing.left, 0), max(drawing.width - 1, 0)))

    def _update_cursor_text(self) -> None:
        smoothing = self.drawn_smoothing
        point = self._series.nearest(self.cursor, smoothing) if self.cursor is not None else None
        if point is None:
            self.cursor_text = ""
            return
        begin = f"from {self.edge:,}  " if self.edge is not None else ""
        smooth = f"  smooth {compact(point.smooth, 4)}" if smoothing else ""
        self.cursor_text = f"{begin}step {point.step:,}  raw {compact(point.value, 4)}{smooth}"

    # -- settings

    @property
    def drawn_smoothing(self) -> float:
        """The smoothing that is drawn; a subclass may know of data that must not be smoothed."""
        return self.smoothing

    def validate_smoothing(self, smoothing: float) -> float:
        """Held between 0 and 0.99."""
        return min(max(smoothing, 0.0), MAX_SMOOTHING)

    def watch_smoothing(self) -> None:
        """Say what is under the cursor now."""
        self._update_cursor_text()

    def validate_x_range(self, x_range: tuple[int, int] | None) -> tuple[int, int] | None:
        """In order, and at least one step wide."""
        if x_range is None:
            return None
        low, high = min(x_range), max(x_range)
        return low, max(high, low + 1)

    def watch_x_range(self) -> None:
        """What was chosen in another range does not hold in this one."""
        self.cursor = self.edge = None

    def watch_cursor(self) -> None:
        """Say what is under the cursor."""
        self._update_cursor_text()

    def watch_edge(self) -> None:
        """Say where the range begins."""
        self._update_cursor_text()

    # -- drawing

    def notify_style_update(self) -> None:
        """Colours have changed: draw again."""
        self._drawn = None
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines in `crop`, drawn anew if what they show has changed."""
        self._current_drawing()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Line `y` of the present drawing."""
        return self._strips[y] if y < len(self._strips) else Strip.blank(self.size.width, self.rich_style)

    def _options(self) -> PlotOptions:
        return PlotOptions(
            smoothing=self.drawn_smoothing,
            x_range=self.x_range,
            log_scale=self.log_scale,
            axes=self.axes,
            glyphs=self.glyphs,
            empty_text=self.empty_text,
            cursor=self.cursor,
            edge=self.edge,
        )

    def _state(self) -> tuple[int, int, Size, PlotOptions]:
        """All that a drawing depends on, besides the styles."""
        evals = self._evals.version if self._evals is not None else 0
        return self._series.version, evals, self.size, self._options()

    def _current_drawing(self) -> Drawing:
        state = self._state()
        if self._drawing is None or self._drawn != state:
            _, _, size, options = state
            self._drawing = draw(self._series, self._evals, size.width, size.height, options)
            base = self.rich_style
            styles = {
                role: self.get_component_rich_style(f"plot--{role}") if role else base for role in ROLES
            }
            self._strips = [
                Strip([Segment(text, styles[role]) for text, role in row], size.width)
                for row in self._drawing.rows
            ]
            self._drawn = state
        return self._drawing
