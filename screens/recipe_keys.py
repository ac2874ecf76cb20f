"""The keys of the Recipe screen: one table for dispatch, footer, help and palette."""

from __future__ import annotations

from dataclasses import replace

from textual.actions import parse
from textual.binding import Binding, BindingType


def _key(
    keys: str, action: str, words: str, tooltip: str, id: str, *, show: bool = False, first: bool = False
) -> Binding:
    display = {"enter": "Enter", "escape": "Esc"}.get(keys)
    return Binding(
        keys,
        action,
        words,
        show=show,
        tooltip=tooltip,
        id=f"recipe.{id}",
        priority=first,
        key_display=display,
    )


BINDINGS: list[BindingType] = [
    _key("enter", "enter", "edit", "type the value; flip a switch; add a source", "enter", show=True),
    _key("y", "yaml", "YAML", "the text itself, to be edited; Esc leaves it", "yaml", show=True),
    _key(
        "d",
        "difference",
        "difference",
        "against the file or another recipe",
        "difference",
        show=True,
    ),
    _key(
        "n",
        "problem(1)",
        "next problem",
        "the next field that has a problem or finding",
        "problem",
    ),
    Binding(
        "R",
        "start",
        "start",
        tooltip="start a run of the open recipe, after a summary",
        id="app.start",  # the app's own, shown here
    ),
    _key("N", "problem(-1)", "problem before", "the one before", "problem-before"),
    _key("right,l", "value(1)", "next value", "next value, step or choice; unfold a source", "next"),
    _key("left,h", "value(-1)", "value before", "the one before; fold a source", "before"),
    _key("shift+right,L,plus", "far(1)", "far up", "double, or three steps", "far-up"),
    _key("shift+left,H,minus", "far(-1)", "far down", "halve, or three steps back", "far-down"),
    _key("delete,backspace", "default", "default", "the default again; of a source: take it out", "default"),
    _key("a", "add", "add source", "add a source to the list under the cursor", "add"),
    _key("f", "fix", "fix", "do what the finding here proposes", "fix"),
    _key("slash", "search", "search", "find fields by name and help", "search"),
    _key("o", "only_changed", "only changed", "only what differs from the defaults, or all", "only-changed"),
    _key("u", "undo", "undo", "take back the last change", "undo"),
    _key("U,ctrl+r", "redo", "redo", "make it again", "redo"),
    _key("c", "compare", "compare", "choose what the difference is shown against", "compare"),
    _key("E", "editor", "$EDITOR", "edit the text in your editor", "editor"),
    _key("W", "save_as", "save as", "write it into another file", "save-as"),
    _key("w", "open", "open", "another recipe: ready, of a run, for your data", "open"),
    _key("escape", "back", "back", "one layer out", "back"),
    _key("tab", "pane(1)", "next pane", "form, YAML, difference", "pane", first=True),
    _key("shift+tab", "pane(-1)", "pane before", "the other way round", "pane-before", first=True),
    _key("down,j", "move(1)", "down", "next line", "down"),
    _key("up,k", "move(-1)", "up", "the one before", "up"),
    _key("pagedown", "page(1)", "page down", "a screenful down", "page-down"),
    _key("pageup", "page(-1)", "page up", "a screenful up", "page-up"),
    _key("home", "edge(False)", "home", "the first line", "home"),
    _key("end", "edge(True)", "end", "the last line", "end"),
]

ACTIONS = frozenset(parse(binding.action)[1] for binding in BINDINGS if isinstance(binding, Binding))
"""What the keys do, by name."""

# Done before the next key is handed on: what opens an input gets all keys after it, however fast they come.
OF_LIST: list[BindingType] = [
    replace(binding, action=f"screen.{binding.action}", priority=True)
    for binding in BINDINGS
    if isinstance(binding, Binding)
]

# What can be done while no recipe is open.
WITHOUT_RECIPE = frozenset(("enter", "move", "page", "edge", "open"))
# What is done with the field under the cursor.
OF_FIELD = frozenset(("value", "far", "default", "add", "fix", "problem"))
