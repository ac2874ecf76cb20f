"""What was found in the rows of a recipe, as findings in the recipe."""

from __future__ import annotations

from collections.abc import Iterator

from sftui.checks.finding import Finding, found
from sftui.data.findings.summary import UNUSABLE
from sftui.data.overview import Overview
from sftui.data.views import Finding as RowsFinding
from sftui.data.views import Severity, Used
from sftui.printable import printable_lines
from sftui.recipe import DataSection, Recipe

_LENGTH = frozenset({"truncated", "truncated-to-nothing", "dropped-overlength", "extreme-length"})
_MASK = frozenset({"no-trained-tokens", "trained-share"})


def data_findings(recipe: Recipe, overview: Overview, held_out: Overview | None = None) -> Iterator[Finding]:
    """The findings of the training side's overview, which has those of all rows, beside the recipe's fields.

    Errors are what a run does not start with: rows that the recipe refuses, and a side of which nothing is
    left. `held_out` is the overview of `data.eval`.
    """
    data = recipe.data
    if overview.state == "failed" and overview.problem is not None:
        yield _not_read(printable_lines(overview.problem))
    for one in overview.findings:
        yield Finding(one.code, _severity(one, data), _key(one.code), one.message, one.remedy)
    kept_out = overview.held_out if held_out is None else held_out.used
    if _is_empty(overview.used):
        yield _nothing_left("training", "data.train")
    if _is_empty(kept_out):
        yield _nothing_left("held-out", "data.eval_fraction" if held_out is None else "data.eval")


def looking(overview: Overview | None, held_out: Overview | None = None) -> tuple[int, int] | None:
    """(rows looked at, rows known of) until all are looked at; None then."""
    if overview is None:
        return 0, 0
    if overview.state == "done":
        return None
    # What an earlier opening found is not said of this one.
    sides = [] if overview.state in ("opening", "indexing") else [overview]
    sides += [held_out] if sides and held_out is not None else []
    rows = overview.rows + (0 if held_out is None else held_out.rows)
    return sum(side.analysed for side in sides), rows


def _severity(one: RowsFinding, data: DataSection) -> Severity:
    """An error that no run is refused for is a warning here: such rows are left out."""
    if one.severity != "error":
        return one.severity
    refused = (one.code in UNUSABLE and data.bad_rows == "error") or (
        one.code == "overlength-refused" and data.overlength == "error"
    )
    return "error" if refused else "warning"


def _key(code: str) -> str:
    """The field that most likely mends it."""
    if code in UNUSABLE:
        return "data.bad_rows"
    if code == "overlength-refused":
        return "data.overlength"
    if code in _LENGTH:
        return "data.max_length"
    return "data.train_on" if code in _MASK else "data.train"


def _not_read(problem: str) -> Finding:
    """Rows are not tokenised without the model's tokenizer: a run would end where that is not to be had."""
    said, _, hint = problem.partition("\n  ")
    for key in ("model.name_or_path", "model.revision"):
        if said.startswith(f"{key}: "):
            again = "once that is mended, r on the Data screen looks again"
            said = said.removeprefix(f"{key}: ")
            return found("model-not-read", key, said, f"{hint}; {again}" if hint else again)
    return Finding("data-not-read", "warning", "data.train", said, hint or None)


def _is_empty(used: Used | None) -> bool:
    return used is not None and used.rows > 0 and not used.sequences


def _nothing_left(side: str, key: str) -> Finding:
    hint = "data.max_length, data.train_on and data.bad_rows decide what is; the Data screen says of each row"
    return Finding("nothing-left", "error", key, f"no {side} row is left that has a trained token", hint)
