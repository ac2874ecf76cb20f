"""From one number of a recipe to the next: how a spinner goes up and down. Pure functions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from fractions import Fraction


@dataclass(frozen=True, slots=True)
class Multiples:
    """The multiples of a number: 64, 128, 192."""

    of: float = 1


@dataclass(frozen=True, slots=True)
class Powers:
    """The powers of two: 4, 8, 16."""


@dataclass(frozen=True, slots=True)
class Decades:
    """1, 2 and 5 of each power of ten: 1e-4, 2e-4, 5e-4, 1e-3."""


@dataclass(frozen=True, slots=True)
class Values:
    """A few usual values, in rising order."""

    of: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class SharesOrCounts:
    """Below 1 the multiples of a share, from 1 on counts: 0.05, 0.1 .. 0.95, 1, 2, 5, 10."""

    share: float


Step = Multiples | Powers | Decades | Values | SharesOrCounts

_ONE, _TWO, _FIVE = Decimal(1), Decimal(2), Decimal(5)


def following(step: Step, value: float, direction: int) -> float | None:
    """The nearest number of `step` above `value` (direction 1) or below it (-1); None if there is none."""
    up = direction > 0
    if isinstance(step, Values):
        beyond = [one for one in step.of if (one > value if up else one < value)]
        return (beyond[0] if up else beyond[-1]) if beyond else None
    exact = Decimal(repr(value))
    if isinstance(step, SharesOrCounts):
        is_share = exact < 1 if up else exact <= 1
        return following(Multiples(step.share) if is_share else Decades(), value, direction)
    if isinstance(step, Multiples):
        found: Decimal | None = _multiple(exact, Decimal(repr(step.of)), up)
    elif isinstance(step, Powers):
        found = _power(exact, up)
    else:
        found = _decade(exact, up)
    return None if found is None or math.isinf(float(found)) else float(found)


def _multiple(value: Decimal, of: Decimal, up: bool) -> Decimal:
    whole = (value / of).to_integral_value(ROUND_FLOOR if up else ROUND_CEILING)
    return (whole + (1 if up else -1)) * of


def _power(value: Decimal, up: bool) -> Decimal | None:
    if value <= 0:
        return _ONE if up else None
    exact = Fraction(value)
    # Of a fraction the lengths in bits say its power of two, or the one above.
    exponent = exact.numerator.bit_length() - exact.denominator.bit_length()
    power = Fraction(2) ** exponent
    while power > exact:
        power /= 2
    while power * 2 <= exact:
        power *= 2
    if up:
        power *= 2
    elif power == exact:
        power /= 2
    return Decimal(power.numerator) / Decimal(power.denominator)


def _decade(value: Decimal, up: bool) -> Decimal | None:
    if value <= 0:
        return _ONE if up else None
    power = _ONE.scaleb(value.adjusted())
    ladder = [power / 2, power, power * _TWO, power * _FIVE, power * 10]
    return min(one for one in ladder if one > value) if up else max(one for one in ladder if one < value)
