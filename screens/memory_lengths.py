"""How long the data of a recipe is, for the memory of its step."""

from __future__ import annotations

from typing import NamedTuple


class Lengths(NamedTuple):
    """Tokens of the longest sequence that is trained on and of the longest held out; None: not known yet."""

    longest: int | None = None
    longest_held_out: int | None = None
