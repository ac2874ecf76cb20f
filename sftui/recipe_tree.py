"""The YAML of a recipe: its values in plain Python types, and where each of them stands in the text."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import MarkedYAMLError
from ruamel.yaml.nodes import Node
from ruamel.yaml.scalarbool import ScalarBoolean

from sftui.errors import InputError, shorten
from sftui.recipe import source_list
from sftui.recipe_errors import Key

_SECTIONS = "expected the sections model, data, adapter, training"
_REMEDIES = {
    r"'\t'": "indent with spaces, not with tabs",
    "could not find expected ':'": "a colon and a space follow each key",
    "mapping values are not allowed": "one key a line; a text with a colon in it needs quotes",
    "expected <block end>": "all keys of a section begin in the same column",
    "duplicate key": "each key once in its section",
}


@dataclass(frozen=True, slots=True)
class Tree:
    """A text that is YAML: its values, sources in their long form, and their places. Not to be changed."""

    values: dict[str, Any]
    lines: dict[Key, int]  # 1-based, of every key and list item
    node: Node | None
    empty: bool = False  # the text has no values, at most comments

    def copy(self) -> dict[str, Any]:
        """The values, to be changed."""
        return copy.deepcopy(self.values)


@lru_cache(maxsize=8)
def read_tree(text: str, file: str = "recipe") -> Tree:
    """The tree of `text`; without any values for a text of comments only.

    Raises `InputError` with the line for what is not YAML, or no mapping.
    """
    try:
        node, loaded = _load(text)
        if loaded is None:
            return Tree({}, {}, node, empty=True)
        if not isinstance(loaded, CommentedMap):
            found = "a list" if isinstance(loaded, CommentedSeq) else shorten(loaded)
            raise InputError(f"found {found}: {_SECTIONS}", file=file, line=1)
        values = plain(loaded)
        expand_sources(values)
        return Tree(values, _line_numbers(loaded), node)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else None
        problem = str(error.problem or error.context or "is not YAML").split("\n", 1)[0]
        hint = next((hint for sign, hint in _REMEDIES.items() if sign in problem), None)
        raise InputError(f"is not valid YAML: {problem}", file=file, line=line, hint=hint) from None
    except InputError:
        raise
    except RecursionError:
        raise InputError("is nested too deeply, or holds itself (*alias)", file=file) from None
    except Exception as error:  # beside its own, the library lets others through: `!!bool maybe`
        first = str(error).strip().split("\n", 1)[0]
        raise InputError(f"is not valid YAML: {first}", file=file) from None


def require_values(tree: Tree, file: str) -> Tree:
    """`tree`, or `InputError` if there is nothing in it."""
    if tree.empty:
        raise InputError(f"is empty: {_SECTIONS}", file=file)
    return tree


def plain(node: Any) -> Any:
    """Values in plain Python types (the YAML library's own carry layout that pydantic must not keep)."""
    if isinstance(node, Mapping):
        return {str(key): plain(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [plain(value) for value in node]
    if isinstance(node, ScalarBoolean):
        return bool(node)
    for kind in (bool, int, float, str):
        if isinstance(node, kind):
            return kind(node)
    return node


def expand_sources(tree: dict[str, Any]) -> None:
    """Write the short forms of `data.train` and `data.eval` out, so that an override can reach into them."""
    data = tree.get("data")
    for part in ("train", "eval"):
        if isinstance(data, dict) and part in data:
            data[part] = source_list(data[part])


def same(one: Any, other: Any) -> bool:
    """Whether two trees are equal, with equal types: 1, 1.0 and True are three values."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(value, other[key]) for key, value in one.items())
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other) or repr(one) == repr(other)  # nan is not equal to itself


def _load(text: str) -> tuple[Node | None, Any]:
    yaml = YAML(typ="rt")
    node = yaml.compose(text)
    if node is None:
        return None, None
    # The constructor takes merge keys (<<) out of the nodes.
    entries = {id(part): (part, list(part.value)) for part in nodes_of(node) if isinstance(part.value, list)}
    loaded = yaml.constructor.construct_document(node)
    for part, value in entries.values():
        part.value[:] = value
    return node, loaded


def nodes_of(node: Node) -> list[Node]:
    """A node and all below it, each once."""
    found: dict[int, Node] = {}
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if id(one) in found:
            continue
        found[id(one)] = one
        if isinstance(one.value, list):
            for part in one.value:
                waiting.extend(part if isinstance(part, tuple) else (part,))
    return list(found.values())


def _line_numbers(node: Any, key: Key = ()) -> dict[Key, int]:
    """1-based line of every key and list item below `node`."""
    lines: dict[Key, int] = {}
    if isinstance(node, CommentedMap):
        for name, value in node.items():
            position = node.lc.data.get(name) if node.lc.data else None
            if position is not None:
                lines[(*key, str(name))] = position[0] + 1
            lines |= _line_numbers(value, (*key, str(name)))
    elif isinstance(node, CommentedSeq):
        for index, value in enumerate(node):
            position = node.lc.data.get(index) if node.lc.data else None
            if position is not None:
                lines[(*key, index)] = position[0] + 1
            lines |= _line_numbers(value, (*key, index))
    return lines
