"""What becomes of changes where the workbench ends without being asked to: a crash, a lost connection."""

from __future__ import annotations

from pathlib import Path

from sftui.errors import InputError
from sftui.recipe_saved import write_new

from .open_recipe import OpenRecipe

_MOST = 100  # rescued files of one recipe, of which nobody took any notice


def rescue(made: OpenRecipe) -> Path:
    """Write what was changed into a new file beside the recipe's own, `my.unsaved.yaml`; returns that file.

    One without a file of its own, as a ready recipe or a run's, goes to the current directory. Raises
    InputError where nothing can be written there.
    """
    made.settle()
    own = (
        made.saved.path if made.saved is not None and made.has_own_file else Path.cwd() / Path(made.name).name
    )
    names = [own.with_name(f"{own.stem}.unsaved{'' if n == 1 else f'-{n}'}.yaml") for n in range(1, _MOST)]
    for file in names:
        if not file.exists():
            return write_new(file, made.document).path
    raise InputError("is there already, and 98 more like it", file=names[0])
