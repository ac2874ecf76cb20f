"""The keys of the Recipe screen: one table for dispatch, footer, help and palette."""

from __future__ import annotations

from dataclasses import replace

from textual.binding import Binding, BindingType

from .keys import actions_of, key, movement

BINDINGS: list[BindingType] = [
    key("recipe.take", "enter", "take", "open", "open what is under the cursor", show=True),
    key("recipe.enter", "enter", "enter", "edit", "type the value; flip a switch; add a source", show=True),
    key("recipe.yaml", "y", "yaml", "YAML", "the text itself, to be edited; Esc leaves it", show=True),
    key(
        "recipe.difference", "d", "difference", "difference", "against the file or another recipe", show=True
    ),
    key("recipe.problem", "n", "problem(1)", "next problem", "the next field that has a problem or finding"),
    key("app.start", "R", "start", "start", "start a run of the open recipe, after a summary", show=True),
    key("recipe.problem-before", "N", "problem(-1)", "problem before", "the one before"),
    key("recipe.next", "right,l", "value(1)", "next value", "next value, step or choice; unfold a source"),
    key("recipe.before", "left,h", "value(-1)", "value before", "the one before; fold a source"),
    key("recipe.far-up", "shift+right,L,plus", "far(1)", "far up", "double, or three steps"),
    key("recipe.far-down", "shift+left,H,minus", "far(-1)", "far down", "halve, or three steps back"),
    key(
        "recipe.default",
        "delete,backspace",
        "default",
        "default",
        "the default again; of a source: take it out",
    ),
    key("recipe.add", "a", "add", "add source", "add a source to the list under the cursor"),
    key("recipe.fix", "f", "fix", "fix", "do what the finding here proposes"),
    # Before the next key, which is of the field.
    key("recipe.search", "slash", "search", "search", "find fields by name and help", first=True),
    key(
        "recipe.only-changed",
        "o",
        "only_changed",
        "only changed",
        "only what differs from the defaults, or all",
    ),
    key("recipe.compare", "c", "compare", "compare", "choose what the difference is shown against"),
    key("recipe.editor", "E", "editor", "$EDITOR", "edit the text in your editor"),
    key("recipe.save-as", "W", "save_as", "save as", "write it into another file"),
    key("recipe.open", "w", "open", "open", "another recipe: ready, of a run, for your data"),
    key("recipe.back", "escape", "back", "back", "one layer out"),
    *movement("recipe", "form, YAML, difference"),
]

ACTIONS = actions_of(BINDINGS)
"""What the keys do, by name."""

# Done before the next key is handed on: what opens an input gets all keys after it, however fast they come.
OF_LIST: list[BindingType] = [
    replace(binding, action=f"screen.{binding.action}", priority=True)
    for binding in BINDINGS
    if isinstance(binding, Binding)
]

# What can be done while no recipe is open.
WITHOUT_RECIPE = frozenset(("take", "move", "page", "edge", "open"))
# What is done with the field under the cursor.
OF_FIELD = frozenset(("value", "far", "default", "add", "fix", "problem"))
