"""Tokens or words laid out in lines of a fixed width. Pure: texts in, lines of pieces out."""

from __future__ import annotations

import unicodedata
from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Literal, NamedTuple

from rich.cells import cell_len, get_character_cell_size

BREAK = "⏎"
SPACE = "·"
# What stands below a mark that would otherwise join the text before it, which is another token's.
CARRIER = "◌"
LEAST_WIDTH = 8

# Printable by their category, yet invisible, or drawn together with their neighbours in some terminals only.
_INVISIBLE = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian variation selectors
    (0x2800, 0x2800),  # blank braille
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFFA0, 0xFFA0),
    (0x1F3FB, 0x1F3FF),  # skin tones
    (0xE0100, 0xE01EF),
)
_CONTROLS = {"\t": "→", "\r": "␍", "\x7f": "␡"}


class Piece(NamedTuple):
    """A token, or the part of one that stands in one line, as it is shown; `width` in cells."""

    token: int
    text: str
    width: int


class Heading(NamedTuple):
    """A line of its own between tokens: words at its left and right."""

    left: str
    right: str = ""
    kind: Literal["turn", "warning", "error"] = "turn"


Line = Heading | tuple[Piece, ...]
Look = Literal["text", "plain", "trained", "special", "special-trained", "cut"]
LOOKS: tuple[Look, ...] = ("text", "plain", "trained", "special", "special-trained", "cut")


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """What can be looked at: texts with headings between them, and how each text looks.

    `turns` are the tokens with which turns begin. Without a `cursor` the keys only scroll.
    """

    items: Callable[[], Iterable[str | Heading]] = field(default=tuple)
    look: Callable[[int], Look] = field(default=lambda token: "text")
    turns: tuple[int, ...] = ()
    cursor: bool = False


def visible(text: str, *, spaces: bool = False) -> str:
    """`text`, which has no line break, so that every character of it can be seen and none acts.

    Control characters become symbols, invisible ones `‹U+200B›`, spaces `·` if asked for. A mark that
    combines with what is before it gets a carrier, for what is before it is another token.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(map(_visible, text))
        if get_character_cell_size(text[0]) == 0:
            text = CARRIER + text
    return text.replace(" ", SPACE) if spaces else text


def as_bytes(data: bytes) -> str:
    """A token that is only a part of a character: `‹e2›‹82›`."""
    return "".join(f"‹{byte:02x}›" for byte in data) or "‹›"


@lru_cache(maxsize=4096)
def _visible(char: str) -> str:
    if char in _CONTROLS:
        return _CONTROLS[char]
    code = ord(char)
    if code < 0x20:
        return chr(0x2400 + code)
    if not char.isprintable() or any(first <= code <= last for first, last in _INVISIBLE):
        return f"‹U+{code:04X}›"
    if get_character_cell_size(char) == 0 and unicodedata.category(char) not in ("Mn", "Me", "Mc", "Lo"):
        return f"‹U+{code:04X}›"
    return char


class Layout:
    """Lines of at most `width` cells, made as far as asked for: `extend` goes on.

    `items` are the texts of the tokens, one after the other, and headings between them. Lines break
    after a line break, where the tokens say so, else before a token that begins with a space. The last
    cell of a line is kept for the sign of a line break, shown if `breaks`.
    """

    def __init__(
        self, items: Iterable[str | Heading], width: int, *, spaces: bool = False, breaks: bool = True
    ) -> None:
        self.width = max(width, LEAST_WIDTH)
        self.lines: list[Line] = []
        self.complete = False
        self._items: Iterator[str | Heading] = iter(items)
        self._spaces, self._breaks = spaces, breaks
        self._first_line = array("L")
        self._tokens = 0
        self._open: list[Piece] = []
        self._used = 0
        self._word = 0

    @property
    def tokens(self) -> int:
        """How many tokens have been laid out."""
        return len(self._first_line)

    def extend(self, items: int) -> None:
        """Lay out so many more tokens and headings; the last line stays open until all are."""
        taken = 0
        for item in islice(self._items, items):
            taken += 1
            if isinstance(item, Heading):
                self._end_line()
                self.lines.append(item)
            else:
                self._put(self._tokens, item)
                self._tokens += 1
        if taken < items:
            self._end_line()
            self.complete = True

    def line_of(self, token: int) -> int:
        """The line in which `token` begins; the last one if it is not laid out yet."""
        if token < len(self._first_line):
            return self._first_line[token]
        return max(len(self.lines) - 1, 0)

    def last_line_of(self, token: int) -> int:
        """The line in which `token` ends."""
        line = self.line_of(token)
        while line + 1 < len(self.lines) and _begins_with(self.lines[line + 1], token):
            line += 1
        return line

    def column_of(self, token: int) -> int:
        """The cell of its line at which `token` begins."""
        column = 0
        line = self.lines[self.line_of(token)] if self.lines else ()
        if not isinstance(line, Heading):
            for piece in line:
                if piece.token == token:
                    break
                column += piece.width
        return column

    def token_at(self, line: int, column: int) -> int | None:
        """The token at a cell of a line, the line's last one beyond its end; None in a heading."""
        found = self.lines[line] if 0 <= line < len(self.lines) else ()
        if isinstance(found, Heading) or not found:
            return None
        ends, end = [], 0
        for piece in found:
            end += piece.width
            ends.append(end)
        return found[min(bisect_right(ends, column), len(found) - 1)].token

    # -- one token after the other

    def _put(self, token: int, text: str) -> None:
        if text.isascii() and text.isprintable():
            shown = text.replace(" ", SPACE) if self._spaces else text
            self._place(token, shown, len(shown), text)
            return
        parts = text.split("\n")
        for number, part in enumerate(parts):
            if part:
                shown = visible(part, spaces=self._spaces)
                self._place(token, shown, cell_len(shown), part)
            if number < len(parts) - 1:
                sign = BREAK if self._breaks else ""
                self._append(Piece(token, sign, len(sign)))
                self._end_line()

    def _place(self, token: int, shown: str, width: int, text: str) -> None:
        """Put a part without line breaks where it fits."""
        room = self.width - 1
        if text[:1].isspace() or not self._open or self._open[-1].text[-1:] in (" ", SPACE):
            self._word = len(self._open)
        if self._used + width <= room:
            self._append(Piece(token, shown, width))
            return
        tail = self._open[self._word :]
        held = sum(piece.width for piece in tail)
        if self._word and held + width <= room:
            # The word began in this line: it goes to the next one as a whole.
            self._open = self._open[: self._word]
            self._end_line()
            self._open, self._used = tail, held
            self._append(Piece(token, shown, width))
        elif width <= room:
            self._end_line()
            self._append(Piece(token, shown, width))
        else:
            if self._used:
                self._end_line()
            self._chop(token, shown)

    def _chop(self, token: int, shown: str) -> None:
        """A part longer than a line: as many characters a line as fit."""
        room = self.width - 1
        begin = cells = 0
        for at, char in enumerate(shown):
            size = get_character_cell_size(char)
            if cells + size > room:
                self._append(Piece(token, shown[begin:at], cells))
                self._end_line()
                begin, cells = at, 0
            cells += size
        self._append(Piece(token, shown[begin:], cells))

    def _append(self, piece: Piece) -> None:
        self._open.append(piece)
        self._used += piece.width

    def _end_line(self) -> None:
        if self._open:
            number, known = len(self.lines), len(self._first_line)
            for piece in self._open:
                if piece.token >= known:
                    self._first_line.append(number)
                    known += 1
            self.lines.append(tuple(self._open))
        self._open, self._used, self._word = [], 0, 0


def _begins_with(line: Line, token: int) -> bool:
    return not isinstance(line, Heading) and line[0].token == token


def layout(
    items: Sequence[str | Heading], width: int, *, spaces: bool = False, breaks: bool = True
) -> Layout:
    """All of `items` laid out."""
    made = Layout(items, width, spaces=spaces, breaks=breaks)
    made.extend(len(items) + 1)
    return made
