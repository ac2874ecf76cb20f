"""A list of lines with words that stand out in them."""

from __future__ import annotations

from rich.style import Style

from .line_list import LineList

STYLES = {"accent": "$text-accent", "success": "$text-success", "bold": "$foreground"}


class WordList(LineList):
    """Subclasses also name the styles `accent`, `success` and `bold` in their lines."""

    # No more than these: with each class that a screen changes all of them are looked up again.
    COMPONENT_CLASSES = {f"line-list--{name}" for name in STYLES}

    DEFAULT_CSS = "\n".join(
        f"WordList > .line-list--{name} {{ color: {colour}; }}" for name, colour in STYLES.items()
    )

    def _make_styles(self) -> dict[str, Style]:
        styles = super()._make_styles()
        for name in STYLES:
            color = self.get_component_rich_style(f"line-list--{name}").color
            styles[name] = Style(color=color, bold=name == "bold" or None)
        return styles
