"""A block of text that is drawn again only when it says something else."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class Panel(Static):
    """A `Static` for values that are looked at every second and rarely change all at once."""

    ALLOW_SELECT = True

    def __init__(
        self, content: Content | str = "", *, id: str | None = None, classes: str | None = None
    ) -> None:
        super().__init__(content, id=id, classes=classes, markup=False)
        self._shown: object = content

    def show(self, content: Content) -> None:
        """Show `content`; the layout is only looked at again where the number of lines decides the height."""
        if content == self._shown and str(content) == str(self._shown):
            return
        same_height = str(self._shown).count("\n") == str(content).count("\n")
        self._shown = content
        self.update(content, layout=not same_height and self.styles.is_auto_height)
