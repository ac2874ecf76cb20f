"""The last look before a run: what it is, what it comes to here, and what keeps it from starting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical, VerticalScroll
from textual.content import Content

from sftui.errors import InputError
from sftui.machine import survives_logout
from sftui.printable import printable, printable_lines

from . import recipe_view as view
from .dialog import Dialog
from .recipe_facts import Facts
from .recipe_rows import SIGNS
from .widgets.panel import Panel

if TYPE_CHECKING:
    from sftui.checks.finding import Finding
    from sftui.forecast import Forecast
    from sftui.recipe import Recipe
    from sftui.runs.directory import RunDirectory

    from .app import Workbench
    from .open_recipe import OpenRecipe

WARNING_SECONDS = 15
NAME = 10
# Lines of the box beside those that scroll: border, padding, the last words.
AROUND = 7


def ask_to_start(app: Workbench) -> None:
    """Show the summary of the open recipe; Enter there starts it."""
    if isinstance(app.screen, Dialog):
        return
    made = app.opened.now
    if made is None:
        app.notify("no recipe is open: 4 offers some", timeout=4)
        return
    try:
        made.settle()
    except InputError as error:
        app.notify(str(error), severity="error", timeout=8, markup=False)
        return

    def started(run: RunDirectory | None) -> None:
        if run is not None:
            app.folder = run.path.parent  # where the recipe has its runs now
            app.open_run(run)

    app.push_screen(StartRun(made), started)


class StartRun(Dialog["RunDirectory | None"]):
    """Model, method, data, steps, tokens, time, memory and findings. Gives the run that was started."""

    CSS_PATH = "recipe_boxes.tcss"
    app: Workbench
    BINDINGS = [
        Binding("enter", "start", "start", show=False, id="start.start"),
        Binding("escape,q", "dismiss", "leave", show=False, id="start.leave"),
        Binding("down,j", "scroll(1)", "down", show=False, id="start.down"),
        Binding("up,k", "scroll(-1)", "up", show=False, id="start.up"),
    ]

    def __init__(self, made: OpenRecipe) -> None:
        super().__init__()
        self._made = made
        self._facts = Facts(self.app, self._run, self._show, here=True)
        self._starting = False
        self._refusal: str | None = None
        self._panel = Panel(id="start-words")
        self._last = Panel(id="start-last")

    def compose(self) -> ComposeResult:
        """A box."""
        with Vertical(id="start-run") as box:
            with VerticalScroll(can_focus=False):
                yield self._panel
            yield self._last
        box.border_title = "start a run"
        box.border_subtitle = "Enter starts, Esc leaves"

    def on_resize(self) -> None:
        """The last line stays in view."""
        self.query_one(VerticalScroll).styles.max_height = max(3, self.size.height * 9 // 10 - AROUND)

    def on_mount(self) -> None:
        """Ask what it comes to."""
        recipe = self._made.recipe
        self._run(partial(self._facts.model.watch, recipe.output_dir), "machine")
        self.app.dataset.want()
        self._facts.look(self.app.folder)
        self._facts.adopt(recipe)
        self._show()
        self.set_interval(0.5, self._facts.follow)

    def _run(self, work: Callable[[], Awaitable[None]], group: str) -> None:
        self.run_worker(work, group=group, exclusive=True)

    def _show(self) -> None:
        if not self.is_attached:
            return
        found = self._facts.forecast
        findings = () if found is None else found.findings
        parts = [summary(self._made), Content("")]
        parts += [view.meaning(found, self._facts.state, self._panel.size.width, old=False, named=False)]
        parts += [finding_words(finding) for finding in findings if finding.severity != "info"]
        self._panel.show(Content("\n").join(parts))
        self._last.show(self._last_words())

    def _last_words(self) -> Content:
        refusal = self.refusal()
        if self._starting:
            return Content.styled("checking the recipe and the data…", "$text-accent")
        if refusal is not None:
            return Content.styled(printable_lines(refusal), "bold $text-error")
        if self._facts.problem is not None:
            return Content.styled("Enter starts it; what it comes to could not be found out", view.MUTED)
        if self._facts.forecast is None:
            return Content.styled("Enter starts it; what it comes to is being looked at", view.MUTED)
        return Content.assemble(("Enter ", "bold $text-accent"), "starts it; it goes on when you leave")

    def refusal(self) -> str | None:
        """Why it does not start, or did not; None where nothing is against it."""
        return self._against() or self._refusal

    def _against(self) -> str | None:
        """What keeps it from starting as long as it is so."""
        if not self._made.is_valid:
            count = len(self._made.problems)
            return (
                f"It does not start: the recipe has {count} mistake{'' if count == 1 else 's'}; 4 shows them"
            )
        found = self._facts.forecast
        errors = sum(finding.severity == "error" for finding in found.findings) if found is not None else 0
        if errors:
            return f"It does not start: {errors} error{'' if errors == 1 else 's'} above; n on 4 goes there"
        return None

    def action_start(self) -> None:
        """Start it, unless something is against it."""
        if not self._starting and self._against() is None:
            self._starting = True
            self._refusal = None
            self._start()
            self._show()

    def action_scroll(self, lines: int) -> None:
        """A long text."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    @work(group="start")
    async def _start(self) -> None:
        """Check it and launch its run: disks are kept off the event loop."""
        recipe = self._made.recipe
        try:
            run, warnings = await asyncio.to_thread(
                launched, recipe, self.app.command_line, self._facts.forecast
            )
        except InputError as error:
            self._starting, self._refusal = False, str(error)
            self._show()
            return
        app = self.app
        self.dismiss(run)
        for warning in warnings:
            app.notify(warning, severity="warning", timeout=WARNING_SECONDS, markup=False)
        survives, advice = await asyncio.to_thread(survives_logout)
        if not survives:
            app.notify(advice, severity="warning", timeout=WARNING_SECONDS, markup=False)


def launched(
    recipe: Recipe, command_line: list[str], found: Forecast | None
) -> tuple[RunDirectory, list[str]]:
    """The run of a recipe, and what is wrong with the recipe though it starts; `found` was said of it before.

    Raises InputError where it cannot start.
    """
    from sftui import preflight
    from sftui.memory.known import NOTHING
    from sftui.runs import launch

    steps = None if found is None else found.steps
    known = NOTHING if found is None or found.memory is None else found.memory.known
    findings = preflight.check(recipe, steps=steps, known=known)
    warnings = [printable_lines(str(finding)) for finding in findings]
    return launch.start(recipe, command_line), warnings


def summary(made: OpenRecipe) -> Content:
    """Model, method, data and batch, where it is written, and what of it is in no file."""
    from sftui.recipes_text import method_of

    recipe = made.recipe
    data, training = recipe.data, recipe.training
    method = method_of(recipe)
    if recipe.adapter is not None:
        method += f"  r {recipe.adapter.r}"
    if recipe.model.quantization != "none":
        method += f"  {recipe.model.quantization}"
    sources = ", ".join(source.path.rstrip("/").rsplit("/", 1)[-1] for source in data.train)
    batch = f"{training.per_device_train_batch_size} × {training.gradient_accumulation_steps}"
    if training.num_processes > 1:
        batch += f" × {training.num_processes} processes"
    lines = [
        ("recipe", made.name),
        ("model", recipe.model.name_or_path),
        ("method", f"{method}  {recipe.model.dtype}"),
        ("data", f"{sources}  max_length {data.max_length:,}  packing {data.packing}"),
        ("training", f"batch {batch}  lr {training.learning_rate:g}  {training.optim}"),
        ("runs in", recipe.output_dir),
    ]
    if made.unsaved:
        lines.append(("unsaved", "  ".join(made.unsaved)))
    return Content("\n").join(
        Content.assemble((f"{name:{NAME}}", view.MUTED), printable(value)) for name, value in lines
    )


def finding_words(finding: Finding) -> Content:
    """A finding with what to do about it."""
    sign, _ = SIGNS[finding.severity]
    text = f"{sign} {printable(finding.key)}: {printable_lines(finding.message)}"
    hint = f"\n  {printable_lines(finding.hint)}" if finding.hint else ""
    return Content.assemble((text, view.COLOURS[finding.severity]), (hint, view.MUTED))
