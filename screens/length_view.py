"""The slider of max_length and what a length would come to, as text: pure functions of plans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from .figures import figure
from .packing_pictures import slider
from .packing_view import FIGURE, MUTED, fill_and_padding, lost_figure, plural

if TYPE_CHECKING:
    from sftui.data.overview import Overview
    from sftui.data.packing.plan import Plan
    from sftui.recipe import Packing, Recipe

    Sides = tuple[Overview | None, Overview | None]

TYPICAL = (512, 1024, 2048, 4096, 8192, 16384)
# Where the slider ends; any number can be typed.
LEAST, MOST = 32, 2**20
# From so many cells on, three figures stand side by side.
THREE = 48
# Cells before the slider.
BAR_AT = 10


def length_panel(
    recipe: Recipe,
    plan: Plan | None,
    strategy: Packing,
    length: int,
    ends: tuple[int, int],
    width: int,
    cut_loss: int | None = None,
    peak: str = "",
) -> Content:
    """The slider at `length` between its `ends`, what that length comes to, and how to go on.

    `cut_loss`: see `lost_figure`; `peak` is the memory of a step, `RAM  ~1.8 GiB`.
    """
    own, (low, high) = recipe.data.max_length, ends
    bar = slider(length, min(low, length), max(high, length), own, max(8, width - BAR_AT))
    lines = [Content.assemble((f"{length:>8,}", "bold"), "  ", bar)]
    lines += [
        _pairs(pairs, width) for pairs in _figures(recipe, plan, strategy, length, width, cut_loss, peak)
    ]
    if length == own:
        lines.append(Content.styled("← → and - + try another, x takes a number", MUTED))
    else:
        lines.append(Content.styled(f"Enter applies {length:,}, Esc puts {own:,} back", "bold $accent"))
    return Content("\n").join([line.truncate(width, ellipsis=True) for line in lines])


def length_range(own: int, longest: int) -> tuple[int, int]:
    """The ends of the slider, powers of two."""
    return 64, 2 ** max(13, (max(own, longest) - 1).bit_length())


def _figures(
    recipe: Recipe,
    plan: Plan | None,
    strategy: Packing,
    length: int,
    width: int,
    cut_loss: int | None,
    peak: str,
) -> list[list[tuple[str, str, str]]]:
    """(name, value, style) in lines."""
    values = [("bins", "·", ""), ("fill", "·", ""), ("steps", "·", "")]
    dropped, truncated, lost = ("dropped", "·", ""), ("truncated", "·", ""), ("lost", "·", "")
    batch, policy = "·", recipe.data.overlength
    if plan is not None and plan.longest:
        left_out = plan.dropped + plan.untrained
        name = "refused" if policy == "error" and plan.dropped else "dropped"
        dropped = name, figure(left_out), "warning" if left_out else ""
        truncated = "truncated", figure(plan.truncated), "warning" if plan.truncated else ""
        tokens, loses = lost_figure(plan, plan.of(strategy), cut_loss)
        lost = "lost", tokens, "warning" if loses else ""
    if plan is not None and plan.sequences:
        summary = plan.of(strategy)
        values = [
            ("bins", "–" if strategy == "none" else figure(summary.bins), ""),
            ("fill", fill_and_padding(summary)[0], ""),
            ("steps", figure(plan.steps(strategy)), ""),
        ]
        each = min(length, plan.longest) if strategy == "none" else length
        many = plural(plan.batch_size, "sequence" if strategy == "none" else "bin")
        batch = f"≤ {figure(plan.batch_size * each)} tokens: {many}"
    micro = [("a micro-batch", batch, "")]
    if plan is not None and plan.sequences and peak:
        name, _, amount = peak.partition("  ")
        micro = [(name, f"{amount} for {batch}", "")]
    if width < THREE:
        return [values[:2], [truncated if policy == "truncate" else dropped, lost], micro]
    return [values, [dropped, truncated, lost], micro]


def peak_words(recipe: Recipe, strategy: Packing, length: int, sides: Sides, on_gpu: bool) -> str:
    """`RAM  ~1.8 GiB` or, on a GPU, `GPU memory  9.7 GiB` of a step; nothing where it is not known.

    `sides` are the overviews of the training rows and of `data.eval`. What counts bytes is imported here.
    """
    from sftui.memory.known import Known
    from sftui.memory.recipe_peak import answer_in_short

    from .memory_view import brief

    data = recipe.data.model_copy(update={"max_length": length, "packing": strategy})
    changed = recipe.model_copy(update={"data": data})
    found = answer_in_short(changed, Known.of(changed, *sides))
    if found is None:
        return ""
    if on_gpu:
        return f"GPU memory  {brief(found.estimate.peak_bytes)}"
    return f"RAM  ~{brief(found.ram_bytes)}"


def _pairs(pairs: Sequence[tuple[str, str, str]], width: int) -> Content:
    if len(pairs) == 1:
        name, value, _ = pairs[0]
        return Content.assemble((f"{name}  ", MUTED), value)
    each = (width - 2 * (len(pairs) - 1)) // len(pairs)
    cells = []
    for name, value, style in pairs:
        colour = "bold $text-warning" if style == "warning" else "bold"
        cells.append(Content.assemble((name, MUTED), (f"{value:>{max(each - len(name), 1)}}", colour)))
    return Content("  ").join(cells)


def lengths_table(
    own: int,
    plans: Mapping[int, Plan],
    lengths: Sequence[int],
    strategy: Packing,
    cut_loss: int | None = None,
) -> Content:
    """What some lengths come to, a line each; the recipe's own, whose cuts lose `cut_loss`, is marked."""
    if not lengths:
        return Content("")
    head = f"{'length':>8}{'bins':>{FIGURE}}{'fill':>{FIGURE}}{'dropped':>{FIGURE + 1}}"
    lines = [Content.styled(f"{head}{'lost':>{FIGURE}}{'steps':>{FIGURE}}", MUTED)]
    for length in lengths:
        plan = plans.get(length)
        cells = f"{'·':>{FIGURE}}{'·':>{FIGURE}}{'·':>{FIGURE + 1}}{'·':>{FIGURE}}{'·':>{FIGURE}}"
        if plan is not None and plan.sequences:
            summary = plan.of(strategy)
            bins = "–" if strategy == "none" else figure(summary.bins)
            cells = (
                f"{bins:>{FIGURE}}{fill_and_padding(summary)[0]:>{FIGURE}}"
                f"{figure(plan.dropped + plan.untrained):>{FIGURE + 1}}"
                f"{lost_figure(plan, summary, cut_loss if length == own else None)[0]:>{FIGURE}}"
                f"{figure(plan.steps(strategy)):>{FIGURE}}"
            )
        here = length == own
        lines.append(Content.styled(f"{'▸' if here else ' '}{length:>7,}{cells}", "bold" if here else ""))
    return Content("\n").join(lines)


def stepped(length: int, steps: int) -> int:
    """The slider's next place: sixteen to a power of two."""
    begun = length
    for _ in range(abs(steps)):
        # Downwards, a power of two belongs to the finer steps below it.
        below = length if steps > 0 else length - 1
        step = max(1, (1 << max(below, 2).bit_length() - 1) // 16)
        length = (length // step + 1) * step if steps > 0 else (-(-length // step) - 1) * step
    return _within(length, begun)


def doubled(length: int, steps: int) -> int:
    """The next power of two, or the one before."""
    power = 1 << (length.bit_length() if steps > 0 else (length - 1).bit_length() - 1)
    return _within(power, length)


def _within(length: int, begun: int) -> int:
    """Between the ends, unless it was beyond them before."""
    return min(max(length, min(LEAST, begun)), max(MOST, begun))


def at_share(share: float, low: int, high: int) -> int:
    """The slider's place nearest to a share of the way from `low` to `high`."""
    length: float = low * (high / low) ** min(max(share, 0.0), 1.0)
    step = max(1, (1 << int(length).bit_length() - 1) // 16)
    return min(max(round(length / step) * step, LEAST), MOST)


def table_lengths(own: int, most: int) -> list[int]:
    """At most `most` lengths worth a look, the recipe's own among them."""
    typical = [length for length in TYPICAL if length != own]
    while typical and len(typical) >= most:
        # The farthest from what the recipe has says least.
        typical.remove(max(typical, key=lambda each: max(each / own, own / each)))
    return sorted([*typical, own])[: max(most, 0)]
