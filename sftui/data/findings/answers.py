"""Answers that say nothing, or stop in the middle of a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sftui.data.findings.facts import RowFacts, excerpt
from sftui.data.views import RowFinding

_FENCE = "```"
_WORDS = 20  # an answer with fewer may well be a phrase
_LINE_WORDS = 8  # a last line with fewer may well be a signature, a title or a verse
_NOT_PROSE = re.compile(
    r"""\s*(?:[-*+•·–—>\#|=~"“«]|\(?\d+[.):]|\(?[A-Za-z][.)]\s|[A-Z][\w ]{0,30}:)  # item, quote, label
    |.*(?:://|www\.|[=;{}<>|\\`_@^$]|\.\w+$|\#\w+$|\*\*)""",  # address, code, tag, markup
    re.VERBOSE,
)
_SENTENCE_END = re.compile(r"[a-z][.!?…][\"'”’)\]]*\s+\S")


def empty_answer(facts: RowFacts) -> Iterable[RowFinding]:
    """An assistant's message of nothing, or of nothing but reasoning, that calls no tool."""
    for index in facts.conversation.assistant_turns():
        message = facts.conversation.messages[index]
        content = message.get("content") or ""
        if message.get("tool_calls") or not isinstance(content, str):
            continue
        answer = content.rpartition("</think>")[2] if "</think>" in content else content
        if not answer or answer.isspace():
            what = "only reasoning" if answer is not content else "only white space" if content else "empty"
            return (RowFinding("empty-answer", f"message {index} is {what}"),)
    return ()


def cut_off(facts: RowFacts) -> Iterable[RowFinding]:
    """The last answer stops in the middle of a sentence, or of a block of code.

    Said only of prose in scripts with capital letters that ended an earlier sentence with a full stop.
    """
    messages = facts.conversation.messages
    if not messages or messages[-1]["role"] != "assistant":
        return ()
    content = messages[-1].get("content")
    if not content or not isinstance(content, str) or messages[-1].get("tool_calls"):
        return ()
    content = content.rstrip()
    if content.count(_FENCE) % 2 and not content.endswith(_FENCE):
        return _ends(facts, content, "a block of code is not closed: ")
    last = content[-1:]
    if last.lower() == last.upper() and last != ",":
        return ()
    line = content[content.rfind("\n") + 1 :]
    if len(line.split(None, _LINE_WORDS)) < _LINE_WORDS or len(content.split(None, _WORDS)) < _WORDS:
        return ()
    if _NOT_PROSE.match(line) or not _SENTENCE_END.search(content):
        return ()
    return _ends(facts, content, "ends with ")


def _ends(facts: RowFacts, content: str, said: str) -> Iterable[RowFinding]:
    at = facts.text.rfind(content)
    end = None if at < 0 else at + len(content)
    start = None if end is None else end - min(len(content), 20)
    return (RowFinding("answer-cut-off", f"{said}{excerpt(content, end=True)}", start, end),)
