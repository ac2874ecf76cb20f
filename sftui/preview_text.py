"""Rows as tokens on a terminal, in a picture, or as JSON: what `sftui preview` prints."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftui.data.reader import READER, DatasetSpec
from sftui.data.views import RowView, Side, Token
from sftui.data.workers import Job, Worker, WorkerLostError
from sftui.errors import InputError, shorten
from sftui.json_text import json_text
from sftui.printable import printable, printable_lines
from sftui.recipe import Recipe

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

# Neighbouring tokens differ a little, so that one sees where each ends.
_TRAINED = ("underline bold green", "underline bold bright_green")
_SPECIAL_TRAINED = "underline bold yellow"
_UNTRAINED = ("bright_black", "white")
_SPECIAL = "cyan"
_CUT = "strike red"
_ROW_SECONDS = 60.0  # rendering has a tighter limit of its own
OPEN, CLOSE = "⟦", "⟧"  # around what is trained where there are no colours


def views(
    recipe: Recipe, rows: str, sequence: int, *, held_out: bool = False, key: str = "--rows"
) -> Iterator[RowView]:
    """The rows `A:B` or `A` of a recipe's dataset. Raises InputError for what is unusable.

    A child process renders them: what it takes and how long is bounded. `key` is what the rows were
    asked by.
    """
    side: Side = "eval" if held_out else "train"
    if held_out and not recipe.data.eval:
        raise InputError("the recipe has no data.eval: expected one for --eval", key="data.eval")
    if sequence < 0:
        raise InputError(f"found {sequence}: expected 0 or more", key="--sequence")
    begin, end = row_bounds(rows, key)
    return _views(DatasetSpec.of(recipe), side, (begin, end), sequence, key)


def _views(
    spec: DatasetSpec, side: Side, wanted: tuple[int, int | None], sequence: int, key: str
) -> Iterator[RowView]:
    begin, end = wanted
    last = end - 1 if end is not None else sys.maxsize
    worker = Worker(Job(READER, (spec, False)))
    try:
        known: int = worker.ask("count", side, last)
        if last >= known:  # of a dataset on the Hub, only the first rows were fetched
            worker.close()
            worker.job = Job(READER, (spec, True))
            known = worker.ask("count", side, last)
        if begin >= known:
            said = f"{begin:,}" if end == begin + 1 else f"{begin:,}:{'' if end is None else f'{end:,}'}"
            raise InputError(f"found {said}: expected rows from 0 to {known - 1:,}", key=key)
        worker.ask("templates")  # which may have to fetch the tokenizer: that is not the row's time
        for row in range(begin, known if end is None else min(end, known)):
            view: RowView = worker.ask("view", side, row, sequence, timeout=_ROW_SECONDS)
            if view.error is None and view.sequence != sequence:
                problem = f"found {sequence}: expected 0 to {view.sequences - 1:,}, those of row {row:,}"
                raise InputError(problem, key="--sequence")
            yield view
    except WorkerLostError:
        raise InputError("rendering takes too long, or ends the process that does it", key="data") from None
    finally:
        worker.close()


def as_json(view: RowView) -> dict[str, Any]:
    """One row as `preview --json` prints it."""
    found: dict[str, Any] = {
        "row": view.row,
        "where": view.where,
        "format": view.format,
        "template": view.template,
        "sequence": view.sequence,
        "sequences": view.sequences,
        "tokens": [_token(token) for token in view.tokens],
        "total": view.total,
        "trained": view.trained,
        "truncated": view.truncated,
        "fate": view.fate,
        "findings": [f"{finding.code}: {finding.detail}" for finding in view.findings],
    }
    if view.error is not None:
        found["error"] = view.error
    return found


def _token(token: Token) -> dict[str, Any]:
    found: dict[str, Any] = {"id": token.id, "text": token.text, "trained": token.trained, "why": token.why}
    if token.bytes != token.text.encode():
        found["bytes"] = token.bytes.hex(" ")
    if token.trained and token.weight != 1.0:
        found["weight"] = token.weight
    if token.cut:
        found["cut"] = True
    return found


def render(view: RowView, *, marks: bool) -> Text:
    """One row for a terminal: a line of facts, the turns, the findings.

    With `marks`, what is trained stands between OPEN and CLOSE, for where colours are lost.
    """
    from rich.text import Text

    text = Text(no_wrap=False)
    text.append(f"row {view.row:,}", style="bold")
    text.append(f"  {printable(view.where)}")
    if view.error is not None:
        text.append("\n" + printable_lines(view.error), style="bold red")
        return text
    share = 100 * view.trained / view.total if view.total else 0
    text.append(f"  {view.format}  {view.total:,} tokens, {view.trained:,} trained ({share:.0f}%)")
    if view.sequences > 1:
        text.append(f"  sequence {view.sequence + 1} of {view.sequences}")
    if view.fate != "used":
        text.append(f"\n{view.fate}", style="bold red")
    for turn in view.turns:
        trained = f" {turn.trained:,} trained" if turn.trained else ""
        weights = {token.weight for token in view.tokens[turn.first : turn.last] if token.trained}
        if weights - {1.0}:
            trained += f", weight {', '.join(f'{weight:g}' for weight in sorted(weights))}"
        text.append("" if text.plain.endswith("\n") else "\n")
        text.append(f"── {turn.role or 'template'} ──{trained}\n", style="bold")
        _append_tokens(text, view.tokens[turn.first : turn.last], turn.first, marks)
    if not view.turns:
        text.append("\n")
        _append_tokens(text, view.tokens, 0, marks)
    text.rstrip()
    for finding in view.findings:
        text.append(f"\n! {finding.code}", style="bold yellow")
        text.append(f": {printable(finding.detail)}")
    return text


def legend(*, marks: bool) -> Text:
    """What the colours mean."""
    from rich.text import Text

    if marks:
        return Text(f"{OPEN}trained{CLOSE} and everything else is not; ⏎ is a line break of the text")
    text = Text()
    for words, style in (
        ("trained", _TRAINED[0]),
        ("trained special token", _SPECIAL_TRAINED),
        ("not trained", _UNTRAINED[0]),
        ("special token", _SPECIAL),
        ("cut", _CUT),
    ):
        text.append(words, style=style)
        text.append("  ")
    return text


def print_views(views: Iterable[RowView], console: Console | None = None) -> None:
    """Print rows one after the other, and below them what the colours mean."""
    from rich.console import Console

    console = console or Console(highlight=False)
    marks = console.color_system is None or console.no_color
    for view in views:
        console.print(render(view, marks=marks), soft_wrap=not console.is_terminal)
        console.print()
    console.print(legend(marks=marks))


def save_picture(views: Iterable[RowView], file: str, width: int = 100) -> None:
    """Write rows as an SVG picture. Raises InputError if the file cannot be written."""
    import io

    from rich.console import Console

    console = Console(
        record=True,
        width=width,
        file=io.StringIO(),
        force_terminal=True,
        color_system="truecolor",
        no_color=False,  # NO_COLOR is about the terminal
        highlight=False,
    )
    print_views(views, console)
    try:
        picture = console.export_svg(title="sftui preview").encode(errors="replace")
        Path(file).write_bytes(picture)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=file) from error


def _append_tokens(text: Text, tokens: Iterable[Token], first: int, marks: bool) -> None:
    open_ = False
    for at, token in enumerate(tokens, first):
        if marks and token.trained != open_:
            text.append(OPEN if token.trained else CLOSE)
            open_ = token.trained
        shown = printable(token.text).replace("⏎", "⏎\n") if "\n" in token.text else printable(token.text)
        text.append(shown or f"‹{token.bytes.hex(' ')}›", style=_style(token, at))
    if open_:
        text.append(CLOSE)


def _style(token: Token, at: int) -> str:
    if token.cut:
        return _CUT
    if token.special:
        return _SPECIAL_TRAINED if token.trained else _SPECIAL
    return (_TRAINED if token.trained else _UNTRAINED)[at % 2]


def row_bounds(text: str, key: str) -> tuple[int, int | None]:
    """`A:B` as in Python, `A` alone for one row; None for B if all rows from A on. Raises InputError."""
    first, colon, last = (part.strip() for part in text.partition(":"))
    if not all(part.isascii() and part.isdigit() and len(part) < 16 for part in (first, last) if part) or (
        not colon and not first
    ):
        raise InputError(f"found {shorten(text)}: expected a row number, counted from 0, or A:B", key=key)
    begin = int(first or "0")
    if not colon:
        return begin, begin + 1
    end = int(last) if last else None
    if end is not None and end <= begin:
        raise InputError(f"found {text}, which names no row: expected A:B with A below B", key=key)
    return begin, end


def dump(view: RowView) -> str:
    """One row as a line of JSON."""
    return json_text(as_json(view))
