"""What goes wrong with what a person gave us, said so that it can be mended."""

from __future__ import annotations

from pathlib import Path


class InputError(Exception):
    """Unusable input: a recipe, a dataset, a model path, an argument. Commands print it and exit 2.

    The message is one or a few lines: where (file, line, dotted key), what was found, what was
    expected. Nothing is lost when it is raised and no traceback is shown for it.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str | Path | None = None,
        line: int | None = None,
        key: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem = problem
        self.file = str(file) if file is not None else None
        self.line = line
        self.key = key
        self.hint = hint
        super().__init__(self.render())

    def render(self) -> str:
        """`file:line: key: problem`, with the hint on a line of its own; absent parts are left out."""
        place = self.file or ""
        if self.line is not None:
            place = f"{place}:{self.line}" if place else f"line {self.line}"
        head = ": ".join(part for part in (place, self.key, self.problem) if part)
        return f"{head}\n  {self.hint}" if self.hint else head


def shorten(value: object, limit: int = 60) -> str:
    """`value` as it should stand in a message: its repr, cut in the middle when long."""
    text = repr(value)
    if len(text) <= limit:
        return text
    half = (limit - 1) // 2
    return f"{text[:half]}…{text[-half:]}"
