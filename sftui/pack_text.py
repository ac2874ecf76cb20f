"""What `sftui pack` prints: the strategies side by side, and the rows of each bin."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sftui.data.model_files import model_directory
from sftui.data.packing.bins import Bins, bins_of
from sftui.data.packing.packable import Packable, packable
from sftui.data.packing.plan import STRATEGIES
from sftui.data.template_files import read_object
from sftui.json_text import json_text
from sftui.packing_support import refusal
from sftui.printable import printable
from sftui.recipe import Packing, Recipe
from sftui.rows_progress import rows_progress

if TYPE_CHECKING:
    from rich.text import Text

_HEADS = ("", "bins", "fill", "padding", "steps", "speed-up", "cut")
_SPARE = ("cut", "padding", "speed-up")  # left out where there is no room, in this order


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What is known of a recipe's packing; `unsupported` says why its model cannot be packed."""

    recipe: Recipe
    strategy: Packing
    packable: Packable
    unsupported: str | None

    def bins(self, strategy: Packing | None = None) -> Bins:
        """The bins of the strategy, or of another."""
        kept, plan = self.packable.kept, self.packable.plan
        seed = self.recipe.training.seed
        return bins_of(kept, strategy or self.strategy, plan.max_length, seed, plan.batch_size)


def look(recipe: Recipe, strategy: Packing | None) -> Answer:
    """Pack a recipe's rows, by its own strategy or another. Raises InputError."""
    directory = model_directory(recipe.model.name_or_path, recipe.model.revision)
    unsupported = refusal(read_object(directory / "config.json"))
    with rows_progress() as progress:
        found = packable(recipe, progress)
    return Answer(recipe, strategy or recipe.data.packing, found, unsupported)


def print_answer(answer: Answer, *, as_json: bool, with_layout: bool) -> None:
    """Print it on stdout; what is wrong goes to stderr."""
    for problem in problems(answer):
        print(f"sftui: {problem}", file=sys.stderr)
    if as_json:
        sys.stdout.writelines(json_lines(answer, with_layout=with_layout))
        return
    from rich.console import Console

    console = Console(highlight=False)
    width = console.width if console.is_terminal else None
    console.print(render(answer, width), soft_wrap=width is None)
    if with_layout:
        sys.stdout.writelines(layout_lines(answer.bins()))


def problems(answer: Answer) -> list[str]:
    """Why a run would not start, or not pack."""
    found = list(answer.packable.refusals)
    if answer.unsupported is not None and answer.strategy != "none":
        found.append(f"this model cannot be packed: {answer.unsupported}")
    return [printable(problem) for problem in found]


def verdict(answer: Answer) -> int:
    """The exit code: 1 if the rows are such that a run would not start."""
    return int(bool(answer.packable.refusals))


def to_json(answer: Answer) -> dict[str, Any]:
    """The answer of `pack --json`, without the layout."""
    plan = answer.packable.plan
    strategies = [_numbers(answer, strategy) for strategy in STRATEGIES]
    return {
        "strategy": answer.strategy,
        "max_length": plan.max_length,
        "sequences": plan.sequences,
        "tokens": plan.tokens,
        "lower_bound": plan.of(answer.strategy).lower_bound,
        "longest": plan.longest,
        "dropped": plan.dropped,
        "truncated": plan.truncated,
        "untrained": plan.untrained,
        "overlength_tokens": plan.lost_tokens,
        "batch_size": plan.batch_size,
        "unsupported": answer.unsupported,
        "refusals": list(answer.packable.refusals),
        **strategies[STRATEGIES.index(answer.strategy)],
        "strategies": strategies,
    }


def _numbers(answer: Answer, strategy: Packing) -> dict[str, Any]:
    plan = answer.packable.plan
    one = plan.of(strategy)
    return {
        "strategy": strategy,
        "bins": one.bins,
        "fill": round(one.fill, 6),
        "padding": one.padded_tokens - one.tokens,
        "cut": one.cut,
        "lost_tokens": answer.bins(strategy).lost_tokens() if one.cut else 0,
        "steps": plan.steps(strategy),
        "speedup": round(plan.speedup(strategy), 4),
        "exact": one.exact,
    }


def json_lines(answer: Answer, *, with_layout: bool) -> Iterator[str]:
    """The JSON document in pieces: one list of row numbers a line, so that a long layout is never whole."""
    document = json_text(to_json(answer), indent=2)
    if not with_layout:
        yield f"{document}\n"
        return
    yield document.removesuffix("\n}")
    yield ',\n  "layout": ['
    before = "\n"
    for rows in answer.bins().rows():
        yield f"{before}    [{', '.join(map(str, rows))}]"
        before = ",\n"
    yield "\n  ]\n}\n"


def layout_lines(bins: Bins) -> Iterator[str]:
    """A line a bin: its number, its tokens, the rows in it."""
    yield "\n"
    width, room = len(f"{len(bins) - 1:,}"), len(f"{bins.layout.max_length:,}")
    for number, (tokens, rows) in enumerate(zip(bins.layout.tokens(), bins.rows(), strict=True)):
        yield f"bin {number:>{width},}  {tokens:>{room},} tokens  rows {' '.join(map(str, rows))}\n"


def render(answer: Answer, width: int | None = None) -> Text:
    """The answer of `pack` for people; columns that `width` has no room for are left out."""
    from rich.text import Text

    plan = answer.packable.plan
    text = Text()
    text.append("training: ", style="bold")
    text.append(f"{_some(plan.sequences, 'sequence')}, {plan.tokens:,} tokens, longest {plan.longest:,}\n")
    text.append(f"max_length {plan.max_length:,}: ")
    longer = [
        f"{number:,} longer {'is' if number == 1 else 'are'} {word}"
        for number, word in ((plan.dropped, "left out"), (plan.truncated, "truncated"))
        if number
    ]
    if longer:
        text.append(f"{', '.join(longer)}, {plan.lost_tokens:,} tokens lost\n", style="yellow")
    else:
        text.append("nothing is longer\n")
    if plan.untrained:
        text.append(f"{plan.untrained:,} without a trained token are left out\n", style="yellow")
    text.append(f"without cuts, no packing takes fewer bins than {plan.of('none').lower_bound:,}\n\n")
    for style, line in _table(answer, width):
        text.append(f"{line}\n", style=style)
    text.append(
        f"speed-up: tokens computed by padded batches of {plan.batch_size:,}, over those in the bins\n", "dim"
    )
    if not plan.of("none").exact:
        text.append("~ is to be expected of batches drawn at random\n", style="dim")
    text.rstrip()
    return text


def _table(answer: Answer, width: int | None) -> Iterator[tuple[str, str]]:
    """The lines of the table, each with its style."""
    plan, recipe = answer.packable.plan, answer.recipe
    expected = "" if plan.of("none").exact else "~"
    rows = [dict(zip(_HEADS, _HEADS, strict=True))]
    for strategy in STRATEGIES:
        one = plan.of(strategy)
        padded = strategy == "none"
        full = int(one.fill * 1000) / 10  # rounded down, so that 100% is full
        about, faster = (expected, "") if padded else ("", expected)
        rows.append(
            {
                "": strategy,
                "bins": "" if padded else f"{one.bins:,}",
                "fill": f"{about}{full:.1f}%",
                "padding": f"{about}{100 - full:.1f}%",
                "steps": f"{plan.steps(strategy):,}",
                "speed-up": f"{faster}{plan.speedup(strategy):.2f}x",
                "cut": f"{one.cut:,}" if one.cut else "",
            }
        )
    widths = {head: max(len(row[head]) for row in rows) for head in _HEADS}
    shown = list(_HEADS)
    for head in _SPARE:
        if width is not None and 2 + sum(widths[each] + 2 for each in shown) + len("recipe") > width:
            shown.remove(head)
    for row, which in zip(rows, (None, *STRATEGIES), strict=True):
        cells = [row[head].rjust(widths[head]) if head else row[head].ljust(widths[head]) for head in shown]
        sign = "▸" if which == answer.strategy else " "
        note = "recipe" if which == recipe.data.packing else ""
        style = "dim" if which is None else "bold green" if which == answer.strategy else ""
        yield style, f"{sign} {'  '.join(cells)}  {note}".rstrip()


def _some(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
