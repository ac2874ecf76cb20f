"""Memory: whether the open recipe fits a GPU, what of it takes how much, and what to do about it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content

from sftui.errors import InputError
from sftui.printable import printable

from . import memory_view as view
from .memory_answers import Answers
from .memory_compare import box_words, lines_beside
from .memory_every import every_words
from .memory_facts import Facts
from .memory_fields import EFFECTIVE
from .memory_keys import ACTIONS, BINDINGS, applies
from .memory_trial import changed_fields, differences, tried
from .memory_view import PANES, Pane
from .panes import Panes
from .widgets.compare_list import CompareList
from .widgets.component_list import ComponentList
from .widgets.field_list import FieldList
from .widgets.line_list import LineList
from .widgets.memory_bar import MemoryBar
from .widgets.moment_list import MomentList
from .widgets.panel import Panel

if TYPE_CHECKING:
    from sftui.memory.answer import Answer
    from sftui.recipe import Recipe


class MemoryScreen(Panes[Pane]):
    """A bar on top; components and moments of the step, what is tried, and what it is compared with."""

    MODE = "memory"
    CSS_PATH = ["memory.tcss", "choices.tcss"]
    BINDINGS = BINDINGS
    ACTIONS = ACTIONS
    panes = PANES

    def __init__(self) -> None:
        super().__init__()
        self._refusal: str | None = None
        self._told = False  # how what is applied is saved
        self._facts = Facts(self._start, self._renew)
        self._answers = Answers(self.app, self._facts)
        self._bar = MemoryBar(id="bar-pane")
        self._components = ComponentList(id="components")
        self._moments = MomentList(id="moments")
        self._components_pane, self._change = Vertical(id="components-pane"), Vertical(id="change-pane")
        self._fields = FieldList(id="fields")
        self._lines = CompareList(id="lines")
        self._lists: dict[Pane, LineList] = {
            "change": self._fields,
            "compare": self._lines,
            "components": self._components,
            "step": self._moments,
        }
        names = ("subject", "problem", "why", "field-words", "line-words", "box")
        self._panels = {name: Panel(id=name) for name in names}

    def compose_body(self) -> ComposeResult:
        """Subject; the bar; components, moments, fields, comparisons."""
        yield self._panels["subject"]
        yield self._panels["problem"]
        yield self._bar
        with Container(id="middle"):
            with self._components_pane:
                yield self._components
                yield self._panels["why"]
            with self._change:
                yield self._fields
                yield self._panels["field-words"]
            with Vertical(id="compare-pane") as compare:
                yield self._lines
                yield self._panels["line-words"]
                yield self._panels["box"]
            with Vertical(id="step-pane") as step:
                yield self._moments
        self._change.border_title = "change"
        compare.border_title, step.border_title = "compare", "through the step"

    def on_mount(self) -> None:
        """What reads the model is imported and started after the first paint."""
        self._go_to_pane("change")
        self._show()

    # -- what is open

    def on_screen_resume(self) -> None:
        """Look at the machine while this screen is in front, and at what was measured meanwhile."""
        super().on_screen_resume()
        self.call_after_refresh(self._look)

    def on_screen_suspend(self) -> None:
        """Nobody sees it."""
        self.workers.cancel_group(self, "machine")

    def _look(self) -> None:
        recipe = self.app.recipe
        folder = str(recipe.output_dir if recipe is not None else self.app.folder)
        self._start(partial(self._facts.watch, folder), "machine")
        self._facts.want_history(self._answers.device, again=True)

    def _start(self, work: Callable[[], Awaitable[None]], group: str) -> None:
        self.run_worker(work, group=group, exclusive=True)

    def adopt(self) -> None:
        """The recipe may be another, changed here or on another screen."""
        if self.app.recipe is not None:
            self._answers.adopt(self.app.recipe, again=True)
        self._renew()

    def follow(self) -> None:
        """The longest sequence may be known now."""
        if self._answers.is_old:
            self._renew()

    def _renew(self) -> None:
        self._answers.renew()
        if self._answers.verifying and self._facts.simulation_problem is not None:
            self._answers.verifying = False
            if not self._answers.failed:
                self.notify(self._facts.simulation_problem, severity="error", timeout=8, markup=False)
        self._show()

    # -- showing

    def _show(self) -> None:
        """Bring every part up to date; each draws itself only if it says something else."""
        trial, facts, found = self._answers.trial, self._facts, self._answers.found
        self.set_class(trial is None, "-empty")
        if trial is None:
            self._panels["problem"].show(view.NO_RECIPE)
            self._show_keys()
            return
        stale = found is None and self._components.count > 0
        self.set_class(facts.problem is not None, "-problem")
        self.set_class(self._answers.failed, "-failed")
        self.set_class(stale, "-stale")
        if self._answers.failed and self._pane != "change":
            self._go_to_pane("change")
        width = self.size.width - 2
        length = found.step.length if found is not None and found.step is not None else None
        subject = view.subject(trial.recipe, found, self._answers.state, width, length=length)
        self._panels["subject"].show(subject)
        if facts.problem is not None:
            self._panels["problem"].show(view.problem(facts.problem, view.LOOK_AGAIN))
        elif self._answers.problem is not None:
            again = view.SIMULATE_AGAIN if facts.simulation_problem is not None else view.CHANGE_IT
            self._panels["problem"].show(view.problem(self._answers.problem, again))
        self._fields.show(trial)
        self._change.border_subtitle = view.tried_words(changed_fields(trial), len(self.app.unsaved))
        if found is not None:
            self._components.show(found, self._shown_moment(found))
            self._moments.show(found)
            if not self.has_class("-at-step"):
                self._moments.go_to_peak()
            self._show_bar(found)
            self._show_comparison(found)
        elif stale:
            self._bar.border_title = "of the recipe before"
        self._components_pane.border_title = "of the recipe before" if stale else "components"
        self._show_words()
        self._show_keys()

    def _shown_moment(self, found: Answer) -> str:
        """The peak's, or the one under the cursor while one is at the moments."""
        moment = self._moments.moment if self.has_class("-at-step") else None
        return moment if moment in found.estimate.moments else found.estimate.peak_moment

    def _show_bar(self, found: Answer) -> None:
        flat = self.has_class("-flat")
        width = max(self.size.width - (2 if flat else 4), 20)
        moment = self._shown_moment(found)
        self._bar.show(found, moment, width=width, tall=self.has_class("-high"), flat=flat)

    def _show_comparison(self, found: Answer) -> None:
        known = self._facts.comparison
        self._lines.show(lines_beside(known, found) if known is not None else ())
        box, heading = self._panels["box"], self.has_class("-high")
        box.show(box_words(found, self._facts.machine, known, width=box.size.width, heading=heading))

    @on(LineList.Moved)
    def _show_words(self) -> None:
        """What stands below each list about the line under its cursor."""
        found, trial = self._answers.found, self._answers.trial
        if trial is None:
            return
        if self._panels["field-words"].display:
            self._panels["field-words"].show(self._field_words())
        if found is None:
            return
        name = self._components.name_at_cursor or view.ALLOCATED
        panel, reasons = self._panels["why"], self._answers.reasons()
        room = panel.size.width, panel.size.height
        panel.show(view.all_reasons_in(room, found, reasons) or view.why_words(found, name, reasons))
        why = self._facts.why_simulated
        words = self._facts.comparison_problem or self._lines.words
        if why is not None:
            words = f"{why}: simulated, some seconds after each key"
        self._panels["line-words"].show(Content(printable(words)))
        if self.has_class("-at-step"):
            self._components.show(found, self._shown_moment(found))
            self._show_bar(found)

    def _field_words(self) -> Content:
        """What the values beside the field's would take, and what the field is; or why its value stays."""
        if self._refusal is not None:
            return Content.styled(printable(self._refusal), "$text-warning")
        field = self._fields.field
        every = every_words(self._facts.every) if field.name == "checkpointing" else ""
        self.set_class(bool(every), "-every")
        if every:  # which has what stands beside it
            return Content.assemble(every, (f"\n{field.about}", view.MUTED))
        beside = filter(None, (self._answers.beside(field, direction) for direction in (-1, 1)))
        lines = [Content.styled(words, "$text-accent") for words in beside]
        return Content("\n").join([*lines, Content.styled(field.about, view.MUTED)])

    def _show_keys(self) -> None:
        answers = self._answers
        self._refresh_keys(
            answers.trial is not None, answers.found is not None, answers.shape is not None, answers.failed
        )

    # -- keys

    def _target(self, pane: Pane) -> LineList:
        return self._lists[pane]

    @property
    def _cursor(self) -> LineList:
        return self._lists[self._pane]

    def _applies(self, action: str) -> bool:
        return self._answers.trial is not None and applies(action, self._answers, self._facts)

    def action_move(self, lines: int) -> None:
        """Up or down."""
        self._refusal = None
        super().action_move(lines)

    def action_value(self, direction: int) -> None:
        """Try the field's next value."""
        self._try_value(direction, far=False)

    def action_far(self, direction: int) -> None:
        """Try twice or half the number."""
        self._try_value(direction, far=True)

    def _try_value(self, direction: int, *, far: bool) -> None:
        trial = self._answers.trial
        if trial is None or self._pane != "change":
            return
        field = self._fields.field
        if field is EFFECTIVE:
            self._answers.trial = replace(trial, keep=not trial.keep)
            self._show()
            return
        try:
            self._try(tried(field, trial, direction, far=far))
        except InputError as error:
            self._refusal = f"{error.problem}; {field.name} stays {field.show(trial.recipe)}"
            self._show_words()

    def _try(self, recipe: Recipe) -> None:
        self._refusal = None
        self._answers.attempt(recipe)
        self._renew()

    @on(LineList.Chosen, "#fields")
    def _clicked(self) -> None:
        """A click on the field under the cursor."""
        self._try_value(1, far=False)

    @on(LineList.Chosen, "#lines")
    @on(LineList.Chosen, "#components")
    def action_enter(self) -> None:
        """What is tried becomes the recipe; a line of the comparison is tried; a component is explained."""
        trial = self._answers.trial
        if trial is None:
            return
        if self._facts.problem is not None:
            self._facts.want_shape(trial.recipe, again=True)
            self._show()
        elif self._pane == "compare":
            recipe = self._lines.recipe
            if recipe is not None:
                self._try(recipe)
                self._go_to_pane("change")
        elif self._pane == "components":
            self.action_why()
        elif trial.recipe != trial.base:
            self._apply(differences(trial.base, trial.recipe))
        elif self._answers.failed:
            self.action_verify()

    def _apply(self, changes: Mapping[str, object]) -> None:
        from .data_changes import apply

        apply(self.app, changes)
        if self.app.unsaved and not self._told:
            self._told = True
            self.notify("applied: S saves it into the recipe", timeout=4)

    def action_back(self) -> None:
        """One layer out."""
        trial = self._answers.trial
        if trial is None:
            return
        if self._pane != "change":
            self._go_to_pane("change")
        elif trial.recipe != trial.base:
            self._try(trial.base)
        else:
            self._refusal = None
            self._show_words()

    def action_verify(self) -> None:
        """Simulate the trainer's step, or end that."""
        self._answers.verify()
        self._renew()

    def action_device(self) -> None:
        """Choose the GPU to fit into."""
        from .memory_choices import ask_device

        ask_device(self.app, self._facts.machine, self._renew)

    def action_why(self) -> None:
        """All formulas."""
        from .memory_choices import why_box

        found = self._answers.found
        if found is not None:
            self.app.push_screen(why_box(found, self._answers.reasons()))

    def action_rule(self) -> None:
        """The rule of thumb with this model's numbers."""
        from .memory_choices import rule_box

        shape, trial = self._answers.shape, self._answers.trial
        if shape is not None and trial is not None:
            self.app.push_screen(rule_box(shape, trial.recipe, self._answers.longest))

    def action_max_length(self) -> None:
        """Type the longest sequence."""
        from .memory_choices import ask_max_length

        ask_max_length(self.app)
