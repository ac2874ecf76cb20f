"""Recipes on disk: YAML in and out, `key=value` overrides, and errors that name file, line and key."""

from __future__ import annotations

import difflib
import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from sftui.data.sources.paths import is_beside, is_hub_id
from sftui.errors import InputError, shorten
from sftui.recipe import Recipe
from sftui.recipe_errors import Key, explain
from sftui.recipe_override import get, parse_override, put
from sftui.recipe_tree import expand_sources, plain, read_tree, require_values
from sftui.words import typed


def load_recipe(name: str | Path, overrides: Iterable[str] = ()) -> Recipe:
    """The recipe in a file (or the ready one of that name), with overrides, its paths made absolute.

    Relative paths in a file are relative to that file; in an override and in a ready recipe, to the
    current directory. Raises `InputError` naming file, line and dotted key.
    """
    path = find_recipe(name)
    base = Path.cwd() if path.parent == ready_recipes() else path.parent
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        problem = f"is not UTF-8 text (byte {error.start}): expected a recipe in YAML"
        raise InputError(problem, file=name) from None
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=name) from None
    return parse_recipe(text, overrides, file=str(name), base=base)


def find_recipe(name: str | Path) -> Path:
    """The file of a recipe given as a path or as the name of a ready recipe."""
    path = _expanded(str(name))
    try:
        if path.is_dir():
            raise InputError("is a directory: expected a recipe file (.yaml)", file=name)
        if path.exists():
            return path.absolute()
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror}", file=shorten(str(name))) from None
    ready = ready_recipes()
    known = sorted(file.stem for file in ready.glob("*.yaml"))
    if str(name) in known:
        return ready / f"{name}.yaml"
    folder = path.parent
    beside = [file.name for file in folder.glob("*.y*ml")] if folder.is_dir() else []
    near = difflib.get_close_matches(path.name, [*beside, *known], n=1)
    raise InputError(
        "no such recipe: expected a file, or the name of a ready recipe",
        file=name,
        hint=f"did you mean {near[0]}?" if near else f"ready recipes: {', '.join(known) or 'none'}",
    )


def ready_recipes() -> Path:
    """The folder of the recipes that come with sftui."""
    from importlib import import_module

    package = import_module("sftui.recipes")
    return Path(next(iter(package.__path__)))


def parse_recipe(
    text: str, overrides: Iterable[str] = (), *, file: str = "recipe", base: Path | None = None
) -> Recipe:
    """The recipe in `text`; see `load_recipe`. Without `base`, paths stay as they are written."""
    tree = require_values(read_tree(text, file), file)
    values = tree.copy()
    if base is not None:
        resolve_paths(values, base)
    overridden: dict[Key, str] = {}
    for override in overrides:
        key, value = parse_override(override)
        put(values, key, _resolve_at(key, plain(value), Path.cwd()))
        overridden[key] = override
    try:
        return Recipe.model_validate(values)
    except ValidationError as error:
        raise explain(error, file, tree.lines, overridden) from None


def dump_recipe(recipe: Recipe, comment: str = "") -> str:
    """The recipe as YAML with every field; `parse_recipe` gives an equal recipe back."""
    yaml = YAML(typ="rt")
    yaml.default_flow_style = False
    yaml.width = 4096
    out = io.StringIO()
    for line in comment.splitlines():
        out.write(f"# {line}".rstrip() + "\n")
    yaml.dump(_as_typed(recipe.model_dump(mode="json")), out)
    return out.getvalue()


def _as_typed(node: Any) -> Any:
    """Whole numbers without a point, as people type them; quotes around texts that hold a NEL.

    The library would write those bare, and read a space.
    """
    if isinstance(node, dict):
        return {_as_typed(key): _as_typed(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_as_typed(value) for value in node]
    if isinstance(node, float):
        return typed(node)
    return DoubleQuotedScalarString(node) if isinstance(node, str) and "\x85" in node else node


def resolve_paths(tree: dict[str, Any], base: Path) -> None:
    """Make all paths of a recipe's tree absolute, in place, that of runs too where none is given."""
    tree.setdefault("output_dir", "runs")
    _resolve(tree, base)


def _resolve(tree: dict[str, Any], base: Path) -> None:
    """Make a recipe's paths absolute, in place; what is not of the right type is left to validation."""
    if isinstance(tree.get("output_dir"), str):
        tree["output_dir"] = _absolute(tree["output_dir"], base)
    model, data = tree.get("model"), tree.get("data")
    if isinstance(model, dict) and isinstance(model.get("name_or_path"), str):
        model["name_or_path"] = _absolute_model(model["name_or_path"], base)
    if not isinstance(data, dict):
        return
    template = data.get("chat_template")
    if isinstance(template, str) and ("/" in template or template.endswith(".jinja")):
        data["chat_template"] = _absolute(template, base)
    for part in ("train", "eval"):
        items = data.get(part)
        for item in items if isinstance(items, list) else ():
            if isinstance(item, dict) and isinstance(item.get("path"), str):
                item["path"] = _absolute_data(item["path"], base)


def _resolve_at(key: Key, value: Any, base: Path) -> Any:
    """The overriding `value` of `key`, its paths made absolute."""
    branch: dict[str, Any] = {}
    if any(isinstance(part, int) and part > 0 for part in key):
        key = tuple(0 if isinstance(part, int) else part for part in key)
    put(branch, key, value)
    expand_sources(branch)
    _resolve(branch, base)
    return get(branch, key)


def _absolute(path: str, base: Path) -> str:
    return str(base / _expanded(path)) if path else path


def _expanded(path: str) -> Path:
    """With `~` and `~user` written out; as in a shell, what names no user stays as it is."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _absolute_data(path: str, base: Path) -> str:
    """Data is a path, unless nothing is there, not even its folder, and it reads like a Hub dataset."""
    # os.path: False, not an error, for a name that no file can have.
    if is_hub_id(path) and not is_beside(path, base) and not os.path.lexists(base / path):
        return path
    return _absolute(path, base)


def _absolute_model(name: str, base: Path) -> str:
    """A model is a directory where one is there or the name can only be a path; else a Hub id."""
    if "\0" in name:
        return name  # refused when it is validated
    # os.path: False, not an error, for a name that no file can have.
    if name.startswith(("/", "./", "../", "~")) or (name and os.path.isdir(base / name)):  # noqa: PTH112
        return str((base / _expanded(name)).resolve())
    return name
