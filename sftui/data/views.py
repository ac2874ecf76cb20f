"""What is known of one row, ready to be shown: tokens with labels and why, turns, findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sftui.recipe import RowFormat

Side = Literal["train", "eval"]
Severity = Literal["error", "warning", "info"]


@dataclass(frozen=True, slots=True)
class RowFinding:
    """One thing found in one row. `code` is a key of `findings.registry.CHECKS`; `detail` is for this row.

    `start` and `end` are characters of the row's rendered text where the place is known.
    """

    code: str
    detail: str
    start: int | None = None
    end: int | None = None


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a row.

    `text` is its piece of the rendered text, text[start:end]; of a character split over several tokens
    the first has the character and the others the empty text. `bytes` are those that it stands for.
    `turn` is the message that it belongs to, -1 for none. `label` is what the loss sees (-100 untrained).
    `why` is a word or two: why it is trained or is not. `cut` tokens are lost to max_length.
    """

    id: int
    text: str
    start: int
    end: int
    bytes: bytes
    special: bool
    trained: bool
    weight: float
    label: int
    turn: int
    role: str
    why: str
    cut: bool


@dataclass(frozen=True, slots=True)
class Turn:
    """One message in the rendered text: its header, content and end are tokens[first:last]."""

    index: int
    role: str
    first: int
    last: int
    trained: int  # tokens


@dataclass(frozen=True, slots=True)
class RowView:
    """One row in full.

    `raw` is the row as the file has it, `text` what the chat template made of it, `messages` its
    normalised (role, content) pairs. With `sequence_per: turn` there are several sequences; this is
    number `sequence` of `sequences`. `total`, `trained` and `truncated` count tokens: before a cut,
    trained ones that remain, and lost ones. Of a very long row `tokens` are the first, and `more` come after
    them. `fate` says what becomes of it: used, truncated, or the
    reason why it is left out. Of an unreadable row, `error` says why, and there are no tokens.
    """

    row: int
    where: str
    raw: str
    format: RowFormat | None = None
    template: str = ""
    text: str = ""
    messages: tuple[tuple[str, str], ...] = ()
    tools: str = ""
    tokens: tuple[Token, ...] = field(default=(), repr=False)
    turns: tuple[Turn, ...] = ()
    sequence: int = 0
    sequences: int = 1
    total: int = 0
    trained: int = 0
    truncated: int = 0
    fate: str = "used"
    findings: tuple[RowFinding, ...] = ()
    more: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class RowLine:
    """One row in a list: its first words, safe to print, or why it cannot be read."""

    row: int
    where: str
    words: str
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing found in a dataset: in how many rows, in which first, what it means and what to do.

    `rows` are training rows, `eval_rows` held-out ones, the first few of each; of the `count`, `eval_count`
    are held out. `examples` are details of the first few as `train.jsonl:12: ..`. `message` is one line
    with the count in it.
    """

    code: str
    severity: Severity
    count: int
    rows: tuple[int, ...]
    eval_rows: tuple[int, ...]
    message: str
    why: str
    remedy: str
    examples: tuple[str, ...] = ()
    eval_count: int = 0


@dataclass(frozen=True, slots=True)
class Used:
    """The rows of a side, once each, and the sequences made of them, as often as they are drawn."""

    rows: int
    sequences: int
    tokens: int
    trained_tokens: int
