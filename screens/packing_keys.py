"""The keys of the Packing screen: one table for dispatch, footer, help and palette."""

from __future__ import annotations

from textual.binding import BindingType

from .keys import actions_of, key, movement

BINDINGS: list[BindingType] = [
    key(
        "packing.enter",
        "enter",
        "enter",
        "open",
        "a strategy: choose it; a bin: its tokens; a token: its row on Data; a length: apply it",
        show=True,
    ),
    key("packing.go-to", "g", "go_to", "go to", "go to a bin, or to the bin of a row"),
    key(
        "packing.max-length",
        "x",
        "max_length",
        "max_length",
        "type the longest sequence, and what becomes of longer ones",
        show=True,
    ),
    key(
        "packing.leak-test",
        "k",
        "leak_test",
        "leak test",
        "run the leak test on the model now, or end it",
        show=True,
    ),
    key(
        "packing.back",
        "escape",
        "back",
        "back",
        "one layer out: out of the bin; the recipe's max_length again",
    ),
    key("packing.row", "d", "row", "row on Data", "the sequence under the cursor, on the Data screen"),
    key("packing.attention", "a", "attention", "attention", "which token of the bin sees which"),
    key("packing.right", "right", "step(1)", "right", "try a longer max_length; in a bin the next token"),
    key("packing.left", "left", "step(-1)", "left", "try a shorter max_length; in a bin the token before"),
    key(
        "packing.double",
        "plus,equals_sign",
        "double(1)",
        "double",
        "try the next power of two for max_length",
    ),
    key("packing.halve", "minus", "double(-1)", "halve", "try the power of two before"),
    key(
        "packing.sequence",
        "right_square_bracket,n",
        "turn(1)",
        "next sequence",
        "first token of the bin's next sequence",
    ),
    key(
        "packing.sequence-before",
        "left_square_bracket,p",
        "turn(-1)",
        "sequence before",
        "first token of the sequence before",
    ),
    key("packing.spaces", "space", "spaces", "spaces", "spaces and line breaks as symbols"),
    key("packing.reload", "r", "reload", "read again", "read the recipe and the data again"),
    *movement("packing", "strategies, bins, max_length", letters=False, show=True),
]

ACTIONS = actions_of(BINDINGS)
"""What the keys do, by name."""

# What can be done while no dataset is open, and what needs bins.
WITHOUT_DATA = frozenset(("reload", "back", "pane"))
WITH_BINS = frozenset(("go_to", "row", "attention"))
# What is done in an open bin only.
IN_A_BIN = frozenset(("turn", "spaces"))
