"""The keys of the Memory screen: one table for dispatch, footer, help and palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.binding import BindingType

from .keys import actions_of, key, movement

if TYPE_CHECKING:
    from .memory_answers import Answers
    from .memory_facts import Facts

BINDINGS: list[BindingType] = [
    key(
        "memory.enter",
        "enter",
        "enter",
        "apply",
        "put what is tried into the recipe; at compare: try that line",
        show=True,
    ),
    key(
        "memory.device",
        "d",
        "device",
        "device",
        "the GPU to fit into: this machine's, a common one, a size",
        show=True,
    ),
    key("memory.why", "y", "why", "why", "each component's formula with these numbers", show=True),
    key(
        "memory.rule",
        "r",
        "rule",
        "rule of thumb",
        "why training in full takes four times what running takes",
        show=True,
    ),
    key("memory.next", "right,l", "value(1)", "next value", "try the field's next value"),
    key("memory.before", "left,h", "value(-1)", "value before", "try the value before"),
    key("memory.double", "plus,equals_sign", "far(1)", "double", "try twice the number"),
    key("memory.halve", "minus", "far(-1)", "halve", "try half the number"),
    key(
        "memory.max-length",
        "x",
        "max_length",
        "max_length",
        "type the longest sequence, and what becomes of longer ones",
    ),
    key("memory.back", "escape", "back", "back", "one layer out: to the fields; there, the recipe as it was"),
    key("memory.verify", "v", "verify", "verify", "simulate the trainer's step: seconds, any model"),
    *movement("memory", "fields, compare, components, moments of the step"),
]

ACTIONS = actions_of(BINDINGS)
"""What the keys do, by name."""

# What can be done while the model's size is not known.
WITHOUT_MODEL = frozenset(("enter", "device", "back", "pane"))


def applies(action: str, answers: Answers, facts: Facts) -> bool:
    """Whether a key does something now that a recipe is open."""
    if facts.problem is not None:
        return action in WITHOUT_MODEL
    if action == "why":
        return answers.found is not None
    if action == "rule":
        return answers.shape is not None
    if action == "verify":
        return facts.shape is not None
    return action != "pane" or not answers.failed
