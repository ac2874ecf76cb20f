"""A list with a cursor of which only the lines in view are made: a million cost what a screenful costs."""

from __future__ import annotations

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

MARK, MARK_OUTSIDE = "▌", "▏"  # of the list that has the keys, and of any other


class LineList(ScrollView, can_focus=True, inherit_bindings=False):
    """`count` lines of one cell's height. Subclasses give the text of each; keys belong to the screen."""

    COMPONENT_CLASSES = {
        "line-list--cursor",
        "line-list--muted",
        "line-list--error",
        "line-list--warning",
        "line-list--faint",
    }

    # The line under the cursor has a mark: colours may be missing.
    DEFAULT_CSS = """
    LineList {
        width: 1fr;
        height: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;

        & > .line-list--cursor { background: $foreground 12%; color: $foreground; }
        &:focus > .line-list--cursor { background: $accent 30%; color: $foreground; }
        & > .line-list--muted { color: $foreground-muted; }
        & > .line-list--error { color: $text-error; text-style: bold; }
        & > .line-list--warning { color: $text-warning; text-style: bold; }
        & > .line-list--faint { color: $foreground 20%; }
    }
    """

    ALLOW_SELECT = False

    class Moved(Message):
        """The cursor stands on another line."""

        def __init__(self, list: LineList, index: int) -> None:
            self.list, self.index = list, index
            super().__init__()

        @property
        def control(self) -> LineList:
            """The list, for `@on` with a selector."""
            return self.list

    class Chosen(Message):
        """The line under the cursor was clicked."""

        def __init__(self, list: LineList, index: int) -> None:
            self.list, self.index = list, index
            super().__init__()

        @property
        def control(self) -> LineList:
            """The list, for `@on` with a selector."""
            return self.list

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.count = 0
        self.cursor = 0
        self._styles: dict[str, Style] = {}
        self._own = Style()

    def set_count(self, count: int) -> None:
        """There are so many lines now, all of them drawn anew; the cursor stays among them."""
        self.count = count
        self.cursor = min(self.cursor, max(0, count - 1))
        if self.virtual_size.height != count:
            self.virtual_size = Size(self.scrollable_content_region.width, count)
        self.refresh()

    def on_resize(self) -> None:
        """The line under the cursor stays in view."""
        self._follow_cursor()

    # -- the cursor

    def move(self, lines: int) -> None:
        """Up or down."""
        self.go_to(self.cursor + lines)

    def page(self, pages: int) -> None:
        """A screenful up or down."""
        self.move(pages * max(1, self.size.height - 1))

    def edge(self, end: bool) -> None:
        """To the first line or the last."""
        self.go_to(self.count - 1 if end else 0)

    def go_to(self, index: int) -> None:
        """Put the cursor on a line, as near to it as there are lines."""
        index = min(max(index, 0), self.count - 1)
        if index < 0 or index == self.cursor:
            return
        before, self.cursor = self.cursor, index
        self._follow_cursor()
        self.refresh_line(before)
        self.refresh_line(index)
        self.post_message(self.Moved(self, index))

    def _follow_cursor(self) -> None:
        height, top = self.size.height, round(self.scroll_y)
        if not self.count or not height:
            return
        if not top <= self.cursor < top + height:
            far = abs(self.cursor - top) > 2 * height
            # From afar the line comes to the middle: what is around it matters as well.
            near = self.cursor - (height // 2 if far else 0 if self.cursor < top else height - 1)
            self.scroll_to(y=max(0, near), animate=False)

    def on_click(self, event: events.Click) -> None:
        """The cursor goes where one clicks; a click on it chooses."""
        offset = event.get_content_offset(self)
        index = offset.y + round(self.scroll_y) if offset is not None else self.count
        if index >= self.count:
            return
        if index == self.cursor:
            self.post_message(self.Chosen(self, index))
        else:
            self.go_to(index)

    # -- drawing

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """Line `index` as (text, style name) pairs, of `width` cells or fewer."""
        raise NotImplementedError

    def notify_style_update(self) -> None:
        """Colours have changed."""
        self._styles = {}
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines in `crop`."""
        if not self._styles:
            self._styles = self._make_styles()
        self._own = self.rich_style  # which takes longer than a line
        return super().render_lines(crop)

    def _make_styles(self) -> dict[str, Style]:
        """The styles that `line` names."""
        styles = {"": Style()}
        for name in ("muted", "error", "warning", "faint"):
            style = self.get_component_rich_style(f"line-list--{name}")
            styles[name] = Style(color=style.color, bold=style.bold)
        return styles

    def render_line(self, y: int) -> Strip:
        """Line `y` of what is in view."""
        index, width = y + round(self.scroll_y), self.scrollable_content_region.width
        if index >= self.count:
            return Strip.blank(width, self._own)
        here = index == self.cursor
        style = self.get_component_rich_style("line-list--cursor") if here else self._own
        mark = (MARK if self.has_focus else MARK_OUTSIDE) if here else " "
        parts = [(mark, ""), *self.line(index, width - 1)]
        strip = Strip([Segment(text, self._styles[name]) for text, name in parts])
        if strip.cell_length > width and not strip.crop(width - 1).text.isspace():
            strip = Strip([*strip.crop(0, width - 1), Segment("…")])
        return strip.crop(0, width).adjust_cell_length(width).apply_style(style)
