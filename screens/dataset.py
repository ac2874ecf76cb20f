"""The dataset of the open recipe: opened once, shown by several screens."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from sftui.errors import InputError

from .desk import Desk, OpenDesk

if TYPE_CHECKING:
    from .app import Workbench


class Dataset:
    """Opened when the first screen wants it. Belongs to the event loop, like the screens.

    `desk` is None until it is open, `recipe` is what it follows, `problem` says why it cannot be opened.
    Screens in front are told by `Frame.adopt` that one of them is another, and by `Frame.follow` that the
    desk knows more. `wanted_row` (row, sequence) and `wanted_bin` (of a row) are what one screen sends
    another for.
    """

    def __init__(self, app: Workbench, open_desk: OpenDesk) -> None:
        self.desk: Desk | None = None
        self.recipe: Any = None
        self.problem: str | None = None
        self.wanted_row: tuple[int, int] | None = None
        self.wanted_bin: int | None = None
        self._app = app
        self._open_desk = open_desk
        self._turn = asyncio.Lock()
        self._begun = False

    def want(self) -> None:
        """Open it, if there is a recipe and nobody has asked before."""
        if not self._begun and self._app.recipe is not None:
            self.reload(read=False)

    def reload(self, *, read: bool = True) -> None:
        """Open it anew, after another look at the recipe's file."""
        self._begun = True
        self._app.run_worker(self._open(read), group="dataset")

    def forget(self) -> None:
        """Another recipe is open: its dataset takes the place of this one, where one was wanted."""
        if self._begun:
            self.reload(read=False)

    async def _open(self, read: bool) -> None:
        app = self._app
        async with self._turn:
            await self.close()
            try:
                recipe = await asyncio.to_thread(app.read_recipe) if read else app.recipe
                desk = await asyncio.to_thread(self._open_desk, recipe, self._told)
                desk.start()
            except InputError as error:
                self.problem = str(error)
            else:
                self.desk, self.recipe, self.problem = desk, recipe, None
                self.change(app.recipe)  # what was changed in the meantime
        app.show_recipe()

    async def close(self) -> None:
        """End the processes that read it."""
        desk, self.desk = self.desk, None
        if desk is not None:
            await asyncio.to_thread(desk.close)

    def change(self, recipe: Any) -> None:
        """Go on with another recipe."""
        if self.desk is not None and recipe is not self.recipe:
            self.recipe = recipe
            self.desk.change(recipe)

    def _told(self) -> None:
        """From a thread."""
        self._app.post_message(self._app.DeskChanged())
