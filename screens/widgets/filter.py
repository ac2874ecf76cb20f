"""A line to type a filter into, and one below it that says how, or what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Input

from sftui.errors import InputError
from sftui.printable import printable

from .panel import Panel

if TYPE_CHECKING:
    from sftui.data.query import Query

# After the last key before rows are searched: a search begins with the first row again.
PAUSE = 0.25


class Filter(Vertical):
    """Hidden until `open`; says `Asked` when what is typed means something, or nothing."""

    DEFAULT_CSS = """
    Filter { height: auto; display: none; }
    Filter.-open { display: block; }
    Filter Input { padding: 0; }
    Filter Panel { height: auto; max-height: 4; padding: 0 1; display: none; }
    Filter.-typing Panel { display: block; }
    """

    class Asked(Message):
        """Rows that match `query` are wanted; all of them where it is None."""

        def __init__(self, query: Query | None, text: str) -> None:
            self.query, self.text = query, text
            super().__init__()

    class Done(Message):
        """Enter: the rows are what matters now."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._input = Input(placeholder="text, or a condition", compact=True, select_on_focus=False)
        self._message = Panel()
        self._timer: Timer | None = None
        self._asked = ""

    def compose(self) -> ComposeResult:
        """The field and its message."""
        yield self._input
        yield self._message

    @property
    def text(self) -> str:
        """What was asked for last; empty for all rows."""
        return self._asked

    def open(self) -> None:
        """Show it and type into it."""
        self.add_class("-open")
        self._say(None)
        self.screen.set_focus(self._input)  # at once: the next key is of the field

    def on_descendant_focus(self) -> None:
        """The message is for whoever is typing."""
        self.add_class("-typing")

    def on_descendant_blur(self) -> None:
        """The rows have the room again."""
        self.remove_class("-typing")

    def close(self) -> None:
        """Hide it and forget what was typed."""
        self.remove_class("-open")
        with self.prevent(Input.Changed):
            self._input.value = ""
        self._stop()
        if self._asked:
            self._asked = ""
            self.post_message(self.Asked(None, ""))

    def ask(self, text: str) -> None:
        """As if `text` had been typed and Enter pressed."""
        self.add_class("-open")
        with self.prevent(Input.Changed):
            self._input.value = text
        self._ask()

    @on(Input.Changed)
    def _changed(self, event: Input.Changed) -> None:
        event.stop()
        self._stop()
        try:
            self._parse()
        except InputError as error:
            self._say(error)
            return
        self._say(None)
        self._timer = self.set_timer(PAUSE, self._ask)

    @on(Input.Submitted)
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if self._ask():
            self.post_message(self.Done())

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.stop()
            self._timer = None

    def _ask(self) -> bool:
        """Ask, unless that was asked already; False where it means nothing."""
        self._stop()
        try:
            query = self._parse()
        except InputError as error:
            self._say(error)
            return False
        text = self._input.value.strip()
        if text != self._asked:
            self._asked = text
            self.post_message(self.Asked(query, text))
        return True

    def _parse(self) -> Query | None:
        text = self._input.value.strip()
        if not text:
            return None
        from sftui.data.findings.registry import BITS, CHECKS
        from sftui.data.query import parse_query

        return parse_query(text, CHECKS, BITS)

    def _say(self, error: InputError | None) -> None:
        if error is not None:
            self._message.show(Content.styled(_in_short(error), "$text-error"))
        else:
            words = "word  /regex/  finding:truncated  tokens:>2000  role:tool  -not"
            self._message.show(Content.styled(words, "$foreground-muted"))


def _in_short(error: InputError) -> str:
    """What is wrong and what was meant, if that is known; what there is to choose from comes last."""
    words = printable(error.problem.replace("\n", " "))
    if error.hint is None:
        return words
    problem, _, expected = words.partition(": expected ")
    rest = f"\nexpected {expected}" if expected else ""
    return f"{problem}: {printable(error.hint)}{rest}"
