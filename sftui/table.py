"""Runs as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence

from sftui.runs.listing import Listed
from sftui.runs.status import Status
from sftui.words import count, duration, number, size


def runs_as_json(listed: Sequence[Listed]) -> str:
    """One JSON array, newest run first."""
    now = time.time()
    return json.dumps(
        [
            {
                "id": one.run.id,
                "state": one.status.state,
                "step": one.status.step,
                "max_steps": one.status.max_steps,
                "loss": one.status.loss,
                "eval_loss": one.status.eval_loss,
                "tokens": one.status.tokens,
                "seconds": round(one.status.seconds(now), 1),
                "pid": one.status.pid if one.status.alive else None,
                "detail": one.status.detail,
                "path": str(one.run.path),
                "error": one.status.error.cause if one.status.error else None,
            }
            for one in listed
        ],
        indent=2,
    )


def runs_as_text(listed: Sequence[Listed]) -> str:
    """A line a run; a failed or lost one says on a line of its own what is known of that."""
    now = time.time()
    header = ("run", "state", "step", "loss", "eval", "tokens", "took", "size")
    rows = [
        (
            one.run.id,
            one.status.state,
            f"{one.status.step:,}/{one.status.max_steps:,}" if one.status.max_steps else "",
            number(one.status.loss),
            number(one.status.eval_loss),
            count(one.status.tokens),
            duration(one.status.seconds(now)),
            size(one.run.bytes_on_disk()),
        )
        for one in listed
    ]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = []
    for index, row in enumerate((header, *rows)):
        cells = [
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip())
        status = listed[index - 1].status if index else Status()
        if status.error:
            lines.append(f"  {status.error.cause}; {status.error.advice}")
        elif status.state == "lost" and status.detail:
            lines.append(f"  {status.detail}")
    return "\n".join(lines)
