"""How often a screen follows what changes all the time."""

from __future__ import annotations

import pytest

from sftui.screens import pace


def test_while_somebody_moves_about_looks_are_rarer_and_they_come_in_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(pace.time, "monotonic", lambda: now)
    kept = pace.Pace()
    assert kept.wait() == 0.001
    kept.look()
    assert kept.wait() == pytest.approx(pace.SECONDS)
    kept.move()
    assert kept.wait() == pytest.approx(pace.MOVING_SECONDS)
    now += 0.3
    kept.move()
    assert kept.wait() == pytest.approx(pace.MOVING_SECONDS - 0.3)
    now += pace.STILL_SECONDS
    assert kept.wait() == 0.001
