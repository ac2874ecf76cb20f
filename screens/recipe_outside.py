"""The file was changed by another program, and the recipe here as well: what becomes of both."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sftui.errors import InputError, shorten
from sftui.printable import printable

from .data_choices import Choice, Item
from .recipe_view import base_name

if TYPE_CHECKING:
    from sftui.recipe_document import Document
    from sftui.recipe_merge import Conflict, Merged

    from .app import Workbench
    from .open_recipe import OpenRecipe

NAMED = 3  # keys in conflict that a line names


def ask(app: Workbench, made: OpenRecipe, theirs: Document) -> None:
    """Offer to merge, to take the file's or to keep what is here; all of it can be undone."""
    try:
        both = made.merged(theirs)
    except InputError:
        both = None

    def chosen(item: Item | None) -> None:
        if item is None:
            made.put_off = theirs.text
            app.notify("both stay as they are: S asks again", timeout=4)
            return
        try:
            _take(made, theirs, both, str(item.value))
        except InputError as error:
            app.notify(str(error), severity="error", timeout=8, markup=False)
        else:
            _tell(app, both, item)
        app.show_recipe()

    title = f"{base_name(made.name)} was changed by another program"
    app.push_screen(Choice(title, items(both), "mine"), chosen)


def items(both: Merged | None) -> list[Item]:
    """What can be done; `both` is None where one side is not YAML."""
    reload = Item("reload", "reload", "take the file as it is now; u brings back what is here")
    keep = Item("keep", "keep", "leave what is here; S then writes it over the file's")
    if both is None:
        return [keep, reload]
    if not both.conflicts:
        return [Item("mine", "merge", "both changes: they are of different fields"), reload, keep]
    names = in_words(both.conflicts)
    return [
        Item("mine", "merge, yours first", f"both changed {names}: what is here"),
        Item("theirs", "merge, the file's first", f"both changed {names}: what the file says"),
        reload,
        keep,
    ]


def in_words(conflicts: tuple[Conflict, ...]) -> str:
    """The keys that both sides changed."""
    names = [conflict.key for conflict in conflicts]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return printable(", ".join(names[:NAMED])) + more


def _take(made: OpenRecipe, theirs: Document, both: Merged | None, how: str) -> None:
    from sftui.recipe_merge import ABSENT

    made.settle()
    if how == "reload":
        made.take(theirs, theirs)
    elif both is not None and how in ("mine", "theirs"):
        document = both.document
        for conflict in both.conflicts if how == "mine" else ():
            if conflict.mine is ABSENT:
                document = document.without_value(conflict.key)
            else:
                document = document.with_value(conflict.key, conflict.mine)
        made.take(theirs, document)
    elif made.saved is not None:
        made.saved.accept(theirs)


def _tell(app: Workbench, both: Merged | None, item: Item) -> None:
    if both is None or item.value not in ("mine", "theirs"):
        return
    words = [
        f"{conflict.key}: here {_shown(conflict.mine)}, in the file {_shown(conflict.theirs)}"
        for conflict in both.conflicts
    ]
    words += [f"a comment of yours found no place: {line}" for line in both.comments]
    if words:
        app.notify("\n".join(map(printable, words)), timeout=15, markup=False)


def _shown(value: object) -> str:
    from sftui.recipe_merge import ABSENT

    return "nothing" if value is ABSENT else shorten(value)
