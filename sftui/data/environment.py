"""The Jinja environment that chat templates are written for.

Imported when a template is first rendered, not before: jinja2 is slow to import. Templates come with
models, from strangers, and therefore run in Jinja's sandbox.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.runtime import Context, Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

# Noncharacters of Unicode, which valid text does not hold.
GENERATION_START, GENERATION_END = "\ufdd0", "\ufdd1"


class GenerationBlocks(Extension):
    """`{% generation %}..{% endgeneration %}`: what the model is to produce.

    Renders as its content, between GENERATION_START and GENERATION_END if the template is rendered
    with `mark_generation=True`.
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
        return f"{GENERATION_START}{content}{GENERATION_END}" if context.get("mark_generation") else content


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


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationBlocks, loopcontrols]
    )
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise_exception
    environment.globals["namespace"] = _PlainNamespace
    return environment


_ENVIRONMENT = _environment()


def compile_template(text: str) -> Template:
    """Compile a chat template; raises jinja2.TemplateSyntaxError."""
    return _ENVIRONMENT.from_string(text)


def has_generation_blocks(text: str) -> bool:
    """Whether the template marks what the model is to produce."""
    if "endgeneration" not in text:
        return False
    return any(kind == "name" and value == "endgeneration" for _, kind, value in _ENVIRONMENT.lex(text))
