"""Every thing that `check` can say about a dataset: how bad it is, why it matters and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Check:
    """One kind of finding.

    `title` is a short noun phrase for lists, `says` what it says of rows, with its verb in the plural
    and first: `have no trained tokens`. `why` and `remedy` are sentences.
    """

    code: str
    severity: Literal["error", "warning", "info"]
    title: str
    says: str
    why: str
    remedy: str


_CHECKS = (
    Check(
        "no-trained-tokens",
        "error",
        "no trained tokens",
        "have no trained tokens",
        "A row whose mask is empty teaches nothing; a dataset of such rows trains on a loss of zero or NaN.",
        "Give the row an assistant answer, or choose another data.train_on; per-message weights of 0 "
        "also leave a row without any.",
    ),
    Check(
        "unreadable-row",
        "error",
        "unreadable rows",
        "are unreadable",
        "A row that cannot be read cannot be trained on, and a run with data.bad_rows: error does not start.",
        "Mend the row at the line given, or name its columns in data.train.columns.",
    ),
    Check(
        "role-order-refused",
        "error",
        "refused by the chat template",
        "are refused by the chat template",
        "The template itself says that it cannot express these messages, in the words shown: the row has no "
        "text to train on.",
        "Mend in the rows what it names (often the order of roles, or an id that a message lacks), or choose "
        "another data.chat_template.",
    ),
    Check(
        "template-failure",
        "error",
        "chat template failures",
        "make the chat template fail",
        "There is no template, or it stops with an error of its own or takes too long, so the row has no "
        "text to train on.",
        "Look at the template's line if one is named: often a message lacks a key it reads. Mend the row, "
        "or choose another data.chat_template.",
    ),
    Check(
        "completion-unknown",
        "error",
        "completion unknown",
        "leave open where the completion begins",
        "With data.train_on: completion only what follows the prompt is trained, and such a row does not "
        "tell one from the other.",
        "Give the rows columns prompt and completion, or set data.train_on: assistant or last_assistant.",
    ),
    Check(
        "turn-not-located",
        "error",
        "turns not located",
        "have an assistant turn that cannot be located",
        "Where a turn stands in the text decides what is trained; a guess would train the wrong text.",
        "Use a data.chat_template that marks answers with {% generation %}, or leave the row out.",
    ),
    Check(
        "overlength-refused",
        "error",
        "too long, refused",
        "are longer than max_length",
        "With data.overlength: error a run does not start while any row is longer than data.max_length.",
        "Raise data.max_length, or set data.overlength to drop or truncate.",
    ),
    Check(
        "end-of-turn-untrained",
        "warning",
        "end of turn untrained",
        "have a trained turn whose end is not trained",
        "A model that never learns the token that ends its turn does not stop when it answers.",
        "Let the template's {% generation %} block include the token that ends the turn, or choose another "
        "data.chat_template.",
    ),
    Check(
        "end-of-turn-not-special",
        "warning",
        "end of turn not special",
        "have a trained turn that no special token ends",
        "Generation stops at a special token; where the turn ends with ordinary text the model cannot say "
        "that it is done.",
        "Choose a data.chat_template that ends the assistant's turn with a special token, such as chatml.",
    ),
    Check(
        "double-bos",
        "warning",
        "double beginning of text",
        "begin with the beginning-of-text token twice",
        "The model saw one at the start of every text; two are a beginning it has never seen.",
        "Remove the token from the row's own text: the chat template already writes it.",
    ),
    Check(
        "missing-bos",
        "warning",
        "no beginning of text",
        "lack the beginning-of-text token",
        "The tokenizer puts this token before every text, so the model is used with it and should be "
        "trained with it.",
        "Use a data.chat_template that writes {{ bos_token }} first.",
    ),
    Check(
        "truncated-to-nothing",
        "warning",
        "truncated to nothing",
        "lose every trained token to max_length",
        "What is left of the row is all prompt, so it is left out.",
        "Raise data.max_length, or set data.truncation_side: left to keep the answer.",
    ),
    Check(
        "truncated",
        "warning",
        "truncated",
        "are cut at max_length",
        "A cut answer has no end: the model learns to stop anywhere, or not at all.",
        "Raise data.max_length, or set data.overlength: drop.",
    ),
    Check(
        "dropped-overlength",
        "warning",
        "dropped for length",
        "are longer than max_length and dropped",
        "These rows are not trained on at all.",
        "Raise data.max_length, or set data.overlength: truncate.",
    ),
    Check(
        "template-rewrites-history",
        "warning",
        "history rewritten",
        "have trained turns whose text or history the template rewrites",
        "The template writes earlier turns otherwise than the last (without their reasoning, or without an "
        "empty think block), so a turn is trained as the model is not to answer, or after text that it will "
        "not see.",
        "Set data.sequence_per: turn, or data.train_on: last_assistant.",
    ),
    Check(
        "reasoning-dropped",
        "warning",
        "reasoning dropped",
        "have reasoning that the template leaves out of a trained answer",
        "The answer is trained without the reasoning that led to it.",
        "Choose a data.chat_template that writes the reasoning of every turn; many write it only where it is "
        "part of the content, as <think>..</think>.",
    ),
    Check(
        "tool-calls-dropped",
        "warning",
        "tool calls dropped",
        "have tool calls or results that the template leaves out",
        "The model is trained to answer from results that it does not see, and never to call the tool.",
        "Use a data.chat_template that knows tool calls (its tool_use template, if the model has one).",
    ),
    Check(
        "tool-definitions-dropped",
        "warning",
        "tool definitions dropped",
        "have tool definitions that the template leaves out",
        "The model is trained to call tools that nothing in the text describes.",
        "Use a data.chat_template that writes tools, or describe them in the system message.",
    ),
    Check(
        "message-dropped",
        "warning",
        "messages dropped",
        "have a message that the template leaves out",
        "The text that is trained on lacks something the row says.",
        "Move the text into a message that the template writes, or choose another data.chat_template.",
    ),
    Check(
        "unbalanced-think",
        "warning",
        "unbalanced think tags",
        "have <think> tags that do not match",
        "The model learns to open reasoning it never closes, or to close what it never opened.",
        "Mend the tags in the row; an answer cut short while reasoning is better left out.",
    ),
    Check(
        "literal-special-token",
        "warning",
        "special tokens in content",
        "hold a special token as text",
        "It becomes the real token: a turn can end, or another begin, in the middle of a message.",
        "Remove it from the content: the chat template writes special tokens. A row that is already "
        "rendered belongs in a text column.",
    ),
    Check(
        "empty-answer",
        "warning",
        "empty answers",
        "have an empty answer",
        "The model learns to say nothing.",
        "Fill in the answer or leave the row out.",
    ),
    Check(
        "answer-cut-off",
        "warning",
        "answers cut off",
        "end in mid-sentence",
        "An answer that was cut when the data was made teaches the model to stop in mid-sentence.",
        "Make the answer again with a higher limit on its length, or leave the row out.",
    ),
    Check(
        "unfilled-placeholder",
        "warning",
        "unfilled placeholders",
        "hold an unfilled placeholder",
        "The model will repeat the placeholder word for word.",
        "Put the value in its place before training.",
    ),
    Check(
        "eval-leak",
        "warning",
        "held-out rows also trained",
        "are held out, yet also trained on",
        "The evaluation loss then measures memory, and falls where the model does not get better.",
        "Remove these rows from data.train or from data.eval.",
    ),
    Check(
        "exact-duplicate",
        "warning",
        "duplicates",
        "repeat an earlier row",
        "A repeated row weighs as much as all its copies and is learnt by heart.",
        "Keep one of them; use a source's weight where repetition is meant.",
    ),
    Check(
        "near-duplicate",
        "warning",
        "near duplicates",
        "repeat an earlier row almost word for word",
        "Rows that differ in a few words weigh as one row seen several times.",
        "Keep one of them, unless the difference is what is to be learnt.",
    ),
    Check(
        "missing-column",
        "warning",
        "missing columns",
        "lack a column that most rows have",
        "Such rows often come from another export, and are read otherwise than the rest.",
        "Fill in the column, or keep these rows in a file and a data.train entry of their own.",
    ),
    Check(
        "mixed-columns",
        "warning",
        "mixed columns",
        "have a column that most rows lack",
        "A column under another name is not read: its text is missing from training without a word.",
        "Rename the column, or keep these rows in a file and a data.train entry of their own.",
    ),
    Check(
        "mojibake",
        "warning",
        "broken characters",
        "hold characters broken by a wrong encoding",
        "The model learns to write Ã© for é.",
        "Read the original file as UTF-8 and make the dataset again.",
    ),
    Check(
        "secret",
        "warning",
        "secrets",
        "seem to hold a secret",
        "Trained text can be drawn out of the model again by anyone who uses it.",
        "Remove the key from the row, and revoke it if it is real.",
    ),
    Check(
        "extreme-length",
        "info",
        "extreme lengths",
        "are far longer or shorter than the rest",
        "They are often two rows run together, or a row cut apart; the longest decides how much memory "
        "is needed.",
        "Look at them; lower data.max_length if the long ones are not worth their memory.",
    ),
    Check(
        "trained-share",
        "info",
        "share of trained tokens",
        "have an unusual share of trained tokens",
        "Where almost nothing is trained most of the work is spent on prompts; where almost everything is, "
        "prompts are trained too.",
        "Look at the mask with sftui preview, and at data.train_on.",
    ),
)

CHECKS: dict[str, Check] = {check.code: check for check in _CHECKS}
"""Every check by its code, the gravest first."""

# Analyses are cached with these numbers: a new check takes the next free one, none is ever used again.
BITS: dict[str, int] = {
    "no-trained-tokens": 0,
    "unreadable-row": 1,
    "role-order-refused": 2,
    "template-failure": 3,
    "turn-not-located": 4,
    "overlength-refused": 5,
    "end-of-turn-untrained": 6,
    "end-of-turn-not-special": 7,
    "double-bos": 8,
    "missing-bos": 9,
    "truncated-to-nothing": 10,
    "truncated": 11,
    "dropped-overlength": 12,
    "template-rewrites-history": 13,
    "reasoning-dropped": 14,
    "tool-calls-dropped": 15,
    "tool-definitions-dropped": 16,
    "message-dropped": 17,
    "unbalanced-think": 18,
    "literal-special-token": 19,
    "empty-answer": 20,
    "answer-cut-off": 21,
    "unfilled-placeholder": 22,
    "eval-leak": 23,
    "exact-duplicate": 24,
    "near-duplicate": 25,
    "missing-column": 26,
    "mixed-columns": 27,
    "mojibake": 28,
    "secret": 29,
    "extreme-length": 30,
    "completion-unknown": 31,
}
"""The bit of each finding that a row can have in the row's flags, which are 64 bits."""

CUT_CODES = frozenset({"overlength-refused", "truncated-to-nothing", "truncated", "dropped-overlength"})
"""What follows from max_length alone: found again whenever that changes, without looking at a row."""

_SINGULAR = {"have": "has", "are": "is"}


def flags_of(codes: Iterable[str]) -> int:
    """The bits of `codes` together."""
    flags = 0
    for code in codes:
        flags |= 1 << BITS[code]
    return flags


def message(code: str, count: int, total: int) -> str:
    """One line: `3 rows have no trained tokens`; `all 91 rows ..` if `count` is the `total`."""
    says = CHECKS[code].says
    if count == 1:
        verb, _, rest = says.partition(" ")
        return f"1 row {_SINGULAR.get(verb, verb + 's')} {rest}"
    return f"{'all ' if count == total else ''}{count:,} rows {says}"
