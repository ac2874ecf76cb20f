"""Whether the first row of each file can be read: known without a tokenizer, and before rows are analysed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from sftui.checks.finding import Finding, refused
from sftui.errors import InputError
from sftui.recipe import Recipe, Source


def first_row_findings(recipe: Recipe) -> Iterator[Finding]:
    """Formats that are not recognised, one finding for each side; a file is read once until it changes.

    Datasets on the Hub, folders and patterns are left to the analysis, as is `data.bad_rows: drop`.
    """
    data = recipe.data
    if data.bad_rows == "drop":
        return
    for key, sources in (("data.train", data.train), ("data.eval", data.eval)):
        for source in sources:
            try:
                seen = os.stat(source.path) if Path(source.path).is_file() else None  # noqa: PTH116
            except (OSError, ValueError):
                continue
            error = (
                None if seen is None else _refusal(source.model_dump_json(), seen.st_mtime_ns, seen.st_size)
            )
            if error is not None:
                yield refused("format-not-recognised", key, error)
                break


@lru_cache(maxsize=32)
def _refusal(source: str, changed_ns: int, size: int) -> InputError | None:
    """What is wrong with the first row of a source, given as JSON; None where nothing is."""
    from sftui.data.formats import read_conversation
    from sftui.data.sources import open_rows

    made = Source.model_validate_json(source)
    try:
        rows = open_rows(made, wait=False)
        if len(rows):
            read_conversation(rows[0], made, rows.where(0))
    except InputError as error:
        return error
    return None
