"""What a step takes of a GPU as one bar, with its scale and a legend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content

from .. import memory_pictures as pictures
from .. import memory_view as view
from .panel import Panel

if TYPE_CHECKING:
    from sftui.memory.answer import Answer


class MemoryBar(Vertical):
    """Others' memory, components, what comes on top, what is free."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._panel = Panel(id="bar")

    def compose(self) -> ComposeResult:
        """One block of text."""
        yield self._panel

    def show(self, found: Answer, moment: str, *, width: int, tall: bool, flat: bool) -> None:
        """Show a moment of an answer in `width` cells; `tall`: a bar of two lines, `flat`: no scale."""
        parts = view.parts_of(found, moment)
        on_gpu = found.device is not None
        band = found.band if on_gpu and moment == found.estimate.peak_moment else None
        extent = pictures.extent_of(found.band, found.device) if on_gpu else found.estimate.peak_bytes
        cells = pictures.bar(parts, band, found.device, extent, width)
        lines = [pictures.content(cells)]
        if tall:
            lines.append(pictures.content(pictures.without_letters(cells)))
        if not flat:
            scale = pictures.scale(extent, width, view.unit_of(extent))
            lines.append(Content.styled(scale, view.MUTED))
        lines.append(view.legend(parts, band, found.device, width, 2 if tall or flat else 1))
        self._panel.show(Content("\n").join(lines))
        self.border_title = Content(view.peak_title(found, moment))
        self.border_subtitle = Content(view.taken_words(found))
