"""Chat templates, rendered as transformers' `apply_chat_template` does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sftui.data.bounds import OutOfTime, bounded
from sftui.data.conversation import Conversation, Message
from sftui.data.tool_calls import CallForm, call_form
from sftui.errors import InputError

if TYPE_CHECKING:
    from jinja2 import Template

# What datasets call a message's reasoning. Templates read the first, gpt-oss's the second.
_REASONING = ("reasoning_content", "thinking", "reasoning")

# Noncharacters of Unicode, around a number that makes the mark unlike anything in the row.
_MARKS = "\ufdd0{}\ufdd1", "\ufdd2{}\ufdd3"

# A tool of words that no template has, and conversations about it of which a template takes at least one.
_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "probetool",
        "description": "probedescription",
        "parameters": {
            "type": "object",
            "properties": {"probekey": {"type": "string", "description": "probe"}},
            "required": ["probekey"],
        },
    },
}
_USER = {"role": "user", "content": "probe"}
_WITH_TOOL: tuple[tuple[Message, ...], ...] = (
    (_USER,),
    ({"role": "system", "content": "probe"}, _USER),
    (_USER, {"role": "assistant", "content": "probe"}),
)

_SAID = 300  # characters that are quoted of what a template says when it refuses


@dataclass(frozen=True, eq=False)
class ChatTemplate:
    """One Jinja chat template, compiled when it is first used.

    `special_tokens` (`bos_token` and its like, by name) are variables of the template;
    `special_strings` are all texts that become one special token, or end a turn as one would. `now` is the
    moment that a template which prints the date is told: one for the whole dataset, so that a row's
    renderings agree. `name` is for people; `file` is where it was read if a person named a file. A row may
    take `seconds`.
    """

    text: str
    special_tokens: Mapping[str, str]
    special_strings: frozenset[str]
    now: datetime
    name: str = "default"
    file: str | None = None
    seconds: float = 10.0

    def render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        *,
        add_generation_prompt: bool = False,
        where: str | None = None,
    ) -> str:
        """The text of `messages`; with `add_generation_prompt`, up to where the assistant would start.

        Raises InputError, naming the row `where`, if the template refuses the messages, fails, or makes too
        much of them; OutOfTime, which is one too, if it takes too long.
        """
        return self._render(messages, tools, where, add_generation_prompt=add_generation_prompt)

    def check(self) -> None:
        """Raise InputError if the template is not valid Jinja, which otherwise its first use would do."""
        _ = self._compiled

    def generation_spans(
        self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] | None, text: str
    ) -> list[tuple[int, int]] | None:
        """Character spans, in the `text` of `messages`, of the template's `{% generation %}` blocks.

        None if marking them changes the text: a template may do something else with what it has marked.
        """
        number = 0
        while _MARKS[0].format(number) in text or _MARKS[1].format(number) in text:
            number += 1
        start, end = (mark.format(number) for mark in _MARKS)
        marked = self._render(
            messages, tools, None, add_generation_prompt=False, mark_generation=(start, end)
        )
        if marked.replace(start, "").replace(end, "") != text:
            return None
        before, *blocks = marked.split(start)
        spans, length = [], len(before)
        for block in blocks:
            inside, _, after = block.partition(end)
            spans.append((length, length + len(inside)))
            length += len(inside) + len(after)
        return spans

    @cached_property
    def marks_generation(self) -> bool:
        """Whether the template has `{% generation %}` blocks."""
        from sftui.data.environment import has_generation_blocks

        return has_generation_blocks(self.text)

    @cached_property
    def words_sought(self) -> tuple[str, ...]:
        """Lower-case texts for which the template may look in a message's content."""
        from sftui.data.environment import words_sought

        return words_sought(self.text)

    @cached_property
    def remembered(self) -> dict[Any, Any]:
        """What `rendering` knows of the template's own text, by conversations without their contents."""
        return {}

    @cached_property
    def writes_calls(self) -> bool:
        """Whether tool calls reach the text; a template without a word for them leaves them out silently."""
        return "tool_calls" in self.text and self._call_form("empty").written

    @cached_property
    def writes_tools(self) -> bool:
        """Whether tool definitions reach the text; true where that is unknown, for the template refuses them.

        Seen from conversations about nothing with one tool, whose name and description are looked for.
        """
        if "tools" not in self.text:
            return False
        words = _TOOL["function"]["name"], _TOOL["function"]["description"]
        shown = [text for messages in _WITH_TOOL if (text := self._rendered_with_tool(messages)) is not None]
        return not shown or any(all(word in text for word in words) for text in shown)

    def _call_form(self, given: str) -> CallForm:
        if given not in self._call_forms:
            self._call_forms[given] = call_form(self._rendered_calls, given)
        return self._call_forms[given]

    @cached_property
    def _call_forms(self) -> dict[str, CallForm]:
        return {}

    def _rendered_with_tool(self, messages: Sequence[Message]) -> str | None:
        try:
            return self._render(messages, [_TOOL], None, add_generation_prompt=False)
        except InputError:
            return None

    def _rendered_calls(self, messages: Sequence[Message]) -> str | None:
        """The text of messages whose tool calls have their form already; None if the template fails."""
        try:
            return self._fill(list(messages), None, None, {"add_generation_prompt": False})
        except OutOfTime:
            raise
        except InputError:
            return None

    @cached_property
    def _compiled(self) -> Template:
        from jinja2 import TemplateSyntaxError

        from sftui.data.environment import compile_template

        try:
            with bounded(self.seconds):
                return compile_template(self.text)
        except TemplateSyntaxError as error:
            raise InputError(
                f"the chat template is not valid Jinja: {error.message}{self._at(error.lineno)}",
                file=self.file,
                line=error.lineno if self.file else None,
            ) from error

    def _render(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        where: str | None,
        **options: Any,
    ) -> str:
        expected = [self._as_expected(message) for message in messages]
        return self._fill(expected, tools, where, options)

    def _fill(
        self,
        messages: list[dict[str, Any]] | list[Message],
        tools: Sequence[Mapping[str, Any]] | None,
        where: str | None,
        options: Mapping[str, Any],
    ) -> str:
        """Let the template write. It is a stranger's code: whatever it raises is its own failure."""
        template = self._compiled
        try:
            with bounded(self.seconds):
                return template.render(
                    messages=messages,
                    tools=list(tools) if tools else None,
                    documents=None,
                    strftime_now=self.now.strftime,
                    **options,
                    **self.special_tokens,
                )
        except OutOfTime as error:
            at = self._at(_template_line(error.__traceback__))
            raise OutOfTime(
                f"the chat template takes longer than {self.seconds:g} s on this conversation{at}", file=where
            ) from error
        except Exception as error:
            raise self._failure(error, messages, where) from error

    def _failure(self, error: Exception, messages: Sequence[Message], where: str | None) -> InputError:
        from jinja2 import TemplateError

        # What raise_exception raises is the template's own word; anything else is a failure of it.
        said = "refuses" if type(error) is TemplateError else "fails on"
        reason = str(error) or (
            "not enough memory" if isinstance(error, MemoryError) else type(error).__name__
        )
        if len(reason) > _SAID:
            reason = f"{reason[:_SAID]}…"
        null = any(message.get("content") is None for message in messages)
        at = self._at(_template_line(error.__traceback__))
        return InputError(
            f"the chat template {said} this conversation: {reason}{at}",
            file=where,
            hint="a message has no content: this template may need an empty text there" if null else None,
        )

    def _at(self, line: int | None) -> str:
        if line is None:
            return ""
        return f" (line {line} of {self.file or 'the template'})"

    def _as_expected(self, message: Message) -> dict[str, Any]:
        """As transformers hands it over: without null values, reasoning under the names templates read.

        Tool calls are given the form that this template can write.
        """
        if len(message) == 2 and message.get("content") is not None:  # and a role
            return dict(message)
        plain = {name: value for name, value in message.items() if value is not None}
        reasoning = next((plain[name] for name in _REASONING if name in plain), None)
        if reasoning is not None:
            plain["reasoning_content"] = reasoning
            plain.setdefault("thinking", reasoning)
        if plain.get("tool_calls") and "tool_calls" in self.text:
            content = plain.get("content")
            given = "missing" if content is None else "text" if content else "empty"
            return self._call_form(given).applied(plain)
        return plain


# A row of plain text, as a template of its one message. The text may have its first or last token already.
PLAIN_TEXT = (
    "{%- set text = messages[0].content %}"
    "{%- if bos_token and not text.startswith(bos_token) %}{{ bos_token }}{% endif %}{{ text }}"
    "{%- if eos_token and not text.endswith(eos_token) %}{{ eos_token }}{% endif %}"
)


@dataclass(frozen=True, slots=True)
class ChatTemplates:
    """All chat templates of a model by name, `chosen` if the recipe chose one, and one for plain texts.

    `by_name` are the model's own; `looked_in` says where they were sought.
    """

    by_name: Mapping[str, ChatTemplate]
    looked_in: str
    chosen_template: ChatTemplate | None = None
    plain_text: ChatTemplate = ChatTemplate(PLAIN_TEXT, {}, frozenset(), datetime.min, "text")

    @property
    def chosen(self) -> str:
        """The name of the template in use, for people: the model's own, `default`, if none was chosen."""
        return "default" if self.chosen_template is None else self.chosen_template.name

    def choose(self, conversation: Conversation) -> ChatTemplate:
        """The template for one row: of plain text, of the recipe's choice, or else the model's own.

        Of its own, a model may have `tool_use` for conversations with tools beside `default`. Raises
        InputError if it has neither.
        """
        if conversation.text is not None:
            return self.plain_text
        if self.chosen_template is not None:
            return self.chosen_template
        if conversation.tools and "tool_use" in self.by_name:
            return self.by_name["tool_use"]
        if "default" in self.by_name:
            return self.by_name["default"]
        found = f"only {', '.join(sorted(self.by_name))}" if self.by_name else "none"
        raise InputError(
            f"the model has no chat template: looked in {self.looked_in}, found {found}",
            hint="set data.chat_template: chatml (or another of ours, or a .jinja file), "
            "or take an instruction-tuned model",
        )


def _template_line(traceback: TracebackType | None) -> int | None:
    """The line of the template that an error comes from: Jinja names its frames `<template>`."""
    line = None
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == "<template>":
            line = traceback.tb_lineno
        traceback = traceback.tb_next
    return line
