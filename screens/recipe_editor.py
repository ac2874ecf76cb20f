"""The recipe's text in a person's own editor."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from textual.app import SuspendNotSupported

from sftui.errors import InputError

if TYPE_CHECKING:
    from .app import Workbench
    from .open_recipe import OpenRecipe

FALLBACKS = ("nano", "vim", "vi")


def edit(app: Workbench, made: OpenRecipe) -> None:
    """Let a person edit the recipe's text there; what goes wrong is told."""
    try:
        made.settle()
        text = edited(app, made.document.view, made.name)
    except InputError as error:
        app.notify(str(error), severity="error", timeout=10, markup=False)
        return
    if text is not None:
        made.replace(made.document.with_text(text))
        app.show_recipe()


def editor_command() -> list[str]:
    """$VISUAL, $EDITOR, or one that is installed. Raises InputError where there is none."""
    named = os.environ.get("VISUAL") or os.environ.get("EDITOR")
    if named:
        try:
            command = shlex.split(named)
        except ValueError as error:
            raise InputError(f"$EDITOR is {named!r}: {error}") from None
        if command and shutil.which(command[0]):
            return command
        raise InputError(f"$EDITOR is {named!r}: there is no such program")
    for name in FALLBACKS:
        if shutil.which(name):
            return [name]
    raise InputError("there is no editor: set $EDITOR to the name of one")


def edited(app: Workbench, text: str, name: str) -> str | None:
    """The text as the editor leaves it; None if it leaves it alone. The screen is the editor's meanwhile.

    Raises InputError, which says where the text is kept if there is one that was not taken.
    """
    command = editor_command()
    folder = Path(tempfile.mkdtemp(prefix="sftui-"))
    file = folder / (Path(name).name.removesuffix(".yaml") + ".yaml")
    file.write_text(text, encoding="utf-8")
    keep = False
    try:
        try:
            with app.suspend():
                done = subprocess.run([*command, str(file)], check=False)
        except SuspendNotSupported:
            raise InputError("this terminal cannot be given to an editor") from None
        except OSError as error:
            raise InputError(f"{command[0]} cannot be started: {error.strerror}") from None
        try:
            new = file.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            keep = True
            raise InputError(f"what the editor left is not UTF-8 text: it is kept in {file}") from None
        except OSError:
            return None  # taken away by the editor
        if new == text:
            return None
        if done.returncode:
            keep = True
            words = f"{command[0]} ended with {done.returncode}: its text is not taken, it is kept in {file}"
            raise InputError(words)
        return new
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
