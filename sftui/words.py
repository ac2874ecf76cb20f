"""Numbers as people read them; the same everywhere."""

from __future__ import annotations

import math

_EXACT = 1e15  # floats up to here are whole numbers to the last digit


def number(value: float | None, digits: int = 4) -> str:
    """A loss or norm with a fixed number of significant digits; nothing for None."""
    if value is None:
        return ""
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{value:g}"
    if value and not 1e-3 <= abs(value) < 1e5:
        return f"{value:.{max(0, digits - 2)}e}"
    whole = math.floor(math.log10(abs(value))) + 1 if value else 1
    return f"{value:.{max(0, digits - whole)}f}"


def rate(value: float | None) -> str:
    """A learning rate: 1.91e-04."""
    if not value:
        return "" if value is None else "0"
    return f"{value:.2e}"


def share(value: float) -> str:
    """A share of a whole: 96.5%. Only the whole is 100.0%, only nothing is 0.0%."""
    return f"{_thousandths(value) / 10:.1f}%"


def remainder(value: float) -> str:
    """What a share leaves of the whole, so that both as shown add up to 100.0%."""
    return f"{(1000 - _thousandths(value)) / 10:.1f}%"


def apart(difference: float) -> str:
    """How far something is from what was expected, for a share of that: 0.9% above, 12% below."""
    digits = 1 if abs(difference) < 0.0995 else 0
    return f"{abs(difference):.{digits}%} {'above' if difference >= 0 else 'below'}"


def _thousandths(value: float) -> int:
    if value <= 0 or value >= 1:
        return 1000 * (value >= 1)
    return min(max(round(value * 1000), 1), 999)


def count(value: float) -> str:
    """A count in few characters: 412, 12,340, 1.49 M."""
    for unit, scale in (("T", 1e12), ("B", 1e9), ("M", 1e6)):
        if abs(value) >= scale:
            return f"{value / scale:.2f} {unit}"
    return f"{value:,.0f}"


def typed(value: float) -> float:
    """A number as people type it: whole ones without a point, 64 for 64.0."""
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT else value


def exact(value: float) -> str:
    """The shortest text that YAML reads as the same number, as recipes are written: 2.0e-4, 0.03, 32."""
    if value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    if 1e-2 <= abs(value) < _EXACT or not math.isfinite(value):
        return repr(value)
    written = next(text for digits in range(1, 18) if float(text := f"{value:.{digits}e}") == value)
    mantissa, _, exponent = written.partition("e")
    return f"{mantissa}e{int(exponent)}"


def counted(number: int, noun: str) -> str:
    """A number of things: 1 row, 1,319 rows."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def size(value: float | None) -> str:
    """Bytes in binary units: 38.0 MiB, 10.9 GiB."""
    if value is None:
        return ""
    for unit, scale in (("TiB", 2**40), ("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if abs(value) >= scale:
            return f"{value / scale:.1f} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float | None) -> str:
    """A time span by its two largest units: 45 s, 21 min, 1 h 36 min, 3 d 4 h."""
    if seconds is None or not math.isfinite(seconds):
        return ""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 10:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    if minutes < 60:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days} d {hours} h" if hours else f"{days} d"
