"""What the Data screen says of what is wrong: pure functions of findings, an overview and a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from sftui.data.findings.registry import BITS, CHECKS
from sftui.printable import printable, printable_lines

from .data_view import Pane, Part, lot_of, token_panel, token_title

if TYPE_CHECKING:
    from sftui.data.overview import Overview
    from sftui.data.views import Finding, RowView, Side

SIGNS = {"error": ("!", "bold $text-error"), "warning": ("~", "bold $text-warning")}


def finding_text(finding: Finding) -> Content:
    """What a finding means, what to do, and where it is."""
    sign, style = SIGNS.get(finding.severity, ("·", "bold"))
    parts: list[Part] = [
        (f"{sign} {finding.severity}: ", style),
        (f"{printable(finding.message)}\n\n", "bold"),
        f"{printable(finding.why)}\n\n",
        ("What to do  ", "$foreground-muted"),
        f"{printable(finding.remedy)}\n",
    ]
    if finding.examples:
        parts.append(("\nFor example\n", "$foreground-muted"))
        parts += [f"  {printable(example)}\n" for example in finding.examples]
    return Content.assemble(*parts).rstrip()


def row_findings(view: RowView) -> Content:
    """All that was found in a row, with what to do."""
    parts: list[Part] = []
    if view.error is not None:
        what, remedy = lot_of(view)
        parts += [(f"! {what}\n", "bold $text-error"), f"{printable_lines(view.error)}\n{remedy}\n"]
    for finding in view.findings:
        check = CHECKS.get(finding.code)
        sign, style = SIGNS.get(check.severity if check else "info", ("·", "bold"))
        parts += [(f"{sign} {finding.code}\n", style), f"{printable_lines(finding.detail)}\n"]
        if check is not None:
            parts += [
                (f"{check.why}\n", "$foreground-muted"),
                ("What to do  ", "$foreground-muted"),
                check.remedy,
            ]
        parts.append("\n\n")
    return Content.assemble(*parts).rstrip() if parts else Content("nothing was found in this row")


def place_of(finding: Finding, overview: Overview, sides: Sequence[Side]) -> Side | None:
    """The side whose rows have a finding, the one that is shown if it can be; None if no row has it."""
    by_side: dict[Side, tuple[int, ...]] = {"train": finding.rows, "eval": finding.eval_rows}
    if "eval" not in sides:
        by_side = {"train": (*finding.rows, *finding.eval_rows)}  # held out of the training rows
    bit = BITS.get(finding.code)
    rows = by_side.get(overview.side)
    if bit is None:
        return None
    if rows:
        flags = overview.flags
        return overview.side if rows[0] < len(flags) and flags[rows[0]] >> bit & 1 else None
    return next((side for side, found in by_side.items() if found), None)


def explanation(
    pane: Pane, finding: Finding | None, row: RowView | None, at: int
) -> tuple[str, Content] | None:
    """Title and text: of the finding, of the token, or of all that was found in the row."""
    if pane == "findings" and finding is not None:
        return finding.code, finding_text(finding)
    if row is None:
        return None
    if pane == "tokens" and row.tokens:
        return token_title(row, at), token_panel(row, at)
    return f"row {row.row:,}", row_findings(row)


def no_findings(overview: Overview | None) -> Content:
    """In the place of findings, while there are none."""
    if overview is not None and overview.state == "done":
        return Content.assemble(("✓ ", "bold $text-success"), "nothing found")
    return Content.styled("nothing found so far", "$foreground-muted")
