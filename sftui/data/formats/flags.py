"""A message's own word on whether, and how much, it is trained."""

from __future__ import annotations

import math
from typing import Any

from sftui.data.formats.values import found, refuse
from sftui.errors import InputError

_SWITCHES = ("train", "training")
_WEIGHTS = ("weight", "loss_weight")
FLAGS = (*_SWITCHES, *_WEIGHTS)


def take_weight(message: dict[str, Any], key: str, where: str) -> float | None:
    """Remove the flags from `message` and return its weight in the loss; None if it has no flag.

    `train` and `training` are true or false, `weight` and `loss_weight` finite numbers from 0. Raises
    InputError, naming the key, for anything else and for flags that disagree.
    """
    weight: float | None = None
    first = ""
    for name in FLAGS:
        if name not in message:
            continue
        value = message.pop(name)
        if value is None:  # as in files whose rows all have the same columns
            continue
        this = _weight(value, name, f"{key}.{name}", where)
        if weight is None:
            weight, first = this, name
        elif this != weight:
            raise InputError(
                f"found {found(value)}, but {first} says {weight:g}: expected one flag, or flags that agree",
                file=where,
                key=f"{key}.{name}",
            )
    return weight


def _weight(value: object, name: str, key: str, where: str) -> float:
    switch = name in _SWITCHES
    expected = "true or false" if switch else "a finite number, 0 or more"
    if not isinstance(value, int | float) or (switch and value not in (0, 1)):  # true and false are ints
        refuse(value, key, where, expected)
    try:
        weight = float(value)
    except OverflowError:  # an integer beyond all floats
        weight = math.inf
    if not 0 <= weight < math.inf:
        refuse(value, key, where, expected)
    return weight
