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


# How the problem of an error begins, for rows that can be read.
_FAILURES = (
    ("the chat template refuses this conversation", "role-order-refused"),
    ("the chat template", "template-failure"),
    ("the model has no chat template", "template-failure"),
    ("took longer than", "template-failure"),
    ("not tried: rendering", "template-failure"),
    ("cannot tell where message", "turn-not-located"),
    ("the row does not tell prompt from completion", "completion-unknown"),
)
_DETAIL, _HINT = 200, 90  # characters: of all of it, of the hint within


def inspect_row(facts: RowFacts) -> list[RowFinding]:
    """Everything found in one sequence of a row, at most once a code."""
    return [finding for check in _ROW_CHECKS for finding in check(facts)]


def failure_finding(error: InputError) -> RowFinding:
    """The error that kept a row from being used, as a finding in its own words, with what it hints at."""
    code = next((code for words, code in _FAILURES if error.problem.startswith(words)), "unreadable-row")
    detail = f"{error.key}: {error.problem}" if error.key else error.problem
    if error.hint:
        hint = _shortened(" ".join(error.hint.split()), _HINT)
        detail = f"{_shortened(detail, _DETAIL - len(hint) - 3)} ({hint})"
    return RowFinding(code, printable(detail))


def _shortened(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
