"""Where the values of a YAML text stand in it, and how one is put in, replaced or taken out there."""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from sftui.recipe_errors import Key
from sftui.recipe_override import get
from sftui.recipe_tree import nodes_of
from sftui.words import exact

_WIDTH = 100  # of a line, before a list is written one item a line
_COLON = re.compile(r"[ \n]*:")
_GAP = re.compile(r"(?:[ \t\n]+|(?<![^ \t\n])#[^\n]*)*")
_ALIAS = re.compile(r"\*[^\s,\[\]{}]+")
_PROPERTIES = re.compile(r"[&!][^\s,\[\]{}]*(?:[ \t]+[&!][^\s,\[\]{}]*)*")  # anchor and tag of a value


class NotInPlace(Exception):  # noqa: N818 -- no failure: there are other ways
    """The text is written in a way that this module does not edit."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A value in the text: after a colon, a dash, or in brackets. Positions are offsets of characters."""

    node: Node
    head: int  # of its key or dash, of itself in brackets
    after: int  # just behind colon or dash
    begin: int  # of the value, its anchor and tag included; where it is empty, `after`
    inner: int  # just behind its anchor and tag; `begin` without them
    end: int
    alias: bool = False

    @property
    def block(self) -> bool:
        """Whether it is a section or list written over several lines by indentation."""
        return isinstance(self.node, CollectionNode) and not self.node.flow_style and not self.alias

    @property
    def flow(self) -> bool:
        """Whether it is a section or list in brackets."""
        return isinstance(self.node, CollectionNode) and bool(self.node.flow_style) and not self.alias


class Page:
    """A text and its nodes. Edits give a new text, which is to be read again: they are not sure of it."""

    def __init__(self, text: str, root: Node | None) -> None:
        self._text, self._root = text, root

    def with_value(self, key: Key, wanted: dict[str, Any], *, insert: bool = False) -> str:
        """The text with what `wanted` says at `key`; `insert`: as a new item, before that of its number."""
        if not isinstance(self._root, MappingNode):
            return self._with_sections(wanted)
        way = self._way(key[:-1] if insert else key)
        slot, depth = way[-1], len(way) - 1
        in_flow = any(above.flow for above in way[:-1])
        value = get(wanted, key[:depth])
        if depth == len(key) or slot.alias:
            return self._replaced(slot, value, key[:depth], in_flow)
        children = self._children(slot)
        kind: type[Node] = SequenceNode if isinstance(key[depth], int) else MappingNode
        if isinstance(slot.node, kind) and (children or (slot.flow and depth == 0)):
            return self._inserted(slot, key[: depth + 1], get(wanted, key[: depth + 1]))
        if isinstance(slot.node, ScalarNode) and slot.end > slot.begin:
            value = _short(value)
        return self._replaced(slot, value, key[:depth], in_flow)

    def without(self, key: Key, wanted: dict[str, Any]) -> str:
        """The text without the value at `key`, its line or lines with it, comments between them kept.

        `wanted` is what the text is to say then.
        """
        way = self._way(key)
        depth = len(way) - 1
        if depth < len(key):
            if not way[-1].alias:
                raise NotInPlace
            in_flow = any(above.flow for above in way[:-1])
            return self._replaced(way[-1], get(wanted, key[:depth]), key[:depth], in_flow)
        parent, slot = way[-2:]
        siblings = self._children(parent)
        if len(siblings) == 1 and (parent.block and len(way) > 2):
            empty: Any = {} if isinstance(parent.node, MappingNode) else []
            return self._replaced(parent, empty, key[:-1], any(above.flow for above in way[:-2]))
        if parent.flow:
            return self._without_in_flow(siblings, siblings.index(slot))
        text, line = self._text, self._line_start(slot.head)
        stop = self._line_end(slot.end)
        kept = self._comments(slot.head, stop, slot.node)
        if not text[line : slot.head].strip():
            return text[:line] + (kept + text[stop:])[1:]
        following = siblings.index(slot) + 1
        if following == len(siblings):
            raise NotInPlace
        # It shares its line with the dash of a list: the next key takes its place there.
        rest = siblings[following].head
        if text[stop:rest].strip() or kept:
            return text[: slot.head].rstrip(" ") + kept + text[stop:]
        return text[: slot.head] + text[rest:]

    def touched(self, key: Key) -> tuple[list[Node], range]:
        """What an edit at `key` touches: the nodes on the way that are written there, and the value's own.

        With the positions of the value, none where it is not written.
        """
        way = self._way(key)
        last = way[-1]
        if len(way) <= len(key) or last.alias:
            return [slot.node for slot in way if not slot.alias], range(0)
        within = range(last.begin, last.end)
        parts = [node for node in nodes_of(last.node) if node.start_mark.index in within]
        return [slot.node for slot in way[:-1]] + parts, within

    # -- positions

    def _way(self, key: Key) -> list[Slot]:
        """The values from the root to that at `key`, as far as they are there."""
        assert self._root is not None
        start = self._root.start_mark.index
        root = Slot(self._root, start, start, start, self._inner(self._root, start), len(self._text))
        way = [root]
        for part in key:
            child = None if way[-1].alias else self._child(way[-1], part)
            if child is None:
                break
            way.append(child)
        return way

    def _child(self, slot: Slot, part: str | int) -> Slot | None:
        children = self._children(slot)
        if isinstance(slot.node, SequenceNode) and isinstance(part, int):
            return children[part] if part < len(children) else None
        if isinstance(slot.node, MappingNode):
            names = [name.value for name, _ in slot.node.value]
            return children[names.index(str(part))] if str(part) in names else None
        return None

    def _children(self, slot: Slot) -> list[Slot]:
        """The values in a section or list, in the order of the text."""
        if not isinstance(slot.node, CollectionNode):
            return []
        found: list[Slot] = []
        at = self._skip(slot.inner) + 1 if slot.flow else slot.inner
        for entry in slot.node.value:
            head = after = self._skip(at)
            node = entry
            if isinstance(slot.node, MappingNode):
                name, node = entry
                if name.start_mark.index != head:
                    raise NotInPlace  # an explicit key (? key), one with an anchor, an alias as key
                colon = _COLON.match(self._text, name.end_mark.index)
                after = colon.end() if colon else name.end_mark.index
            elif not slot.flow:
                if self._text[head : head + 1] != "-":
                    raise NotInPlace
                after = head + 1
            found.append(self._value(node, head, after))
            at = found[-1].end
            if slot.flow:
                comma = self._skip(at)
                at = comma + 1 if self._text[comma : comma + 1] == "," else comma
        return found

    def _value(self, node: Node, head: int, after: int) -> Slot:
        text, begin = self._text, self._skip(after)
        start, end = node.start_mark.index, node.end_mark.index
        if text[begin : begin + 1] == "*" and (start != begin):
            name = _ALIAS.match(text, begin)
            return Slot(node, head, after, begin, begin, name.end() if name else begin, alias=True)
        if start == end:  # nothing is written
            return Slot(node, head, after, after, after, after)
        inner = self._inner(node, begin)
        if isinstance(node, ScalarNode):
            end = len(text[:end].rstrip()) if node.style in ("|", ">") else end
            return Slot(node, head, after, begin, inner, end)
        slot = Slot(node, head, after, begin, inner, end)
        return slot if slot.flow else replace(slot, end=self._children(slot)[-1].end)

    def _inner(self, node: Node, begin: int) -> int:
        """Just behind the anchor and tag of a value; an anchor there may also be that of its first key."""
        has = node.anchor or self._text[begin : begin + 1] == "!"
        found = _PROPERTIES.match(self._text, begin) if has else None
        return found.end() if found else begin

    def _skip(self, at: int) -> int:
        """The next position that is neither white space nor comment."""
        gap = _GAP.match(self._text, at)
        return gap.end() if gap else at

    def _line_start(self, at: int) -> int:
        return self._text.rfind("\n", 0, at) + 1

    def _line_end(self, at: int) -> int:
        end = self._text.find("\n", at)
        return len(self._text) if end < 0 else end

    def _comments(self, begin: int, end: int, node: Node) -> str:
        """The lines between two positions that are comments and nothing else, each after a newline."""
        texts = [
            (part.start_mark.index, part.end_mark.index)
            for part in nodes_of(node)
            if isinstance(part, ScalarNode)
        ]
        at, found = self._line_end(begin) + 1, []
        while at < end:
            line = self._text[at : self._line_end(at)]
            if line.lstrip().startswith("#") and not any(start <= at < stop for start, stop in texts):
                found.append("\n" + line)
            at += len(line) + 1
        return "".join(found)

    # -- edits

    def _with_sections(self, wanted: dict[str, Any]) -> str:
        """A text without values, with these at its end."""
        lines = [line for name, value in wanted.items() for line in _entry(name, value, 0, 1)]
        text = self._text
        return text + ("" if not text or text.endswith("\n") else "\n") + "\n".join(lines) + "\n"

    def _replaced(self, slot: Slot, value: Any, key: Key, in_flow: bool) -> str:
        text = self._text
        if slot.block:
            end = self._line_end(slot.end)
            first = self._line_end(slot.after)
            comments = self._comments(slot.after, end, slot.node)
            # The section may begin in the line of a dash; then there is no comment of the dash's own.
            behind = slot.after if slot.inner == slot.begin else slot.inner
            note = text[behind:first] if self._skip(slot.inner) > first else ""
            return f"{text[: slot.after]} {inline(value)}{note}{comments}{text[end:]}"
        end = self._line_end(slot.end)
        comments = self._comments(slot.begin, end, slot.node) if slot.flow else ""
        name = str(key[-1])
        column = slot.head - self._line_start(slot.head)
        lines = [] if in_flow else _entry(name, value, column, len(key), step=self._step())[1:]
        if lines and not isinstance(key[-1], int):
            block = "".join(f"\n{line}" for line in lines)
            return (
                f"{text[: slot.begin].rstrip()}{text[slot.end : end].rstrip()}{comments}{block}{text[end:]}"
            )
        gap = "" if text[slot.begin - 1].isspace() or slot.after == slot.head else " "
        anchor = text[slot.begin : slot.inner]
        # A tag says of what type the value was.
        written = f"{anchor} " if anchor and "!" not in anchor and not slot.alias else ""
        written += inline(value, flow=in_flow)
        return f"{text[: slot.begin]}{gap}{written}{text[slot.end : end]}{comments}{text[end:]}"

    def _inserted(self, slot: Slot, key: Key, value: Any) -> str:
        text, children, part = self._text, self._children(slot), key[-1]
        if slot.flow:
            written = inline(value, flow=True)
            if isinstance(slot.node, MappingNode):
                written = f"{inline(part, flow=True)}: {written}"
            number = part if isinstance(part, int) else len(children)
            if not children:
                return f"{text[: slot.begin + 1]}{written}{text[slot.begin + 1 :]}"
            if number == len(children):
                return f"{text[: children[-1].end]}, {written}{text[children[-1].end :]}"
            return f"{text[: children[number].head]}{written}, {text[children[number].head :]}"
        first = children[0]
        column = first.head - self._line_start(first.head)
        number = len(children)
        if isinstance(part, int):
            lines = _item(value, column, block=any(child.block for child in children))
            number = part
        else:
            lines = _entry(part, value, column, len(key), step=self._step())
        if number == 0:
            start = self._line_start(first.head)
            if text[start : first.head].strip():
                raise NotInPlace
            return text[:start] + "\n".join(lines) + "\n" + text[start:]
        end = self._line_end(children[number - 1].end)
        return text[:end] + "".join(f"\n{line}" for line in lines) + text[end:]

    def _without_in_flow(self, siblings: list[Slot], number: int) -> str:
        text, slot = self._text, siblings[number]
        begin, end = slot.head, slot.end
        comments = self._comments(slot.head, slot.end, slot.node)
        comma = self._skip(end)
        if text[comma : comma + 1] == ",":
            end = comma + 1
            end += len(text[end:]) - len(text[end:].lstrip(" "))
        elif number:
            comma = self._skip(siblings[number - 1].end)
            if text[comma : comma + 1] != ",":
                raise NotInPlace
            text = f"{text[:comma]} {text[comma + 1 :]}"
            begin = max(comma, len(text[:begin].rstrip(" ")))
            if not text[comma:begin].strip(" "):
                begin = comma
        line, stop = text.rfind("\n", 0, begin) + 1, text.find("\n", end)
        alone = stop >= 0 and not text[line:begin].strip() and text[end:stop].lstrip()[:1] in ("", "#")
        if alone and line:
            return text[: line - 1] + comments + text[stop:]
        if comments:
            return text[:begin] + comments + "\n" + text[end:]
        return text[:begin] + text[end:]

    def _step(self) -> int:
        """How far sections are indented: as the first that is."""
        assert self._root is not None
        for slot in self._children(self._way(())[0]):
            if slot.block and isinstance(slot.node, MappingNode):
                begin = self._skip(slot.inner)
                step = begin - self._line_start(begin)
                return step or 2
        return 2


def inline(value: Any, *, flow: bool = False) -> str:
    """A value as YAML writes it in a line after `key: `; `flow`: within brackets."""
    if value is None:
        return "null"
    if isinstance(value, float) and 0 < abs(value) < 1:
        return exact(value)
    if isinstance(value, dict):
        entries = (f"{inline(name, flow=True)}: {inline(part, flow=True)}" for name, part in value.items())
        return f"{{{', '.join(entries)}}}"
    if isinstance(value, list):
        return f"[{', '.join(inline(part, flow=True) for part in value)}]"
    out = io.StringIO()
    yaml = YAML(typ="rt")
    yaml.width = 2**20
    yaml.default_flow_style = flow
    yaml.dump({"k": quoted(value)}, out)
    written = out.getvalue().strip()
    return (written[1:-1] if flow else written).removeprefix("k:").strip()


def quoted(value: Any) -> Any:
    """With quotes around texts whose characters cannot all be seen: bare, some would be read otherwise."""
    if isinstance(value, dict):
        return {quoted(key): quoted(part) for key, part in value.items()}
    if isinstance(value, list):
        return [quoted(part) for part in value]
    bare = not isinstance(value, str) or value.isprintable()
    return value if bare else DoubleQuotedScalarString(value)


def _short(value: Any) -> Any:
    """A source that was written as its path alone stays so while there is no more to say."""
    if isinstance(value, list) and len(value) == 1:
        return _short(value[0]) if isinstance(_short(value[0]), str) else value
    return value["path"] if isinstance(value, dict) and value.keys() == {"path"} else value


def _entry(name: str, value: Any, column: int, depth: int, *, step: int = 2) -> list[str]:
    """The lines of a key; a section of the recipe (`depth` 1) has one for each of its keys."""
    pad = " " * column
    if isinstance(value, dict) and value and depth == 1:
        entries = (_entry(key, part, column + step, 2) for key, part in value.items())
        return [f"{pad}{inline(name)}:", *(line for lines in entries for line in lines)]
    line = f"{pad}{inline(name)}: {inline(value)}"
    if isinstance(value, list) and len(value) > 1 and len(line) > _WIDTH:
        return [f"{pad}{inline(name)}:", *(line for item in value for line in _item(item, column + 2))]
    return [line]


def _item(value: Any, column: int, *, block: bool = False) -> list[str]:
    """The lines of a list item; `block`: a section with a line for each key."""
    pad = " " * column
    if not (block and isinstance(value, dict) and value):
        return [f"{pad}- {inline(value)}"]
    entries = [line for key, part in value.items() for line in _entry(key, part, column + 2, 3)]
    return [f"{pad}- {entries[0].lstrip()}", *entries[1:]]
