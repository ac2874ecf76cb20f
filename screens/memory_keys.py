"""The keys of the Memory screen: one table for dispatch, footer, help and palette."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.actions import parse
from textual.binding import Binding, BindingType

if TYPE_CHECKING:
    from .memory_answers import Answers
    from .memory_facts import Facts

BINDINGS: list[BindingType] = [
    Binding(
        "enter",
        "enter",
        "apply",
        key_display="Enter",
        tooltip="put what is tried into the recipe; at compare: try that line",
        id="memory.enter",
    ),
    Binding(
        "d",
        "device",
        "device",
        tooltip="the GPU to fit into: this machine's, a common one, a size",
        id="memory.device",
    ),
    Binding("y", "why", "why", tooltip="each component's formula with these numbers", id="memory.why"),
    Binding(
        "r",
        "rule",
        "rule of thumb",
        tooltip="why training in full takes four times what running takes",
        id="memory.rule",
    ),
    Binding(
        "right,l",
        "value(1)",
        "next value",
        show=False,
        tooltip="try the field's next value",
        id="memory.next",
    ),
    Binding(
        "left,h",
        "value(-1)",
        "value before",
        show=False,
        tooltip="try the value before",
        id="memory.before",
    ),
    Binding(
        "plus,equals_sign",
        "far(1)",
        "double",
        show=False,
        tooltip="try twice the number",
        id="memory.double",
    ),
    Binding("minus", "far(-1)", "halve", show=False, tooltip="try half the number", id="memory.halve"),
    Binding(
        "x",
        "max_length",
        "max_length",
        show=False,
        tooltip="type the longest sequence, and what becomes of longer ones",
        id="memory.max-length",
    ),
    Binding(
        "escape",
        "back",
        "back",
        show=False,
        tooltip="one layer out: to the fields; there, the recipe as it was",
        id="memory.back",
    ),
    Binding(
        "v",
        "verify",
        "verify",
        show=False,
        tooltip="simulate the trainer's step: seconds, any model",
        id="memory.verify",
    ),
    Binding(
        "tab",
        "pane(1)",
        "next pane",
        show=False,
        priority=True,
        tooltip="fields, compare, components, moments of the step",
        id="memory.pane",
    ),
    Binding(
        "shift+tab",
        "pane(-1)",
        "pane before",
        show=False,
        priority=True,
        tooltip="the other way round",
        id="memory.pane-before",
    ),
    Binding("down,j", "move(1)", "down", show=False, tooltip="next line", id="memory.down"),
    Binding("up,k", "move(-1)", "up", show=False, tooltip="the one before", id="memory.up"),
    Binding(
        "pagedown", "page(1)", "page down", show=False, tooltip="a screenful down", id="memory.page-down"
    ),
    Binding("pageup", "page(-1)", "page up", show=False, tooltip="a screenful up", id="memory.page-up"),
    Binding("home", "edge(False)", "home", show=False, tooltip="the first line", id="memory.home"),
    Binding("end", "edge(True)", "end", show=False, tooltip="the last line", id="memory.end"),
]

ACTIONS = frozenset(parse(binding.action)[1] for binding in BINDINGS if isinstance(binding, Binding))
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
