"""The statistics of a dataset in words: percentiles, shares, what each choice for long sequences costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content

from .figures import WIDTH, figure

if TYPE_CHECKING:
    from sftui.data.overview import Loss, OverlengthCost, Overview
    from sftui.recipe import Recipe


def statistics(overview: Overview, recipe: Recipe, width: int) -> Content:
    """Percentiles, the share that is trained, what each choice for overlong sequences costs."""
    lines: list[Content] = []
    if overview.percentiles is not None:
        _, half, most, nearly, longest = overview.percentiles
        pairs = (("p50", half), ("p95", most), ("p99", nearly), ("max", longest))
        lines.append(
            Content("  ").join(
                [
                    Content.assemble((f"{name} ", "$foreground-muted"), (f"{value:,}", "bold"))
                    for name, value in pairs
                ]
            )
        )
    else:
        lines.append(Content.styled("percentiles come with the first rows", "$foreground-muted"))
    share = overview.trained_tokens / overview.tokens if overview.tokens else 0.0
    lines.append(
        Content.assemble(
            ("trained ", "$foreground-muted"),
            (f"{share:.0%}", "bold"),
            f" of {overview.tokens:,} tokens",
        )
    )
    lines += cost_lines(overview.cost, recipe)
    return Content("\n").join([line.truncate(width, ellipsis=True) for line in lines])


def cost_lines(cost: OverlengthCost | None, recipe: Recipe) -> list[Content]:
    """What becomes of sequences longer than max_length, a line a choice; the recipe's own is marked."""
    if cost is None:
        return []
    if not cost.sequences:
        return [_longer(cost)]
    chosen = policy_of(recipe)
    refused = [_choice("error", "a run does not start", chosen)] if chosen == "error" else []
    return [_longer(cost), *_losses(cost, chosen)[len(refused) :], *refused]


def policy_of(recipe: Recipe) -> str:
    """What the recipe does with a longer sequence: drop, truncate right, truncate left, error."""
    data = recipe.data
    return f"truncate {data.truncation_side}" if data.overlength == "truncate" else data.overlength


def policies(cost: OverlengthCost | None, length: int, chosen: str) -> Content:
    """Five lines: how many sequences are longer than `length`, and what each choice does with them."""
    if cost is None:
        head = Content.styled(f"longer than {length:,}: not counted yet", "$foreground-muted")
        lines = [_choice(name, "", chosen) for name in ("drop", "truncate right", "truncate left")]
    else:
        head, lines = _longer(cost), _losses(cost, chosen)
    return Content("\n").join([head, *lines, _choice("error", "nothing: a run does not start", chosen)])


def _longer(cost: OverlengthCost) -> Content:
    if not cost.sequences:
        return Content.assemble(("none ", "bold $text-success"), f"longer than {cost.max_length:,}")
    plural = "" if cost.sequences == 1 else "s"
    text = f"{cost.sequences:,} sequence{plural} longer than {cost.max_length:,}; what is lost:"
    return Content.styled(text, "bold $text-warning")


def _losses(cost: OverlengthCost, chosen: str) -> list[Content]:
    losses = (
        ("drop", cost.drop),
        ("truncate right", cost.truncate_right),
        ("truncate left", cost.truncate_left),
    )
    return [_choice(name, _loss(loss), chosen) for name, loss in losses]


def _loss(loss: Loss) -> str:
    emptied = f", {figure(loss.emptied)} emptied" if loss.emptied else ""
    return f"{figure(loss.tokens):>{WIDTH}} tokens, {figure(loss.trained_tokens):>{WIDTH}} trained{emptied}"


def _choice(name: str, text: str, chosen: str) -> Content:
    mark = "▸ " if name == chosen else "  "
    return Content.assemble((f"{mark}{name:<14} ", "bold" if name == chosen else "$foreground-muted"), text)
