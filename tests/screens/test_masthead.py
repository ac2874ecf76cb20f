"""The line on top of every screen: what gives way where it is narrow."""

from __future__ import annotations

import pytest
from textual.geometry import Size

from sftui.screens.frame import TABS
from sftui.screens.widgets.masthead import Masthead


def line(monkeypatch: pytest.MonkeyPatch, width: int, recipe: str, *, mistake: bool = False) -> str:
    monkeypatch.setattr(Masthead, "size", Size(width, 1))
    masthead = Masthead(TABS, "data")
    masthead.set_reactive(Masthead.device, "CPU 2 cores  RAM 2.4/24 GiB")
    masthead.set_reactive(Masthead.recipe, recipe)
    masthead.set_reactive(Masthead.has_mistake, mistake)
    return str(masthead.render())


@pytest.mark.parametrize("width", [60, 70, 80, 100, 120, 200])
@pytest.mark.parametrize("recipe", ["", "my.yaml *", "/a/long/way/to/qlora-24gb-of-a-long-name.yaml *"])
@pytest.mark.parametrize("mistake", [False, True])
def test_it_has_the_width_of_the_screen_and_its_star_and_mark_stay(
    monkeypatch: pytest.MonkeyPatch, width: int, recipe: str, mistake: bool
) -> None:
    shown = line(monkeypatch, width, recipe, mistake=mistake)
    assert len(shown) == width and "1 Data" in shown
    assert ("*" in shown) == recipe.endswith("*") and ("✗" in shown) == mistake


def test_the_device_gives_way_before_the_recipes_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "my.yaml *" in line(monkeypatch, 80, "my.yaml *") and "GiB" not in line(
        monkeypatch, 80, "my.yaml *"
    )
    assert "RAM 2.4/24 GiB" in line(monkeypatch, 80, "")
    assert "my.yaml *" in line(monkeypatch, 120, "/a/long/way/that/takes/all/the/room/of/it/my.yaml *")


def test_a_mistake_says_where_it_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "my.yaml *  ✗ mistake: 4 shows it" in line(monkeypatch, 120, "my.yaml *", mistake=True)
    assert "✗ mistake: 4" in line(monkeypatch, 80, "my.yaml *", mistake=True)
