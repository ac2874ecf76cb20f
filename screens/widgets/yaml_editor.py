"""The text of a recipe, to be edited, with its keys, values and comments in colours."""

from __future__ import annotations

import re

from rich.style import Style
from rich.text import Text
from textual.widgets import TextArea

# A key with its colon, or the dash of a list; then a value; then a comment.
_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$")
_KEY = re.compile(r"(?:^|(?<=[\s{,]))(?:-\s+)*([\w.\"'-]+)(:)(?=\s|$)")
_NUMBER = re.compile(r"(?<![\w.-])[-+]?(?:\d[\d_]*\.?\d*|\.\d+)(?:e[-+]?\d+)?(?![\w.])", re.IGNORECASE)
_WORD = re.compile(r"(?<![\w-])(?:true|false|null|~)(?![\w-])", re.IGNORECASE)


class YamlEditor(TextArea):
    """A `TextArea` that colours YAML by itself; lines with a problem are underlined."""

    COMPONENT_CLASSES = {
        "yaml-editor--key",
        "yaml-editor--comment",
        "yaml-editor--value",
        "yaml-editor--problem",
    }
    DEFAULT_CSS = """
    YamlEditor {
        border: none;
        padding: 0;
        background: $background;
        & > .yaml-editor--key { color: $text-accent; }
        & > .yaml-editor--comment { color: $foreground-muted; text-style: italic; }
        & > .yaml-editor--value { color: $secondary; }
        & > .yaml-editor--problem { color: $text-error; text-style: underline; }
        &:focus { border: none; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(
            id=id, soft_wrap=False, show_line_numbers=True, tab_behavior="focus", highlight_cursor_line=False
        )
        self._styles_of: dict[str, Style] = {}
        self._wrong: frozenset[int] = frozenset()

    def show_problems(self, lines: frozenset[int]) -> None:
        """Underline these lines (1-based)."""
        if lines != self._wrong:
            self._wrong = lines
            self._line_cache.clear()
            self.refresh()

    def notify_style_update(self) -> None:
        """Colours have changed."""
        self._styles_of = {}
        super().notify_style_update()

    def get_line(self, line_index: int) -> Text:
        """A line in colours."""
        text = super().get_line(line_index)
        if not self._styles_of:
            self._styles_of = {
                name: self._foreground(f"yaml-editor--{name}")
                for name in ("key", "comment", "value", "problem")
            }
        for begin, end, name in parts_of(text.plain):
            text.stylize(self._styles_of[name], begin, end)
        if line_index + 1 in self._wrong:
            text.stylize(self._styles_of["problem"])
        return text

    def _foreground(self, name: str) -> Style:
        style = self.get_component_rich_style(name)
        return Style(color=style.color, italic=style.italic, underline=style.underline)


def parts_of(line: str) -> list[tuple[int, int, str]]:
    """Where a line of YAML has a key, a number or word of its own, a comment: (begin, end, name)."""
    comment = next((found for found in _COMMENT.finditer(line) if not _is_quoted(line, found.start())), None)
    end = comment.start() if comment else len(line)
    found = [(match.start(1), match.end(2), "key") for match in _KEY.finditer(line, 0, end)]
    begin = found[-1][1] if found else 0
    for pattern in (_NUMBER, _WORD):
        found += [
            (match.start(), match.end(), "value")
            for match in pattern.finditer(line, begin, end)
            if not _is_quoted(line, match.start())
        ]
    if comment:
        found.append((comment.start(), len(line), "comment"))
    return found


def _is_quoted(line: str, place: int) -> bool:
    """Whether a place lies within quotes that begin on its line."""
    quote = ""
    for char in line[:place]:
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'":
            quote = char
    return bool(quote)
