"""Edits of a recipe's text: one value set or taken out, every other line left as it is.

An edit is made where the value stands, by the positions that the YAML library gives to its nodes, and
read again. Where that says something else, because others share the value by its anchor, the anchor is
handed on to the first of them; then all aliases are written out, and at last the whole text is written
anew from its tree.
"""

from __future__ import annotations

import difflib
import io
import re
from collections.abc import Callable, Iterator
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import Node
from ruamel.yaml.tokens import AliasToken, AnchorToken
from ruamel.yaml.util import load_yaml_guess_indent

from sftui.errors import InputError
from sftui.recipe_errors import Key
from sftui.recipe_override import get, put
from sftui.recipe_page import NotInPlace, Page, inline, quoted
from sftui.recipe_tree import expand_sources, nodes_of, plain, read_tree, same

_BOM = "\ufeff"
_LINE_END = re.compile(r"\r\n|\r|\n")
REMOVED = object()  # in place of a value: the key goes


def with_value(text: str, key: Key, value: Any, file: str = "recipe") -> str:
    """`text` with `value` at `key`; sections and list items on the way there are made.

    A section or list that is there already is changed in its parts, so that comments in it stay. Raises
    `InputError` for a text that is not YAML and a key that cannot be.
    """
    return _in_its_layout(text, lambda page: _set(page, key, value, file))


def without_value(text: str, key: Key, file: str = "recipe") -> str:
    """`text` without `key`, which then has its default; a list without that item."""
    return _in_its_layout(text, lambda page: _step(page, key, REMOVED, file))


def unmarked(text: str) -> str:
    """`text` without byte order mark, its lines ended by a newline."""
    return _LINE_END.sub("\n", text.removeprefix(_BOM))


def as_laid_out(text: str, like: str) -> str:
    """`text` with the byte order mark and the line ends of `like`, line by line where these are mixed."""
    text, bom = unmarked(text), _BOM if like.startswith(_BOM) else ""
    ends = _LINE_END.findall(like)
    if len(set(ends)) <= 1:
        return bom + text.replace("\n", ends[0] if ends else "\n")
    lines = text.split("\n")
    usual = max(set(ends), key=ends.count)
    new = [usual] * (len(lines) - 1)
    matcher = difflib.SequenceMatcher(None, unmarked(like).split("\n"), lines, autojunk=False)
    for _, begin, end, start, stop in matcher.get_opcodes():
        for i in range(start, min(stop, len(new))):
            old = begin + i - start
            # A line that is new ends as the one before it.
            new[i] = ends[old] if old < min(end, len(ends)) else new[i - 1] if i else usual
    return bom + "".join(line + end for line, end in zip(lines, [*new, ""], strict=True))


def _in_its_layout(text: str, edit: Callable[[str], str]) -> str:
    page = unmarked(text)
    new = edit(page)
    return text if new == page else as_laid_out(new, text)


def _set(text: str, key: Key, value: Any, file: str) -> str:
    values, wanted = read_tree(text, file).values, read_tree(text, file).copy()
    value = plain(value)
    put(wanted, key, value)
    expand_sources(wanted)
    for depth in range(1, len(key) + 1):
        if not _holds(values, key[:depth]):
            return _step(text, key, value, file)
    new = text
    try:
        for part, change in list(_differences(get(values, key), get(wanted, key), key)):
            new = _step(new, part, change, file)
    except InputError:
        # What a merge key (<<) gives a section cannot be taken out of it: it is written as a whole.
        return _step(text, key, value, file)
    return new


def _differences(old: Any, new: Any, key: Key) -> Iterator[tuple[Key, Any]]:
    """The steps from one value to another, each a key with its new value, `REMOVED` or `Inserted`."""
    if same(old, new):
        return
    if isinstance(old, dict) and isinstance(new, dict) and old and new:
        for name, value in new.items():
            if name in old:
                yield from _differences(old[name], value, (*key, name))
            else:
                yield (*key, name), value
        yield from (((*key, name), REMOVED) for name in old if name not in new)
    elif isinstance(old, list) and isinstance(new, list) and old and new:
        matcher = difflib.SequenceMatcher(None, [*map(repr, old)], [*map(repr, new)], autojunk=False)
        # From the end, so that the numbers of the items before stay.
        for _, begin, end, start, stop in reversed([op for op in matcher.get_opcodes() if op[0] != "equal"]):
            pairs = min(end - begin, stop - start)
            yield from (((*key, i), REMOVED) for i in range(end - 1, begin + pairs - 1, -1))
            yield from (((*key, end), Inserted(new[j])) for j in range(stop - 1, start + pairs - 1, -1))
            for i in range(pairs):
                yield from _differences(old[begin + i], new[start + i], (*key, begin + i))
    else:
        yield key, new


class Inserted:
    """A new item of a list, before the one that has its number now."""

    def __init__(self, value: Any) -> None:
        self.value = value


def _step(text: str, key: Key, change: Any, file: str) -> str:
    """One edit: in place if possible, and read again."""
    tree = read_tree(text, file)
    wanted = tree.copy()
    _apply(wanted, key, change)
    expand_sources(wanted)
    if same(tree.values, wanted):
        return text
    for prepared in (_as_it_is, _handed_on, _without_aliases):
        try:
            new = _in_place(prepared(text, key), key, change, wanted, file)
            if _says(new, wanted, file):
                return new
        except (NotInPlace, InputError, YAMLError):
            continue
    try:
        new = _written_anew(text, key, change)
    except Exception:  # the library lets others through
        new = text
    if _says(new, wanted, file):
        return new
    place = ".".join(map(str, key))
    raise InputError("is written in a way that only you can change", file=file, key=place)


def _apply(tree: dict[str, Any], key: Key, change: Any) -> None:
    if change is REMOVED:
        if _holds(tree, key):
            parent = get(tree, key[:-1])
            del parent[int(key[-1]) if isinstance(parent, list) else str(key[-1])]
    elif isinstance(change, Inserted):
        get(tree, key[:-1]).insert(key[-1], change.value)
    else:
        put(tree, key, change)


def _holds(tree: Any, key: Key) -> bool:
    for part in key:
        if isinstance(tree, list) and isinstance(part, int) and part < len(tree):
            tree = tree[part]
        elif isinstance(tree, dict) and str(part) in tree:
            tree = tree[str(part)]
        else:
            return False
    return True


def _in_place(text: str, key: Key, change: Any, wanted: dict[str, Any], file: str) -> str:
    page = Page(text, read_tree(text, file).node)
    if change is REMOVED:
        return page.without(key, wanted)
    return page.with_value(key, wanted, insert=isinstance(change, Inserted))


def _says(text: str, wanted: dict[str, Any], file: str) -> bool:
    try:
        return same(read_tree(text, file).values, wanted)
    except InputError:
        return False


def _as_it_is(text: str, key: Key) -> str:
    return text


def _handed_on(text: str, key: Key) -> str:
    """`text` in which no one shares what an edit at `key` touches.

    The first alias elsewhere of each anchor there has the value in its place, and the anchor.
    """
    touched, within = Page(text, read_tree(text).node).touched(key)
    starts = {_start(node) for node in touched if node.anchor}
    root: Node = YAML(typ="rt").compose(text)
    anchored = sorted((node for node in nodes_of(root) if node.anchor), key=_start)
    edits: list[tuple[int, int, str]] = []
    for token in YAML(typ="rt").scan(text):
        begin, end = token.start_mark.index, token.end_mark.index
        if isinstance(token, AliasToken) and begin not in within:
            meant = [node for node in anchored if node.anchor == token.value and _start(node) < begin][-1]
            if _start(meant) in starts:
                starts.remove(_start(meant))
                edits.append((begin, end, f"&{token.value} {inline(_constructed(meant), flow=True)}"))
                edits.append((_start(meant), _start(meant) + 1 + len(token.value), ""))
    for begin, end, new in sorted(edits, reverse=True):
        text = text[:begin] + new + text[end:] if new else _cut_out(text, begin, end)
    return text


def _cut_out(text: str, begin: int, end: int) -> str:
    """`text` without an anchor, and the blanks that set it apart."""
    before, after = text[:begin], text[end:]
    return before.rstrip(" ") + after if after[:1] in ("\n", "") else before + after.lstrip(" ")


def _without_aliases(text: str, key: Key) -> str:
    """`text` with each `*alias` replaced by the value it stands for, and no `&anchor`."""
    root: Node = YAML(typ="rt").compose(text)
    anchored = sorted((node for node in nodes_of(root) if node.anchor), key=_start)
    for token in reversed(list(YAML(typ="rt").scan(text))):
        begin, end = token.start_mark.index, token.end_mark.index
        if isinstance(token, AliasToken):
            meant = [node for node in anchored if node.anchor == token.value and _start(node) < begin]
            text = text[:begin] + inline(_constructed(meant[-1]), flow=True) + text[end:]
        elif isinstance(token, AnchorToken):
            text = _cut_out(text, begin, end)
    return text


def _start(node: Node) -> int:
    return int(node.start_mark.index)


def _constructed(node: Node) -> Any:
    return plain(YAML(typ="rt").constructor.construct_document(node))


def _written_anew(text: str, key: Key, change: Any) -> str:
    """The whole text from its tree: comments and order stay, indentation may not."""
    _, indent, offset = load_yaml_guess_indent(text)
    yaml = YAML(typ="rt")
    yaml.preserve_quotes, yaml.width = True, 2**20
    yaml.indent(mapping=2, sequence=indent or 2, offset=offset or 0)
    tree = yaml.load(text)
    _apply(tree, key, quoted(change))
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue()
