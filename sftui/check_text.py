"""What `sftui check` prints: the findings of a dataset, worst first, and what its sequences are like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sftui.data.analysis import analyse
from sftui.data.overview import Overview
from sftui.data.reader import DatasetSpec
from sftui.data.views import Finding, Side, Used
from sftui.json_text import json_text
from sftui.printable import printable
from sftui.recipe import Recipe
from sftui.rows_progress import rows_progress
from sftui.words import counted

if TYPE_CHECKING:
    from rich.text import Text

_STYLES = {"error": "bold red", "warning": "bold yellow", "info": "bold cyan"}
_SIGNS = {"error": "✗", "warning": "!", "info": "·"}


def look(recipe: Recipe) -> dict[Side, Overview]:
    """Analyse a recipe's dataset, with a word on stderr on how far that is. Raises InputError."""
    with rows_progress() as progress:
        return analyse(DatasetSpec.of(recipe), progress)


def print_answer(overviews: Mapping[Side, Overview], *, as_json: bool) -> None:
    """Print it on stdout."""
    if as_json:
        print(json_text(to_json(overviews), indent=2))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(render(overviews), soft_wrap=not console.is_terminal)


def findings_of(overviews: Mapping[Side, Overview]) -> tuple[Finding, ...]:
    """The findings of the whole dataset: the training side has those of both."""
    return overviews["train"].findings


def to_json(overviews: Mapping[Side, Overview]) -> dict[str, Any]:
    """The answer of `check --json`."""
    train = overviews["train"]
    result: dict[str, Any] = {
        "rows": train.rows,
        "sequences": train.sequences,
        "tokens": train.tokens,
        "trained_tokens": train.trained_tokens,
        "used": asdict(train.used) if train.used is not None else None,
        "held_out": asdict(train.held_out) if train.held_out is not None else None,
        "formats": dict(train.formats),
        "percentiles": _percentiles(train),
        "overlength": _cost(train),
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity,
                "count": finding.count,
                "eval_count": finding.eval_count,
                "rows": list(finding.rows),
                "eval_rows": list(finding.eval_rows),
                "message": finding.message,
                "why": finding.why,
                "remedy": finding.remedy,
                "examples": list(finding.examples),
            }
            for finding in findings_of(overviews)
        ],
    }
    if "eval" in overviews:
        held_out = overviews["eval"]
        result["eval"] = {
            "rows": held_out.rows,
            "sequences": held_out.sequences,
            "tokens": held_out.tokens,
            "trained_tokens": held_out.trained_tokens,
            "used": asdict(held_out.used) if held_out.used is not None else None,
            "percentiles": _percentiles(held_out),
        }
    return result


def _percentiles(overview: Overview) -> dict[str, int] | None:
    if overview.percentiles is None:
        return None
    return dict(zip(("p5", "p50", "p95", "p99", "max"), overview.percentiles, strict=True))


def _cost(overview: Overview) -> dict[str, Any] | None:
    cost = overview.cost
    if cost is None:
        return None
    return {
        "max_length": cost.max_length,
        "sequences": cost.sequences,
        **{
            name: {
                "sequences": loss.sequences,
                "tokens": loss.tokens,
                "trained_tokens": loss.trained_tokens,
                "emptied": loss.emptied,
            }
            for name, loss in (
                ("drop", cost.drop),
                ("truncate_right", cost.truncate_right),
                ("truncate_left", cost.truncate_left),
            )
        },
    }


def render(overviews: Mapping[Side, Overview]) -> Text:
    """The answer of `check` for people."""
    from rich.text import Text

    text = Text()
    for side, overview in overviews.items():
        text.append_text(_side(side, overview))
    findings = findings_of(overviews)
    if not findings:
        text.append("\nnothing found\n", style="bold green")
    for finding in findings:
        text.append(f"\n{_SIGNS[finding.severity]} {finding.message}", style=_STYLES[finding.severity])
        text.append(f"  [{finding.code}]\n", style="dim")
        text.append(f"  {finding.why}\n  {finding.remedy}\n")
        for example in finding.examples:
            text.append(f"    {printable(example)}\n", style="dim")
    return text


def _side(side: Side, overview: Overview) -> Text:
    from rich.text import Text

    text = Text()
    name = "training" if side == "train" else "held out"
    formats = ", ".join(
        f"{kind} ({rows:,})" if len(overview.formats) > 1 else kind for kind, rows in overview.formats
    )
    share = 100 * overview.trained_tokens / overview.tokens if overview.tokens else 0.0
    text.append(f"{name}: ", style="bold")
    text.append(f"{counted(overview.rows, 'row')} ({formats or 'none readable'}), ")
    text.append(f"{counted(overview.sequences, 'sequence')}, {overview.tokens:,} tokens, ")
    text.append(f"{overview.trained_tokens:,} trained ({share:.0f}%)\n")
    if overview.used is not None:
        text.append(f"  {_used('evaluated' if side == 'eval' else 'trained on', overview.used)}\n")
    if overview.held_out is not None:
        text.append(f"  {_used('held out', overview.held_out)}\n")
    if overview.percentiles is not None:
        named = zip(("p5", "p50", "p95", "p99", "max"), overview.percentiles, strict=True)
        text.append(f"  tokens a sequence: {'  '.join(f'{label} {value:,}' for label, value in named)}\n")
    cost = overview.cost
    if cost is not None and cost.sequences:
        text.append(f"  {cost.sequences:,} sequences are longer than max_length {cost.max_length:,}: ")
        text.append(
            f"drop loses {cost.drop.trained_tokens:,} trained tokens, truncate "
            f"{cost.truncate_right.trained_tokens:,}, truncate keeping the end "
            f"{cost.truncate_left.trained_tokens:,}\n"
        )
    return text


def _used(name: str, used: Used) -> str:
    return (
        f"{name}: {counted(used.sequences, 'sequence')} of {counted(used.rows, 'row')}, "
        f"{used.tokens:,} tokens, {used.trained_tokens:,} trained"
    )


def verdict(findings: tuple[Finding, ...]) -> int:
    """The exit code: 1 if any finding is an error."""
    return int(any(finding.severity == "error" for finding in findings))
