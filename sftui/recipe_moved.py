"""A recipe for another folder: its relative paths lead where they led."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sftui.errors import InputError
from sftui.recipe_document import Document
from sftui.recipe_errors import Key
from sftui.recipe_file import resolve_paths
from sftui.recipe_override import get, put
from sftui.recipe_tree import read_tree


def moved(document: Document, folder: Path) -> Document:
    """The document as it is to be written in `folder`, which is its new base.

    Paths of model, data and template are rewritten, relative where both folders have a parent in common
    other than the root. Where runs are written stays as it is if that is within the recipe's own folder.
    Raises `InputError` for a name of the Hub that would be a path there, and for a text that is not YAML.
    """
    new = Document(document.text, document.file, folder)
    base = document.base
    if base is None or os.path.realpath(base) == os.path.realpath(folder):
        return new
    values = read_tree(document.view, document.file).values
    for key, written, target in list(_paths(values, base)):
        if key == ("output_dir",) and Path(os.path.normpath(target)).is_relative_to(os.path.normpath(base)):
            continue
        if written == target:  # a name of the Hub, or absolute
            if _resolved(values, key, written, folder) != written:
                problem = f"{written!r} would be a path in {str(folder)!r}: expected another folder"
                raise InputError(problem, key=".".join(map(str, key)), file=document.file)
        elif not Path(written).expanduser().is_absolute():
            new = new.with_value(key, _path_from(folder, target, values, key))
    return new


def _paths(values: dict[str, Any], base: Path) -> Iterator[tuple[Key, str, str]]:
    """The paths and names that are written: key, as written, as meant."""
    meant = copy.deepcopy(values)
    resolve_paths(meant, base)
    keys: list[Key] = [("model", "name_or_path"), ("data", "chat_template"), ("output_dir",)]
    for part in ("train", "eval"):
        sources = _at(values, ("data", part))
        keys += [("data", part, i, "path") for i in range(len(sources) if isinstance(sources, list) else 0)]
    for key in keys:
        written = _at(values, key)
        if isinstance(written, str):
            yield key, written, str(get(meant, key))


def _at(values: dict[str, Any], key: Key) -> Any:
    try:
        return get(values, key)
    except (KeyError, IndexError, TypeError, ValueError):
        return None


def _path_from(folder: Path, target: str, values: dict[str, Any], key: Key) -> str:
    """`target` as it is written in `folder`: relative if that is read as the same place, else absolute."""
    if os.path.commonpath([folder, target]) == os.path.sep:
        return target
    relative = os.path.relpath(target, folder)
    if key[0] == "model" and not relative.startswith("."):
        relative = f"./{relative}"
    read = _resolved(values, key, relative, folder)
    same_place = os.path.realpath(read) == os.path.realpath(target)  # not so where `..` leaves a link
    return relative if same_place and read != relative else target


def _resolved(values: dict[str, Any], key: Key, written: str, folder: Path) -> str:
    """How a path is read in a recipe that lies in `folder`."""
    tree = copy.deepcopy(values)
    put(tree, key, written)
    resolve_paths(tree, folder)
    return str(get(tree, key))
