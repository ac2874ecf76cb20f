"""A list of lines with the colours of memory's components in them."""

from __future__ import annotations

from rich.style import Style

from ..memory_pictures import COLOURS, LETTER
from .line_list import LineList

STYLES = {name: colour.removeprefix("bold ") for name, colour in COLOURS.items()} | {
    "accent": "$text-accent",
    "success": "$text-success",
    "bold": "$foreground",
}


class PartList(LineList):
    """Subclasses name the styles of `memory_pictures` in their lines, and `bold`, `accent`, `success`."""

    COMPONENT_CLASSES = {f"line-list--{name}" for name in STYLES}

    DEFAULT_CSS = "\n".join(
        f"PartList > .line-list--{name} {{ color: {colour}; }}" for name, colour in STYLES.items()
    )

    def _make_styles(self) -> dict[str, Style]:
        styles = super()._make_styles()
        for name in STYLES:
            color = self.get_component_rich_style(f"line-list--{name}").color
            styles[name] = Style(color=color, bold=name == "bold" or None)
            styles[name + LETTER] = Style(color=color, reverse=True, bold=True)
        return styles
