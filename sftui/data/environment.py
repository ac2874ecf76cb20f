"""The Jinja environment that chat templates are written for.

Imported when a template is first rendered, not before: jinja2 is slow to import. Templates come with
models, from strangers, and therefore run in a sandbox.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, TemplateSyntaxError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.utils import Namespace

from sftui.data.sandbox import BoundedSandbox, guarded_json

MAX_TEMPLATE = 1_000_000  # characters of a template


class GenerationBlocks(Extension):
    """`{% generation %}..{% endgeneration %}`: what the model is to produce.

    Renders as its content, between the two texts `mark_generation` if the template is rendered with them.
    """

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        """Read the block as a call of `_mark` with its content as caller."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = self.call_method("_mark", [nodes.ContextReference()])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def _mark(self, context: Context, caller: Macro) -> str:
        content = str(caller())
        marks: tuple[str, str] | None = context.get("mark_generation")
        return content if marks is None else f"{marks[0]}{content}{marks[1]}"


class _PlainNamespace(Namespace):
    """`namespace()` without underscored attributes, which could reach the interpreter's internals."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # no name for self: namespace(self=..) is allowed
        self, *rest = args
        Namespace.__init__(self, *rest, **kwargs)
        for name in dict(*rest, **kwargs):
            _check_attribute(name)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_attribute(name)
        super().__setitem__(name, value)


def _check_attribute(name: str) -> None:
    if name.startswith("_"):
        raise SecurityError(f"a namespace may not hold the underscored attribute {name!r}")


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """Unlike Jinja's own filter: no HTML escapes, and the options of `json.dumps`."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _environment() -> BoundedSandbox:
    environment = BoundedSandbox(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlocks, loopcontrols]
    )
    environment.filters["tojson"] = guarded_json(_to_json)
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["namespace"] = _PlainNamespace
    return environment


_ENVIRONMENT = _environment()


def compile_template(text: str) -> Template:
    """Compile a chat template; raises jinja2.TemplateSyntaxError."""
    if len(text) > MAX_TEMPLATE:
        raise TemplateSyntaxError(f"it has more than {MAX_TEMPLATE:,} characters", 1)
    try:
        template = _ENVIRONMENT.from_string(text)
    except (RecursionError, MemoryError, SyntaxError) as error:  # what Python's own compiler may say
        raise TemplateSyntaxError(f"it is nested too deeply ({error})", 1) from error
    # Jinja copies them for every rendering, which takes long from the chain of mappings that they are.
    template.globals = dict(template.globals)
    return template


def has_generation_blocks(text: str) -> bool:
    """Whether the template marks what the model is to produce."""
    if "endgeneration" not in text:
        return False
    return any(kind == "name" and value == "endgeneration" for _, kind, value in _ENVIRONMENT.lex(text))


def words_sought(text: str) -> tuple[str, ...]:
    """Lower-case texts that the template may look for in a content: `'</think>' in message.content`.

    They are all of its texts that it compares with something other than a role, or gives to a filter,
    a test or a method. A content without any of them takes the same course as any other such content.
    """
    tree = _ENVIRONMENT.parse(text)
    roles = {
        id(constant)
        for compared in tree.find_all(nodes.Compare)
        if _is_role(compared.expr)
        for constant in compared.find_all(nodes.Const)
    }
    found = {
        constant.value.lower()
        for node in tree.find_all((nodes.Compare, nodes.Call, nodes.Filter, nodes.Test))
        for constant in node.find_all(nodes.Const)
        if isinstance(constant.value, str) and constant.value.strip() and id(constant) not in roles
    }
    return tuple(sorted(found))


def _is_role(node: nodes.Node) -> bool:
    if isinstance(node, nodes.Getattr):
        return node.attr == "role"
    return isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const) and node.arg.value == "role"
