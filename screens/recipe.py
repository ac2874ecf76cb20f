"""Recipe: every field of the open recipe, and what a run of it comes to."""

from __future__ import annotations

import time
from asyncio import to_thread
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, TextArea

from . import recipe_view as view
from .pace import Looks
from .panes import Panes
from .recipe_compared import compared
from .recipe_empty import OffersPane
from .recipe_facts import Facts
from .recipe_form import Form
from .recipe_keys import ACTIONS, BINDINGS, OF_FIELD, WITHOUT_RECIPE
from .recipe_offers import Offer, take
from .recipe_text import TextPane
from .recipe_value import Said
from .recipe_view import PANES, Pane
from .widgets.difference_list import DifferenceList
from .widgets.line_list import LineList
from .widgets.panel import Panel

if TYPE_CHECKING:
    from sftui.checks.finding import Finding
    from sftui.recipe_document import Document

    from .data_choices import Item
    from .open_recipe import OpenRecipe

OUTSIDE_SECONDS = 1.0
# Between two keys of one that is held at the most, and between two fields whose words are shown meanwhile.
FIELD_SECONDS = 0.06


class RecipeScreen(Panes[Pane]):
    """The form; beside it what it means here, the field, the text and what differs."""

    MODE = "recipe"
    CSS_PATH = ["recipe.tcss", "choices.tcss"]
    BINDINGS = BINDINGS
    ACTIONS = ACTIONS
    panes = PANES

    def __init__(self) -> None:
        super().__init__()
        self._made: OpenRecipe | None = None
        self._facts = Facts(self.app, self._start, self._show)
        self._form = Form(id="form-pane")
        self._text = TextPane(id="yaml-pane")
        self._difference = DifferenceList(id="difference")
        self._empty = OffersPane(id="empty")
        self._against: tuple[str, Document] | None = None
        self._panels = {name: Panel(id=name) for name in ("subject", "meaning", "about")}
        self._boxes = {name: Vertical(id=f"{name}-pane") for name in ("meaning", "about", "difference")}
        self._looks = Looks(self, self._facts.follow)
        self._field_timer: Timer | None = None
        self._is_held = False
        self._moved_at = float("-inf")

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
        """Follow the analysis, but not too often: each look is a forecast."""
        self._looks.soon()

    # -- showing

    def _show(self) -> None:
        """Bring every part up to date; each draws itself only if it says something else."""
        made = self._made
        self.set_class(made is None, "-empty")
        if made is None:
            self._show_keys()
            return
        problems = made.problems
        self._form.show(problems, self._findings)
        self._text.show(problems)
        self._show_meaning()
        if self._boxes["difference"].display:
            self._show_difference(made)
        self._show_field()
        self._show_keys()

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
        width = panel.size.width or self.size.width - 2  # before it is laid out
        panel.show(words(found, self._facts.state, width, old=old))
        title = "what it means here" if made.is_valid else "what it meant before the mistake"
        self._boxes["meaning"].border_title = title
        subject = Content.assemble(
            (view.base_name(made.name), "bold"),
            (f"  {len(made.unsaved)} unsaved" if made.unsaved else "", "$text-accent"),
            f"  {made.recipe.summary()}",
        )
        self._panels["subject"].show(subject)

    @on(LineList.Moved, "#fields")
    def _moved(self) -> None:
        """While a key is held the list comes before the words on its field, which follow in steps."""
        held, self._is_held = self._is_held, False
        if not held:
            self._show_field()
            return
        self._looks.move()
        if self._field_timer is None:
            self._field_timer = self.set_timer(FIELD_SECONDS, self._show_late_field)

    def _show_late_field(self) -> None:
        self._field_timer = None
        self._show_field()

    @on(Said)
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
        name, other = self._against or (view.base_name(made.name), made.read)
        self._difference.show(*compared(made, other, of_one_file=self._against is None))
        same = ": the same" if self._difference.says_nothing else ""
        pane = self._boxes["difference"]
        pane.border_title = f"difference from {name}{same}"
        pane.border_subtitle = "c chooses another" if self._pane == "difference" else ""

    def _show_keys(self) -> None:
        self._refresh_keys(self._made is not None, self._pane == "form")

    # -- keys

    def _target(self, pane: Pane) -> Widget:
        if self._made is None:
            return self._empty.list
        return {"form": self._form.target, "yaml": self._text.editor, "difference": self._difference}[pane]

    def _go_to_pane(self, pane: Pane) -> None:
        if self._pane == "yaml" and pane != "yaml":
            self._text.flush()
        super()._go_to_pane(pane)

    def _classes_at(self, pane: Pane) -> set[str]:
        kept = super()._classes_at(pane)
        if pane == "yaml":
            kept.discard("-with-difference")
        elif pane == "difference":
            kept.add("-with-difference")
        return kept

    @property
    def _cursor(self) -> LineList:
        if self._made is None:
            return self._empty.list
        return self._difference if self._pane == "difference" else self._form.list

    def _applies(self, action: str) -> bool:
        if self._made is None:
            return action in WITHOUT_RECIPE
        if action == "take" or (action in ("pane", "yaml", "difference") and self._form.is_typing):
            return False
        if action == "back":
            return self._pane != "form" or self._form.can_go_back
        if action == "search" and isinstance(self.focused, Input | TextArea):
            return False
        if action == "enter":
            return self._pane != "yaml"
        return action not in OF_FIELD or self._pane == "form"

    def can_apply(self, action: str) -> bool:
        """Without a recipe there is little to do but open one; with one nothing is offered."""
        if self._made is None:
            return action not in ACTIONS or action in WITHOUT_RECIPE
        return action != "take"

    def action_move(self, lines: int) -> None:
        """Up or down."""
        now = time.monotonic()
        self._is_held, self._moved_at = now - self._moved_at < FIELD_SECONDS, now
        super().action_move(lines)

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

    @on(LineList.Chosen, "#offers")
    def action_take(self) -> None:
        """Open what is offered."""
        offer = self._empty.list.offer
        if offer is not None:
            take(self.app, offer)

    @on(LineList.Chosen, "#fields")
    def action_enter(self) -> None:
        """Type a value, flip a switch; choose another to compare with."""
        if self._pane == "form":
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
