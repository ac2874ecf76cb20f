"""What `sftui pack` prints: the strategies side by side, and the rows of each bin."""

from __future__ import annotations

import sys
from collections.abc import Container, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sftui.data.model_files import model_directory
from sftui.data.packing.bins import Bins, bins_of
from sftui.data.packing.packable import NOTHING_REMAINS, Packable, packable
from sftui.data.packing.plan import STRATEGIES, Plan
from sftui.data.template_files import read_object
from sftui.json_text import json_text
from sftui.packing_support import refusal
from sftui.printable import printable
from sftui.recipe import Packing, Recipe
from sftui.rows_progress import rows_progress
from sftui.words import counted, remainder, share

if TYPE_CHECKING:
    from rich.text import Text

_HEADS = ("", "bins", "fill", "padding", "cut", "lost", "steps", "per step", "speed-up")
_SPARE = ("padding", "per step", "speed-up", "cut", "lost")  # left out where there is no room, in this order


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """What is known of a recipe's packing; `unsupported` says why its model cannot be packed."""

    recipe: Recipe
    strategy: Packing
    packable: Packable
    unsupported: str | None

    @property
    def refusals(self) -> tuple[str, ...]:
        """Why a run with the strategy would not start."""
        found = self.packable.refusals
        if self.unsupported is None or self.strategy == "none":
            return found
        return (*found, f"this model cannot be packed: {self.unsupported}")

    def lost_tokens(self, strategy: Packing) -> int:
        """Tokens that a strategy leaves untrained, for a cut just before them."""
        return self.bins(strategy).lost_tokens() if self.packable.plan.of(strategy).cut else 0

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
    for problem in answer.refusals:
        print(f"sftui: {printable(problem)}", file=sys.stderr)
    if as_json:
        sys.stdout.writelines(json_lines(answer, with_layout=with_layout))
        return
    from rich.console import Console

    console = Console(highlight=False)
    width = console.width if console.is_terminal else None
    console.print(render(answer, width), soft_wrap=width is None)
    if with_layout:
        sys.stdout.writelines(layout_lines(answer.bins()))


def verdict(answer: Answer) -> int:
    """The exit code: 1 if a run would not start."""
    return int(bool(answer.refusals))


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
        "refusals": list(answer.refusals),
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
        "lost_tokens": answer.lost_tokens(strategy),
        "steps": plan.steps(strategy),
        "sequences_per_step": round(plan.sequences_per_step(strategy), 2),
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
    text.append(f"{counted(plan.sequences, 'sequence')}, {plan.tokens:,} tokens, longest {plan.longest:,}\n")
    text.append(f"max_length {plan.max_length:,}: ")
    for style, line in _losses(answer):
        text.append(f"{line}\n", style=style)
    text.append(f"without cuts, no packing takes fewer bins than {plan.of('none').lower_bound:,}\n\n")
    rows = _rows(answer)
    heads = _shown(rows, width)
    for style, line in _table(answer, rows, heads):
        text.append(f"{line}\n", style=style)
    for note in _notes(plan, heads):
        text.append(f"{note}\n", style="dim")
    text.rstrip()
    return text


def _losses(answer: Answer) -> Iterator[tuple[str, str]]:
    """What is left out before anything is packed, each line with its style."""
    plan, data = answer.packable.plan, answer.recipe.data
    out = f"left out: {NOTHING_REMAINS}" if data.overlength == "truncate" else "left out"
    longer = [
        f"{number:,} longer {'is' if number == 1 else 'are'} {word}"
        for number, word in ((plan.truncated, "truncated"), (plan.dropped, out))
        if number
    ]
    if longer:
        yield "yellow", f"{', '.join(longer)}; {plan.lost_tokens:,} tokens lost"
    else:
        yield "", "nothing is longer"
    if plan.dropped and answer.strategy == "wrapped" and data.overlength == "drop":
        kept = "beginning" if data.truncation_side == "right" else "end"
        yield (
            "yellow",
            "longer sequences are dropped before wrapping (data.overlength: drop); "
            f"overlength: truncate keeps their {kept}",
        )
    if plan.untrained:
        yield "yellow", f"{plan.untrained:,} without a trained token are left out"


def _rows(answer: Answer) -> list[dict[str, str]]:
    """The cells of the table by their heads, the heads first."""
    plan = answer.packable.plan
    expected = "" if plan.of("none").exact else "~"
    rows = [dict(zip(_HEADS, _HEADS, strict=True))]
    for strategy in STRATEGIES:
        one = plan.of(strategy)
        padded = strategy == "none"
        about, faster = (expected, "") if padded else ("", expected)
        rows.append(
            {
                "": strategy,
                "bins": "" if padded else f"{one.bins:,}",
                "fill": f"{about}{share(one.fill)}",
                "padding": f"{about}{remainder(one.fill)}",
                "cut": f"{one.cut:,}" if one.cut else "",
                "lost": f"{answer.lost_tokens(strategy):,}" if one.cut else "",
                "steps": f"{plan.steps(strategy):,}",
                "per step": f"{plan.sequences_per_step(strategy):,.1f}",
                "speed-up": f"{faster}{plan.speedup(strategy):.2f}x",
            }
        )
    return rows


def _shown(rows: list[dict[str, str]], width: int | None) -> dict[str, int]:
    """The heads that there is room for, with the widths of their columns."""
    widths = {head: max(len(row[head]) for row in rows) for head in _HEADS}
    for head in _SPARE:
        if width is not None and 2 + sum(each + 2 for each in widths.values()) + len("recipe") > width:
            del widths[head]
    return widths


def _table(answer: Answer, rows: list[dict[str, str]], heads: dict[str, int]) -> Iterator[tuple[str, str]]:
    """The lines of the table, each with its style."""
    for row, which in zip(rows, (None, *STRATEGIES), strict=True):
        cells = [f"{row[head]:{'>' if head else '<'}{width}}" for head, width in heads.items()]
        sign = "▸" if which == answer.strategy else " "
        note = "recipe" if which == answer.recipe.data.packing else ""
        style = "dim" if which is None else "bold green" if which == answer.strategy else ""
        yield style, f"{sign} {'  '.join(cells)}  {note}".rstrip()


def _notes(plan: Plan, heads: Container[str]) -> Iterator[str]:
    """What the columns that are shown mean, where their heads do not tell."""
    if plan.of("wrapped").cut and "cut" in heads:
        yield "cut: sequences that lie in more than one bin"
    if plan.of("wrapped").cut and "lost" in heads:
        yield "lost: tokens that are not trained because a cut is just before them"
    if "per step" in heads:
        batches = plan.step_batches
        yield f"per step: sequences in an optimizer step of {counted(batches, 'sequence')}, or bins if packed"
    if "speed-up" in heads:
        yield f"speed-up: tokens computed by padded batches of {plan.batch_size:,}, over those in the bins"
        yield "speed-up: no padding is computed in bins (varlen or flash attention)"
    if not plan.of("none").exact:
        yield "~ is to be expected of batches drawn at random"
