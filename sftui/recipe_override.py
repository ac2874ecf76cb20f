"""`key=value` on the command line: one field of a recipe's tree, set."""

from __future__ import annotations

from typing import Any

from ruamel.yaml import YAML

from sftui.errors import InputError, shorten
from sftui.recipe_errors import Key


def parse_override(override: str) -> tuple[Key, Any]:
    """`training.learning_rate=1e-4` as key and value; the value is read as YAML."""
    dotted, equals, text = override.partition("=")
    dotted = dotted.strip()
    if not equals or not dotted or "" in dotted.split("."):
        raise InputError(f"found {shorten(override)}: expected key=value, e.g. training.learning_rate=1e-4")
    try:
        return parse_key(dotted), YAML(typ="safe", pure=True).load(text)
    except Exception:  # beside its own, the library lets others through: a month 13, `!!bool maybe`
        raise InputError(f"the value {shorten(text)} is not YAML", key=dotted) from None


def parse_key(dotted: str) -> Key:
    """A dotted key in parts, items of lists as numbers."""
    return tuple(int(part) if part.isdecimal() and len(part) < 10 else part for part in dotted.split("."))


def put(tree: Any, key: Key, value: Any) -> None:
    """Set `value` at `key` in nested dicts and lists, in place; makes missing sections and list items."""
    dotted = ".".join(map(str, key))
    node = tree
    for depth, part in enumerate(key):
        rest = key[depth + 1 :]
        if isinstance(node, list):
            if not isinstance(part, int) or part > len(node):
                items = f"{len(node)} item{'' if len(node) == 1 else 's'}"
                expected = f"expected its number, 0 to {len(node)}"
                raise InputError(f"found {part!r} in a list of {items}: {expected}", key=dotted)
            if part == len(node):
                node.append(None)
            slot: Any = part
        elif isinstance(node, dict):
            slot = str(part)
        else:
            place = ".".join(map(str, key[:depth]))
            raise InputError(f"{place} is {shorten(node)}, not a section", key=dotted)
        if not rest:
            node[slot] = value
            return
        child = node[slot] if isinstance(node, list) else node.get(slot)
        if child is None:
            child = [] if isinstance(rest[0], int) else {}
            node[slot] = child
        node = child


def get(tree: Any, key: Key) -> Any:
    """The value at `key`."""
    for part in key:
        tree = tree[int(part)] if isinstance(tree, list) else tree[str(part)]
    return tree
