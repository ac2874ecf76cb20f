"""The form in which a template can write tool calls.

Templates differ: most write a call's `arguments` with `tojson` and need an object, some join them to other
text and need JSON as text; some write calls only where the content is empty, or only where it is null. Which
form a template wants is found by rendering one call in all forms and looking at what comes out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sftui.data.conversation import Message

Content = Literal["missing", "empty", "null", "text"]

# Nine characters of an id are what Mistral's templates demand.
_KEY, _VALUE, _NAME, _ID = "probekey", "probevalue", "probename", "probeid00"


@dataclass(frozen=True, slots=True)
class CallForm:
    """How messages with tool calls are given to a template.

    `arguments_as_text`: the arguments as JSON text, else as an object. `content`: what a message without
    content has in its place; transformers leaves null out, which few templates do not bear. `written`: calls
    come out well in this form, if in any.
    """

    arguments_as_text: bool
    content: Content
    written: bool = True

    def applied(self, message: dict[str, Any]) -> dict[str, Any]:
        """`message`, which has tool calls, in this form; calls that are no calls are left as they are."""
        calls = message["tool_calls"]
        if isinstance(calls, list | tuple):
            message["tool_calls"] = [self._call(call) for call in calls]
        if not message.get("content"):
            message.pop("content", None)
            if self.content != "missing":
                message["content"] = None if self.content == "null" else ""
        return message

    def _call(self, call: Any) -> Any:
        if not isinstance(call, dict):
            return call
        if isinstance(call.get("function"), dict):
            return {**call, "function": self._with_arguments(call["function"])}
        return self._with_arguments(call)

    def _with_arguments(self, function: dict[str, Any]) -> dict[str, Any]:
        arguments = function.get("arguments")
        if self.arguments_as_text:
            if isinstance(arguments, dict | list):
                return {**function, "arguments": json.dumps(arguments, ensure_ascii=False)}
        elif isinstance(arguments, str):
            try:
                value = json.loads(arguments)
            except (ValueError, RecursionError):
                return function
            if isinstance(value, dict):
                return {**function, "arguments": value}
        return function


def call_form(render: Callable[[Sequence[Message]], str | None], given: str) -> CallForm:
    """The first form that `render` writes well, beginning with the `given` one ("missing", "empty", "text").

    `render` returns None for messages that the template refuses. If nothing works, the given form.
    """
    others: tuple[Content, ...] = ("missing", "empty", "null")
    kept: Content = "text" if given == "text" else "empty" if given == "empty" else "missing"
    contents = (kept,) if kept == "text" else (kept, *(other for other in others if other != kept))
    for content in contents:
        for as_text in (False, True):
            form = CallForm(as_text, content)
            if _written_well(render(_example(form))):
                return form
    return CallForm(False, kept, written=False)


def _example(form: CallForm) -> list[Message]:
    function = {"name": _NAME, "arguments": {_KEY: _VALUE}}
    calls = [{"type": "function", "id": _ID, "function": function}]
    answer = {"role": "assistant", "content": "probe" if form.content == "text" else "", "tool_calls": calls}
    return [{"role": "user", "content": "probe"}, form.applied(answer)]


def _written_well(text: str | None) -> bool:
    """Whether the call is there, and neither as Python writes it nor as JSON within JSON."""
    if text is None or _NAME not in text or _KEY not in text or _VALUE not in text:
        return False
    return f"'{_KEY}'" not in text and f'\\"{_KEY}' not in text
