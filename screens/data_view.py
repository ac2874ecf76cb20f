"""What the Data screen says, as text: pure functions of an overview, a row and the recipe."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

from rich.cells import cell_len, set_cell_size
from textual.content import Content

from sftui.data.findings.registry import CHECKS
from sftui.printable import printable, printable_lines
from sftui.words import count, counted

from .widgets.bars import progress
from .widgets.token_layout import Document, Heading, Look, as_bytes

if TYPE_CHECKING:
    from sftui.data.overview import Overview
    from sftui.data.views import RowView, Token
    from sftui.recipe import Recipe

Part = Content | str | tuple[str, str]
Pane = Literal["rows", "tokens", "findings"]
PANES: tuple[Pane, ...] = ("rows", "tokens", "findings")
ViewName = Literal["tokens", "text", "raw", "template"]
VIEWS: tuple[ViewName, ...] = ("tokens", "text", "raw", "template")
# Cells for the state of the analysis, with a bar where there is room for it.
PROGRESS = 15
BAR = 10
SIGNS = {"error": "!", "warning": "~", "info": "·"}

SIDES = {"train": "training rows", "eval": "held-out rows"}

NO_RECIPE = Content.assemble(
    ("No recipe is open.\n\n", "bold"),
    "See token by token what a model will learn from.\n\n",
    ("4", "bold $text-accent"),
    " opens a ready recipe, one of a run, or makes one for your dataset.\n",
    "From the shell:   sftui RECIPE   or   sftui new my.jsonl -o my.yaml\n\n",
    ("6 lists the runs, ? the keys.", "$foreground-muted"),
)


def subject(recipe: Recipe, overview: Overview | None, width: int) -> Content:
    """What is open, in one line; how far its analysis has come stands at the right, always as wide."""
    data = recipe.data
    sources = data.eval if overview is not None and overview.side == "eval" and data.eval else data.train
    name = sources[0].path.rstrip("/").rpartition("/")[2]
    more = f" +{len(sources) - 1}" if len(sources) > 1 else ""
    rows = ""
    if overview is not None and overview.rows:
        rows = counted(overview.rows, "row") if overview.counted else f"{overview.rows:,}+ rows"
    parts: list[tuple[str, str]] = [(f"{printable(name)}{more}", "bold"), (rows, "")]
    if overview is not None and overview.formats:
        first = max(overview.formats, key=lambda pair: pair[1])[0]
        others = len(overview.formats) - 1
        parts.append((f"{first}{f' +{others}' if others else ''}", ""))
    parts.append((printable(recipe.model.short_name), ""))
    per_turn = " per turn" if data.sequence_per == "turn" else ""
    parts.append((f"trains: {data.train_on}{per_turn}", ""))
    if data.chat_template:
        parts.append((f"template: {printable(data.chat_template.rpartition('/')[2])}", ""))
    right = _progress(overview, BAR if width >= 96 else 0)
    room = width - right.cell_length - 2
    left: list[Part] = []
    used = 0
    for text, style in parts:
        if text and used + cell_len(text) + 2 <= room:
            left += [(text, style), "  "]
            used += cell_len(text) + 2
        elif not used:
            left.append((set_cell_size(text, max(room - 2, 0)), style))
            used = room
    return Content.assemble(*left, " " * max(0, width - used - right.cell_length), right)


def _progress(overview: Overview | None, bar: int) -> Content:
    """State, share and a bar; always as wide."""
    room = PROGRESS + bar
    state = overview.state if overview is not None else "opening"
    if state == "done" and overview is not None:
        return Content.styled(f"{count(overview.tokens)} tokens".rjust(room), "")
    if state == "failed":
        return Content.styled("cannot be read".rjust(room), "bold $text-error")
    share = overview.share if overview is not None else 0.0
    done, rest = progress(share, bar) if bar else ("", "")
    percent = f"{share:.1%}" if share < 0.0995 else f"{int(share * 100)}%"
    words = f"{state} {percent:>4}".rjust(PROGRESS - 1)
    return Content.assemble(f"{words} ", (done, "$accent"), (rest, "$foreground 35%"))


def rows_title(overview: Overview | None, sides: Sequence[str], matching: int | None, looked: int) -> str:
    """What the list shows: rows of which side, or how many match and how many have been looked at."""
    side = SIDES[overview.side] if overview is not None and len(sides) > 1 else "rows"
    if matching is None or overview is None:
        return side
    share = "" if looked >= overview.rows else f"  {looked / overview.rows:.0%} looked at"
    return f"{side}  {matching:,} match{'es' if matching == 1 else ''}{share}"


# -- a row


def row_title(view: RowView, width: int) -> str:
    """`row 1,204  203 tokens  101 trained (50%)  truncated`; the last give way where it is narrow."""
    share = f" ({view.trained / view.total:.0%})" if view.total else ""
    parts = [f"row {view.row:,}"]
    if view.error is None:
        if view.sequences > 1:
            parts.append(f"sequence {view.sequence + 1} of {view.sequences}")
        parts += [f"{view.total:,} tokens", f"{view.trained:,} trained{share}"]
        parts.append(printable(view.fate) if view.fate != "used" else "")
    text = ""
    for part in filter(None, parts):
        if len(text) + len(part) + 2 > width - 4:
            break
        text += f"  {part}" if text else part
    return text


def notice(text: str) -> Document:
    """Words in the place of a row."""
    return Document(lambda: _words(text))


def document(view: RowView, name: ViewName, max_length: int) -> Document:
    """One of the four ways to look at a row. Where there are no tokens: why, and the row itself."""
    if name == "raw" or not (view.tokens or view.messages or view.text):
        return Document(lambda: _raw(view))
    if name == "text":
        return Document(lambda: _messages(view))
    if not view.tokens:
        return Document(lambda: (*_problem(view), *_words(view.text)))
    tokens = view.tokens
    if name == "template":
        texts: list[str] = [token.text for token in tokens]
        return Document(lambda: (*texts, *_more(view)), lambda at: _bare_look(tokens[at]))
    return Document(
        lambda: _tokens(view, max_length),
        lambda at: look(tokens[at]),
        tuple(turn.first for turn in view.turns if turn.first < len(tokens)),
        cursor=True,
    )


def look(token: Token) -> Look:
    """How a token looks: what becomes of it comes first."""
    if token.cut:
        return "cut"
    if token.special:
        return "special-trained" if token.trained else "special"
    return "trained" if token.trained else "plain"


def _bare_look(token: Token) -> Look:
    return "special" if token.special else "text"


def _tokens(view: RowView, max_length: int) -> Iterator[str | Heading]:
    """Texts of the tokens, a heading before each turn, and one where the cut is."""
    turns = {turn.first: turn for turn in view.turns}
    yield from _problem(view)
    was_cut = False
    for at, token in enumerate(view.tokens):
        if token.cut and not was_cut:
            lost = f"{view.truncated:,} tokens lost"
            whole = view.truncated >= view.total
            cut = printable(view.fate) if whole else f"cut at max_length {max_length:,}"
            yield Heading(cut, lost, "warning")
        elif was_cut and not token.cut:
            yield Heading("kept from here", "", "warning")
        was_cut = token.cut
        turn = turns.get(at)
        if turn is not None:
            weights = {one.weight for one in view.tokens[turn.first : turn.last] if one.trained}
            weight = "".join(f"  weight {value:g}" for value in sorted(weights - {1.0}))
            trained = f"{turn.trained:,} trained{weight}" if turn.trained else ""
            if not turn.trained and turn.role == "assistant":
                trained = "not trained"
            yield Heading(printable(turn.role) or "template", trained)
        yield token.text or as_bytes(token.bytes)
    yield from _more(view)


def _more(view: RowView) -> Iterator[Heading]:
    """Of a very long row only so much is shown."""
    if view.more:
        yield Heading(f"… {view.more:,} more tokens")


def _messages(view: RowView) -> Iterator[str | Heading]:
    yield from _problem(view)
    if view.tools:
        yield Heading("tools")
        yield from _words(view.tools)
    for role, content in view.messages:
        yield Heading(printable(role))
        yield from _words(content)
        yield "\n"


def _raw(view: RowView) -> Iterator[str | Heading]:
    yield from _problem(view)
    if view.where:
        yield Heading(printable(view.where))
    yield from _words(view.raw)


def _problem(view: RowView) -> Iterator[str | Heading]:
    for finding in view.findings:
        sign = SIGNS[CHECKS[finding.code].severity] if finding.code in CHECKS else "·"
        yield Heading(
            f"{sign} {finding.code}: {printable(finding.detail)}", "", "error" if sign == "!" else "warning"
        )
    if view.error is not None:
        what, remedy = lot_of(view)
        yield Heading(what, "", "error")
        yield from _words(f"{view.error}\n{remedy}\n")


def lot_of(view: RowView) -> tuple[str, str]:
    """What becomes of a row that cannot be used, in a line, and a line on what to do, if anything."""
    if view.fate.startswith("left out"):
        return "this row is left out", ""
    if view.fate.startswith("refused"):
        return "a run does not start with this row", "Mend it, or set data.bad_rows: drop.\n"
    return "this row cannot be shown", ""


def _words(text: str) -> Iterator[str]:
    """`text` in pieces that a line may break between, each of bounded length."""
    return (found[0] for found in re.finditer(r"\s{0,64}\S{1,64}|\s{1,64}", text))


# -- the token under the cursor


def token_title(view: RowView | None, at: int) -> str:
    """`token 118 of 203`."""
    if view is None or at >= len(view.tokens):
        return "token"
    return f"token {at + 1:,} of {_length(view):,}"


def _length(view: RowView) -> int:
    return len(view.tokens) + view.more


def token_panel(view: RowView | None, at: int) -> Content:
    """What is known of a token in three lines."""
    if view is None:
        return Content("")
    if at >= len(view.tokens):
        return Content.styled("no tokens in this row", "$foreground-muted")
    token = view.tokens[at]
    return Content.assemble(
        ("id ", "$foreground-muted"),
        (f"{token.id:<7}", "bold"),
        ("text ", "$foreground-muted"),
        (quoted(token), "bold"),
        ("  bytes ", "$foreground-muted"),
        f"{_hex(token)}\n",
        (f"{printable(token.role) or 'between turns'}", "bold"),
        f"{f', message {token.turn}' if token.turn >= 0 else ''}  ",
        ("label ", "$foreground-muted"),
        f"{token.label}",
        *_weight(token),
        (f"  {'special token' if token.special else ''}\n", "$foreground-muted"),
        *_fate(token),
    )


def token_line(view: RowView | None, at: int) -> Content:
    """The same in one line, the reason before the bytes."""
    if view is None or at >= len(view.tokens):
        return Content("")
    token = view.tokens[at]
    return Content.assemble(
        (f"{at + 1:,}/{_length(view):,} ", "$foreground-muted"),
        (f"{token.id} {quoted(token)}  ", "bold"),
        *_fate(token),
        *_weight(token),
        (f"  {_hex(token)}", "$foreground-muted"),
    )


def quoted(token: Token, limit: int = 40) -> str:
    """A token's text in quotes, or its bytes, in at most `limit` cells."""
    text = printable(repr(token.text)) if token.text else as_bytes(token.bytes)
    return text if cell_len(text) <= limit else f"{set_cell_size(text, limit - 1)}…"


def _hex(token: Token) -> str:
    shown = token.bytes[:16].hex(" ")
    return f"{shown} … {len(token.bytes)} bytes" if len(token.bytes) > 16 else shown


def _weight(token: Token) -> list[Part]:
    if not token.trained or token.weight == 1:
        return []
    return [("  weight ", "$foreground-muted"), f"{token.weight:g}"]


def _fate(token: Token) -> list[Part]:
    """Whether it is trained, and why; words that say the same twice are left out."""
    word, style = "not trained", "bold"
    if token.cut:
        word, style = "left out" if token.why.startswith("left out") else "cut", "bold $text-warning"
    if token.trained and not token.cut:
        word, style = "trained", "bold $accent"
    return [(word, style), f": {printable(token.why).removeprefix(f'{word}: ')}"]


# -- the whole dataset


def problem_of(overview: Overview | None) -> str | None:
    """Why nothing of a side can be shown."""
    if overview is None:
        return None
    if overview.counted and not overview.rows:
        return overview.problem or "there are no rows in it"
    return overview.problem


def problem(text: str) -> Content:
    """Why nothing can be shown, in full, and what to do."""
    return Content.assemble(
        ("The data cannot be shown.\n\n", "bold $text-error"),
        f"{printable_lines(text)}\n\n",
        ("r looks again, once that is mended.", "$foreground-muted"),
    )


def view_names(shown: ViewName) -> Content:
    """The border's word on the four views, the shown one in brackets."""
    names: list[Part] = [
        (f" [{name}]", "bold $foreground") if name == shown else f" {name}" for name in VIEWS
    ]
    return Content.assemble("v:", *names)
