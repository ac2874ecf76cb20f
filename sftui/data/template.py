"""A model's own chat templates, rendered as transformers' `apply_chat_template` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sftui.data.formats import Conversation, Message
from sftui.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Template

# What datasets call a message's reasoning. Templates read the first, gpt-oss's the second.
_REASONING = ("reasoning_content", "thinking", "reasoning")

# What a template can raise beside Jinja's own errors: its expressions are Python's.
_FAILURES = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)


@dataclass(frozen=True, eq=False)
class ChatTemplate:
    """One Jinja chat template, compiled when it is first used.

    `special_tokens` (`bos_token` and its like, by name) are variables of the template;
    `special_strings` are all texts that become one special token. `now` is the moment that a template
    which prints the date is told: one for the whole dataset, so that a row's renderings agree.
    """

    text: str
    special_tokens: Mapping[str, str]
    special_strings: frozenset[str]
    now: datetime

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = False,
        where: str | None = None,
    ) -> str:
        """The text of `messages`; with `add_generation_prompt`, up to where the assistant would start.

        Raises InputError, naming the row `where`, if the template refuses the messages or fails.
        """
        return self._render(messages, tools, where, add_generation_prompt=add_generation_prompt)

    def generation_spans(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None, where: str | None
    ) -> list[tuple[int, int]]:
        """Character spans, in the text of `messages`, of the template's `{% generation %}` blocks."""
        from sftui.data.environment import GENERATION_END, GENERATION_START

        marked = self._render(messages, tools, where, add_generation_prompt=False, mark_generation=True)
        spans, length = [], 0
        before, *blocks = marked.split(GENERATION_START)
        length = len(before)
        for block in blocks:
            inside, _, after = block.partition(GENERATION_END)
            spans.append((length, length + len(inside)))
            length += len(inside) + len(after)
        return spans

    @cached_property
    def marks_generation(self) -> bool:
        """Whether the template has `{% generation %}` blocks."""
        from sftui.data.environment import has_generation_blocks

        return has_generation_blocks(self.text)

    @cached_property
    def _compiled(self) -> Template:
        from jinja2 import TemplateSyntaxError

        from sftui.data.environment import compile_template

        try:
            return compile_template(self.text)
        except TemplateSyntaxError as error:
            raise InputError(
                f"the chat template is not valid Jinja: {error.message} (its line {error.lineno})"
            ) from error

    def _render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        where: str | None,
        **options: bool,
    ) -> str:
        from jinja2 import TemplateError

        template = self._compiled
        try:
            return template.render(
                messages=[_as_templates_expect(message) for message in messages],
                tools=list(tools) if tools else None,
                documents=None,
                strftime_now=self.now.strftime,
                **options,
                **self.special_tokens,
            )
        except (TemplateError, *_FAILURES) as error:
            line = _template_line(error.__traceback__)
            at = f" (line {line} of the template)" if line else ""
            # What raise_exception raises is the template's own word; anything else is a failure of it.
            said = "refuses" if type(error) is TemplateError else "fails on"
            null = any(message.get("content") is None for message in messages)
            raise InputError(
                f"the chat template {said} this conversation: {error}{at}",
                file=where,
                hint="a message has no content: this template may need an empty text there" if null else None,
            ) from error


@dataclass(frozen=True, slots=True)
class ChatTemplates:
    """All chat templates of a model by name; `looked_in` says where they were sought."""

    by_name: Mapping[str, ChatTemplate]
    looked_in: str

    def choose(self, conversation: Conversation) -> ChatTemplate:
        """The `tool_use` template for a conversation with tools, if there is one; else `default`.

        Raises InputError if the model has neither.
        """
        if conversation.tools and "tool_use" in self.by_name:
            return self.by_name["tool_use"]
        if "default" in self.by_name:
            return self.by_name["default"]
        found = f"only {', '.join(sorted(self.by_name))}" if self.by_name else "none"
        raise InputError(
            f"the model has no chat template: looked in {self.looked_in}, found {found}",
            hint="expected an instruction-tuned model, or a chat_template.jinja beside its tokenizer.json",
        )


def _as_templates_expect(message: Message) -> dict[str, Any]:
    """As transformers hands it over: without null values, reasoning under the names templates read."""
    plain = {name: value for name, value in message.items() if value is not None}
    reasoning = next((plain[name] for name in _REASONING if name in plain), None)
    if reasoning is not None:
        plain["reasoning_content"] = reasoning
        plain.setdefault("thinking", reasoning)
    return plain


def _template_line(traceback: TracebackType | None) -> int | None:
    """The line of the template that an error comes from: Jinja names its frames `<template>`."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<template>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
