"""Recipe: every field of the open recipe, and what a run of it comes to."""

from __future__ import annotations

from asyncio import to_thread
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.widget import Widget

from . import recipe_view as view
from .frame import Frame
from .recipe_empty import OffersPane
from .recipe_facts import Facts
from .recipe_form import Form
from .recipe_keys import ACTIONS, BINDINGS, OF_FIELD, WITHOUT_RECIPE
from .recipe_offers import Offer, take
from .recipe_text import TextPane
from .recipe_view import PANES, Pane
from .widgets.difference_list import DifferenceList
from .widgets.line_list import LineList
from .widgets.panel import Panel

if TYPE_CHECKING:
    from sftui.checks.finding import Finding
    from sftui.recipe_difference import Comparable

    from .data_choices import Item
    from .open_recipe import OpenRecipe

OUTSIDE_SECONDS = 1.0


class RecipeScreen(Frame):
    """The form; beside it what it means here, the field, the text and what differs."""

    MODE = "recipe"
    CSS_PATH = ["recipe.tcss", "choices.tcss"]
    AUTO_FOCUS = ""
    BINDINGS = BINDINGS

    def __init__(self) -> None:
        super().__init__()
        self._made: OpenRecipe | None = None
        self._facts = Facts(self.app, self._start, self._show)
        self._form = Form(id="form-pane")
        self._text = TextPane(id="yaml-pane")
        self._difference = DifferenceList(id="difference")
        self._empty = OffersPane(id="empty")
        self._against: tuple[str, Comparable] | None = None
        self._panels = {name: Panel(id=name) for name in ("subject", "meaning", "about")}
        self._boxes = {name: Vertical(id=f"{name}-pane") for name in ("meaning", "about", "difference")}
        self._applicable: tuple[bool, ...] = ()

    def compose_body(self) -> ComposeResult:
        """Subject; the form, what it means, the field; the text and what differs."""
        yield self._panels["subject"]
        yield self._empty
        with Container(id="middle"):
            yield self._form
            with self._boxes["meaning"]:
                yield self._panels["meaning"]
            with self._boxes["about"]:
                yield self._panels["about"]
            yield self._text
            with self._boxes["difference"]:
                yield self._difference

    def on_mount(self) -> None:
        """What reads model and data is imported and started after the first paint."""
        self._go_to_pane("form")
        self._show()
        self.set_interval(OUTSIDE_SECONDS, self._look_outside)

    # -- what is open

    def on_screen_resume(self) -> None:
        """Look at the machine and at the file while this screen is in front."""
        super().on_screen_resume()
        self.call_after_refresh(self._look)

    def on_screen_suspend(self) -> None:
        """Nobody sees it."""
        self._text.flush()
        self.workers.cancel_group(self, "machine")

    def _look(self) -> None:
        recipe = self.app.recipe
        if recipe is None:
            self._start(self._empty.look, "offers")
            return
        self._start(partial(self._facts.model.watch, str(recipe.output_dir)), "machine")
        self._facts.look(self.app.folder)
        self.app.dataset.want()
        self._facts.adopt(recipe, again=True)
        self.adopt()

    def _start(self, work: Callable[[], Awaitable[None]], group: str) -> None:
        self.run_worker(work, group=group, exclusive=True)

    async def _look_outside(self) -> None:
        made = self._made
        if not self.is_current or made is None or self._text.is_ahead:
            return
        if not await to_thread(made.is_put_off):
            await self.app.opened.look()

    def adopt(self) -> None:
        """The recipe may be another, changed here or on another screen."""
        made = self.app.opened.now
        if made is not None and made is not self._made:
            self._made = made
            self._against = None
            self._form.open(made)
            self._text.open(made)
            self._look()
            self._go_to_pane("form")
        if made is not None:
            self._facts.adopt(made.recipe)
        self._show()

    def rebind(self) -> None:
        """The keys follow by themselves."""

    def follow(self) -> None:
        """More is known of the data."""
        self._facts.follow()

    # -- showing

    def _show(self) -> None:
        """Bring every part up to date; each draws itself only if it says something else."""
        made = self._made
        self.set_class(made is None, "-empty")
        if made is None:
            self._refresh_keys()
            return
        problems = made.problems
        self._form.show(problems, self._findings)
        self._text.show(problems)
        self._show_meaning()
        if self._boxes["difference"].display:
            self._show_difference(made)
        self._show_field()
        self._refresh_keys()

    @property
    def _findings(self) -> tuple[Finding, ...]:
        found = self._facts.forecast
        return () if found is None else found.findings

    def _show_meaning(self) -> None:
        made, panel = self._made, self._panels["meaning"]
        if made is None:
            return
        found = self._facts.forecast
        old = found is not None and not made.is_valid
        words = view.meaning if self.has_class("-wide") else view.meaning_in_short
        panel.show(words(found, self._facts.state, panel.size.width, old=old))
        title = "what it means here" if made.is_valid else "what it meant before the mistake"
        self._boxes["meaning"].border_title = title
        subject = Content.assemble(
            (view.base_name(made.name), "bold"),
            (f"  {len(made.unsaved)} unsaved" if made.unsaved else "", "$text-accent"),
            f"  {made.recipe.summary()}",
        )
        self._panels["subject"].show(subject)

    @on(LineList.Moved, "#fields")
    @on(Form.Said)
    def _show_field(self) -> None:
        """The field under the cursor."""
        made, row = self._made, self._form.row
        if made is None:
            return
        self._panels["about"].show(self._form.words())
        title = row.key if row is not None and row.key else "recipe"
        self._boxes["about"].border_title = title
        if row is not None and self._pane == "form":
            self._text.go_to(made.document.line(row.key) if row.key else 1)

    def _show_difference(self, made: OpenRecipe) -> None:
        from sftui.recipe_difference import difference

        name, other = self._against or (view.base_name(made.name), made.read)
        self._difference.show(difference(other, made.document))
        same = ": the same" if self._difference.says_nothing else ""
        pane = self._boxes["difference"]
        pane.border_title = f"difference from {name}{same}"
        pane.border_subtitle = "c chooses another" if self._pane == "difference" else ""

    def _refresh_keys(self) -> None:
        applicable = self._made is not None, self._pane == "form"
        if applicable != self._applicable:
            self._applicable = applicable  # only then: the footer is made anew, which takes a while
            self.refresh_bindings()

    def on_resize(self, event: events.Resize) -> None:
        """Other parts may have room now, the same ones another width."""
        self.call_after_refresh(self._show)

    # -- where the keys go

    @property
    def _pane(self) -> Pane:
        return next((pane for pane in PANES if self.has_class(f"-at-{pane}")), "form")

    def _target(self, pane: Pane) -> Widget:
        return {"form": self._form.target, "yaml": self._text.editor, "difference": self._difference}[pane]

    def _go_to_pane(self, pane: Pane) -> None:
        if self._pane == "yaml" and pane != "yaml":
            self._text.flush()
        self._mark_pane(pane)
        target = self._empty.list if self._made is None else self._target(pane)
        target.focus()
        self.call_after_refresh(target.focus)  # what was hidden until now can take it once it is laid out
        self.call_after_refresh(self._show)

    def _mark_pane(self, pane: Pane) -> None:
        kept = {name for name in self.classes if not name.startswith("-at-")}
        if pane == "yaml":
            kept.discard("-with-difference")
        elif pane == "difference":
            kept.add("-with-difference")
        self.set_classes(kept | {f"-at-{pane}"})  # at once: each class that changes costs a look at all

    def on_descendant_focus(self, event: events.DescendantFocus) -> None:
        """A click leads to another pane."""
        for pane in PANES:
            if event.widget is self._target(pane) and pane != self._pane and self._made is not None:
                self._mark_pane(pane)
                self.call_after_refresh(self._show)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what applies now is shown and works."""
        if action not in ACTIONS or not self.is_attached:
            return True
        if self._made is None:
            return action in WITHOUT_RECIPE
        if action in ("pane", "yaml", "difference") and self._form.is_typing:
            return False
        if action == "back":
            return self._pane != "form" or self._form.can_go_back
        if action == "enter":
            return self._pane != "yaml"
        return action not in OF_FIELD or self._pane == "form"

    # -- keys

    @property
    def _list(self) -> LineList:
        if self._made is None:
            return self._empty.list
        return self._difference if self._pane == "difference" else self._form.list

    def action_pane(self, step: int) -> None:
        """Form, text, difference, and round again."""
        self._go_to_pane(PANES[(PANES.index(self._pane) + step) % len(PANES)])

    def action_move(self, lines: int) -> None:
        """Up or down."""
        self._list.move(lines)

    def action_page(self, pages: int) -> None:
        """A screenful."""
        self._list.page(pages)

    def action_edge(self, end: bool) -> None:
        """The first or the last."""
        self._list.edge(end)

    def action_yaml(self) -> None:
        """The text, to be edited."""
        self._go_to_pane("yaml")

    def action_difference(self) -> None:
        """What differs; again: the form."""
        self._go_to_pane("form" if self._pane == "difference" else "difference")

    def action_value(self, direction: int) -> None:
        """The next value."""
        self._form.step(direction, far=False)

    def action_far(self, direction: int) -> None:
        """A value further away."""
        self._form.step(direction, far=True)

    @on(LineList.Chosen, "#fields")
    @on(LineList.Chosen, "#offers")
    def action_enter(self) -> None:
        """Type a value, flip a switch; open what is offered."""
        offer = self._empty.list.offer
        if self._made is None:
            if offer is not None:
                take(self.app, offer)
        elif self._pane == "form":
            self._form.enter()
        elif self._pane == "difference":
            self.action_compare()

    def action_default(self) -> None:
        """The default again; a source goes."""
        self._form.default()

    def action_add(self) -> None:
        """One source more."""
        self._form.add()

    def action_fix(self) -> None:
        """Do what is proposed beside the field."""
        if not self._form.fix():
            self.notify("nothing is proposed here", timeout=3)

    def action_problem(self, step: int) -> None:
        """The next field beside which something is said."""
        if not self._form.next_problem(step):
            self.notify("nothing is wrong", timeout=3)

    def action_search(self) -> None:
        """Find fields."""
        self._mark_pane("form")
        self._form.search()

    def action_only_changed(self) -> None:
        """What differs from the defaults, or all."""
        self._form.toggle_only_changed()
        self._show()

    def action_undo(self) -> None:
        """One step back."""
        self._step_in_history("undo", "nothing to undo")

    def action_redo(self) -> None:
        """One step forth again."""
        self._step_in_history("redo", "nothing to redo")

    def _step_in_history(self, name: str, nothing: str) -> None:
        made = self._made

        def step() -> None:
            if getattr(made, name)():
                self.app.show_recipe()
            else:
                self.notify(nothing, timeout=3)

        self._form.attempt(step)

    def action_save_as(self) -> None:
        """Into another file."""
        self._text.flush()
        self.app.opened.save_as()

    def action_back(self) -> None:
        """One layer out."""
        if self._pane != "form":
            self._go_to_pane("form")
            self.remove_class("-with-difference")
        else:
            self._form.back()
            self._show()

    def action_start(self) -> None:
        """Start a run, after a summary."""
        self.app.action_start()

    def action_editor(self) -> None:
        """The text in a person's own editor."""
        from .recipe_editor import edit

        self._text.flush()
        if self._made is not None:
            edit(self.app, self._made)

    def action_open(self) -> None:
        """Another recipe."""
        from .recipe_open import OpenChoice

        def chosen(offer: Offer | None) -> None:
            if offer is not None:
                take(self.app, offer)

        self.app.push_screen(OpenChoice(), chosen)

    def action_compare(self) -> None:
        """Choose what the difference is shown against."""
        from .recipe_open import ask_for_comparison

        def chosen(item: Item | None, text: Any) -> None:
            self._against = None if item is None or text is None else (item.label, text)
            self._go_to_pane("difference")

        ask_for_comparison(self.app, chosen)
