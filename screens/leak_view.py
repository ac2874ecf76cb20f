"""The leak test in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textual.content import Content

from sftui.printable import printable
from sftui.words import duration

if TYPE_CHECKING:
    from .leak_check import LeakState

MUTED = "$foreground-muted"


def leak_words(state: LeakState, refusal: str | None, *, packed: bool = True) -> Content:
    """How the leak test stands, as one paragraph; `refusal` says why the model cannot be packed."""
    if refusal is not None:
        style = "bold $text-error" if packed else "bold $text-warning"
        return Content.assemble(("✗ this model cannot be packed: ", style), printable(refusal))
    if not packed:
        return Content.styled("nothing can leak: sequences are not packed", MUTED)
    if state.state == "running":
        seconds = duration(state.seconds) if state.seconds >= 1 else ""
        return Content.assemble(
            ("● running ", "bold $text-accent"), f"{seconds:<6}", (" on the model, k ends it", MUTED)
        )
    if state.result is None:
        return Content.styled("not run yet: runs on the model before step 1 (k to run now)", MUTED)
    return _leak_result(state.result)


def _leak_result(result: Mapping[str, Any]) -> Content:
    error = result.get("error")
    if error:
        return Content.assemble(("✗ no result: ", "bold $text-error"), printable(str(error)))
    passed = bool(result.get("passed"))
    words = "✓ passed: nothing leaks" if passed else "✗ failed"
    reason = result.get("reason")
    told = f": {printable(str(reason))}" if reason and not passed else ""
    parts = [_named(result, "attention", ""), _named(result, "sequences", " sequences")]
    parts += [_named(result, "tokens", " tokens")]
    difference, tolerance = result.get("largest_difference"), result.get("tolerance")
    if isinstance(difference, int | float) and isinstance(tolerance, int | float):
        shown = f"{difference:.1e}" if difference else "0"
        parts.append(f"largest difference {shown} (at most {tolerance:.0e})")
    seconds = result.get("seconds")
    if isinstance(seconds, int | float):
        parts.append(duration(float(seconds)))
    style = "bold $text-success" if passed else "bold $text-error"
    return Content.assemble((words, style), f"{told}  ", ("  ".join(filter(None, parts)), MUTED))


def _named(result: Mapping[str, Any], key: str, unit: str) -> str:
    value = result.get(key)
    return "" if value is None else f"{printable(str(value))}{unit}"
