"""A recipe for somebody who has only a dataset: what is typed decides, the rest is chosen to fit."""

from __future__ import annotations

import asyncio
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Input, Label

from sftui.errors import InputError
from sftui.printable import printable, printable_lines

from .dialog import Dialog
from .recipe_completion import gpus, models, paths, starting_with
from .widgets.panel import Panel
from .widgets.value_input import ValueInput

if TYPE_CHECKING:
    from sftui.memory.device import Device
    from sftui.proposal.settle import Method
    from sftui.recipe_fields import FieldInfo

    from .open_recipe import OpenRecipe

MUTED = "$foreground-muted"
METHODS: tuple[Method, ...] = ("auto", "qlora", "lora", "full")
SHOWN = 8  # completions
COLUMNS = "data.train.0.columns"


class Question(NamedTuple):
    """A field of the box; `complete(text, folder)` gives texts, in a thread."""

    name: str
    placeholder: str
    about: str
    complete: Callable[[str, Path], list[str]]


QUESTIONS = (
    Question(
        "data",
        "a file, pattern or folder, or owner/name on the Hub",
        "rows to train on: .jsonl, .csv, .parquet; many by a pattern or folder; owner/name on the Hub",
        paths,
    ),
    Question(
        "model",
        "one that fits is chosen",
        "Hub id or directory; empty: of the Hub cache, else an open one of today, as large as fits",
        models,
    ),
    Question(
        "method",
        "auto",
        "auto: LoRA where it fits, else QLoRA; full trains all weights",
        lambda text, _: starting_with(text, METHODS),
    ),
    Question(
        "GPU",
        "this machine's",
        "to fit into: a name (4090, a100 40) or a size (24GB); empty: this machine's first, else its CPU",
        lambda text, _: gpus(text),
    ),
    Question(
        "columns",
        "recognised by their names",
        "which column is which, where the names do not tell: prompt: question, completion: answer",
        lambda *_: [],
    ),
)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a recipe is made of: as typed, empty where it is left to `sftui new`."""

    data: str
    model: str
    method: str
    gpu: str
    columns: str


class Made(NamedTuple):
    """A recipe that is in no file yet, the GPU that was named, and whether a way was found to make it fit."""

    recipe: OpenRecipe
    named: Device | None
    fits: bool


class Answer(ValueInput):
    """Tab completes; where nothing is left to complete it leads to the next field."""

    BINDINGS = [
        Binding("down", "app.focus_next", "next field", show=False, id="answer.next"),
        Binding("up", "app.focus_previous", "field before", show=False, id="answer.before"),
    ]

    def __init__(self, question: Question) -> None:
        super().__init__(id=f"new-{question.name.casefold()}", placeholder=question.placeholder)
        self.question = question

    def action_complete(self, step: int) -> None:
        """Complete what was begun."""
        before = self.value
        if before:
            super().action_complete(step)
        if self.value == before:
            (self.screen.focus_next if step > 0 else self.screen.focus_previous)()


class NewRecipe(Dialog[Made | None]):
    """Asks for data, model, method, GPU and columns; gives the recipe that was made of them."""

    CSS_PATH = "recipe_boxes.tcss"

    def __init__(self, here: Path, runs: Path) -> None:
        """Relative paths are relative to `here`; runs in `runs` tell how fast this machine is."""
        super().__init__()
        self._here, self._runs = here, runs
        self._busy = False
        self._refused = False
        self._words = Panel(id="new-words")

    def compose(self) -> ComposeResult:
        """The fields, and below them what can be meant or is wrong."""
        with Vertical(id="new-recipe") as box:
            for question in QUESTIONS:
                with Horizontal():
                    yield Label(question.name)
                    yield Answer(question)
            yield self._words
        box.border_title = "a recipe for your dataset"
        box.border_subtitle = "Tab completes, ↑ ↓ other fields, Enter makes it, Esc leaves"

    def on_mount(self) -> None:
        """What lies here."""
        self.query(Answer).first().focus()

    @on(Input.Changed)
    def _typed(self) -> None:
        self._refused = False
        self._complete()

    def on_descendant_focus(self) -> None:
        """What can be meant in another field."""
        if not self._refused:
            self._complete()

    @work(exclusive=True, group="completions")
    async def _complete(self) -> None:
        field = self.focused
        if not isinstance(field, Answer):
            return
        text = field.value
        found = await asyncio.to_thread(field.question.complete, text, self._here)
        if field is not self.focused or self._busy or self._refused:
            return
        field.offer(found)
        shown = "   ".join(printable(each) for each in found[:SHOWN] if each != text)
        self._words.show(Content.assemble(f"{field.question.about}\n", (shown, MUTED)))

    @on(ValueInput.Left)
    def _left(self) -> None:
        self.workers.cancel_all()
        self.dismiss(None)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        values = [field.value.strip() for field in self.query(Answer)]
        if not values[0]:
            self.query(Answer).first().focus()
        elif not self._busy:
            self._busy = True
            self._make(Asked(*values))

    @work(group="make")
    async def _make(self, asked: Asked) -> None:
        self._words.show(Content.styled("looking at the rows, the models at hand and this machine…", MUTED))
        try:
            made = await asyncio.to_thread(_proposed, asked, self._here, self._runs)
        except InputError as error:
            self._refused = True
            self._words.show(self._refusal(error))
        else:
            self.dismiss(made)
        finally:
            self._busy = False

    def _refusal(self, error: InputError) -> Content:
        """Why there is none; where columns are proposed they stand in their field, to be mended."""
        columns = proposed_columns(error.hint or "")
        if not columns:
            return Content.styled(printable_lines(str(error)), "$text-error")
        field = self.query_one("#new-columns", Answer)
        with self.prevent(Input.Changed):
            field.value = columns
        field.cursor_position = len(columns)
        self.set_focus(field)
        problem = InputError(error.problem, file=error.file, line=error.line, key=error.key)
        return Content.assemble(
            "columns is a guess now: mend it if it is wrong, Enter takes it\n",
            (printable_lines(str(problem)), "$text-error"),
        )


def proposed_columns(hint: str) -> str:
    """The columns in a refusal's proposal for `sftui new`, as they are typed; empty where it has none."""
    from sftui.recipe_override import parse_override
    from sftui.recipe_values import format_value

    try:
        words = shlex.split(hint)
    except ValueError:
        return ""
    found = next((word for word in words if word.startswith(f"{COLUMNS}=")), None)
    return "" if found is None else format_value(_columns_field(), parse_override(found)[1])


def _columns_field() -> FieldInfo:
    from sftui.recipe_fields import source_fields

    return next(field for field in source_fields("data.train", 0) if field.key == COLUMNS)


def _overrides(columns: str) -> list[str]:
    from sftui.recipe_values import parse_value

    if not columns:
        return []
    return [f"{COLUMNS}={json.dumps(parse_value(_columns_field(), columns), ensure_ascii=False)}"]


def _proposed(asked: Asked, here: Path, runs: Path) -> Made:
    from sftui.devices import look
    from sftui.proposal import propose
    from sftui.runs.rates import rates_in

    from .open_recipe import OpenRecipe

    method = next((one for one in METHODS if one == (asked.method.casefold() or "auto")), None)
    if method is None:
        raise InputError(f"found {asked.method!r}, expected one of {', '.join(METHODS)}", key="method")
    named = _named(asked.gpu)
    found = propose(
        asked.data,
        model=asked.model or None,
        device=named or next(iter(look(here).devices), None),
        method=method,
        overrides=_overrides(asked.columns),
        folder=here,
        rates=rates_in(runs),
    )
    stem = Path(asked.data.rstrip("/*")).name.partition(".")[0].strip("*") or "new"
    return Made(OpenRecipe.of_text(f"{stem}.yaml", found.text, here, is_new=True), named, found.fits)


def _named(gpu: str) -> Device | None:
    from sftui.memory.gpus import device_of

    return device_of(gpu) if gpu else None
