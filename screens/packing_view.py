"""What the Packing screen says, as text: pure functions of a plan, a bin and the recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from textual.content import Content

from sftui.printable import printable

from .figures import WIDTH, figure
from .packing_pictures import TRAINED

if TYPE_CHECKING:
    from sftui.data.overview import Overview
    from sftui.data.packing.bins import Bins
    from sftui.data.packing.plan import Plan
    from sftui.data.packing.summary import Summary
    from sftui.recipe import Packing, Recipe

Pane = Literal["bins", "strategies", "length"]
PANES: tuple[Pane, ...] = ("bins", "strategies", "length")
STRATEGIES: tuple[Packing, ...] = ("none", "next_fit", "best_fit", "wrapped")
# Cells: a strategy's name with the mark of the recipe's choice, and a figure with its gap.
NAME = 10
FIGURE = WIDTH + 1
# The right end of the subject line while not all is known.
STATE = 24
MUTED = "$foreground-muted"

NO_RECIPE = Content.assemble(
    ("No recipe is open.\n\n", "bold"),
    "See how the sequences of your rows share bins:   sftui RECIPE\n\n",
    ("6 lists the runs, ? the keys.", MUTED),
)


def percent(share: float) -> str:
    """`99.4%`; only what is whole is 100%."""
    return "100%" if share >= 1 else f"{min(share, 0.999):.1%}"


def plural(count: int, word: str, words: str = "") -> str:
    """`1 bin`, `7,472 bins`."""
    return f"{count:,} {word if count == 1 else words or f'{word}s'}"


# -- the subject


def subject(recipe: Recipe, plan: Plan | None, overview: Overview | None, width: int) -> Content:
    """What the recipe's packing makes of its rows, in one line; what matters least gives way first."""
    packing = recipe.data.packing
    state = _state(plan, overview)
    # (text, style, how soon it gives way)
    parts: list[tuple[str, str, int]] = [
        (packing if packing != "none" else "not packed", "bold", 0),
        (f"max_length {recipe.data.max_length:,}", "", 5),
    ]
    if plan is not None and plan.sequences:
        summary = plan.of(packing)
        lost = plan.lost_tokens + summary.lost_tokens
        sequences = figure(plan.sequences)
        bins = f" → {figure(summary.bins)} bins" if packing != "none" else ""
        parts += [
            (f"{sequences} sequences{bins}", "", 1 if bins else 5),
            (f"fill {percent(summary.fill)}", "bold", 2),
            (f"padding {percent(1 - summary.fill)}", "", 8),
            (f"lost {figure(lost)}{' tokens' if lost else ''}", "bold $text-warning" if lost else "", 4),
            (f"{figure(plan.steps(packing))} steps an epoch", "", 6),
        ]
        best = packing if packing != "none" else "best_fit"
        faster = f"speed-up {plan.speedup(best):.2f}×"
        if best != packing:
            faster = f"{best}: {figure(plan.of(best).bins)} bins, {faster}"
        parts.append((faster, "", 7 if best == packing else 3))
    room = width - (state.cell_length + 2 if state.cell_length else 0)
    while len(parts) > 1 and sum(len(text) + 2 for text, _, _ in parts) - 2 > room:
        parts.remove(max(parts, key=lambda part: part[2]))
    left = Content("  ").join([Content.styled(text, style) for text, style, _ in parts])
    gap = max(0, width - left.cell_length - state.cell_length)
    return Content.assemble(left, " " * gap, state)


def _state(plan: Plan | None, overview: Overview | None) -> Content:
    """How much of the dataset the numbers are of; nothing once it is all of it."""
    state = overview.state if overview is not None else "opening"
    if state == "failed":
        return Content.styled("cannot be read".rjust(STATE), "bold $text-error")
    if plan is not None and plan.exact:
        return Content("")
    if plan is None or not plan.share:
        share = f" {overview.share:.0%}" if overview is not None and overview.share else ""
        return Content.styled(f"{state}{share}".rjust(STATE), MUTED)
    return Content.styled(f"estimated from {share_of(plan.share)} of rows".rjust(STATE), "$text-warning")


def share_of(share: float) -> str:
    """`62%`, at most 99% and at least 1%."""
    return f"{min(max(int(share * 100), 1), 99)}%"


# -- strategies


def strategy_heading(width: int) -> str:
    """The names of the columns."""
    names = ["bins", "fill", "padding", "lost", "steps", "speed"]
    each = _column(width)
    if not _has_padding(width):
        names.remove("padding")
    return f"{'':{NAME}}" + "".join(f"{name:>{each + (name == 'padding')}}" for name in names)


def strategy_line(plan: Plan | None, strategy: Packing, chosen: Packing, width: int) -> list[tuple[str, str]]:
    """Bins, fill, padding, tokens lost, steps an epoch, and how much faster than padded batches."""
    each = _column(width)
    name = (f"{strategy + (' ◂' if strategy == chosen else ''):{NAME}}", "")
    if plan is None or not plan.sequences:
        columns = 6 if _has_padding(width) else 5
        return [name, (f"{'·':>{each}}" * columns, "muted")]
    summary = plan.of(strategy)
    bins = "–" if strategy == "none" else figure(summary.bins)
    about = "~" if plan.exact and not summary.exact and strategy != "none" else ""
    lost = plan.lost_tokens + summary.lost_tokens
    parts = [name, (f"{about + bins:>{each}}", ""), (f"{percent(summary.fill):>{each}}", "")]
    if _has_padding(width):
        parts.append((f"{percent(1 - summary.fill):>{each + 1}}", ""))
    return [
        *parts,
        (f"{figure(lost):>{each}}", "warning" if lost else ""),
        (f"{figure(plan.steps(strategy)):>{each}}", ""),
        (f"{f'{plan.speedup(strategy):.2f}×':>{each}}", ""),
    ]


def _has_padding(width: int) -> bool:
    return width >= NAME + 6 * FIGURE + 1


def _column(width: int) -> int:
    """Cells of a column: a little wider where there is room."""
    columns = 6 if _has_padding(width) else 5
    return FIGURE + min(max(width - NAME - columns * FIGURE - 1, 0) // columns, 3)


def strategy_words(plan: Plan | None, strategy: Packing) -> Content:
    """Two lines: how a strategy goes about it, and what that comes to."""
    summary = plan.of(strategy) if plan is not None and plan.sequences else None
    first = {
        "none": "batches of {batch}, padded to the longest",
        "next_fit": "in the order of the rows, a new bin if it is full",
        "best_fit": "longest first, each where it fits best",
        "wrapped": "end to end, cut where a bin is full",
    }[strategy]
    first = first.format(batch=plan.batch_size if plan is not None else 1)
    return Content.assemble((f"{first}\n", ""), (_comes_to(plan, summary), MUTED))


def _comes_to(plan: Plan | None, summary: Summary | None) -> str:
    if plan is None or summary is None:
        return ""
    if summary.strategy == "none":
        return f"{figure(summary.padded_tokens - summary.tokens)} tokens of padding in an epoch"
    if summary.strategy == "wrapped":
        return f"{plural(summary.cut, 'sequence')} cut in two or more"
    return f"no packing takes fewer than {plural(summary.lower_bound, 'bin')}"


# -- bins


def bins_title(summary: Summary | None, chosen: Packing) -> str:
    """Whose bins are shown."""
    if summary is None:
        return "bins"
    if summary.strategy == "none":
        return "sequences, each alone"
    if summary.strategy != chosen:
        return f"{summary.strategy}, not chosen: Enter at strategies does"
    return f"bins of {summary.max_length:,}  brighter {TRAINED} = trained"


def fill_words(bins: Bins | None) -> str:
    """How many bins are nearly full."""
    if bins is None or not len(bins):
        return ""
    full = bins.fills()[-1]
    return f"{full:,} of {len(bins):,} above 95%"


def no_bins(plan: Plan | None, overview: Overview | None, problem: str | None) -> Content:
    """Why there are no bins to be seen."""
    if problem is not None:
        return Content.styled(printable(problem), "$text-error")
    if plan is not None and plan.exact and not plan.sequences:
        text = "No sequence can be packed: all are left out.\nx sets max_length, 1 shows the rows."
    elif overview is not None and overview.rows and overview.analysed == overview.rows:
        text = "All rows are analysed; the bins come in a moment."
    elif overview is not None and overview.rows and overview.analysed:
        share = share_of(overview.analysed / overview.rows)
        text = f"Bins appear when all rows are analysed: {share} so far."
    else:
        text = "Bins appear when all rows are analysed."
    return Content.styled(text, MUTED)
