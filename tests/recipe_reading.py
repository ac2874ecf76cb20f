"""Which fields of the recipe a source file reads: by the names that hold sections in it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping

# What a name may hold, by the types it is annotated with.
TYPES = {
    "Recipe": "recipe",
    "ModelSection": "model",
    "AdapterSection": "adapter",
    "DataSection": "data",
    "TrainingSection": "training",
    "Source": "source",
    "Sources": "sources",
}
SECTIONS = ("model", "adapter", "data", "training")
Functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
Held = Mapping[str, str]
Reads = set[tuple[str, str]]


def fields_read(tree: ast.Module) -> Reads:
    """Section and name of every field that is looked at: ("training", "seed"), ("source", "limit").

    Only where the object is known to be that section: an attribute of the same name of something else does
    not count, nor does an assignment or a call.
    """
    constants = {
        target.id: [item.value for item in node.value.elts if isinstance(item, ast.Constant)]
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Tuple)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    attributes = {
        f".{node.target.id}": kind
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for node in node.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
        if (kind := annotated(node.annotation))
    }
    return _reads(tree, attributes, constants)


def _reads(scope: ast.AST, outer: Held, constants: Mapping[str, list[str]]) -> Reads:
    held = dict(outer)
    if isinstance(scope, Functions):
        arguments = scope.args
        for one in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            held.pop(one.arg, None)
            if one.annotation is not None and (kind := annotated(one.annotation)):
                held[one.arg] = kind
    nodes = list(_within(scope))
    for _ in range(3):  # a name may be given what a later line names
        for node in nodes:
            _bind(node, held)
    called = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    found = set()
    for node in nodes:
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load) and id(node) not in called:
            kind = kind_of(node.value, held)
            if kind is not None:
                found.add((kind, node.attr))
        elif isinstance(node, Functions):
            found |= _reads(node, held, constants)
        found |= set(_by_constants(node, held, constants))
    return found


def _within(scope: ast.AST) -> Iterator[ast.AST]:
    """Everything in a scope; of functions in it only themselves."""
    for node in ast.iter_child_nodes(scope):
        yield node
        if not isinstance(node, Functions):
            yield from _within(node)


def _bind(node: ast.AST, held: dict[str, str]) -> None:
    pairs: list[tuple[ast.AST, ast.AST]] = []
    if isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    elif isinstance(node, ast.NamedExpr):
        pairs = [(node.target, node.value)]
    elif isinstance(node, ast.For | ast.comprehension):
        over = [kind_of(part, held) for part in ast.walk(node.iter)]
        if "sources" in over:
            for name in ast.walk(node.target):
                if isinstance(name, ast.Name):
                    held[name.id] = "source"
    for target, value in pairs:
        whole = isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple)
        parts = zip(target.elts, value.elts, strict=False) if whole else [(target, value)]
        for name, given in parts:
            if (kind := kind_of(given, held)) is None:
                continue
            if isinstance(name, ast.Name):
                held[name.id] = kind
            elif isinstance(name, ast.Attribute):
                held[f".{name.attr}"] = kind


def kind_of(node: ast.AST, held: Held) -> str | None:
    """Which section an expression is; `recipe` and `sources` too."""
    if isinstance(node, ast.Name):
        return held.get(node.id, "recipe" if node.id == "recipe" else None)
    if isinstance(node, ast.Attribute):
        owner = kind_of(node.value, held)
        if owner == "recipe":
            return node.attr if node.attr in SECTIONS else None
        if owner == "data":
            return "sources" if node.attr in ("train", "eval") else None
        return held.get(f".{node.attr}", "recipe" if node.attr == "recipe" else None) if not owner else None
    if isinstance(node, ast.Subscript):
        return "source" if kind_of(node.value, held) == "sources" else None
    if isinstance(node, ast.BoolOp):
        return next((kind for part in node.values if (kind := kind_of(part, held))), None)
    if isinstance(node, ast.IfExp):
        return kind_of(node.body, held) or kind_of(node.orelse, held)
    return None


def annotated(annotation: ast.AST) -> str | None:
    """What a name with this annotation holds: a section, or several sources."""
    text = ast.unparse(annotation).strip("'\"")
    for word, kind in TYPES.items():
        if re.fullmatch(rf"{word}( \| None)?", text):
            return kind
    return "sources" if re.search(r"\bSource\b", text) else None


def _by_constants(node: ast.AST, held: Held, constants: Mapping[str, list[str]]) -> Iterator[tuple[str, str]]:
    """Of `getattr(section, name) for name in NAMES` all names, of `getattr(section, "name")` the one."""
    calls = [part for part in ast.walk(node) if isinstance(part, ast.Call)] if _loops(node) else [node]
    for call in calls:
        match call:
            case ast.Call(func=ast.Name(id="getattr"), args=[section, ast.Constant(value=str(name)), *_]):
                names = [name]
            case ast.Call(func=ast.Name(id="getattr"), args=[section, ast.Name(id=variable), *_]):
                names = [
                    name
                    for loop in getattr(node, "generators", [])
                    if isinstance(loop.iter, ast.Name) and getattr(loop.target, "id", None) == variable
                    for name in constants.get(loop.iter.id, [])
                ]
            case _:
                continue
        if kind := kind_of(section, held):
            yield from ((kind, name) for name in names)


def _loops(node: ast.AST) -> bool:
    return isinstance(node, ast.DictComp | ast.ListComp | ast.SetComp | ast.GeneratorExp)
