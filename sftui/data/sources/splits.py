"""Which split of a dataset is meant."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

from sftui.errors import InputError

_PLAIN = re.compile(r"[\w.-]+")


def is_slice(split: str | None) -> bool:
    """Whether it is more than a split's name: `train[:10%]`, `train+test`."""
    return split is not None and _PLAIN.fullmatch(split) is None


def choose_split(wanted: str | None, splits: Sequence[str], name: str) -> str:
    """The wanted one of `splits`; else `train`, or the only one. Raises InputError listing them."""
    listed = ", ".join(splits) or "none"
    if wanted is None:
        if "train" in splits or len(splits) == 1:
            return "train" if "train" in splits else splits[0]
        raise InputError(f"has several splits: expected split to be one of {listed}", file=name, key="split")
    if wanted not in splits:
        near = difflib.get_close_matches(wanted, splits, n=1)
        raise InputError(
            f"found split {wanted!r}: expected one of {listed}",
            file=name,
            key="split",
            hint=f"did you mean {near[0]!r}?" if near else None,
        )
    return wanted
