"""Changing the open recipe from the Data screen: a question each, the answer applied at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sftui.errors import InputError

from .data_choices import TRAIN_ON, Choice, Item, Length, template_items

if TYPE_CHECKING:
    from sftui.data.overview import OverlengthCost, Overview

    from .app import Workbench


Cost = Callable[[int], "OverlengthCost | None"]


def _train_on(app: Workbench, overview: Overview | None, cost: Cost) -> None:
    _choose(app, "what is trained", "train_on", [Item(name, name, text) for name, text in TRAIN_ON])


def _template(app: Workbench, overview: Overview | None, cost: Cost) -> None:
    names = overview.templates if overview is not None else ()
    items = template_items(names, app.recipe.data.chat_template)
    _choose(app, "chat template", "chat_template", items)


def _max_length(app: Workbench, overview: Overview | None, cost: Cost) -> None:
    app.push_screen(Length(app.recipe, cost), lambda values: apply(app, values))


def _sequence_per(app: Workbench, overview: Overview | None, cost: Cost) -> None:
    per = "turn" if app.recipe.data.sequence_per == "conversation" else "conversation"
    apply(app, {"data.sequence_per": per})


def _choose(app: Workbench, title: str, key: str, items: Sequence[Item]) -> None:
    def chosen(item: Item | None) -> None:
        if item is not None:
            apply(app, {f"data.{key}": item.value})

    app.push_screen(Choice(title, items, getattr(app.recipe.data, key)), chosen)


def apply(app: Workbench, values: Mapping[str, Any] | None) -> None:
    """Apply `values`, if any; what does not fit is told."""
    if values is None:
        return
    try:
        app.change(values)
    except InputError as error:
        app.notify(str(error), severity="error", timeout=8, markup=False)


CHANGES: dict[str, Callable[[Workbench, Overview | None, Cost], None]] = {
    "train_on": _train_on,
    "template": _template,
    "max_length": _max_length,
    "sequence_per": _sequence_per,
}
"""What can be changed, by name. Of an overview come the names of templates; `cost` is asked in a thread."""
