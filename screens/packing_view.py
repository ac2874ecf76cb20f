"""What the Packing screen says, as text: pure functions of a plan, a bin and the recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from textual.content import Content

from sftui.printable import printable

from .figures import WIDTH, brief, figure
from .packing_pictures import TRAINED

if TYPE_CHECKING:
    from sftui.data.overview import Overview
    from sftui.data.packing.bins import Bins
    from sftui.data.packing.plan import Plan
    from sftui.data.packing.summary import Summary
    from sftui.recipe import Packing, Recipe

Pane = Literal["bins", "strategies", "length"]
PANES: tuple[Pane, ...] = ("strategies", "bins", "length")
STRATEGIES: tuple[Packing, ...] = ("none", "next_fit", "best_fit", "wrapped")
# Cells: a strategy's name with the mark of the recipe's choice, and a figure with its gap.
NAME = 10
FIGURE = WIDTH + 1
# Columns whose names are wider.
EXTRA = {"padding": 1, "seq/step": 2}
# The right end of the subject line while not all is known.
STATE = 24
# Cells of the subject line from which on figures have units.
ROOM_FOR_UNITS = 70
MUTED = "$foreground-muted"

NO_RECIPE = Content.assemble(
    ("No recipe is open.\n\n", "bold"),
    "See how the sequences of your rows share bins.\n\n",
    ("4", "bold $text-accent"),
    " opens a ready recipe, one of a run, or makes one for your dataset.\n",
    "From the shell:   sftui RECIPE   or   sftui new my.jsonl -o my.yaml\n\n",
    ("6 lists the runs, ? the keys.", MUTED),
)


def percent(share: float) -> str:
    """`99.4%`, rounded down: only what is whole is 100%."""
    return "100%" if share >= 1 else f"{_full(share):.1f}%"


def _full(share: float) -> float:
    return int(share * 1000) / 10


def fill_and_padding(summary: Summary) -> tuple[str, str]:
    """Shares of the room that add up to 100%; with `~` where they are to be expected of drawn batches."""
    about = "~" if summary.strategy == "none" and not summary.exact else ""
    return about + percent(summary.fill), f"{about}{100 - _full(min(summary.fill, 1.0)):.1f}%"


def lost_figure(plan: Plan, summary: Summary, cut_loss: int | None) -> tuple[str, bool]:
    """Tokens that are not trained, too long or cut, and whether there are any.

    `cut_loss` is what the cuts lose, None where only the most is known: `≤1,204`.
    """
    if not summary.cut:
        cut_loss = 0
    if cut_loss is None:
        return f"≤{brief(plan.lost_tokens + summary.lost_tokens)}", True
    lost = plan.lost_tokens + cut_loss
    return figure(lost), lost > 0


def speedup(plan: Plan, strategy: Packing) -> str:
    """`2.14×`; `~` where padded batches are drawn at random."""
    about = "" if strategy == "none" or plan.of("none").exact else "~"
    faster = plan.speedup(strategy)
    return f"{about}{faster:.{2 if faster < 9.995 else 1}f}×"


def sequences_a_step(plan: Plan, strategy: Packing) -> str:
    """How many sequences one optimizer step sees, on average: `8`, `18`, `2.4`."""
    bins = plan.of(strategy).bins
    many = plan.sequences * min(plan.step_batches, bins) / bins if bins else 0.0
    return f"{many:.1f}" if many < 10 and not many.is_integer() else figure(round(many))


def plural(count: int, word: str, words: str = "") -> str:
    """`1 bin`, `7,472 bins`."""
    return f"{count:,} {word if count == 1 else words or f'{word}s'}"


# -- the subject


def subject(
    recipe: Recipe, plan: Plan | None, overview: Overview | None, width: int, cut_loss: int | None = None
) -> Content:
    """What the recipe's packing makes of its rows, in one line; what matters least gives way first."""
    packing = recipe.data.packing
    state = _state(plan, overview)
    # (text, style, how soon it gives way)
    parts: list[tuple[str, str, int]] = [
        (packing if packing != "none" else "not packed", "bold", 0),
        (f"max_length {recipe.data.max_length:,}", "", 6),
    ]
    if plan is not None and plan.sequences:
        summary = plan.of(packing)
        lost, loses = lost_figure(plan, summary, cut_loss)
        unit = " tokens" if loses and width >= ROOM_FOR_UNITS else ""
        fill, padding = fill_and_padding(summary)
        sequences = figure(plan.sequences)
        bins = f" → {figure(summary.bins)} bins" if packing != "none" else ""
        parts += [
            (f"{sequences} sequences{bins}", "", 1 if bins else 6),
            (f"fill {fill}", "bold", 3),
            (f"padding {padding}", "", 9),
            (f"lost {lost}{unit}", "bold $text-warning" if loses else "", 2 if loses else 5),
            (f"{figure(plan.steps(packing))} steps an epoch", "", 7),
        ]
        best = packing if packing != "none" else "best_fit"
        faster = f"speed-up {speedup(plan, best)}"
        if best != packing:
            faster = f"{best}: {figure(plan.of(best).bins)} bins, {faster}"
        parts.append((faster, "", 8 if best == packing else 4))
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
    each = _column(width)
    return f"{'':{NAME}}" + "".join(f"{name:>{each + EXTRA.get(name, 0)}}" for name in _columns(width))


def strategy_line(
    plan: Plan | None, strategy: Packing, chosen: Packing, width: int, cut_loss: int | None = None
) -> list[tuple[str, str]]:
    """Bins, fill, padding, tokens lost, steps an epoch, sequences a step, and how much faster than padded
    batches; padding and sequences where there is room. `cut_loss`: see `lost_figure`.
    """
    each, names = _column(width), _columns(width)
    name = (f"{strategy + (' ◂' if strategy == chosen else ''):{NAME}}", "")
    if plan is None or not plan.sequences:
        return [name, *((f"{'·':>{each + EXTRA.get(column, 0)}}", "muted") for column in names)]
    summary = plan.of(strategy)
    bins = "–" if strategy == "none" else figure(summary.bins)
    if plan.exact and not summary.exact and strategy == "next_fit":
        bins = f"~{brief(summary.bins)}"
    lost, loses = lost_figure(plan, summary, cut_loss)
    fill, padding = fill_and_padding(summary)
    texts = {
        "bins": bins,
        "fill": fill,
        "padding": padding,
        "lost": lost,
        "steps": figure(plan.steps(strategy)),
        "seq/step": sequences_a_step(plan, strategy),
        "speed": speedup(plan, strategy),
    }
    styles = {"lost": "warning" if loses else ""}
    cells = ((f"{texts[column]:>{each + EXTRA.get(column, 0)}}", styles.get(column, "")) for column in names)
    return [name, *cells]


def _columns(width: int) -> list[str]:
    """The columns that there is room for."""
    names = ["bins", "fill", "padding", "lost", "steps", "seq/step", "speed"]
    for spare in ("seq/step", "padding"):
        if width < NAME + sum(FIGURE + EXTRA.get(name, 0) for name in names):
            names.remove(spare)
    return names


def _column(width: int) -> int:
    """Cells of a column: a little wider where there is room."""
    names = _columns(width)
    least = NAME + sum(FIGURE + EXTRA.get(name, 0) for name in names)
    return FIGURE + min(max(width - least, 0) // len(names), 3)


def strategy_words(plan: Plan | None, strategy: Packing, *, more: bool = False) -> Content:
    """Two lines: how a strategy goes about it, and what that comes to; `more`: what steps and speed mean."""
    summary = plan.of(strategy) if plan is not None and plan.sequences else None
    first = {
        "none": "batches of {batch}, padded to the longest",
        "next_fit": "in the order of the rows, a new bin if it is full",
        "best_fit": "longest first, each where it fits best",
        "wrapped": "end to end, cut where a bin is full",
    }[strategy]
    first = first.format(batch=plan.batch_size if plan is not None else 1)
    second = _comes_to(plan, summary)
    if more and plan is not None and plan.sequences:
        steps, batches = sequences_a_step(plan, strategy), sequences_a_step(plan, "none")
        unpacked = f" ({batches} without packing)" if strategy != "none" else ""
        second += f"\n{steps} sequences an optimizer step{unpacked}"
        second += f"\nspeed: tokens computed by padded batches of {plan.batch_size:,},\n"
        second += "over those in the bins"
    return Content.assemble((f"{first}\n", ""), (second, MUTED))


def _comes_to(plan: Plan | None, summary: Summary | None) -> str:
    if plan is None or summary is None:
        return ""
    if summary.strategy == "none":
        about = "" if summary.exact else "~"
        return f"{about}{figure(summary.padded_tokens - summary.tokens)} tokens of padding in an epoch"
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
