"""The themes: quiet where there are colours enough, and still telling where there are sixteen."""

from __future__ import annotations

import pytest
from rich.color import Color as TerminalColor
from rich.color import ColorSystem
from textual.color import Color

from sftui.screens.themes import DARK, DARK_16, LIGHT, LIGHT_16, prefers_dark, theme_for

GREEN, YELLOW, RED, CYAN = (2, 10), (3, 11), (1, 9), (6, 14)


@pytest.mark.parametrize("theme", [DARK_16, LIGHT_16], ids=["dark", "light"])
@pytest.mark.parametrize(
    ("name", "numbers"), [("success", GREEN), ("warning", YELLOW), ("error", RED), ("accent", CYAN)]
)
def test_of_sixteen_colours_each_meaning_has_its_own(
    theme: object, name: str, numbers: tuple[int, ...]
) -> None:
    variables = theme.to_color_system().generate()  # type: ignore[attr-defined]
    for variable in (name, f"text-{name}"):
        color = TerminalColor.from_rgb(*Color.parse(variables[variable]).rgb)
        assert color.downgrade(ColorSystem.STANDARD).number in numbers


@pytest.mark.parametrize("theme", [DARK_16, LIGHT_16], ids=["dark", "light"])
def test_of_sixteen_colours_the_line_under_the_cursor_and_muted_text_still_stand_out(theme: object) -> None:
    variables = theme.to_color_system().generate()  # type: ignore[attr-defined]
    back = Color.parse(variables["background"])

    def number(variable: str, share: float = 1.0) -> int | None:
        color = Color.parse(variables[variable])
        shown = back.blend(color, share * color.a, 1.0)
        return TerminalColor.from_rgb(*shown.rgb).downgrade(ColorSystem.STANDARD).number

    assert len({number("background"), number("accent", 0.35), number("foreground")}) == 3
    assert len({number("background"), number("foreground-muted"), number("foreground")}) == 3


def test_the_theme_follows_the_colours_and_the_background_of_the_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for colors in ("truecolor", "256", None):
        assert [theme_for(colors, dark=dark) for dark in (True, False)] == [DARK.name, LIGHT.name]
    assert [theme_for("standard", dark=dark) for dark in (True, False)] == [DARK_16.name, LIGHT_16.name]
    for said, dark in (("15;0", True), ("0;15", False), ("0;default;7", False), ("", True)):
        monkeypatch.setenv("COLORFGBG", said)
        assert prefers_dark() is dark
