"""All checks of a single row, and what an error says about one."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from sftui.data.findings.answers import cut_off, empty_answer
from sftui.data.findings.characters import mojibake
from sftui.data.findings.facts import RowFacts
from sftui.data.findings.lengths import cut
from sftui.data.findings.omissions import messages_dropped, reasoning_dropped, tools_dropped
from sftui.data.findings.placeholders import unfilled_placeholder
from sftui.data.findings.secrets import secret
from sftui.data.findings.specials import beginning_of_text, special_tokens_in_content
from sftui.data.findings.turns import end_of_turn, no_trained_tokens, rewritten_history, think_tags
from sftui.data.views import RowFinding
from sftui.errors import InputError
from sftui.printable import printable

__all__ = ["RowFacts", "failure_finding", "inspect_row"]

# Each looks at one sequence and yields what it finds, at most once a code.
_ROW_CHECKS: tuple[Callable[[RowFacts], Iterable[RowFinding]], ...] = (
    no_trained_tokens,
    cut,
    end_of_turn,
    beginning_of_text,
    rewritten_history,
    reasoning_dropped,
    tools_dropped,
    messages_dropped,
    think_tags,
    special_tokens_in_content,
    empty_answer,
    cut_off,
    unfilled_placeholder,
    mojibake,
    secret,
)


def inspect_row(facts: RowFacts) -> list[RowFinding]:
    """Everything found in one sequence of a row, at most once a code."""
    return [finding for check in _ROW_CHECKS for finding in check(facts)]


def failure_finding(error: InputError) -> RowFinding:
    """The error that kept a row from being used, as a finding in its own words."""
    if error.problem.startswith("the chat template"):
        refused = error.problem.startswith("the chat template refuses this conversation")
        code = "role-order-refused" if refused else "template-failure"
    elif error.problem.startswith("cannot tell where message"):
        code = "turn-not-located"
    else:
        code = "unreadable-row"
    return RowFinding(code, printable(f"{error.key}: {error.problem}" if error.key else error.problem))
