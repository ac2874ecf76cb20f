"""Changing the open recipe from the Data screen: a question each, the answer applied at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sftui.errors import InputError

from .data_choices import TRAIN_ON, Choice, Item, Length, template_items

if TYPE_CHECKING:
    from sftui.data.overview import OverlengthCost

    from .app import Workbench


def choose_train_on(app: Workbench) -> None:
    """What is trained."""
    _choose(app, "what is trained", "train_on", [Item(name, name, text) for name, text in TRAIN_ON])


def choose_template(app: Workbench, names: Sequence[str]) -> None:
    """The chat template: one of `names`, or the model's own."""
    items = template_items(names, app.recipe.data.chat_template)
    _choose(app, "chat template", "chat_template", items)


def choose_length(app: Workbench, cost: Callable[[int], OverlengthCost | None]) -> None:
    """The longest sequence and what becomes of longer ones; `cost` is asked in a thread."""
    app.push_screen(Length(app.recipe, cost), lambda values: _change(app, values))


def switch_sequence_per(app: Workbench) -> None:
    """A sequence a conversation, or one a trained turn."""
    per = "turn" if app.recipe.data.sequence_per == "conversation" else "conversation"
    _change(app, {"data.sequence_per": per})


def _choose(app: Workbench, title: str, key: str, items: Sequence[Item]) -> None:
    def chosen(item: Item | None) -> None:
        if item is not None:
            _change(app, {f"data.{key}": item.value})

    app.push_screen(Choice(title, items, getattr(app.recipe.data, key)), chosen)


def _change(app: Workbench, values: Mapping[str, Any] | None) -> None:
    """Apply `values`, if any; what does not fit is told."""
    if values is None:
        return
    try:
        app.change(values)
    except InputError as error:
        app.notify(str(error), severity="error", timeout=8, markup=False)
