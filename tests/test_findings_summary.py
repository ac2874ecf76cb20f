"""Findings of all rows become a few lines, and lengths a few numbers."""

from __future__ import annotations

import random
from array import array
from typing import Any

import pytest

from sftui.data.findings.columns import ColumnSet, odd_columns
from sftui.data.findings.duplicates import Copies, DuplicateReport
from sftui.data.findings.lengths import percentiles, usual_lengths
from sftui.data.findings.registry import BITS, flags_of
from sftui.data.findings.summary import SideFacts, mark_duplicates, mark_lengths, summarise
from sftui.data.views import Finding


def side(flags: list[int], **more: Any) -> SideFacts:
    name = "eval.jsonl" if more.get("side") == "eval" else "train.jsonl"
    settings: dict[str, Any] = {
        "side": "train",
        "lengths": array("I", [100] * len(flags)),
        "analysed": len(flags),
        "complete": True,
        "details": {},
        "where": lambda row: f"/data/{name}:{row + 1}",
        "tokens": 1000,
        "trained_tokens": 500,
    }
    return SideFacts(flags=array("Q", flags), **settings | more)


def by_code(*sides: SideFacts, duplicates: DuplicateReport | None = None) -> dict[str, Finding]:
    return {each.code: each for each in summarise(sides, duplicates)}


TRUNCATED, UNTRAINED, SECRET = (flags_of([code]) for code in ("truncated", "no-trained-tokens", "secret"))


def test_findings_come_by_severity_and_then_by_count() -> None:
    flags = [SECRET] * 3 + [TRUNCATED] * 9 + [UNTRAINED] + [flags_of(["extreme-length"])] * 20
    assert [each.code for each in summarise([side(flags)])] == [
        "no-trained-tokens",
        "truncated",
        "secret",
        "extreme-length",
    ]


def test_a_finding_has_its_count_first_rows_and_examples() -> None:
    flags = [0, TRUNCATED] * 30
    details = {"truncated": [(row, f"row {row}") for row in (7, 1, 3, 5, 9, 11)]}
    found = by_code(side(flags, details=details))["truncated"]
    assert (found.count, found.severity, found.eval_rows) == (30, "warning", ())
    assert found.rows == tuple(range(1, 40, 2))
    assert found.message == "30 rows are cut at max_length"
    assert found.examples[:2] == ("train.jsonl:2: row 1", "train.jsonl:4: row 3")
    assert len(found.examples) == 5


def test_both_sides_are_counted_together_and_listed_apart() -> None:
    found = by_code(side([TRUNCATED, 0]), side([0, TRUNCATED | SECRET], side="eval"))
    assert (found["truncated"].count, found["truncated"].rows, found["truncated"].eval_rows) == (
        2,
        (0,),
        (1,),
    )
    assert (found["secret"].rows, found["secret"].eval_rows) == ((), (1,))


def test_nothing_found_is_no_finding() -> None:
    assert summarise([side([0] * 10)]) == ()
    assert summarise([side([])]) == ()


def test_missing_full_stops_are_a_style_when_many_rows_lack_them() -> None:
    cut = flags_of(["answer-cut-off"])
    assert "answer-cut-off" in by_code(side([cut] * 30 + [0] * 70))
    assert "answer-cut-off" not in by_code(side([cut] * 31 + [0] * 69))


def test_a_dataset_without_a_trained_token_is_one_error() -> None:
    dropped = flags_of(["dropped-overlength"])
    found = by_code(side([dropped] * 4 + [UNTRAINED], trained_tokens=0))
    assert found["no-trained-tokens"].severity == "error"
    assert found["no-trained-tokens"].message == "no training row keeps a trained token"
    assert found["no-trained-tokens"].count == 5
    assert "no-trained-tokens" not in by_code(side([dropped] * 5, trained_tokens=0, complete=False))


@pytest.mark.parametrize(("trained", "is_odd"), [(10, True), (20, False), (980, False), (990, True)])
def test_an_unusual_share_of_trained_tokens_is_told(trained: int, is_odd: bool) -> None:
    assert ("trained-share" in by_code(side([0], trained_tokens=trained))) is is_odd


def test_plain_texts_are_trained_whole() -> None:
    assert by_code(side([0], trained_tokens=1000, all_trained=True)) == {}


def test_duplicates_say_what_they_repeat() -> None:
    report = DuplicateReport(
        exact=Copies(array("I", [3]), array("I", [1])), leaks=Copies(array("I", [0]), array("I", [2]))
    )
    train, held_out = array("Q", [0] * 5), array("Q", [0] * 2)
    mark_duplicates(report, train, held_out)
    assert list(train) == [0, 0, 0, flags_of(["exact-duplicate"]), 0]
    found = by_code(side(list(train)), side(list(held_out), side="eval"), duplicates=report)
    assert found["exact-duplicate"].examples == ("train.jsonl:4: the same as train.jsonl:2",)
    assert found["eval-leak"].examples == ("eval.jsonl:1: the same as train.jsonl:3",)
    assert (found["eval-leak"].rows, found["eval-leak"].eval_rows) == ((), (0,))


# Columns


def test_rows_with_other_columns_than_their_source_are_told() -> None:
    usual = ColumnSet(0, ("instruction", "output"), 95, range(95))
    lacking = ColumnSet(0, ("instruction",), 2, [7, 8])
    other = ColumnSet(0, ("instruction", "output", "label"), 3, [11, 12, 13])
    optional = ColumnSet(0, ("output", "instruction", "input", "system"), 5, [20])
    apart = ColumnSet(1, ("messages",), 9, [100])
    odd = {each.code: each for each in odd_columns([usual, lacking, other, optional, apart])}
    assert {code: (each.count, list(each.rows), each.detail) for code, each in odd.items()} == {
        "missing-column": (2, [7, 8], "no 'output'"),
        "mixed-columns": (3, [11, 12, 13], "has 'label'"),
    }


def test_odd_columns_are_counted_by_their_sets() -> None:
    sets = [ColumnSet(0, ("prompt", "completion"), 97, [0]), ColumnSet(0, ("prompt", "complétion"), 3, [5])]
    found = by_code(side([0] * 100, columns=sets))
    assert (found["missing-column"].count, found["missing-column"].rows) == (3, (5,))
    assert found["missing-column"].examples == ("train.jsonl:6: no 'completion'; has 'complétion'",)


# Lengths


def test_percentiles_are_those_of_the_sorted_lengths() -> None:
    draw = random.Random(1)
    lengths = [draw.randrange(1, 5000) for _ in range(1000)]
    ordered = sorted(lengths)
    expected = tuple(ordered[share * 10 - 1] for share in (5, 50, 95, 99, 100))
    assert percentiles(array("I", lengths)) == expected
    assert percentiles(array("I", [0, *lengths, 0])) == expected
    assert percentiles(array("I", [7])) == (7, 7, 7, 7, 7)
    assert percentiles(array("I", [0])) is None


def test_extreme_lengths_are_far_from_the_rest() -> None:
    draw = random.Random(2)
    lengths = array("I", [draw.randrange(150, 300) for _ in range(500)])
    lengths[3], lengths[4], lengths[5] = 9000, 2, 0
    flags = array("Q", [0] * 500)
    mark_lengths(flags, lengths)
    assert [row for row, bits in enumerate(flags) if bits >> BITS["extreme-length"] & 1] == [3, 4]
    found = by_code(side(list(flags), lengths=lengths))["extreme-length"]
    assert found.examples[0].startswith("train.jsonl:4: 9,000 tokens")


def test_a_broad_spread_and_a_handful_of_rows_have_no_extremes() -> None:
    draw = random.Random(3)
    broad = array("I", [int(draw.lognormvariate(5.5, 1.0)) + 10 for _ in range(5000)])
    shortest, longest = usual_lengths(broad)
    assert sum(not shortest <= length <= longest for length in broad) <= 20
    few = usual_lengths(array("I", [10] * 20 + [10_000]))
    assert few[0] <= 10 and few[1] >= 10_000
