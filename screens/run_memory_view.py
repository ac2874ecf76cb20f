"""What a run was predicted to take beside what it took, as text: pure functions of its history."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textual.content import Content

from sftui.printable import printable
from sftui.words import apart, size

from .memory_view import MUTED, amount, unit_name, unit_of
from .train_view import EXPECTED

if TYPE_CHECKING:
    from sftui.runs.history import History
    from sftui.runs.memory_history import MemoryHistory
    from sftui.runs.status import Status

# Cells of a name, of a number of bytes, of a difference in bytes and in percent.
NAME, AMOUNT, BYTES, PERCENT = 15, 11, 11, 9
LEAST_BAR = 8
COMPONENTS = {
    "weights": "weights",
    "adapter": "adapter",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "activations": "all the rest",
}
"""What is measured apart: activations are all that has no tensor of the model's own."""
THE_REST = ("activations", "logits", "dequantization", "workspace")


def report(status: Status, history: History, width: int) -> Content:
    """All that is known, in `width` cells: sentences, then components and moments in columns."""
    taken = history.taken
    lines = [*_sentences(status, history)]
    if taken.predicted is None and not taken.moments:
        return Content("\n").join(lines)
    unit = unit_of(max(taken.highest or 0, taken.predicted.peak_bytes if taken.predicted else 0))
    return Content("\n").join([*lines, *_components(taken, unit, width), *_moments(taken, unit, width)])


def _sentences(status: Status, history: History) -> list[Content]:
    from sftui.memory.moment_words import WHEN

    taken, predicted = history.taken, history.taken.predicted
    lines = []
    if not taken.moments and taken.highest is None:
        lines.append(Content.styled(f"Nothing was measured: {_why_not(status, history)}.", "$text-warning"))
    elif taken.highest is not None:
        at = ""
        if taken.moment is not None:
            # Between the moments, while answering say, more may have been allocated.
            there = taken.moments[taken.moment]
            at = f"{'' if there == taken.highest else f', {size(there)}'} {WHEN[taken.moment]}"  # type: ignore[index]
        beside = f", torch held at most {size(taken.reserved)}" if taken.reserved else ""
        lines.append(Content.assemble("allocated at most ", (size(taken.highest), "bold"), at, beside))
    if predicted is None:
        why = "not yet" if history.start is None else "no estimate of this model was at hand"
        lines.append(Content.styled(f"Nothing was predicted: {why}.", "$text-warning"))
    else:
        by = f" ({printable(predicted.source)})" if predicted.source else ""
        compared = "" if taken.difference is None else f"; measured: {apart(taken.difference)}"
        lines.append(
            Content.assemble(
                "predicted ",
                (size(predicted.peak_bytes), "bold"),
                f" {WHEN[predicted.peak_moment]}{by}{compared}",  # type: ignore[index]
            )
        )
    if (trial := taken.trial) is not None:
        batch = f"{trial.rows:,} × {trial.length:,} tokens"
        if trial.peak_bytes is None and taken.highest is not None:
            lines.append(Content.styled(f"the largest batch did not fit: {batch}", "$text-error"))
        else:
            took = f", {size(trial.peak_bytes)}" if trial.peak_bytes else ""
            lines.append(Content(f"tried before the first step: {batch} in {trial.seconds:.1f} s{took}"))
    return lines


def _why_not(status: Status, history: History) -> str:
    start: Mapping[str, Any] = history.start or {}
    if start.get("device") == "CPU":
        return "on the CPU allocations are not counted"
    if status.alive and not status.step:
        return "not yet, the first numbers come with the model"
    return "this run's trainer did not do so"


def _components(taken: MemoryHistory, unit: int, width: int) -> list[Content]:
    predicted = taken.predicted
    measured: Mapping[str, int] = taken.components
    moment = taken.moment
    if predicted is not None and (moment is None or not taken.stepped):
        moment, measured = predicted.peak_moment, {}
    if moment is None:
        return []
    known = predicted if predicted is not None and moment in predicted.moments else None
    told: Mapping[str, int] = {} if known is None else known.measurable(moment)
    extent = max(*told.values(), *measured.values(), 1)
    lines = [_heading("peak", unit, width)]
    for name, label in COMPONENTS.items():
        lines.append(_line(label, told.get(name), measured.get(name), extent, unit, width))
    if known is not None:
        parts = known.moments[moment]
        shown = [f"{name} {amount(parts[name], unit)}" for name in THE_REST if parts.get(name)]
        if shown:
            lines.append(Content.styled(f"  predicted: {', '.join(shown)}", MUTED))
    whole = sum(measured.values()) if measured else None
    lines.append(_line("together", None if known is None else known.at(moment), whole, 0, unit, width))
    return lines


def _moments(taken: MemoryHistory, unit: int, width: int) -> list[Content]:
    from sftui.memory.moment_words import NAMES

    predicted = taken.predicted
    found = {
        name: (
            predicted.at(name) if predicted and name in predicted.moments else None,
            taken.moments.get(name),
        )
        for name in NAMES
    }
    sizes = {name: pair for name, pair in found.items() if pair != (None, None)}
    extent = max((each or 0 for pair in sizes.values() for each in pair), default=1)
    lines = [_heading("moments", unit, width)]
    lines += [_line(NAMES[name], *pair, extent, unit, width) for name, pair in sizes.items()]
    return lines


def _heading(title: str, unit: int, width: int) -> Content:
    columns = f"{'predicted':>{AMOUNT}}{'measured':>{AMOUNT}}"
    if _has_bytes(width):
        columns += f"{'difference':>{BYTES + PERCENT}}"
    else:
        columns += f"{'differs':>{PERCENT}}"
    name = f"{title}, {unit_name(unit)}"
    return Content.assemble((f"{name:<{NAME}}", "bold $accent"), (f"{columns}", MUTED))


def _line(
    label: str, predicted: int | None, measured: int | None, extent: int, unit: int, width: int
) -> Content:
    """A name, two numbers, their difference, and where `extent` is not 0 a bar of both."""
    figures = "".join(
        f"{'–' if one is None else amount(one, unit):>{AMOUNT}}" for one in (predicted, measured)
    )
    absolute, relative, style = _difference(predicted, measured, unit)
    between = (f"{absolute:>{BYTES}}" if _has_bytes(width) else "") + f"{relative:>{PERCENT}}"
    room = width - NAME - len(figures) - len(between) - 2
    bar = _bar(predicted, measured, extent, room) if extent and room >= LEAST_BAR else ""
    return Content.assemble(
        f"{label:<{NAME}}", (figures, "bold"), (between, style), "  " if bar else "", (bar, "$accent")
    )


def _difference(predicted: int | None, measured: int | None, unit: int) -> tuple[str, str, str]:
    """Measured less predicted, in bytes and as a share, with the style of both."""
    if predicted is None or measured is None:
        return "", "", MUTED
    shown = amount(abs(measured - predicted), unit)
    sign = "" if not float(shown.replace(",", "")) else "+" if measured > predicted else "-"
    if not predicted:
        return sign + shown, "", MUTED
    share = measured / predicted - 1
    relative = f"{share:+.1%}" if share < 9.995 else ">999%"
    style = MUTED if abs(share) <= EXPECTED else "$text-warning"
    return sign + shown, "0.0%" if relative in ("+0.0%", "-0.0%") else relative, style


def _has_bytes(width: int) -> bool:
    return width >= NAME + 2 * AMOUNT + BYTES + PERCENT


def _bar(predicted: int | None, measured: int | None, extent: int, width: int) -> str:
    """Two bars in one line of cells: what is predicted above, what is measured below."""
    above, below = (round((one or 0) / extent * width) for one in (predicted, measured))
    both = min(above, below)
    return "█" * both + "▀" * (above - both) + "▄" * (below - both)
