"""The form of the Recipe screen: its list, the search above it, the value that is typed in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input

from sftui.errors import InputError

from . import recipe_view as view
from .recipe_keys import OF_LIST
from .recipe_rows import Row, place_of, rows_of, signs_of
from .recipe_search import Found, found_keys
from .recipe_value import FieldInput, Said
from .widgets.form_list import FormList
from .widgets.line_list import LineList
from .widgets.value_input import ValueInput

if TYPE_CHECKING:
    from sftui.checks.finding import Finding
    from sftui.recipe_document import Problem
    from sftui.recipe_fields import FieldInfo

    from .app import Workbench
    from .open_recipe import OpenRecipe


# Between what a search finds in names and what it finds in the words on other fields.
IN_HELP = Row("heading", "", "in the help of")


class Fields(FormList):
    """The lines, with the screen's keys as their own."""

    BINDINGS = OF_LIST


class Form(Vertical):
    """Every field of the open recipe; what is changed here is told to the app."""

    app: Workbench

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.list = Fields(id="fields")
        self._search = Input(placeholder="a field's name, or a word of its help", compact=True, id="search")
        self._search.display = False
        self._input = FieldInput(id="value")
        self._made: OpenRecipe | None = None
        self._problems: Sequence[Problem] = ()
        self._findings: Sequence[Finding] = ()
        self._unfolded: set[str] = set()
        self._only_changed = False
        self._found: Found | None = None
        self._shown: tuple[object, ...] = ()

    def compose(self) -> ComposeResult:
        """The search, the lines, and the input over them."""
        yield self._search
        yield self.list
        yield self._input

    # -- what is shown

    def open(self, made: OpenRecipe | None) -> None:
        """Another recipe."""
        self._made = made
        self._unfolded, self._found, self._only_changed = set(), None, False
        self._close_search()

    def show(self, problems: Sequence[Problem], findings: Sequence[Finding]) -> None:
        """Show the values as they are now, and beside them what is said of them."""
        made = self._made
        if made is None:
            return
        self._problems, self._findings = problems, findings
        found = self._found
        shown = made.values, made.read, made.saved, frozenset(self._unfolded), self._only_changed, found
        rows = self.list.rows
        if shown != self._shown:  # a forecast says something beside the values, and leaves them
            self._shown = shown
            rows = self._rows(made)
        said = {finding.key: finding.severity for finding in reversed(findings)}
        said |= {problem.key or "": "error" for problem in problems}
        self.list.show(rows, signs_of(said, rows))
        self.border_subtitle = f"{len(made.unsaved)} unsaved: S saves" if made.unsaved else ""
        title = "only what differs from the defaults: o shows all" if self._only_changed else "recipe"
        self.border_title = title if self._found is None else "found: Esc shows all"

    def _rows(self, made: OpenRecipe) -> tuple[Row, ...]:
        found = self._found
        if found is None:
            return rows_of(made, unfolded=self._unfolded, only_changed=self._only_changed)
        named, helped = (
            rows_of(made, unfolded=self._unfolded, only_changed=self._only_changed, wanted=frozenset(keys))
            for keys in found
        )
        return (*named, *([IN_HELP] if named and helped else []), *helped)

    @property
    def row(self) -> Row | None:
        """The line under the cursor."""
        return self.list.row

    @property
    def target(self) -> Widget:
        """What takes the keys."""
        return self._input if self.is_typing else self.list

    @property
    def is_typing(self) -> bool:
        """Whether a value is being typed."""
        return self._input.is_open

    def words(self) -> Content:
        """Of the field under the cursor; while it is typed, of what is typed."""
        if self._input.is_open:
            return self._input.words()
        row = self.row
        here = self.list.cursor
        problems = [one for one in self._problems if place_of(one.key or "", self.list.rows) == here]
        findings = [one for one in self._findings if place_of(one.key, self.list.rows) == here]
        default = ""
        if row is not None and row.field is not None and not row.field.required:
            from sftui.recipe_values import format_value

            default = format_value(row.field, row.field.default)
        words = view.field_words(row, problems, findings, default=default)
        if problems and (values := self.proposal()):
            offer = "  ".join(f"{key}: {value}" for key, value in values.items())
            words = Content.assemble(("f ", "$text-accent"), offer, "\n", words)
        return words

    @on(LineList.Moved)
    def _moved(self) -> None:
        if self._input.at != self.list.cursor:
            self._leave_input()

    # -- changes

    def attempt(self, act: Callable[[], object]) -> None:
        """Change something; what is refused is told."""
        try:
            act()
        except InputError as error:
            self.app.notify(str(error), severity="error", timeout=8, markup=False)

    def _edit(self, key: str, value: Any) -> None:
        self.attempt(lambda: self.app.opened.edit(key, value))

    def step(self, direction: int, *, far: bool) -> None:
        """The next value of the field; sources fold, a section that may be null comes or goes."""
        row = self.row
        if row is None or self._made is None:
            return
        if row.kind == "source":
            (self._unfolded.add if direction > 0 else self._unfolded.discard)(row.source)
            self.app.show_recipe()
        elif row.kind == "section":
            self._flip(row)
        elif row.kind == "field" and row.field is not None:
            from sftui.recipe_fields import neighbour

            try:
                value = neighbour(row.field, row.value, direction, far=far)
            except (TypeError, ValueError):  # what is written is not a value of the field
                value = row.field.default
            if value != row.value or type(value) is not type(row.value):
                self._edit(row.key, value)

    def _flip(self, row: Row) -> None:
        made = self._made
        if made is not None and row.section is not None and row.section.optional:
            self.attempt(lambda: made.flip(row.key))
            self.app.opened.told()

    def default(self) -> None:
        """The default again; a source is taken out."""
        from sftui.recipe_edit import REMOVED

        row = self.row
        if row is None or self._made is None:
            return
        if row.kind == "source":
            self._edit(row.source, REMOVED)
        elif row.kind == "field" and row.field is not None:
            if row.field.required:
                self.app.notify("it has no default", timeout=3)
            elif self._made.is_written(row.key):
                self._edit(row.key, REMOVED)

    def proposal(self) -> dict[str, Any]:
        """What a finding beside the field proposes."""
        here = self.list.cursor
        for finding in self._findings:
            if finding.values and place_of(finding.key, self.list.rows) == here:
                return dict(finding.values)
        wrong = here in {place_of(problem.key or "", self.list.rows) for problem in self._problems}
        if not wrong or self._made is None:
            return {}
        from .recipe_edits import remedy

        return remedy(self._made.values)

    def fix(self) -> bool:
        """Do what is proposed beside the field; False where nothing is."""
        values = self.proposal()
        if self._made is not None and not self._made.is_valid:
            for key, value in values.items():
                self._edit(key, value)
        else:
            self.attempt(lambda: self.app.change(values))
        return bool(values)

    def next_problem(self, step: int) -> bool:
        """Go to the next line beside which something is said; False where there is none."""
        said = [problem.key or "" for problem in self._problems] + [one.key for one in self._findings]
        if not said:
            return False
        places = {place_of(key, self.list.rows) for key in said}
        if None in places or self._found is not None or self._only_changed:
            self._found, self._only_changed = None, False  # it may be hidden
            self._close_search()
            self.show(self._problems, self._findings)
            places = {place_of(key, self.list.rows) for key in said}
        order = sorted(place for place in places if place is not None)
        here = self.list.cursor
        after = [place for place in order if place > here] if step > 0 else [p for p in order if p < here]
        self.list.go_to((after or order)[0 if step > 0 else -1])
        return True

    # -- typing a value

    def enter(self) -> None:
        """Flip a switch or a section, type any other value."""
        row = self.row
        if row is None:
            return
        if row.kind == "section":
            self._flip(row)
        elif row.kind == "add":
            self.add()
        elif row.field is not None and row.field.kind == "switch":
            self.step(1, far=False)
        elif row.field is not None:
            self._open_input(row.key, row.field, self.list.text(self.list.cursor))

    def add(self) -> None:
        """Type the path of one source more in the list under the cursor."""
        from sftui.recipe_fields import source_fields

        row, made = self.row, self._made
        if row is None or made is None:
            return
        places = (row.key, row.source, row.source.rpartition(".")[0])
        at = next((key for key in places if self._lists(key)), "")
        if not at:
            self.app.notify("sources are added to train and eval", timeout=3)
            return
        place = next(n for n, one in enumerate(self.list.rows) if one.kind == "add" and one.key == at)
        self.list.go_to(place)
        value = made.value(at)
        count = len(value) if isinstance(value, list) else 0
        self._open_input((path := source_fields(at, count)[0]).key, path, "")

    def _lists(self, key: str) -> bool:
        return any(row.kind == "add" and row.key == key for row in self.list.rows)

    def _open_input(self, key: str, field: FieldInfo, text: str) -> None:
        made = self._made
        base = Path.cwd() if made is None or made.document.base is None else made.document.base
        self._place_input()
        self._input.open(key, field, text, at=self.list.cursor, base=base)
        self._say()

    def _place_input(self) -> None:
        """Over the value under the cursor."""
        column, line, width = self.list.value_region()
        self._input.place(column, self.list.region.y - self.content_region.y + line, width)

    def on_resize(self) -> None:
        """The value that is typed stands elsewhere now."""
        if self.is_typing:
            self.call_after_refresh(self._place_input)

    def _leave_input(self) -> None:
        if self._input.is_open:
            self._input.close()
            self.list.focus()

    @on(ValueInput.Left)
    def _left(self) -> None:
        self._leave_input()
        self._say()

    @on(Input.Submitted, "#value")
    def _submitted(self, event: Input.Submitted) -> None:
        event.stop()
        taken = self._input.take()
        if taken is not None:
            self.list.focus()
            self._edit(*taken)

    def _say(self) -> None:
        """The words beside are others."""
        self.post_message(Said())

    # -- what is left of the list

    def search(self) -> None:
        """Type what to look for."""
        self._search.display = True
        self.screen.set_focus(self._search)  # at once: the next key is of the search

    @on(Input.Changed, "#search")
    def _searched(self, event: Input.Changed) -> None:
        event.stop()
        text, made = event.value.strip(), self._made
        self._found = found_keys(made, text) if text and made is not None else None
        self.show(self._problems, self._findings)
        if keys := [] if self._found is None else [*self._found.named, *self._found.helped]:
            best = place_of(keys[0], self.list.rows)
            self.list.go_to(best or 0)
        self._say()

    @on(Input.Submitted, "#search")
    def _done_searching(self, event: Input.Submitted) -> None:
        event.stop()
        self.list.focus()

    def _close_search(self) -> None:
        self._search.display = False
        with self.prevent(Input.Changed):
            self._search.value = ""

    def toggle_only_changed(self) -> None:
        """What differs from the defaults, or all."""
        self._only_changed = not self._only_changed

    @property
    def can_go_back(self) -> bool:
        """Whether there is a layer to leave."""
        filtered = self._only_changed or self._found is not None
        return filtered or self.is_typing or self._search.display

    def back(self) -> None:
        """Out of what is typed, the search, the filter."""
        if self.is_typing:
            self._leave_input()
        elif self._search.display or self._found is not None:
            self._found = None
            self._close_search()
            self.list.focus()
        elif self._only_changed:
            self._only_changed = False
