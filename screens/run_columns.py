"""Which columns the list of runs has, and how wide they are."""

from __future__ import annotations

from typing import NamedTuple

# Cells that the values need; the run's name takes what is left, the step what the longest run needs.
WIDTHS = {
    "run": 20,
    "state": 10,
    "step": 9,
    "loss": 8,
    "eval": 8,
    "tokens": 9,
    "memory": 9,
    "took": 11,
    "size": 10,
}
# What gives way, in this order, where the terminal is narrow and the names are cut already.
OPTIONAL = ("tokens", "eval", "memory", "loss", "size")
# A name is cut to this, at worst, once nothing else can give way.
LEAST_NAME = 10
# Cells beside the table: padding and scroll bar.
BESIDE = 3


class Layout(NamedTuple):
    """The columns that are shown, each with its width, and the cells between them."""

    widths: dict[str, int]
    gap: int


def layout(width: int, longest_name: int, longest_step: int, *, measured: bool = False) -> Layout:
    """The columns for a terminal of `width` cells: names are cut before a column goes.

    `measured`: the memory of some run is known, else it has no column.
    """
    gap = 2 if width >= 100 else 1
    widths = {**WIDTHS, "step": max(WIDTHS["step"], longest_step)}
    if not measured:
        del widths["memory"]
    least = widths["run"] = min(longest_name, WIDTHS["run"])
    for name in OPTIONAL:
        if _spare(width, widths, gap) >= 0:
            break
        widths.pop(name, None)
    widths["run"] = min(longest_name, max(LEAST_NAME, least + _spare(width, widths, gap)))
    return Layout(widths, gap)


def _spare(width: int, widths: dict[str, int], gap: int) -> int:
    """Cells of the terminal that the columns leave."""
    return width - BESIDE - sum(widths.values()) - gap * (len(widths) - 1)


def cut(name: str, width: int) -> str:
    """`name` in at most `width` cells; its beginning (when) and its end (what) stay."""
    if len(name) <= width:
        return name
    end = (width - 1) // 4
    return f"{name[: width - 1 - end]}…{name[len(name) - end :]}"
