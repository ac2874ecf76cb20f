"""The open recipe: one text behind the form, the YAML view and every other screen that changes it."""

from __future__ import annotations

import copy
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.recipe_difference import changed_fields
from sftui.recipe_document import Document, Problem, as_key, default_of
from sftui.recipe_errors import explain
from sftui.recipe_file import dump_recipe
from sftui.recipe_history import History
from sftui.recipe_merge import ABSENT, Merged, merged
from sftui.recipe_save import as_override
from sftui.recipe_saved import Saved, write_new
from sftui.runs.directory import RunDirectory

from .recipe_edits import (
    Edit,
    Job,
    applied,
    as_typed,
    as_written,
    differences,
    error_of,
    recipe_of,
    says_the_same,
    shortened,
    value_at,
    with_section,
)
from .run_recipe import is_of_run, recipe_text, refuse_of_run

LAYOUT = "comments and layout"
NO_FILE = "all of it: it is in no file yet"
GONE = "all of it: its file is gone"
NO_RECIPE = "a text that is no recipe yet"


class OpenRecipe:
    """A recipe with what was changed since it was read; belongs to the event loop.

    `recipe` is the last that the text was, `values` what is written now with all edits, `name` the file or
    what it is called as long as it has none. Edits take effect at once; their text follows (`job`, `settle`).
    """

    def __init__(self, name: str, document: Document, saved: Saved | None, recipe: Recipe) -> None:
        self.name = name
        self.saved = saved
        self.recipe = recipe
        self.history = History(document)
        self.before: Document = document
        """What there was when it was opened, saved or read again: nothing else is lost on leaving."""
        self.put_off: str | None = None
        """What the file said when it was left open what becomes of both; saving asks, time does not."""
        self.is_gone = False
        """Whether its file was not there when it was last looked for: saving makes it again."""
        self._sections: dict[str, Document] = {}
        self._is_new = self._is_copy = False
        self._edits: list[Edit] = []
        self._refused: ValidationError | None = None
        self._values = document.values
        self._unsaved: tuple[Recipe, Document, list[str]] | None = None

    @classmethod
    def of_file(cls, name: str, recipe: Recipe | None = None) -> OpenRecipe:
        """The recipe in a file, or the ready one; `recipe`: with what the command line says otherwise.

        Raises InputError for a file that cannot be read or is no recipe.
        """
        try:
            saved = Saved(name)
        except InputError:
            if recipe is None:
                raise
            return cls.of_text(name, dump_recipe(recipe), None)
        document = saved.document
        if recipe is not None:
            document = document.with_values(differences(document, recipe))
        if document.recipe is None:
            raise error_of(document)
        return cls(name, document, saved, document.recipe)

    @classmethod
    def of_text(
        cls, name: str, text: str, base: Path | None, *, is_new: bool = False, is_copy: bool = False
    ) -> OpenRecipe:
        """A recipe that is in no file of its own; `is_new`: nowhere else either, `is_copy`: as it is there.

        Raises InputError where it is none.
        """
        document = Document(text, name, base)
        if document.recipe is None:
            raise error_of(document)
        made = cls(name, document, None, document.recipe)
        made._is_new, made._is_copy = is_new, is_copy
        return made

    @classmethod
    def of_run(cls, run: RunDirectory) -> OpenRecipe:
        """A copy of what a run was started with; for a thread. Raises InputError where it cannot be read."""
        return cls.of_text(f"{run.id}.yaml", recipe_text(run), None, is_copy=True)

    # -- what it says

    @property
    def document(self) -> Document:
        """The text, which may lack the last edits: see `settle`."""
        return self.history.document

    @property
    def values(self) -> Mapping[str, Any]:
        """What is written, with all edits; what was last written while the text is not YAML."""
        return self._values

    @property
    def problems(self) -> tuple[Problem, ...]:
        """All that keeps the text from being a recipe."""
        return self.document.problems

    @property
    def is_valid(self) -> bool:
        """Whether `recipe` is what the text says now."""
        return self._refused is None if self._edits else not self.problems

    def value(self, key: str) -> Any:
        """What is written at a key, be it wrong; else its default."""
        found = value_at(self._values, key)
        return default_of(key) if found is ABSENT else found

    def is_written(self, key: str) -> bool:
        """Whether there is a value for it in the text."""
        return value_at(self._values, key) is not ABSENT

    @property
    def unsaved(self) -> list[str]:
        """What is not in the file, or in what it is a copy of, as it would be given on the command line."""
        if self.is_gone:
            return [GONE]
        known = self._unsaved
        if known is None or known[0] is not self.recipe or known[1] is not self.document:
            known = self._unsaved = self.recipe, self.document, self._differs_from_file()
        return list(known[2])

    @property
    def is_lost_on_leaving(self) -> bool:
        """Whether something was changed here that is in no file."""
        if self._is_new or self.is_gone:
            return True
        return bool(self.unsaved) and (bool(self._edits) or self.document != self.before)

    def _differs_from_file(self) -> list[str]:
        read = self.before if self._is_copy else None if self.saved is None else self.saved.document
        if read is None or read.recipe is None:
            return [] if read is not None and read == self.document else [NO_FILE]
        found = [as_typed(key, theirs) for key, _, theirs in changed_fields(read.recipe, self.recipe)]
        if not self.is_valid:
            found.append(NO_RECIPE)
        return found or ([LAYOUT] if not self._edits and self.document.text != read.text else [])

    # -- edits

    def edit(self, key: str, value: Any) -> None:
        """Give a field another value, `REMOVED` for its default; it may be wrong.

        Raises InputError where the text is not YAML or the key cannot be.
        """
        self._require_yaml()
        self._edit(Edit(key, self._as_written(key, value)))

    def flip(self, key: str) -> None:
        """A section that may be null goes, or comes back as it was written. Raises InputError."""
        self._require_yaml()
        self.settle()
        before = self._sections.get(key)
        if self.value(key) is not None:
            self._sections[key] = self.document
            self.edit(key, None)
        elif before is None:
            self.edit(key, default_of(key))
        else:
            self.replace(with_section(self.document, key, before))

    def change(self, values: Mapping[str, Any]) -> None:
        """Give fields other values. Raises InputError and changes nothing if they do not fit."""
        if not self.is_valid:
            self.settle()
        if self.problems:
            raise InputError("the recipe has mistakes: mend them first, 4 shows them", file=self.name)
        edits = [Edit(key, self._as_written(key, value)) for key, value in values.items()]
        tree = copy.deepcopy(self._values)
        for edit in edits:
            applied(tree, edit)
        try:
            recipe_of(tree, self.document.base)
        except ValidationError as error:
            overridden = {as_key(key): as_override(key, value) for key, value in values.items()}
            raise explain(error, "recipe", {}, overridden) from None
        for edit in edits:
            self._edit(edit)

    def _edit(self, edit: Edit) -> None:
        tree = copy.deepcopy(self._values)
        applied(tree, edit)
        self._edits.append(edit)
        self._values = tree
        self._refused = None
        self._unsaved = None
        try:
            recipe = recipe_of(tree, self.document.base)
        except ValidationError as error:
            self._refused = error
        else:
            if recipe != self.recipe:
                self.recipe = recipe

    def _as_written(self, key: str, value: Any) -> Any:
        return as_written(key, value, None if self.saved is None else self.saved.document)

    def job(self) -> Job | None:
        """What has to be done for the text to follow; None where it has."""
        return Job(self.document, shortened(self._edits)) if self._edits else None

    def settle(self, job: Job | None = None, made: Document | None = None) -> None:
        """Take the text that was made of a job; without one make it now. Raises InputError."""
        if made is None:
            job = self.job()
            if job is None:
                return
            made = job.made()
        if job is None or job.document is not self.document:
            return  # undone or typed over meanwhile
        self._put(made, job.edits[-1].key)

    def _put(self, made: Document, key: str | None) -> None:
        read = None if self.saved is None else self.saved.document
        if read is not None and made != read and says_the_same(made, read):
            made = read
        self.history.put(made, time.monotonic(), key)
        self._adopt()

    def type_text(self, document: Document) -> None:
        """Another text, as it was typed; it may be no recipe."""
        self._edits.clear()
        self.history.put(document, time.monotonic(), "text")
        self._adopt()

    def replace(self, document: Document) -> None:
        """Another text, as a step of its own."""
        self._edits.clear()
        self.history.put(document, time.monotonic())
        self._adopt()

    def undo(self) -> bool:
        """One step back; False where there is none."""
        self.settle()
        could = self.history.can_undo
        self.history.undo()
        self._adopt()
        return could

    def redo(self) -> bool:
        """One step forth again; False where there is none."""
        self.settle()
        could = self.history.can_redo
        self.history.redo()
        self._adopt()
        return could

    def _adopt(self) -> None:
        """The document is another."""
        self._edits.clear()
        self._unsaved = None
        document = self.document
        values = document.values
        if values or not document.problems:
            self._values = values
        if document.recipe is not None and document.recipe != self.recipe:
            self.recipe = document.recipe

    def _require_yaml(self) -> None:
        if self.problems and not self.document.values:
            raise InputError("the text is not YAML: mend it first, y shows it")

    # -- its file

    def outside(self) -> Document | None:
        """What the file says now if others have changed it; for a thread. Raises InputError."""
        return None if self.saved is None else self.saved.changed()

    def is_missing(self) -> bool:
        """Whether its file is not there; for a thread."""
        return self.saved is not None and not self.saved.path.exists()

    def is_put_off(self) -> bool:
        """Whether the file still says what was left open, and something was changed here; for a thread."""
        if self.put_off is None or (not self._edits and self.document == self.read):
            return False
        try:
            theirs = self.outside()
        except InputError:
            return False  # it is told when the file is read or written
        return theirs is not None and theirs.text == self.put_off

    def reload(self) -> None:
        """Take what others have made of the file, with what was changed here.

        Raises InputError where it is no recipe, or both sides changed the same.
        """
        theirs = self.outside()
        if theirs is None:
            return
        if theirs.recipe is None:
            raise error_of(theirs)
        self.settle()
        if self.document == self.read:
            self.take(theirs, theirs)
            return
        both = self.merged(theirs)
        if both.conflicts:
            keys = ", ".join(conflict.key for conflict in both.conflicts)
            problem = f"was changed by another program, and so was here: {keys}"
            raise InputError(problem, file=self.name, hint="4 brings both together")
        self.take(theirs, both.document)

    @property
    def has_own_file(self) -> bool:
        """Whether saving writes over what it was read of; not of a ready recipe, nor of one of a run."""
        return self.saved is not None and not self.saved.ready and not is_of_run(self.saved.path)

    @property
    def read(self) -> Document:
        """What was last read of the file; the text as it was opened where there is none."""
        return self.before if self.saved is None else self.saved.document

    def merged(self, theirs: Document) -> Merged:
        """Both together. Raises InputError where one is not YAML."""
        self.settle()
        return merged(self.read, self.document, theirs)

    def take(self, theirs: Document, document: Document) -> None:
        """Go on with `document`, having seen what the file says; what was here can be had by undo."""
        if self.saved is not None:
            self.saved.accept(theirs)
        self.replace(document)
        self.before = document if document == theirs else theirs

    def save(self, *, overwrite: bool = False) -> None:
        """Write it into its file. Raises InputError where that has been changed by others, or cannot be."""
        self.settle()
        if self.saved is None:
            raise InputError("is in no file yet", file=self.name)
        refuse_of_run(self.saved.path)
        self.saved.save(self.document, overwrite=overwrite)
        self._is_saved()

    def save_as(self, path: str, *, overwrite: bool = False) -> None:
        """Write it into another file, which it is from now on. Raises InputError."""
        self.settle()
        refuse_of_run(Path(path).expanduser())
        if self.saved is not None:
            self.saved = self.saved.save_as(path, self.document, overwrite=overwrite)
        else:
            self.saved = write_new(path, self.document, overwrite=overwrite)
        self.name = self.saved.file
        if self.saved.document != self.document:
            self.history = History(self.saved.document)
            self._adopt()
        self._is_saved()

    def _is_saved(self) -> None:
        self._is_new = self._is_copy = self.is_gone = False
        self.before = self.document
        self._unsaved = None
