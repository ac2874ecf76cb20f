"""Jinja's sandbox, bounded: what one operation of a template makes stays within MAX_CHARACTERS.

`bounded` stops Python code that runs too long, but not a single operation in C: `'a' * 10**10` takes the
machine's memory before anything can be interrupted. Operators, text methods and filters that multiply
are therefore checked before they run. Whatever they are given is within the bounds itself, so that all
other operations can be checked afterwards.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import islice
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import Environment, filters, nodes, pass_environment
from jinja2.compiler import CodeGenerator, Frame
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context, LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment

from sftui.data.bounds import MAX_BITS, MAX_CHARACTERS, MAX_ITEMS

_NOTHING = object()
_OF_DICT = frozenset(dir(dict))
# Attributes that can neither change anything nor lead out of the sandbox, by type.
_HARMLESS: dict[type, frozenset[str]] = {
    str: frozenset(name for name in dir(str) if name[0] != "_" and not name.startswith("format")),
    LoopContext: frozenset(
        ("index", "index0", "revindex", "revindex0", "first", "last", "length", "previtem", "nextitem")
    ),
}
_PIECES = 256  # of a text, taken from the template at once
_PLAIN = (str, int, float, bool, type(None))
# A width or precision in a pattern of `%` or of `format`; and those that are taken from the values.
_WRITTEN_WIDTH = re.compile(r"%[^a-zA-Z%]*\d{7,}|\{[^{}]*:[^{}]*\d{7,}")
_GIVEN_WIDTH = re.compile(r"%[^a-zA-Z%]*\*|\{[^{}]*\{")


def _within(length: float, limit: int = MAX_CHARACTERS, unit: str = "characters") -> None:
    if length > limit:
        raise SecurityError(f"more than {limit:,} {unit}")


def _checked(result: Any) -> Any:
    """`result` of an operation whose operands were within the bounds."""
    if isinstance(result, str | bytes):
        if len(result) > MAX_CHARACTERS:
            _within(len(result))
    elif isinstance(result, list | tuple) and len(result) > MAX_ITEMS:
        _within(len(result), MAX_ITEMS, "items")
    return result


def _check(value: object) -> None:
    """Refuse what would be too long if it were written out; a list may hold one long text many times."""
    length, stack = 0, [value]
    while stack:
        item = stack.pop()
        if isinstance(item, str):
            length += len(item)
        elif isinstance(item, Mapping):
            stack.extend(item.keys())
            stack.extend(item.values())
        elif isinstance(item, list | tuple | set | frozenset):
            stack.extend(item)
        length += 1
        _within(length)


def text(value: Any) -> str:
    """What `{{ value }}` writes."""
    if value.__class__ is str:
        return value
    if type(value) not in _PLAIN:
        _check(value)
    return str(value)


def concat(pieces: Iterable[str]) -> str:
    """`''.join`, bounded; a generator is stopped soon after it has made too much."""
    remaining, taken, length = iter(pieces), [], 0
    while some := list(islice(remaining, _PIECES)):
        length += sum(map(len, some))
        if length > MAX_CHARACTERS:
            _within(length)
        taken += some
    return "".join(taken)


def add(left: Any, *others: Any) -> Any:
    """`left + other + ..`, bounded."""
    for other in others:
        left = left + other
        if left.__class__ is str:
            if len(left) > MAX_CHARACTERS:
                _within(len(left))
        else:
            _checked(left)
    return left


class _Code(CodeGenerator):
    """Leaves constants to be computed when the template runs, within its bounds, and bounds `~`."""

    def _output_child_to_const(self, node: nodes.Expr, frame: Frame, finalize: Any) -> str:
        if isinstance(node, nodes.TemplateData | nodes.Const):
            return super()._output_child_to_const(node, frame, finalize)
        raise nodes.Impossible

    def _output_child_pre(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write("environment.text(")

    def _output_child_post(self, node: nodes.Expr, frame: Frame, finalize: Any) -> None:
        self.write(")")

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:  # noqa: N802  # Jinja's name
        self.write("environment.concat(map(environment.text, (")
        for each in node.nodes:
            self.visit(each, frame)
            self.write(", ")
        self.write(")))")

    def visit_Add(self, node: nodes.BinExpr, frame: Frame) -> None:  # noqa: N802
        operands: list[nodes.Expr] = [node.right]
        while isinstance(node.left, nodes.Add):
            node = node.left
            operands.append(node.right)
        self.write("environment.add(")
        for each in (node.left, *reversed(operands)):
            self.visit(each, frame)
            self.write(", ")
        self.write(")")


class BoundedSandbox(ImmutableSandboxedEnvironment):
    """The sandbox in which chat templates run."""

    code_generator_class = _Code
    intercepted_binops = frozenset({"*", "**", "%"})
    add = staticmethod(add)
    concat = staticmethod(concat)
    text = staticmethod(text)

    def __init__(self, **options: Any) -> None:
        super().__init__(optimized=False, **options)
        self.filters |= {name: _guarded(self.filters[name], guard) for name, guard in _FILTERS.items()}
        self.filters |= {"string": text, "join": _join, "sum": _sum}

    def getattr(self, obj: Any, attribute: str) -> Any:
        """`obj.attribute` of a template; what is common and harmless by nature takes a short way."""
        kind = obj.__class__
        if kind is dict:
            if attribute not in _OF_DICT:
                found = obj.get(attribute, _NOTHING)
                return found if found is not _NOTHING else self.undefined(obj=obj, name=attribute)
        elif attribute in _HARMLESS.get(kind, ()):
            return getattr(obj, attribute)
        return super().getattr(obj, attribute)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """An operator of a template; raises SecurityError if its result would be too large."""
        if operator == "*":
            _check_product(left, right)
        elif operator == "**":
            _check_power(left, right)
        elif operator == "%" and isinstance(left, str):
            _check_format(left, *(right if isinstance(right, tuple) else (right,)))
        return _checked(self.binop_table[operator](left, right))

    def call(__self, __context: Context, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: N805
        """A call in a template; raises SecurityError if a text method's result would be too large."""
        method = getattr(__obj, "__wrapped__", __obj)  # the sandbox wraps `format` itself
        if type(method) in (BuiltinMethodType, MethodType) and isinstance(method.__self__, str):
            kwargs.pop("_loop_vars", None)  # Jinja's own, for macros
            kwargs.pop("_block_vars", None)
            guard = _METHODS.get(method.__name__)
            if guard is not None:
                guard(method.__self__, *args, **kwargs)
            return _checked(__obj(*args, **kwargs))
        return _checked(super().call(__context, __obj, *args, **kwargs))


def _check_product(left: Any, right: Any) -> None:
    for one, times in ((left, right), (right, left)):
        if isinstance(times, int):
            if isinstance(one, str | bytes):
                _within(len(one) * times)
            elif isinstance(one, list | tuple):
                _within(len(one) * times, MAX_ITEMS, "items")
            elif isinstance(one, int):
                _within(one.bit_length() + times.bit_length(), MAX_BITS, "bits")


def _check_power(base: Any, exponent: Any) -> None:
    if isinstance(base, int) and isinstance(exponent, int):
        _within(base.bit_length() * abs(exponent), MAX_BITS, "bits")


def _check_format(pattern: Any, *values: Any, **named: Any) -> None:
    """Widths are written in the pattern, or are values: `%*d`, `{:{}}`. Texts may be used many times."""
    pattern = text(pattern)
    if _WRITTEN_WIDTH.search(pattern):
        raise SecurityError("a width of millions of characters")
    uses = pattern.count("%") + pattern.count("{")
    for value in (*values, *named.values()):
        _within(len(text(value)) * max(1, uses))
        if isinstance(value, int | float | str) and _GIVEN_WIDTH.search(pattern):
            number = int(value) if isinstance(value, int | float) or value.isdecimal() else 0
            _within(number)


def _padded(value: Any, width: Any = 0, *_: Any, **__: Any) -> None:
    if isinstance(width, int | float):
        _within(width)


def _replaced(value: Any, old: Any = "", new: Any = "", *_: Any, **__: Any) -> None:
    one, other, by = text(value), text(old), text(new)
    _within(len(one) + one.count(other) * max(0, len(by) - len(other)))


def _joined(separator: Any, items: Any = (), *_: Any) -> None:
    if isinstance(items, list | tuple):
        _within(len(text(separator)) * len(items) + sum(len(item) for item in items if isinstance(item, str)))


def _with_tabs(value: str, tabsize: Any = 8) -> None:
    if isinstance(tabsize, int):
        _within(len(value) + value.count("\t") * tabsize)


def _translated(value: str, table: Any = (), *_: Any) -> None:
    if isinstance(table, Mapping):
        longest = max((len(to) for to in table.values() if isinstance(to, str)), default=1)
        _within(len(value) * longest)


_METHODS: dict[str, Callable[..., None]] = {
    "center": _padded,
    "ljust": _padded,
    "rjust": _padded,
    "zfill": _padded,
    "replace": _replaced,
    "join": _joined,
    "expandtabs": _with_tabs,
    "translate": _translated,
    "format": _check_format,
    "format_map": _check_format,
}


def _indented(value: Any, width: Any = 4, *_: Any, **__: Any) -> None:
    lines = text(value)
    _within(len(lines) + (lines.count("\n") + 1) * (len(width) if isinstance(width, str) else width))


def _listed(value: Any, count: Any, *_: Any, **__: Any) -> None:
    if isinstance(count, int):
        _within(count, MAX_ITEMS, "items")


def _wrapped(environment: Any, value: Any, width: Any = 79, *more: Any, **options: Any) -> None:
    between = options.get("wrapstring") or (more[1] if len(more) > 1 else None) or "\n"
    lines = len(text(value)) / max(1, width) + text(value).count("\n") + 1
    _within(len(text(value)) + 2 * lines * len(text(between)))


def _rounded(value: Any, precision: Any = 0, *_: Any) -> None:
    if isinstance(precision, int):
        _within(abs(precision), MAX_BITS // 4, "digits")


def _as_json(value: Any, ensure_ascii: Any = False, indent: Any = None, *_: Any, **__: Any) -> None:
    _check(value)
    if indent is not None:
        _within(len(indent) if isinstance(indent, str) else indent, 100, "spaces")


def _any(*_: Any, **__: Any) -> None:
    """Filters that write a text a few times longer: seeing to their result will do."""


_FILTERS: dict[str, Callable[..., None]] = {
    **dict.fromkeys(("e", "escape", "forceescape", "pprint", "urlencode", "urlize", "xmlattr"), _any),
    "center": _padded,
    "indent": _indented,
    "replace": lambda context, *args, **options: _replaced(*args, **options),
    "batch": _listed,
    "slice": lambda context, *args, **options: _listed(*args, **options),
    "wordwrap": _wrapped,
    "round": _rounded,
    "format": _check_format,
}


def _guarded(function: Callable[..., Any], guard: Callable[..., None]) -> Callable[..., Any]:
    """`function`, after `guard` has had a look at its arguments."""

    @wraps(function)
    def guarded(*args: Any, **options: Any) -> Any:
        guard(*args, **options)
        return _checked(function(*args, **options))

    return guarded


def guarded_json(to_json: Callable[..., str]) -> Callable[..., str]:
    """A filter `tojson`, bounded."""
    return _guarded(to_json, _as_json)


@pass_environment
def _join(environment: Environment, value: Iterable[Any], d: str = "", attribute: Any = None) -> str:
    """Jinja's filter `join`, bounded."""
    items = iter(value)
    if attribute is not None:
        items = map(filters.make_attrgetter(environment, attribute), items)
    between = text(d)
    return concat(text(item) if number == 0 else between + text(item) for number, item in enumerate(items))


@pass_environment
def _sum(environment: Environment, value: Iterable[Any], attribute: Any = None, start: Any = 0) -> Any:
    """Jinja's filter `sum`, bounded: with a list to start from it joins lists."""
    items = iter(value)
    if attribute is not None:
        items = map(filters.make_attrgetter(environment, attribute), items)
    for item in items:
        start = _checked(start + item)
    return start
