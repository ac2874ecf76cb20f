"""Changes to an open recipe: applied in memory, and written into its file with all else left as it is."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.util import load_yaml_guess_indent

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.recipe_errors import explain
from sftui.recipe_file import find_recipe, parse_recipe, ready_recipes
from sftui.recipe_override import parse_override, put

_BOM = "\ufeff"


def as_override(key: str, value: Any) -> str:
    """A change as it is given on the command line: `data.max_length=1024`."""
    return f"{key}={'null' if value is None else value}"


def value_of(recipe: Recipe, key: str) -> Any:
    """What a recipe says at a dotted key of a section: `data.max_length`."""
    value: Any = recipe
    for name in key.split("."):
        value = getattr(value, name)
    return value


def with_changes(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """`recipe` with the values of dotted keys in place of its own. Raises `InputError` if they do not fit."""
    tree = recipe.model_dump()
    overridden = {}
    for dotted, value in changes.items():
        key, _ = parse_override(as_override(dotted, None))
        put(tree, key, value)
        overridden[key] = as_override(dotted, value)
    try:
        return Recipe.model_validate(tree)
    except ValidationError as error:
        raise explain(error, "recipe", {}, overridden) from None


def save_changes(name: str | Path, changes: Mapping[str, Any]) -> Path:
    """Write the values of dotted keys into a recipe's file, as it is on disk now; returns that file.

    Comments, order, quotes and indentation of all other lines stay. The file is replaced as a whole, or
    not at all. Raises `InputError` for a recipe that comes with sftui, and for a file that cannot be
    read, would not be a recipe any more, or cannot be written.
    """
    path = find_recipe(name)
    if path.parent == ready_recipes():
        raise InputError(
            "comes with sftui and is not written to",
            file=name,
            hint=f"copy it and open the copy: cp {path} my.yaml; sftui my.yaml",
        )
    # A link stays one: what it leads to is replaced.
    path = path.resolve()
    try:
        text = path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot be read: {error}", file=name) from None
    parse_recipe(text.removeprefix(_BOM), file=str(name), base=path.parent)
    new = _edited(text, changes)
    parse_recipe(new.removeprefix(_BOM), file=str(name), base=path.parent)
    try:
        _replace(path, new)
    except OSError as error:
        raise InputError(f"cannot be written: {error.strerror}", file=name) from None
    return path


def _edited(text: str, changes: Mapping[str, Any]) -> str:
    bom, text = (_BOM, text[1:]) if text.startswith(_BOM) else ("", text)
    crlf = "\r\n" in text
    text = text.replace("\r\n", "\n")
    for dotted, value in changes.items():
        wanted = _loaded(text)
        put(wanted, parse_override(as_override(dotted, None))[0], value)
        new = _set_in_place(text, dotted.split("."), value)
        # Anchors, flow sections and the like: where an edit in place says something else, write all anew.
        text = new if new is not None and _says(new, wanted) else _written_anew(text, dotted, value)
    return bom + (text.replace("\n", "\r\n") if crlf else text)


def _set_in_place(text: str, key: list[str], value: Any) -> str | None:
    """`text` with only a key's value replaced, or a line for it added; None where that is not so simple."""
    *sections, name = key
    node = YAML(typ="rt").compose(text)
    for section in sections:
        node = dict(_entries(node)).get(section)
    entries = _entries(node)
    if not entries:
        return None
    flow = bool(node.flow_style)
    written = _scalar(value, flow)
    for found, there in entries:
        if found == name:
            if not isinstance(there, ScalarNode):
                return None
            begin, end = there.start_mark.index, there.end_mark.index
            gap = "" if text[begin - 1].isspace() else " "
            return f"{text[:begin]}{gap}{written}{text[end:]}"
    if flow:
        end = entries[-1][1].end_mark.index
        return f"{text[:end]}, {name}: {written}{text[end:]}"
    # A line of its own after the last key with a short value, as far to the right as the others.
    keys = [pair[0] for pair in node.value]
    short = [pair for pair in node.value if pair[1].start_mark.line == pair[1].end_mark.line]
    lines = text.split("\n")
    line = short[-1][1].end_mark.line + 1 if short else keys[0].start_mark.line
    lines.insert(line, f"{' ' * keys[0].start_mark.column}{name}: {written}")
    return "\n".join(lines)


def _entries(node: Any) -> list[tuple[str, Any]]:
    return [(key.value, value) for key, value in node.value] if isinstance(node, MappingNode) else []


def _scalar(value: Any, flow: bool) -> str:
    """A value as YAML writes it after `key: `, within braces if `flow`."""
    if value is None:
        return "null"
    out = io.StringIO()
    yaml = YAML(typ="rt")
    yaml.width = 2**20
    yaml.default_flow_style = flow
    yaml.dump({"k": _quoted(value)}, out)
    written = out.getvalue().strip()
    return (written[1:-1] if flow else written).removeprefix("k:").strip()


def _quoted(value: Any) -> Any:
    """With quotes around a text whose characters cannot all be seen: bare, some would be read otherwise."""
    bare = not isinstance(value, str) or value.isprintable()
    return value if bare else DoubleQuotedScalarString(value)


def _loaded(text: str) -> Any:
    return YAML(typ="safe", pure=True).load(text)


def _says(text: str, wanted: Any) -> bool:
    try:
        return bool(_loaded(text) == wanted)
    except YAMLError:
        return False


def _written_anew(text: str, dotted: str, value: Any) -> str:
    """The whole file from its tree: comments and order stay, indentation may not."""
    _, indent, offset = load_yaml_guess_indent(text)
    yaml = YAML(typ="rt")
    yaml.preserve_quotes, yaml.width = True, 2**20
    yaml.indent(mapping=2, sequence=indent or 2, offset=offset or 0)
    tree = yaml.load(text)
    put(tree, parse_override(as_override(dotted, None))[0], _quoted(value))
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue()


def _replace(path: Path, text: str) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        temporary = Path(file.name)
        try:
            file.write(text.encode())
            file.flush()
            os.fsync(file.fileno())
            shutil.copymode(path, temporary)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
