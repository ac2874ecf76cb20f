"""Numbers as people read them."""

from __future__ import annotations

import math

import pytest

from sftui.words import count, duration, number, rate, size


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (number(None), ""),
        (number(1.23456), "1.235"),
        (number(12.3456), "12.35"),
        (number(0.0), "0.000"),
        (number(1e-5), "1.00e-05"),
        (number(123456.0), "1.23e+05"),
        (number(math.nan), "NaN"),
        (number(math.inf), "inf"),
        (number(-math.inf), "-inf"),
        (rate(None), ""),
        (rate(0.0), "0"),
        (rate(1.91e-4), "1.91e-04"),
        (count(412), "412"),
        (count(12_340), "12,340"),
        (count(1_490_000), "1.49 M"),
        (count(2.5e9), "2.50 B"),
        (size(None), ""),
        (size(0), "0 B"),
        (size(38 * 2**20), "38.0 MiB"),
        (size(10.9 * 2**30), "10.9 GiB"),
        (duration(None), ""),
        (duration(math.inf), ""),
        (duration(0.44), "0.4 s"),
        (duration(45), "45 s"),
        (duration(59.7), "1 min"),
        (duration(75), "1 min 15 s"),
        (duration(21 * 60), "21 min"),
        (duration(96 * 60), "1 h 36 min"),
        (duration(76 * 3600), "3 d 4 h"),
    ],
)
def test_numbers_are_written_for_people(shown: str, expected: str) -> None:
    assert shown == expected
