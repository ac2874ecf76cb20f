"""What there is to say about one bin: its sequences, and its tokens one after the other."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from textual.content import Content

from sftui.printable import printable

from .bin_cuts import FROM, ON, UNCUT, Cuts, cut_words, piece_cuts
from .data_view import quoted
from .figures import figure
from .packing_pictures import BEGIN, TRAINED, attended
from .packing_view import FIGURE, MUTED, percent, plural
from .widgets.token_layout import Document, Heading, Look, as_bytes

if TYPE_CHECKING:
    from sftui.data.packing.bins import BinPiece, BinView
    from sftui.data.views import RowView, Token

# From so many cells on, a line about a bin has positions beside the rows.
POSITIONS_ROOM = 44

# Cells of a bin's sequence in a table.
TABLE = 44

# A sequence: its row, and its number in the row.
Key = tuple[int, int]


def bin_title(view: BinView | None, width: int, cuts: Cuts = UNCUT) -> str:
    """`bin 2  9 sequences  last on in bin 3  2,047 of 2,048 tokens  1,234 trained (60%)`."""
    if view is None:
        return "bin"
    share = f" ({view.trained / view.tokens:.0%})" if view.tokens else ""
    parts = [
        f"bin {view.number:,}",
        plural(len(view.pieces), "sequence"),
        *cut_words(cuts),
        f"{view.tokens:,} of {view.max_length:,} tokens",
        f"{view.trained:,} trained{share}",
    ]
    text = ""
    for part in parts:
        if len(text) + len(part) + 2 > width - 4:
            break
        text += f"  {part}" if text else part
    return text


def bin_table(view: BinView | None, lines: int, width: int, cuts: Cuts = UNCUT) -> Content:
    """The sequences of a bin, each with row, tokens, trained and positions; side by side where it is wide.

    One that is cut has the bin that it comes from or goes on in instead of positions.
    """
    if view is None or lines < 2:
        return Content("")
    columns, room = max(1, width // TABLE), lines - 1
    shown = len(view.pieces) if len(view.pieces) <= columns * room else columns * room - 1
    cells = [_table_cell(view, number, cuts) for number in range(shown)]
    if shown < len(view.pieces):
        cells.append(Content.styled(f"  … {len(view.pieces) - shown:,} more; Enter shows all", MUTED))
    head = f"  {'row':>9}{'tokens':>{FIGURE}}{'trained':>{FIGURE + 1}}  positions"
    beside = -(-len(cells) // room)
    rows = [Content.styled((head.ljust(TABLE) * beside).rstrip(), MUTED)]
    for line in range(min(room, len(cells))):
        row = [cell.pad_right(max(TABLE - cell.cell_length, 0)) for cell in cells[line::room]]
        rows.append(Content("").join(row).rstrip())
    return Content("\n").join(rows)


def _table_cell(view: BinView, number: int, cuts: Cuts) -> Content:
    piece = view.pieces[number]
    size = piece.end - piece.start
    trained = sum(end - first for first, end in piece.trained)
    begun, on = piece_cuts(view, number, cuts)
    bins = [f"{sign} bin {other:,}" for sign, other in ((FROM, begun), (ON, on)) if other is not None]
    where = " ".join(bins).replace(" bin", "") if len(bins) > 1 else "".join(bins)
    return Content.assemble(
        (f"{BEGIN}{TRAINED}", "$secondary" if number % 2 else "$accent"),
        f"{piece.row:>9,}{figure(size):>{FIGURE}}{figure(trained):>{FIGURE + 1}}",
        (f"  {where or f'0‥{size - 1:,}'}", "" if where else MUTED),
    )


def bin_line(view: BinView | None, width: int, cuts: Cuts = UNCUT) -> Content:
    """`bin 2: 9 sequences, rows 17 204 1,204 …  positions 0‥187 | 0‥202 | …` in one line."""
    if view is None:
        return Content("")
    cut = "".join(f", {words}" for words in cut_words(cuts))
    head = f"bin {view.number:,}: {plural(len(view.pieces), 'sequence')}{cut}, row"
    head += "s " if len(view.pieces) > 1 else " "
    numbers = [f"{piece.row:,}" for piece in view.pieces]
    spans = [f"0‥{piece.end - piece.start - 1:,}" for piece in view.pieces]
    room = width - len(head)
    beside = room >= POSITIONS_ROOM
    rows = _as_many(numbers, " ", room * 2 // 5 if beside else room)
    positions = _as_many(spans, " | ", room - len(rows) - len("  positions "))
    tail = f"  positions {positions}" if beside else ""
    return Content.assemble((head, ""), (rows, "bold"), (tail, MUTED))


def _as_many(texts: Sequence[str], gap: str, room: int) -> str:
    """As many of `texts` as there is room for, and a sign where there are more."""
    line = ""
    for number, text in enumerate(texts):
        longer = f"{line}{gap}{text}" if line else text
        rest = 0 if number == len(texts) - 1 else len(gap) + 1
        if len(longer) + rest > room:
            return f"{line}{gap}…" if line else "…"
        line = longer
    return line


def attention_words(view: BinView) -> str:
    """What the picture of attention comes to."""
    share = percent(attended(view))
    return f"within each sequence only: {share} of one causal triangle"


# -- token by token


class Place(NamedTuple):
    """Where a token of a bin stands: in which piece, at which position, and whether it is trained."""

    piece: BinPiece
    position: int
    token: Token
    trained: bool


@dataclass(frozen=True, slots=True, eq=False)
class BinText:
    """The tokens of a bin, as far as its rows are known."""

    view: BinView
    firsts: tuple[int, ...]  # the first token of each piece
    tokens: tuple[Token, ...]
    trained: bytes  # a 1 for each trained token
    items: tuple[str | Heading, ...]

    @property
    def document(self) -> Document:
        """For a token view."""
        return Document(lambda: self.items, self._look, self.firsts, cursor=True)

    def place(self, at: int) -> Place | None:
        """What is known of token number `at`."""
        if not 0 <= at < len(self.tokens):
            return None
        number = bisect_right(self.firsts, at) - 1
        piece = self.view.pieces[number]
        return Place(piece, at - self.firsts[number], self.tokens[at], bool(self.trained[at]))

    def _look(self, at: int) -> Look:
        if self.tokens[at].special:
            return "special-trained" if self.trained[at] else "special"
        return "trained" if self.trained[at] else "plain"


def bin_text(view: BinView, rows: Mapping[Key, RowView], cuts: Cuts = UNCUT) -> BinText:
    """A bin as its sequences one after the other, each below a heading; up to the first that is not known."""
    items: list[str | Heading] = []
    firsts: list[int] = []
    tokens: list[Token] = []
    trained = bytearray()
    for number, piece in enumerate(view.pieces):
        row = rows.get((piece.row, piece.sequence))
        if row is None:
            items.append(Heading(f"{plural(len(view.pieces) - len(firsts), 'sequence')} on the way …"))
            break
        firsts.append(len(tokens))
        begun, on = piece_cuts(view, number, cuts)
        items.append(_heading(piece, row, begun))
        if row.error is not None:
            items.append(Heading(printable(row.error), "", "error"))
        kept = [token for token in row.tokens if not token.cut][piece.start : piece.end]
        tokens += kept
        taught = bytearray(piece.end - piece.start)
        for first, end in piece.trained:
            taught[first:end] = b"\1" * (end - first)
        trained += taught[: len(kept)]
        items += [token.text or as_bytes(token.bytes) for token in kept]
        missing = piece.end - piece.start - len(kept)
        if missing and row.error is None:
            items.append(Heading(f"… {missing:,} more tokens"))
        if on is not None:
            items.append(Heading(f"{ON} row {piece.row:,} goes on in bin {on:,}"))
    return BinText(view, tuple(firsts), tuple(tokens), bytes(trained), tuple(items))


def _heading(piece: BinPiece, row: RowView, begun: int | None) -> Heading:
    trained = sum(end - first for first, end in piece.trained)
    sequence = f"  sequence {piece.sequence + 1}" if row.sequences > 1 else ""
    part = f"  {FROM} from bin {begun:,}, token {piece.start:,} on" if begun is not None else ""
    positions = f"positions 0‥{piece.end - piece.start - 1:,}"
    return Heading(f"row {piece.row:,}{sequence}{part}", f"{positions}  {trained:,} trained")


def place_line(place: Place | None) -> Content:
    """The token under the cursor in one line."""
    if place is None:
        return Content("")
    token = place.token
    if place.position == 0:
        before = "cut before it" if place.piece.start else "nothing stands before it"
        word, why = "not trained", before
    else:
        word = "trained" if place.trained else "not trained"
        why = printable(token.why).removeprefix(f"{word}: ")
    return Content.assemble(
        ("position ", MUTED),
        (f"{place.position:,}", "bold"),
        (f" of row {place.piece.row:,}  ", MUTED),
        (f"{token.id} {quoted(token)}  ", "bold"),
        (word, "bold $accent" if place.trained else "bold"),
        f": {why}",
    )
