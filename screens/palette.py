"""The command palette: what the keys of the screen in front do, and the runs, by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from textual.actions import parse
from textual.command import DiscoveryHit, Hit, Hits, Provider

from sftui.runs.listing import list_runs

from .help import bindings_of
from .keys import key_name

if TYPE_CHECKING:
    from .app import Workbench

# Moving about is for keys; and the palette is open already.
NOT_OFFERED = frozenset(("move", "scroll", "page", "edge", "turn", "pane", "value", "far", "command_palette"))
MOST_RUNS = 50
# Found in the explanation only: below everything that is found in a title.
IN_HELP = 0.01


class Command(NamedTuple):
    """A line of the palette."""

    title: str
    help: str
    act: Callable[[], Any]


class Commands(Provider):
    """Only what applies now is offered; a command is found by its title or a part of its explanation."""

    async def startup(self) -> None:
        """The runs are read once, in a thread."""
        app = cast("Workbench", self.app)
        listed = await asyncio.to_thread(list_runs, app.folder)
        self._commands = self._keys() + [
            Command(f"Open {one.run.id}", one.status.state, partial(app.open_run, one.run))
            for one in listed[:MOST_RUNS]
        ]

    async def discover(self) -> Hits:
        """All of them, as long as nothing is typed."""
        for title, text, act in self._commands:
            yield DiscoveryHit(title, act, help=text)

    async def search(self, query: str) -> Hits:
        """Those that match what is typed."""
        matcher = self.matcher(query)
        for title, text, act in self._commands:
            score = matcher.match(title) or IN_HELP * (query.lower() in text.lower())
            if score:
                yield Hit(score, matcher.highlight(title), act, help=text)

    def _keys(self) -> list[Command]:
        """What the keys do, as far as it applies now."""
        found = []
        for binding in bindings_of(self.screen):
            of_app = (binding.id or "").startswith("app.")
            _, name, parameters = parse(binding.action)
            owner = self.app if of_app else self.screen
            if name in NOT_OFFERED or owner.check_action(name, parameters) is not True:
                continue
            words = binding.description
            title = f"{words[0].upper()}{words[1:]}  ({key_name(binding)})"
            action = f"app.{binding.action}" if of_app else binding.action
            found.append(Command(title, binding.tooltip or "", self._caller(action)))
        return found

    def _caller(self, action: str) -> Callable[[], Any]:
        async def call() -> None:
            await self.screen.run_action(action)

        return call
