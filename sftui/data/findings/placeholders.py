"""Placeholders that were never filled in."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from sftui.data.findings.facts import RowFacts, finding, in_message, written
from sftui.data.views import RowFinding
from sftui.printable import printable

_LISTED = 3  # different placeholders that a message names

_DOUBLE = re.compile(r"\{\{\s?[A-Za-z_][A-Za-z0-9_.\- ]{0,40}\}\}")
_SHELL = re.compile(r"\$\{[A-Z][A-Z0-9_]{2,40}\}")
_SINGLE = re.compile(
    r"\{(?:name|first_?name|last_?name|full_?name|user_?name|company|company_?name|author|date|question|answer"
    r"|input|output|context|instruction|response|topic|prompt|persona)\}"
)
_BRACKET = re.compile(
    r"\[(?:(?i:your|my|insert|enter|add|recipient'?s?|sender'?s?|company|customer)(?: [A-Za-z'/]{2,20}){1,4}"
    r"|Name|Date|Insert|Company|Address|NAME|DATE|INSERT|COMPANY|ADDRESS)\](?![(\[:])"
)
_ANGLE = re.compile(r"<(?:INSERT|YOUR|ENTER)[ _-][A-Z][A-Z _-]{1,40}>")
_BRACKET_NEEDLES = (
    *(
        "[Your",
        "[your",
        "[YOUR",
        "[My ",
        "[Insert",
        "[insert",
        "[INSERT",
        "[Enter",
        "[enter",
        "[Add ",
        "[add ",
    ),
    *("[Recipient", "[recipient", "[Sender", "[sender", "[Company", "[company", "[COMPANY", "[Customer"),
    *("[customer", "[Name]", "[NAME]", "[Date]", "[DATE]", "[Address]", "[ADDRESS]"),
)

_CODE = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
# In rows that speak of templates or hold code, braces are what the row is about.
_ABOUT_TEMPLATES = re.compile(
    r"\{%|\{\{[#/>!&^]|\b(?:jinja2?|handlebars|mustache|angular|vue(?:\.js)?|liquid|helm|ansible|django|twig|jsx"
    r"|react|templates?|templating|placeholders?|f-strings?|format strings?|interpolation|github actions)\b",
    re.IGNORECASE,
)
_ABOUT_CODE = re.compile(
    r"\b(?:print|printf|format|echo|export|console\.log|def|return|const|let|var|bash|docker|curl|import)\b"
    r"|\$\(|#!/|=>|;\s*(?:\n|$)|\bf[\"']",
)
# What stands before a brace in LaTeX (\frac{..}, x^{..}), in a path and in an attribute or assignment.
_BEFORE = re.compile(r"(?:\\[A-Za-z]+|[\\^_$}/=])$")


def unfilled_placeholder(facts: RowFacts) -> Iterable[RowFinding]:
    """`{{name}}`, `${NAME}`, `{name}`, `[Your Name]`, `<INSERT NAME>` in what is said, not in code."""
    text = facts.text
    braces = "{{" in text or "${" in text or ("{" in text and _SINGLE.search(text) is not None)
    brackets = "[" in text and any(needle in text for needle in _BRACKET_NEEDLES)
    angles = "<INSERT" in text or "<YOUR" in text or "<ENTER" in text
    if not (braces or brackets or angles):
        return ()
    texts = list(written(facts.conversation))
    if braces and any(_ABOUT_TEMPLATES.search(content) for _, content in texts):
        braces = False
    for index, content in texts:
        found = list(dict.fromkeys(_placeholders(content, braces, brackets, angles)))
        if found:
            listed = ", ".join(map(printable, found[:_LISTED])) + (", .." if len(found) > _LISTED else "")
            detail = f"{listed}{in_message(index)}"
            return (finding(facts, "unfilled-placeholder", detail, index, found[0]),)
    return ()


def _placeholders(content: str, braces: bool, brackets: bool, angles: bool) -> Iterator[str]:
    """The placeholders in one text, in the order of their kinds."""
    patterns = []
    if braces and "{" in content:
        patterns.append(_DOUBLE)
        if not _ABOUT_CODE.search(content):
            patterns += [_SHELL, _SINGLE]
    if brackets:
        patterns.append(_BRACKET)
    if angles:
        patterns.append(_ANGLE)
    code: list[tuple[int, int]] | None = None
    for pattern in patterns:
        for match in pattern.finditer(content):
            if code is None:
                code = [block.span() for block in _CODE.finditer(content)] if "`" in content else []
            start, end = match.span()
            if any(begin <= start < stop for begin, stop in code):
                continue
            if pattern in (_DOUBLE, _SINGLE):
                before = content[max(0, start - 24) : start]
                # A third brace: LaTeX, or a dictionary in an f-string.
                if _BEFORE.search(before) or before.endswith("{") or content[end : end + 1] == "}":
                    continue
            yield match[0]
