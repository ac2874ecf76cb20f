"""What was found in a dataset, a line each: the gravest first, with the number of rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from .line_list import LineList

if TYPE_CHECKING:
    from sftui.data.views import Finding, Side

SIGNS = {"error": ("!", "error"), "warning": ("~", "warning"), "info": ("·", "muted")}


class FindingList(LineList):
    """Shows findings; `current` is the one under the cursor."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._findings: Sequence[Finding] = ()
        self._side: Side = "train"
        self._stays = False

    @property
    def current(self) -> Finding | None:
        """The finding under the cursor."""
        return self._findings[self.cursor] if self.cursor < len(self._findings) else None

    def go_to(self, index: int) -> None:
        """Put the cursor on a finding: from now on it stays there."""
        self.stay()
        super().go_to(index)

    def stay(self) -> None:
        """The finding under the cursor has been chosen: the cursor stays on it."""
        self._stays = True

    def show(self, findings: Sequence[Finding], side: Side) -> None:
        """Show these as seen from a side; until one is chosen, the cursor stays on the gravest."""
        if side == self._side and findings == self._findings:
            return
        current = self.current if self._stays else None
        self._side = side
        self._findings = findings
        codes = [finding.code for finding in findings]
        if current is not None and current.code in codes:
            self.cursor = codes.index(current.code)
        self.set_count(len(findings))

    def line(self, index: int, width: int) -> list[tuple[str, str]]:
        """A sign, the code, the number of rows."""
        finding = self._findings[index]
        sign, style = SIGNS[finding.severity]
        own = finding.count - finding.eval_count if self._side == "train" else finding.eval_count
        # Of what only held-out rows have, the training rows show that it is there.
        rows = f"{own:,} row{' ' if own == 1 else 's'} " if own else f"{finding.eval_count:,} held out "
        room = max(0, width - 2 - len(rows))
        code = finding.code if len(finding.code) <= room else f"{finding.code[: max(room - 1, 0)]}…"
        return [(f"{sign} ", style), (code.ljust(room), ""), (rows, "muted")]
