"""A screen of several panes, of which one has the keys; a narrow screen shows it alone."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.widget import Widget

from .frame import Frame
from .widgets.line_list import LineList
from .widgets.token_view import TokenView

Name = TypeVar("Name", bound=str)


class Panes(Frame, Generic[Name]):
    """Subclasses give `panes` in the order of Tab, what takes the keys in each, and `_show`.

    The pane that has the keys is the class `-at-NAME`.
    """

    AUTO_FOCUS = ""
    ACTIONS: ClassVar[frozenset[str]] = frozenset()
    """What the keys of the screen do, by name."""

    panes: tuple[Name, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self._applicable: tuple[object, ...] = ()

    def _show(self) -> None:
        """Bring every part up to date."""
        raise NotImplementedError

    def _target(self, pane: Name) -> Widget:
        """What has the focus in a pane."""
        raise NotImplementedError

    @property
    def _cursor(self) -> LineList | TokenView | None:
        """What the keys move through now, if anything."""
        raise NotImplementedError

    def _applies(self, action: str) -> bool | None:
        """Whether a key of the screen does something now."""
        raise NotImplementedError

    # -- where the keys go

    @property
    def _pane(self) -> Name:
        """The pane that the keys go to."""
        return next((pane for pane in self.panes if self.has_class(f"-at-{pane}")), self.panes[0])

    def _go_to_pane(self, pane: Name) -> None:
        self._mark_pane(pane)
        target = self._target(pane)
        target.focus()
        self.call_after_refresh(target.focus)  # what was hidden until now can take it once it is laid out
        self.call_after_refresh(self._show)

    def _mark_pane(self, pane: Name) -> None:
        self.set_classes(self._classes_at(pane))  # at once: each class that changes costs a look at all

    def _classes_at(self, pane: Name) -> set[str]:
        return {name for name in self.classes if not name.startswith("-at-")} | {f"-at-{pane}"}

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A click leads to another pane."""
        found = next((pane for pane in self.panes if self._target(pane) is event.widget), None)
        if found is not None and found != self._pane:
            self._mark_pane(found)
            self.call_after_refresh(self._show)

    def on_resize(self, event: events.Resize) -> None:
        """Other parts may have room now, the same ones another width."""
        self.call_after_refresh(self._show)

    # -- keys

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what applies now is shown and works."""
        if action not in self.ACTIONS or not self.is_attached:
            return True
        return self._applies(action)

    def _refresh_keys(self, *applicable: object) -> None:
        """`applicable` is what decides which keys apply. What was hidden and has the keys gets the focus."""
        if self.focused is None and self.is_current:
            self.call_after_refresh(self._focus_again)
        if applicable != self._applicable:
            self._applicable = applicable  # only then: the footer is made anew, which takes a while
            self.refresh_bindings()

    def _focus_again(self) -> None:
        target = self._target(self._pane)
        if self.focused is None and target.focusable:
            self.set_focus(target)

    def action_pane(self, step: int) -> None:
        """One pane after the other, and round again."""
        self._go_to_pane(self.panes[(self.panes.index(self._pane) + step) % len(self.panes)])

    def action_move(self, lines: int) -> None:
        """Up or down."""
        cursor = self._cursor
        if isinstance(cursor, TokenView):
            cursor.step_lines(lines)
        elif cursor is not None:
            cursor.move(lines)

    def action_page(self, pages: int) -> None:
        """A screenful."""
        if self._cursor is not None:
            self._cursor.page(pages)

    def action_edge(self, end: bool) -> None:
        """The first or the last."""
        if self._cursor is not None:
            self._cursor.edge(end)
