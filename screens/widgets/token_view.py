"""A conversation as tokens with a cursor over them, or any long text; only what is in view is drawn."""

from __future__ import annotations

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.cache import LRUCache
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from .token_layout import LOOKS, Document, Heading, Layout, Piece

INDENT = 1
# Items laid out at a time: the layout of a row of a million tokens must not hold up a key.
SLICE = 4000


class TokenView(ScrollView, can_focus=True, inherit_bindings=False):
    """Shows a `Document`. Keys belong to the screen: it calls `move`, `step_lines`, `page` and so on."""

    COMPONENT_CLASSES = {
        "token-view--odd",
        "token-view--heading",
        "token-view--rule",
        "token-view--warning",
        "token-view--error",
        *(f"token-view--{look}" for look in LOOKS),
    }

    # Without colours too: trained is underlined, special bold, the rest dim, what is lost struck through.
    DEFAULT_CSS = """
    TokenView {
        width: 1fr;
        height: 1fr;
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;

        & > .token-view--text { color: $foreground; }
        & > .token-view--plain { color: $foreground 62%; }
        & > .token-view--trained { color: $accent; text-style: underline; }
        & > .token-view--special { color: $secondary 75%; text-style: bold; }
        & > .token-view--special-trained { color: $secondary; text-style: bold underline; }
        & > .token-view--cut { color: $text-warning 65%; text-style: strike; }
        & > .token-view--odd { background: $foreground 7%; }
        & > .token-view--heading { color: $foreground; text-style: bold; }
        & > .token-view--rule { color: $foreground 35%; }
        & > .token-view--warning { color: $text-warning; text-style: bold; }
        & > .token-view--error { color: $text-error; text-style: bold; }
    }
    """

    ALLOW_SELECT = False

    class Moved(Message):
        """The cursor stands on another token."""

        def __init__(self, view: TokenView, token: int) -> None:
            self.view, self.token = view, token
            super().__init__()

        @property
        def control(self) -> TokenView:
            """The view, for `@on` with a selector."""
            return self.view

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cursor = 0
        self.spaces = False
        self._document = Document()
        self._layout = Layout((), 1)
        self._styles: dict[str, Style] = {}
        self._own = Style()
        self._strips: LRUCache[int, Strip] = LRUCache(512)
        self._target: int | None = None

    def show(self, document: Document) -> None:
        """Show another document, from its beginning."""
        self._document, self.cursor, self._target = document, 0, None
        self.scroll_to(y=0, animate=False, force=True)
        self._lay_out()

    def show_spaces(self, spaces: bool) -> None:
        """Spaces and line breaks as symbols, or as they are."""
        self.spaces = spaces
        self._lay_out(keep=True)

    # -- layout

    def _lay_out(self, *, keep: bool = False) -> None:
        """Begin anew; the cursor's line stays in view where the same document is laid out otherwise."""
        document = self._document
        width = self.scrollable_content_region.width - INDENT
        self._strips.clear()
        if width < 1:
            # Hidden: laid out when it is shown; lines of another document must not be drawn until then.
            self._layout = Layout((), 1)
            return
        breaks = document.cursor or self.spaces
        self._layout = Layout(document.items(), width, spaces=self.spaces, breaks=breaks)
        if keep and self._target is None:
            self._target = self.cursor
        self._go_on(self._layout)

    def _go_on(self, layout: Layout) -> None:
        """Lay out a slice, and the next one after whatever else is waiting."""
        if layout is not self._layout:
            return
        layout.extend(SLICE)
        self.virtual_size = Size(self.scrollable_content_region.width, len(layout.lines))
        if self._target is not None and (layout.complete or self._target < layout.tokens):
            wanted, self._target = self._target, None
            self.cursor = min(wanted, max(layout.tokens - 1, 0))
            self._follow_cursor()
            self.post_message(self.Moved(self, self.cursor))
        self.refresh()
        if not layout.complete:
            self.call_later(self._go_on, layout)

    def on_show(self) -> None:
        """What came while it was hidden is laid out now."""
        self.on_resize()

    def on_resize(self) -> None:
        """Lines have another width."""
        if self._layout.width != self.scrollable_content_region.width - INDENT:
            self._lay_out(keep=self._document.cursor)

    # -- the cursor

    def move(self, tokens: int) -> None:
        """To the next token or one before."""
        if self._document.cursor:
            self._put_cursor(self.cursor + tokens)

    def step_lines(self, lines: int) -> None:
        """A line up or down; the cursor keeps its column."""
        if not self._document.cursor:
            self.scroll_relative(y=lines, animate=False)
            return
        layout, step = self._layout, 1 if lines > 0 else -1
        column = layout.column_of(self.cursor)
        at = layout.line_of(self.cursor)
        if step > 0:
            at = max(at, layout.last_line_of(self.cursor)) if abs(lines) == 1 else at
        token, target = None, at + lines
        target = min(max(target, 0), len(layout.lines) - 1)
        while token is None and 0 <= target < len(layout.lines):
            token = layout.token_at(target, column)
            target += step
        if token is not None:
            self._put_cursor(token)
        if step < 0 and (token is None or layout.line_of(self.cursor) <= 1):
            self.scroll_to(y=0, animate=False)

    def page(self, pages: int) -> None:
        """A screenful up or down."""
        self.step_lines(pages * max(1, self.size.height - 2))

    def edge(self, end: bool) -> None:
        """To the first token or the last; a layout that is under way goes there when it is done."""
        if not self._document.cursor:
            (self.scroll_end if end else self.scroll_home)(animate=False)
        elif end and not self._layout.complete:
            self._target = 2**62
        else:
            self._put_cursor(self._layout.tokens - 1 if end else 0)
            if not end:
                self.scroll_to(y=0, animate=False)

    def turn(self, turns: int) -> None:
        """To the beginning of the next turn, or of this one or one before."""
        begins = self._document.turns
        if turns > 0:
            target = next((token for token in begins if token > self.cursor), None)
        else:
            target = next((token for token in reversed(begins) if token < self.cursor), None)
        if target is None or not self._document.cursor:
            return
        if target >= self._layout.tokens:
            self._target = target
            return
        self._put_cursor(target)
        # A turn begins below its heading, and is worth more than its first line.
        self.scroll_to(y=max(0, self._layout.line_of(target) - 1), animate=False)

    def go_to(self, token: int) -> None:
        """Put the cursor on a token, once it is laid out."""
        if token < self._layout.tokens:
            self._put_cursor(token)
        else:
            self._target = token

    def _put_cursor(self, token: int) -> None:
        token = min(max(token, 0), self._layout.tokens - 1)
        if token < 0 or token == self.cursor:
            return
        before, self.cursor = self.cursor, token
        for one in (before, token):
            first, last = self._layout.line_of(one), self._layout.last_line_of(one)
            self.refresh_lines(first, last - first + 1)
        self._follow_cursor()
        self.post_message(self.Moved(self, token))

    def _follow_cursor(self) -> None:
        line, height = self._layout.line_of(self.cursor), self.size.height
        top = round(self.scroll_y)
        # The heading above a turn's first line is shown with it.
        lines = self._layout.lines
        above = line - 1 if line and isinstance(lines[line - 1], Heading) else line
        # So is one that comes after all tokens.
        below = line + 1 if line + 2 == len(lines) and isinstance(lines[line + 1], Heading) else line
        if above < top:
            self.scroll_to(y=above, animate=False)
        elif below >= top + height:
            self.scroll_to(y=below - height + 1, animate=False)

    def on_click(self, event: events.Click) -> None:
        """The cursor goes where one clicks."""
        offset = event.get_content_offset(self)
        if offset is None or not self._document.cursor:
            return
        token = self._layout.token_at(offset.y + round(self.scroll_y), offset.x - INDENT)
        if token is not None:
            self._put_cursor(token)

    # -- drawing

    def notify_style_update(self) -> None:
        """Colours have changed: draw again."""
        self._styles = {}
        self._strips.clear()
        super().notify_style_update()

    def render_lines(self, crop: Region) -> list[Strip]:
        """The lines in `crop`."""
        if not self._styles:
            self._styles = self._make_styles()
        self._own = self.rich_style  # which takes longer than a line
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Line `y` of what is in view."""
        number = y + round(self.scroll_y)
        lines, width = self._layout.lines, self.scrollable_content_region.width
        if number >= len(lines):
            return Strip.blank(width, self._own)
        line = lines[number]
        here = self._document.cursor and not isinstance(line, Heading) and _holds(line, self.cursor)
        strip = None if here else self._strips.get(number)
        if strip is None:
            strip = self._heading(line, width) if isinstance(line, Heading) else self._tokens(line)
            strip = strip.adjust_cell_length(width).apply_style(self._own)
            if not here:
                self._strips[number] = strip
        return strip

    def _make_styles(self) -> dict[str, Style]:
        """A style a look, `odd` and `cursor` ones beside it, without the background that all share."""
        odd = Style(bgcolor=self.get_component_rich_style("token-view--odd").bgcolor)
        styles: dict[str, Style] = {}
        for look in (*LOOKS, "heading", "rule", "warning", "error"):
            style = self.get_component_rich_style(f"token-view--{look}")
            bare = Style(color=style.color, bold=style.bold, underline=style.underline, strike=style.strike)
            styles |= {look: bare, f"{look} odd": bare + odd, f"{look} cursor": bare + Style(reverse=True)}
        return styles

    def _tokens(self, line: tuple[Piece, ...]) -> Strip:
        document, segments = self._document, [Segment(" " * INDENT)]
        for token, text, _ in line:
            # Every other token is tinted: one sees where tokens begin.
            here = token == self.cursor
            variant = "" if not document.cursor else " cursor" if here else " odd" if token % 2 else ""
            segments.append(Segment(text, self._styles[document.look(token) + variant]))
        return Strip(segments)

    def _heading(self, heading: Heading, width: int) -> Strip:
        style = self._styles["heading" if heading.kind == "turn" else heading.kind]
        right = f" {heading.right} " if heading.right else ""
        left, room = heading.left, max(1, width - cell_len(right) - 4)
        if cell_len(left) > room:
            left = f"{set_cell_size(left, room - 1)}…"
        rule = "─" * max(0, width - cell_len(left) - cell_len(right) - 2)
        return Strip([Segment(left, style), Segment(f" {rule}", self._styles["rule"]), Segment(f"{right} ")])


def _holds(line: tuple[Piece, ...], token: int) -> bool:
    return bool(line) and line[0].token <= token <= line[-1].token
