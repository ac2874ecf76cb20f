"""The keys of the Data screen: one table for dispatch, footer, help and palette."""

from __future__ import annotations

from textual.binding import BindingType

from .keys import actions_of, key, movement

BINDINGS: list[BindingType] = [
    key(
        "data.train-on",
        "m",
        "change('train_on')",
        "trained",
        "choose what is trained: data.train_on",
        show=True,
    ),
    key(
        "data.view", "v", "view", "view", "the row as tokens, text, raw, or the template's output", show=True
    ),
    key(
        "data.next-finding",
        "f",
        "next_finding(1)",
        "next finding",
        "next row that has the finding under the cursor, or any",
        show=True,
    ),
    key("data.finding-before", "F", "next_finding(-1)", "finding before", "the row before that has it"),
    key(
        "data.filter",
        "slash",
        "filter",
        "filter",
        "only rows that match: words, /regex/, finding:, tokens:, role:",
        show=True,
        first=True,  # before the next key, which is of the field
    ),
    key("data.go-to", "g", "go_to", "go to row", "go to a row by its number"),
    key(
        "data.enter",
        "enter",
        "enter",
        "open",
        "rows: to the tokens; findings: only these rows; tokens: explain",
    ),
    key("data.back", "escape", "back", "back", "one layer out: the filter, then back to the rows"),
    key(
        "data.explain",
        "i",
        "explain",
        "explain",
        "what is wrong with the row and what to do; the finding; the token",
    ),
    key("data.overview", "o", "overview", "overview", "lengths, trained share, cost of the longest sequence"),
    key(
        "data.template", "t", "change('template')", "template", "choose the chat template: data.chat_template"
    ),
    key(
        "data.max-length",
        "x",
        "change('max_length')",
        "max_length",
        "longest sequence, and what becomes of longer ones",
    ),
    key(
        "data.sequence-per",
        "d",
        "change('sequence_per')",
        "sequence per",
        "one sequence a conversation, or one a trained turn",
    ),
    key("data.sequence", "s", "sequence", "next sequence", "the row's next sequence, where it has several"),
    key("data.side", "e", "side", "held-out rows", "training rows, or held-out ones"),
    key("data.spaces", "space", "spaces", "spaces", "spaces and line breaks as symbols"),
    key("data.bin", "b", "bin", "bin", "the row's bin, on the Packing screen"),
    key("data.copy", "y", "copy", "copy place", "copy the row's place: file and line"),
    key("data.reload", "r", "reload", "read again", "read the recipe and the data again"),
    key("data.right", "right,l", "step(1)", "right", "next token"),
    key("data.left", "left,h", "step(-1)", "left", "token before"),
    key("data.turn", "right_square_bracket,n", "turn(1)", "next turn", "first token of the next turn"),
    key(
        "data.turn-before",
        "left_square_bracket,p",
        "turn(-1)",
        "turn before",
        "first token of the turn before",
    ),
    *movement("data", "rows, tokens, findings"),
]

ACTIONS = actions_of(BINDINGS)
"""What the keys do, by name."""

# What can be done while no dataset is open.
WITHOUT_DATA = frozenset(("reload", "back", "pane"))
# What needs one whose rows are known.
WITH_ROWS = frozenset(
    ("go_to", "next_finding", "overview", "filter", "view", "spaces", "explain", "copy", "bin")
)
