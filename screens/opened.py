"""What the app knows of the open recipe: made when first asked for, saved, held against its file."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sftui.errors import InputError

if TYPE_CHECKING:
    from sftui.recipe_document import Document
    from sftui.runs.directory import RunDirectory

    from .app import Workbench
    from .open_recipe import OpenRecipe

# After the last edit of the form before its text is made.
TEXT_SECONDS = 0.12
MOST_TOLD = 4  # settings that an undo has changed


class Opened:
    """The open recipe, or none. Belongs to the event loop, like the screens."""

    def __init__(self, app: Workbench, name: str, recipe: Any) -> None:
        """`recipe` is what was loaded of the file `name`, with what the command line says otherwise."""
        self._app, self._name, self._given = app, name, recipe
        self._made: OpenRecipe | None = None
        self._of_run: OpenRecipe | None = None
        self._following = self._missed = False

    @property
    def now(self) -> OpenRecipe | None:
        """Its text and values."""
        if self._made is None and self._given is not None:
            from sftui.recipe_file import dump_recipe

            from .open_recipe import OpenRecipe

            try:
                self._made = OpenRecipe.of_file(self._name, self._given)
            except InputError:  # written in a way that takes no values of the command line
                self._made = OpenRecipe.of_text(self._name, dump_recipe(self._given), None)
        return self._made

    @property
    def recipe(self) -> Any:
        """What it says; None where none is open."""
        return self._given if self._made is None else self._made.recipe

    @property
    def name(self) -> str:
        """Its file, or what it is called."""
        return self._name if self._made is None else self._made.name

    @property
    def unsaved(self) -> list[str]:
        """What is not in the file; nothing is known of it until it is `now`."""
        return [] if self._made is None else self._made.unsaved

    @property
    def has_mistake(self) -> bool:
        """Whether its text is no recipe now: what the screens show is of the one before."""
        return self._made is not None and not self._made.is_valid

    @property
    def lost(self) -> list[str]:
        """What was changed here and is in no file: leaving loses it."""
        made = self._made
        return made.unsaved if made is not None and made.is_lost_on_leaving else []

    def open(self, made: OpenRecipe) -> None:
        """Another recipe takes its place."""
        self._app.folder = Path(made.recipe.output_dir).absolute()
        self._take(made)

    def open_of_run(self, run: RunDirectory) -> None:
        """Open a copy of a run's recipe, where none is open or that of another run, left as it was."""
        if self._is_free:
            self._app.run_worker(self._open_of_run(run), group="recipe of a run", exclusive=True)

    @property
    def _is_free(self) -> bool:
        made = self._made
        if made is None:
            return self._given is None
        return made is self._of_run and made.saved is None and not made.unsaved

    async def _open_of_run(self, run: RunDirectory) -> None:
        try:
            made = await asyncio.to_thread(_of_run, run)
        except InputError:
            return  # Train says what became of the run; the other screens say what else can be opened
        if self._is_free:
            self._of_run = made
            self._take(made)

    def _take(self, made: OpenRecipe) -> None:
        self._made = made
        self._app.dataset.forget()
        self._app.show_recipe()

    def read_again(self) -> Any:
        """The recipe with what others have made of its file; may run in a thread. Raises InputError."""
        made = self.now
        if made is None:
            return None
        made.reload()
        return made.recipe

    # -- edits

    def change(self, values: Mapping[str, Any]) -> None:
        """Give fields other values. Raises InputError and changes nothing if they do not fit."""
        made = self.now
        if made is not None:
            made.change(values)
            self.told()

    def edit(self, key: str, value: Any) -> None:
        """Give one field another value, be it wrong. Raises InputError where the text takes none."""
        made = self.now
        if made is not None:
            made.edit(key, value)
            self.told()

    def undo(self) -> None:
        """Take the last change back, and say which it was."""
        self._step("undone", "nothing to undo", lambda made: made.undo())

    def redo(self) -> None:
        """Make the change again that was taken back last."""
        self._step("done again", "nothing to redo", lambda made: made.redo())

    def _step(self, done: str, nothing: str, step: Callable[[OpenRecipe], bool]) -> None:
        made, app = self.now, self._app
        if made is None:
            app.notify("no recipe is open", timeout=3)
            return
        before = made.recipe
        try:
            has_moved = step(made)
        except InputError as error:
            app.notify(str(error), severity="error", timeout=8, markup=False)
            return
        if not has_moved:
            app.notify(nothing, timeout=3)
            return
        from .recipe_compared import settings_between

        changed = settings_between(before, made.recipe)
        words = [f"{one.key}: {one.here}, was {one.theirs}" for one in changed[:MOST_TOLD]]
        if len(changed) > MOST_TOLD:
            words.append(f"and {len(changed) - MOST_TOLD} more")
        app.notify(
            "\n".join([f"{done}: {words[0]}" if words else f"{done}: a change of the text", *words[1:]]),
            timeout=4,
            markup=False,
        )
        app.show_recipe()

    def told(self) -> None:
        """It has been edited: every screen follows, and its text a moment later."""
        self._app.show_recipe()
        if not self._following:
            self._following = True
            self._app.run_worker(self._follow(), group="text")

    async def _follow(self) -> None:
        try:
            while (made := self._made) is not None and (job := made.job()) is not None:
                await asyncio.sleep(TEXT_SECONDS)
                if made.job() != job:
                    continue
                try:
                    document = await asyncio.to_thread(job.made)
                except InputError as error:
                    self._app.notify(str(error), severity="error", timeout=8, markup=False)
                    made.replace(made.document)
                    break
                if made.job() == job:
                    made.settle(job, document)
        finally:
            self._following = False
        self._app.show_recipe()

    # -- its file

    @property
    def can_be_saved(self) -> bool:
        """Whether it is a recipe, and has a file of its own."""
        return self._made is not None and self._made.has_own_file and self._made.is_valid

    def save(self, then: Callable[[], object] | None = None) -> None:
        """Write what was changed into the file; one without a file gets one.

        `then` is done once it is in the file that it has and others have not changed meanwhile.
        """
        made, app = self.now, self._app
        if made is None:
            app.notify("no recipe is open", timeout=3)
        elif not made.has_own_file:
            self.save_as()
        elif not (unsaved := made.unsaved):
            app.notify("nothing has been changed", timeout=3)
        elif made.is_valid:
            self._save(made, unsaved, then)
        else:
            from .confirm import Confirm

            def answered(yes: bool | None) -> None:
                if yes:
                    self._save(made, unsaved)

            count = len(made.problems)
            words = f"{count} mistake{'' if count == 1 else 's'}"
            app.push_screen(Confirm(f"The text is no recipe yet: {words}. Save it?", "save"), answered)

    def _save(self, made: OpenRecipe, unsaved: list[str], then: Callable[[], object] | None = None) -> None:
        app, was_gone = self._app, made.is_gone
        outside: list[Document] = []

        def save() -> None:
            theirs = made.outside()
            if theirs is not None and theirs != made.document:
                outside.append(theirs)
            else:
                made.save()

        def saved() -> None:
            if outside:
                self.meet(outside[0])
                return
            app.show_recipe()
            words = "" if was_gone else f": {'  '.join(unsaved)}"
            app.notify(f"saved into {made.name}{words}", timeout=4, markup=False)
            if then is not None:
                then()

        app.attempt(save, saved)

    def save_as(self) -> None:
        """Ask for a file and write it there; that is the recipe's file from now on."""
        made, app = self.now, self._app
        if made is None:
            app.notify("no recipe is open", timeout=3)
            return
        from .recipe_choices import SaveAs

        def done(path: str | None) -> None:
            if path is not None:
                app.show_recipe()
                app.notify(f"saved as {path}", timeout=4, markup=False)

        app.push_screen(SaveAs(made, Path.cwd()), done)

    async def look(self) -> None:
        """See whether others have changed the file, and tell: taken where nothing was changed here."""
        made = self.now
        if made is None or made.saved is None or len(self._app.screen_stack) > 1:
            return
        await self._look_for(made)
        try:
            theirs = await asyncio.to_thread(made.outside)
        except InputError:
            return  # it is told when it is read or written
        if theirs is None or made is not self._made or len(self._app.screen_stack) > 1:
            return
        if made.job() is None and theirs == made.document:
            made.saved.accept(theirs)
        elif made.job() is None and made.document == made.read:
            made.take(theirs, theirs)
            self._app.notify(
                f"{made.name} was changed outside: read again, u undoes", timeout=6, markup=False
            )
        else:
            self.meet(theirs)
            return
        self._app.show_recipe()

    async def _look_for(self, made: OpenRecipe) -> None:
        """Tell that the file is gone: at the second look, since editors take it away for a moment to save."""
        missed, self._missed = self._missed, await asyncio.to_thread(made.is_missing)
        is_gone = missed and self._missed
        if is_gone == made.is_gone or made is not self._made:
            return
        made.is_gone = is_gone
        words = "is gone: S makes it again" if is_gone else "is there again"
        self._app.notify(f"{made.name} {words}", severity="warning", timeout=8, markup=False)
        self._app.show_recipe()

    def meet(self, theirs: Document) -> None:
        """Ask what becomes of the changes here and there."""
        made = self.now
        if made is not None:
            from .recipe_outside import ask

            ask(self._app, made, theirs)


def _of_run(run: RunDirectory) -> OpenRecipe:
    from .open_recipe import OpenRecipe  # what reads recipes takes a while to import: in a thread

    return OpenRecipe.of_run(run)
