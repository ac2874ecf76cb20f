"""The keys of the Packing screen: one table for dispatch, footer, help and palette."""

from __future__ import annotations

from textual.actions import parse
from textual.binding import Binding, BindingType

BINDINGS: list[BindingType] = [
    Binding(
        "enter",
        "enter",
        "open",
        key_display="Enter",
        tooltip="a strategy: choose it; a bin: its tokens; a token: its row on Data; a length: apply it",
        id="packing.enter",
    ),
    Binding("g", "go_to", "go to", tooltip="go to a bin, or to the bin of a row", id="packing.go-to"),
    Binding(
        "x",
        "max_length",
        "max_length",
        tooltip="type the longest sequence, and what becomes of longer ones",
        id="packing.max-length",
    ),
    Binding(
        "k",
        "leak_test",
        "leak test",
        tooltip="run the leak test on the model now, or end it",
        id="packing.leak-test",
    ),
    Binding(
        "tab",
        "pane(1)",
        "next pane",
        show=False,
        priority=True,
        tooltip="bins, strategies, max_length",
        id="packing.pane",
    ),
    Binding(
        "shift+tab",
        "pane(-1)",
        "pane before",
        show=False,
        priority=True,
        tooltip="the other way round",
        id="packing.pane-before",
    ),
    Binding(
        "escape",
        "back",
        "back",
        show=False,
        tooltip="one layer out: out of the bin; the recipe's max_length again",
        id="packing.back",
    ),
    Binding(
        "d",
        "row",
        "row on Data",
        show=False,
        tooltip="the sequence under the cursor, on the Data screen",
        id="packing.row",
    ),
    Binding(
        "a",
        "attention",
        "attention",
        show=False,
        tooltip="which token of the bin sees which",
        id="packing.attention",
    ),
    Binding(
        "right",
        "step(1, 0)",
        "right",
        show=False,
        tooltip="try a longer max_length; in a bin the next token",
        id="packing.right",
    ),
    Binding(
        "left",
        "step(-1, 0)",
        "left",
        show=False,
        tooltip="try a shorter max_length; in a bin the token before",
        id="packing.left",
    ),
    Binding(
        "plus,equals_sign",
        "double(1)",
        "double",
        show=False,
        tooltip="try the next power of two for max_length",
        id="packing.double",
    ),
    Binding(
        "minus",
        "double(-1)",
        "halve",
        show=False,
        tooltip="try the power of two before",
        id="packing.halve",
    ),
    Binding(
        "right_square_bracket,n",
        "turn(1)",
        "next sequence",
        show=False,
        tooltip="first token of the bin's next sequence",
        id="packing.sequence",
    ),
    Binding(
        "left_square_bracket,p",
        "turn(-1)",
        "sequence before",
        show=False,
        tooltip="first token of the sequence before",
        id="packing.sequence-before",
    ),
    Binding(
        "space",
        "spaces",
        "spaces",
        show=False,
        tooltip="spaces and line breaks as symbols",
        id="packing.spaces",
    ),
    Binding(
        "r",
        "reload",
        "read again",
        show=False,
        tooltip="read the recipe and the data again",
        id="packing.reload",
    ),
    Binding("down", "step(0, 1)", "down", show=False, tooltip="next bin, strategy, line", id="packing.down"),
    Binding("up", "step(0, -1)", "up", show=False, tooltip="the one before", id="packing.up"),
    Binding(
        "pagedown", "page(1)", "page down", show=False, tooltip="a screenful down", id="packing.page-down"
    ),
    Binding("pageup", "page(-1)", "page up", show=False, tooltip="a screenful up", id="packing.page-up"),
    Binding("home", "edge(False)", "home", show=False, tooltip="the first", id="packing.home"),
    Binding("end", "edge(True)", "end", show=False, tooltip="the last", id="packing.end"),
]

ACTIONS = frozenset(parse(binding.action)[1] for binding in BINDINGS if isinstance(binding, Binding))
"""What the keys do, by name."""

# What can be done while no dataset is open, and what needs bins.
WITHOUT_DATA = frozenset(("reload", "back", "pane"))
WITH_BINS = frozenset(("go_to", "row", "attention"))
# What is done in an open bin only.
IN_A_BIN = frozenset(("turn", "spaces"))
