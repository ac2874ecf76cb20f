"""The keys of the Data screen: one table for dispatch, footer, help and palette."""

from __future__ import annotations

from textual.actions import parse
from textual.binding import Binding, BindingType

BINDINGS: list[BindingType] = [
    Binding(
        "m",
        "change('train_on')",
        "trained",
        tooltip="choose what is trained: data.train_on",
        id="data.train-on",
    ),
    Binding(
        "v", "view", "view", tooltip="the row as tokens, text, raw, or the template's output", id="data.view"
    ),
    Binding(
        "f",
        "next_finding(1)",
        "next finding",
        tooltip="next row that has the finding under the cursor, or any",
        id="data.next-finding",
    ),
    Binding(
        "F",
        "next_finding(-1)",
        "finding before",
        show=False,
        tooltip="the row before that has it",
        id="data.finding-before",
    ),
    Binding(
        "slash",
        "filter",
        "filter",
        tooltip="only rows that match: words, /regex/, finding:, tokens:, role:",
        id="data.filter",
    ),
    Binding("g", "go_to", "go to row", show=False, tooltip="go to a row by its number", id="data.go-to"),
    Binding(
        "tab",
        "pane(1)",
        "next pane",
        show=False,
        priority=True,
        tooltip="rows, tokens, findings",
        id="data.pane",
    ),
    Binding(
        "shift+tab",
        "pane(-1)",
        "pane before",
        show=False,
        priority=True,
        tooltip="the other way round",
        id="data.pane-before",
    ),
    Binding(
        "enter",
        "enter",
        "open",
        show=False,
        key_display="Enter",
        tooltip="rows: to the tokens; findings: only these rows; tokens: explain",
        id="data.enter",
    ),
    Binding(
        "escape",
        "back",
        "back",
        show=False,
        tooltip="one layer out: the filter, then back to the rows",
        id="data.back",
    ),
    Binding(
        "i",
        "explain",
        "explain",
        show=False,
        tooltip="what is wrong with the row and what to do; the finding; the token",
        id="data.explain",
    ),
    Binding(
        "o",
        "overview",
        "overview",
        show=False,
        tooltip="lengths, trained share, cost of the longest sequence",
        id="data.overview",
    ),
    Binding(
        "t",
        "change('template')",
        "template",
        show=False,
        tooltip="choose the chat template: data.chat_template",
        id="data.template",
    ),
    Binding(
        "x",
        "change('max_length')",
        "max_length",
        show=False,
        tooltip="longest sequence, and what becomes of longer ones",
        id="data.max-length",
    ),
    Binding(
        "d",
        "change('sequence_per')",
        "sequence per",
        show=False,
        tooltip="one sequence a conversation, or one a trained turn",
        id="data.sequence-per",
    ),
    Binding(
        "s",
        "sequence",
        "next sequence",
        show=False,
        tooltip="the row's next sequence, where it has several",
        id="data.sequence",
    ),
    Binding(
        "e", "side", "held-out rows", show=False, tooltip="training rows, or held-out ones", id="data.side"
    ),
    Binding(
        "space", "spaces", "spaces", show=False, tooltip="spaces and line breaks as symbols", id="data.spaces"
    ),
    Binding("b", "bin", "bin", show=False, tooltip="the row's bin, on the Packing screen", id="data.bin"),
    Binding(
        "y", "copy", "copy place", show=False, tooltip="copy the row's place: file and line", id="data.copy"
    ),
    Binding(
        "r",
        "reload",
        "read again",
        show=False,
        tooltip="read the recipe and the data again",
        id="data.reload",
    ),
    Binding(
        "down,j", "move(0, 1)", "down", show=False, tooltip="next row, or next line of tokens", id="data.down"
    ),
    Binding("up,k", "move(0, -1)", "up", show=False, tooltip="row or line before", id="data.up"),
    Binding("right,l", "move(1, 0)", "right", show=False, tooltip="next token", id="data.right"),
    Binding("left,h", "move(-1, 0)", "left", show=False, tooltip="token before", id="data.left"),
    Binding(
        "right_square_bracket,n",
        "turn(1)",
        "next turn",
        show=False,
        tooltip="first token of the next turn",
        id="data.turn",
    ),
    Binding(
        "left_square_bracket,p",
        "turn(-1)",
        "turn before",
        show=False,
        tooltip="first token of the turn before",
        id="data.turn-before",
    ),
    Binding("pagedown", "page(1)", "page down", show=False, tooltip="a screenful down", id="data.page-down"),
    Binding("pageup", "page(-1)", "page up", show=False, tooltip="a screenful up", id="data.page-up"),
    Binding("home", "edge(False)", "home", show=False, tooltip="the first", id="data.home"),
    Binding("end", "edge(True)", "end", show=False, tooltip="the last", id="data.end"),
]

ACTIONS = frozenset(parse(binding.action)[1] for binding in BINDINGS if isinstance(binding, Binding))
"""What the keys do, by name."""

# What can be done while no dataset is open.
WITHOUT_DATA = frozenset(("reload", "back", "pane"))
# What needs one whose rows are known.
WITH_ROWS = frozenset(
    ("go_to", "next_finding", "overview", "filter", "view", "spaces", "explain", "copy", "bin")
)
