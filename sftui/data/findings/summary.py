"""What was found in all rows, as a few lines: each finding with its count, first rows and examples."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from sftui.data.findings.columns import ColumnSet, odd_columns
from sftui.data.findings.duplicates import Copies, DuplicateReport
from sftui.data.findings.lengths import percentiles, usual_lengths
from sftui.data.findings.registry import BITS, CHECKS, message
from sftui.data.views import Finding, Side

ROWS = 20  # row numbers that a finding lists, of each side
EXAMPLES = 5
_TOGETHER = 1 << 10  # rows counted together: while that goes on, no key is answered
_SEVERITIES = ("error", "warning", "info")
_SHARE_OF_STYLE = 0.3  # of rows, from which on a missing full stop is how the answers are written
# Rows that cannot be used: no run starts with them, unless data.bad_rows drops them.
UNUSABLE = frozenset(
    {"unreadable-row", "role-order-refused", "template-failure", "turn-not-located", "completion-unknown"}
)
_BY_COLUMNS = frozenset({"missing-column", "mixed-columns"})  # counted by the sets that there are
_LEAST_SHARE, _LARGEST_SHARE = 0.02, 0.98  # of trained tokens

Details = Sequence[tuple[int, str]]


@dataclass(frozen=True, slots=True)
class SideFacts:
    """What is known of one side.

    `flags` and `lengths` have one entry a row, 0 for one that is not known yet; `analysed` counts the
    known ones, all of them once `complete`. `details` are (row, words) of the first rows with a code.
    `tokens` and `trained_tokens` are of the sequences that would be used, after drops and cuts.
    `all_trained` says that nothing but trained text is expected: plain texts, or train_on: everything.
    """

    side: Side
    flags: array[int]
    lengths: array[int]
    analysed: int
    complete: bool
    details: Mapping[str, Details]
    where: Callable[[int], str]
    tokens: int
    trained_tokens: int
    all_trained: bool = False
    columns: Sequence[ColumnSet] = ()


@dataclass(slots=True)
class _Found:
    """One code's rows on one side."""

    count: int = 0
    rows: list[int] = field(default_factory=list)
    details: Details = ()


def mark_duplicates(report: DuplicateReport, train: array[int], held_out: array[int] | None) -> None:
    """Set the bits of the report's rows in the flags of either side."""
    _mark(train, "exact-duplicate", report.exact.rows)
    _mark(train, "near-duplicate", report.near.rows)
    if held_out is not None:
        _mark(held_out, "eval-leak", report.leaks.rows)
        _mark(held_out, "eval-leak", report.near_leaks.rows)


def mark_lengths(flags: array[int], lengths: array[int]) -> None:
    """Set the bit of every row that is far longer or shorter than the others; a length of 0 is not known."""
    shortest, longest = usual_lengths(lengths)
    _mark(
        flags, "extreme-length", [row for row, n in enumerate(lengths) if n and not shortest <= n <= longest]
    )


def summarise(
    sides: Sequence[SideFacts],
    duplicates: DuplicateReport | None = None,
    where: Callable[[int], str] | None = None,
    *,
    drops_unusable: bool = False,
) -> tuple[Finding, ...]:
    """The findings of a dataset, errors first, then by count.

    `sides` are those to be told of: training rows, held-out rows or both. Bits of duplicates and of
    extreme lengths are set beforehand; `duplicates` only adds which row each repeats, and where that
    training row stands, for which `where` is needed if the training rows are not told of. With
    `drops_unusable` (data.bad_rows: drop) unusable rows stop nothing, and are warnings.
    """
    train = next((side for side in sides if side.side == "train"), None)
    held_out = next((side for side in sides if side.side == "eval"), None)
    named = train.where if train is not None else where
    found = {side.side: _found(side, duplicates, named) for side in sides}
    analysed = sum(side.analysed for side in sides)
    findings = []
    for code in CHECKS:
        of_train, of_eval = (found.get(name, {}).get(code, _Found()) for name in ("train", "eval"))
        count = of_train.count + of_eval.count
        if not count or (code == "answer-cut-off" and count > _SHARE_OF_STYLE * analysed):
            continue
        total = held_out.analysed if code == "eval-leak" and held_out is not None else analysed
        examples = [
            f"{_short(side.where(row))}: {words}"
            for side in sides
            for row, words in sorted(found[side.side].get(code, _Found()).details)
        ]
        findings.append(
            _finding(
                code,
                count,
                message(code, count, total),
                of_train.rows,
                of_eval.rows,
                examples[:EXAMPLES],
                of_eval.count,
            )
        )
    findings += _shares(sides)
    untrained = _nothing_trained(sides)
    if untrained is not None:
        findings = [untrained, *(each for each in findings if each.code != untrained.code)]
    findings = [_with_fate(f, drops_unusable) if f.code in UNUSABLE else f for f in findings]
    order = {code: at for at, code in enumerate(CHECKS)}
    return tuple(
        sorted(findings, key=lambda each: (_SEVERITIES.index(each.severity), -each.count, order[each.code]))
    )


def _with_fate(found: Finding, drops: bool) -> Finding:
    """This finding about unusable rows, with what becomes of them: refused, or left out."""
    if drops:
        return replace(found, severity="warning", remedy=f"They are left out. {found.remedy}")
    return replace(found, remedy=f"{found.remedy} data.bad_rows: drop leaves them out.")


def _found(
    side: SideFacts, duplicates: DuplicateReport | None, where: Callable[[int], str] | None
) -> dict[str, _Found]:
    """Everything found on one side, by code."""
    counts: Counter[int] = Counter()
    flagged = list(_flagged(side.flags))
    for _, block in flagged:
        counts.update(block)
    counts.pop(0, None)
    found = {
        code: _Found(sum(count for flags, count in counts.items() if flags >> bit & 1))
        for code, bit in BITS.items()
        if code not in _BY_COLUMNS
    }
    found = {code: each for code, each in found.items() if each.count}
    wanted = sum(1 << BITS[code] for code in found)
    for row, flags in ((begin + at, flags) for begin, block in flagged for at, flags in enumerate(block)):
        if flags & wanted:
            for code, each in found.items():
                if flags >> BITS[code] & 1 and len(each.rows) < ROWS:
                    each.rows.append(row)
                    if len(each.rows) == ROWS:
                        wanted &= ~(1 << BITS[code])
            if not wanted:
                break
    for code, each in found.items():
        each.details = side.details.get(code, ())
    if "extreme-length" in found:
        found["extreme-length"].details = _length_details(side, found["extreme-length"].rows)
    if duplicates is not None and where is not None:
        _describe(found, duplicates, where)
    for odd in odd_columns(side.columns):
        each = found.setdefault(odd.code, _Found())
        each.count += odd.count
        each.details = [*each.details, *((row, odd.detail) for row in odd.rows[:EXAMPLES])]
        each.rows = sorted({*each.rows, *odd.rows})[:ROWS]
    return found


def _flagged(flags: array[int]) -> Iterator[tuple[int, array[int]]]:
    """Blocks with any bit set, and the row that each begins with; the others are passed over as bytes."""
    size, zeros = flags.itemsize, bytes(flags.itemsize * _TOGETHER)
    with memoryview(flags).cast("B") as data:
        for begin in range(0, len(flags), _TOGETHER):
            part = data[size * begin : size * (begin + _TOGETHER)]
            if part != zeros[: len(part)]:
                yield begin, flags[begin : begin + _TOGETHER]


def _length_details(side: SideFacts, rows: Sequence[int]) -> Details:
    spread = percentiles(side.lengths)
    usual = f" (half of all rows have at most {spread[1]:,})" if spread else ""
    return [(row, f"{side.lengths[row]:,} tokens{usual}") for row in rows[:EXAMPLES]]


def _describe(found: dict[str, _Found], report: DuplicateReport, where: Callable[[int], str]) -> None:
    """Say of the first duplicates which row they repeat."""

    def said(copies: Copies, words: str) -> Details:
        pairs = zip(copies.rows[:EXAMPLES], copies.firsts[:EXAMPLES], strict=True)
        return [(row, f"{words} {_short(where(first))}") for row, first in pairs]

    leaks = [(report.leaks, "the same as"), (report.near_leaks, "nearly the same as")]
    for code, copies in (
        ("exact-duplicate", [(report.exact, "the same as")]),
        ("near-duplicate", [(report.near, "nearly the same as")]),
        ("eval-leak", leaks),
    ):
        if code in found:
            found[code].details = [detail for each in copies for detail in said(*each)]


def _nothing_trained(sides: Sequence[SideFacts]) -> Finding | None:
    """The error that a whole side is left without a trained token."""
    unusable = sum(1 << BITS[code] for code in UNUSABLE if code in BITS)
    flag = 1 << BITS["no-trained-tokens"]
    for side in sides:
        if side.complete and side.analysed and not side.trained_tokens:
            if all(flags & unusable for flags in side.flags):
                continue  # which is said already, with its reason
            name = "training" if side.side == "train" else "held-out"
            rows = list(islice((row for row, flags in enumerate(side.flags) if flags & flag), ROWS))
            return _finding(
                "no-trained-tokens",
                side.analysed,
                f"no {name} row keeps a trained token",
                rows if side.side == "train" else [],
                rows if side.side == "eval" else [],
                [
                    f"{_short(side.where(row))}: {words}"
                    for row, words in side.details.get("no-trained-tokens", ())
                ],
                side.analysed if side.side == "eval" else 0,
            )
    return None


def _shares(sides: Sequence[SideFacts]) -> list[Finding]:
    """Far too few or too many of a side's tokens are trained."""
    findings = []
    for side in sides:
        if not side.complete or side.side != "train" or not side.tokens or not side.trained_tokens:
            continue
        share = side.trained_tokens / side.tokens
        if share < _LEAST_SHARE or (share > _LARGEST_SHARE and not side.all_trained):
            said = f"{share:.2%} of all tokens are trained"
            findings.append(_finding("trained-share", side.analysed, said, [], [], []))
    return findings


def _finding(
    code: str,
    count: int,
    said: str,
    rows: Sequence[int],
    eval_rows: Sequence[int],
    examples: Sequence[str],
    eval_count: int = 0,
) -> Finding:
    check = CHECKS[code]
    return Finding(
        code,
        check.severity,
        count,
        tuple(rows),
        tuple(eval_rows),
        said,
        check.why,
        check.remedy,
        tuple(examples[:EXAMPLES]),
        eval_count,
    )


def _mark(flags: array[int], code: str, rows: Sequence[int]) -> None:
    bit = 1 << BITS[code]
    for row in rows:
        flags[row] |= bit


def _short(where: str) -> str:
    """A row's place by the name of its file alone: `train.jsonl:12`."""
    return where.rpartition("/")[2]
