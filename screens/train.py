"""Train: one run, live."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content

from sftui.errors import InputError
from sftui.machine import survives_logout
from sftui.recipe import Recipe
from sftui.runs import launch
from sftui.runs.directory import RunDirectory
from sftui.runs.history import History, News, Watch, tail
from sftui.runs.series import Series

from . import train_view as view
from .confirm import Confirm
from .frame import Frame
from .widgets.panel import Panel
from .widgets.plot import Plot
from .widgets.text import printable

SMOOTHINGS = (0.0, 0.6, 0.9, 0.97, 0.99)
GRAPHS = ("loss", "learning rate", "gradient norm", "tokens/s")
VIEWS = ("log", "answers", "warnings")
LOG_LINES = 200


class TrainScreen(Frame):
    """The live dashboard of a run, or the open recipe ready to start where there is no run."""

    MODE = "train"
    CSS_PATH = "train.tcss"
    AUTO_FOCUS = ""
    BINDINGS = [
        Binding(
            "enter", "enter", "start", tooltip="start the open recipe; or mark a zoom edge", id="train.enter"
        ),
        Binding("X", "stop", "stop", tooltip="let the run finish its step, save and end", id="train.stop"),
        Binding("r", "resume", "resume", tooltip="go on after the last checkpoint", id="train.resume"),
        Binding(
            "w", "request('save')", "save now", tooltip="write a checkpoint after this step", id="train.save"
        ),
        Binding(
            "e", "request('evaluate')", "evaluate", tooltip="evaluate after this step", id="train.evaluate"
        ),
        Binding(
            "a",
            "request('sample')",
            "answer",
            show=False,
            tooltip="let the model answer the held-out questions after this step",
            id="train.sample",
        ),
        Binding(
            "l", "log_scale", "log", show=False, tooltip="logarithmic or linear scale", id="train.log-scale"
        ),
        Binding(
            "s", "smoothing", "smooth", show=False, tooltip="next smoothing: 0 to 0.99", id="train.smoothing"
        ),
        Binding(
            "g", "graph", "graph", tooltip="next graph: loss, rate, gradient norm, speed", id="train.graph"
        ),
        Binding(
            "z",
            "zoom",
            "zoom",
            show=False,
            tooltip="choose a range of steps: arrows, Enter twice",
            id="train.zoom",
        ),
        Binding("left,h", "move(-1)", "left", show=False, tooltip="move the zoom cursor", id="train.left"),
        Binding("right", "move(1)", "right", show=False, tooltip="move the zoom cursor", id="train.right"),
        Binding(
            "shift+left", "move(-10)", "left", show=False, tooltip="ten columns left", id="train.far-left"
        ),
        Binding(
            "shift+right", "move(10)", "right", show=False, tooltip="ten columns right", id="train.far-right"
        ),
        Binding(
            "escape", "back", "back", show=False, tooltip="leave zoom, then back to all runs", id="train.back"
        ),
        Binding(
            "space",
            "freeze",
            "freeze",
            show=False,
            tooltip="hold the screen still, or let it go on",
            id="train.freeze",
        ),
        Binding("v", "view", "view", tooltip="below: log, answers, warnings", id="train.view"),
        Binding("y", "copy", "copy", show=False, tooltip="copy the path of the run", id="train.copy"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._watch: Watch | None = None
        self._frozen = False
        self._graph = 0
        self._view = 0
        self._log: list[str] = []
        self._log_size = -1
        self._summary = ""
        self._shown_answers = False

    def compose_body(self) -> ComposeResult:
        """Subject, progress, plots and numbers, the end of the log."""
        glyphs = self.app.glyphs
        with Vertical(id="head"):
            yield Panel(id="subject")
            yield Panel(id="progress")
            yield Panel(id="recipe")
            yield Panel(id="notice")
            yield Panel(id="numbers")
        with Horizontal(id="middle"):
            yield Plot(id="main", glyphs=glyphs)
            with Vertical(id="side"):
                yield Panel(id="now")
                yield Panel(id="machine")
        with Horizontal(id="strips"):
            for name in GRAPHS[1:]:
                yield Plot(
                    id=name.replace(" ", "-").replace("/", "-"), axes=False, smoothing=0.0, glyphs=glyphs
                )
        with VerticalScroll(id="lower"):
            yield Panel(id="text")

    def on_mount(self) -> None:
        """Titles that do not change."""
        self.query_one("#now").border_title = "now"
        for plot, name in zip(self.query("#strips Plot"), GRAPHS[1:], strict=True):
            plot.border_title = name
        self.show_run(self.app.run_directory)

    def on_screen_resume(self) -> None:
        """Another run may have been opened meanwhile."""
        if self.is_mounted and (self._watch.run if self._watch else None) != self.app.run_directory:
            self.show_run(self.app.run_directory)

    # -- the run ---------------------------------------------------------------------------------

    def show_run(self, run: RunDirectory | None) -> None:
        """Show another run, or the open recipe where `run` is None."""
        self._watch = Watch(run) if run is not None else None
        self._log, self._log_size, self._summary = [], -1, ""
        self._frozen = self._shown_answers = False
        self._view = 0
        self.set_class(run is None, "-no-run")
        self._put_series()
        if run is None:
            self._show_recipe()
            self.workers.cancel_group(self, "follow")
        else:
            self._follow(self._watch)
        self.refresh_bindings()

    @work(exclusive=True, group="follow")
    async def _follow(self, watch: Watch | None) -> None:
        """Read what is new in a thread, take it in here; a long run comes in pieces."""
        assert watch is not None
        self._summary = await asyncio.to_thread(_summary, watch.run)
        while True:
            alive = watch.status is None or watch.status.alive
            news, log = await asyncio.to_thread(self._look, watch)
            watch.take(news)
            if log is not None:
                self._log = log
            if not self._frozen:
                self._show(log is not None or bool(news.events))
            if alive and watch.status is not None and not watch.status.alive:
                launch.reap()
                self.refresh_bindings()
            if not news.more:
                await asyncio.sleep(self.app.refresh_seconds)

    def _look(self, watch: Watch) -> tuple[News, list[str] | None]:
        """In a thread: events, and the end of the log if it has grown."""
        news = watch.look()
        try:
            size = watch.run.log_file.stat().st_size
        except OSError:
            return news, None
        if size == self._log_size:
            return news, None
        self._log_size = size
        return news, tail(watch.run.log_file, LOG_LINES)

    # -- showing ---------------------------------------------------------------------------------

    def _show(self, changed: bool = True) -> None:
        """Bring every part up to date; each draws itself only if it says something else."""
        watch = self._watch
        # On the way out the panels go before the worker that fills them.
        if watch is None or not self.is_current or not self.query(Panel):
            return
        status, history = watch.status, watch.history
        if status is None:
            self._panel("subject").show(Content("the run directory is gone, or not readable yet"))
            return
        now = time.time()
        width = self.size.width - 2
        self._panel("subject").show(view.subject(status, history, now, frozen=self._frozen))
        self._panel("progress").show(view.progress_line(status, width))
        self._panel("recipe").show(Content(f"{watch.run.id}  {self._summary}"))
        notice = view.notice(status, watch.run)
        self._panel("notice").display = notice is not None
        if notice is not None:
            self._panel("notice").show(notice)
        self._panel("numbers").show(view.numbers(status, history, width))
        self._panel("now").show(view.now_panel(status, history))
        machine = self._panel("machine")
        machine.show(view.machine_panel(history.memory, machine.content_size.width))
        machine.border_title = view.machine_title(history.memory)
        for plot in self.query(Plot):
            plot.data_changed()
        if changed:
            self._show_lower(watch)

    def _show_lower(self, watch: Watch) -> None:
        """The lower panel: the log, the answers or the warnings."""
        history = watch.history
        pairs = history.before_and_after()
        if pairs and not self._shown_answers:
            # The answers are what a run is for: they come up by themselves, once.
            self._shown_answers = True
            self._view = VIEWS.index("answers")
        lower = self.query_one("#lower", VerticalScroll)
        name = VIEWS[self._view]
        others = ", ".join(other for other in VIEWS if other != name)
        warned = f"  {len(history.warnings)} warnings" if history.warnings else ""
        lower.border_title = name
        lower.border_subtitle = f"v: {others}{warned}"
        at_end = lower.max_scroll_y - lower.scroll_y <= 1
        if name == "log":
            content = view.log(self._log)
        elif name == "answers":
            content = view.answers(pairs, history.answers)
        else:
            content = view.warnings(history.warnings)
        self._panel("text").show(content)
        if at_end and name != "answers":
            lower.scroll_end(animate=False)

    def _show_recipe(self) -> None:
        """No run: the open recipe, or how to come to one."""
        recipe = self.app.recipe
        if recipe is None:
            text = "no run is open: 6 lists the runs. To start one:  sftui RECIPE  or  sftui demo"
        else:
            text = f"{recipe.summary()}\n\nEnter starts this run."
        self._panel("subject").show(Content(text))
        self.query_one("#lower").border_title = ""

    def _put_series(self) -> None:
        history = self._watch.history if self._watch else History()
        strips = list(self.query("#strips Plot").results(Plot))
        for plot, series in zip(
            strips, (history.learning_rate, history.grad_norm, history.tokens_per_second), strict=True
        ):
            plot.show_series(series)
        self._put_main(history)

    def _put_main(self, history: History) -> None:
        main = self.query_one("#main", Plot)
        name = GRAPHS[self._graph]
        series: dict[str, Series] = {
            "loss": history.loss,
            "learning rate": history.learning_rate,
            "gradient norm": history.grad_norm,
            "tokens/s": history.tokens_per_second,
        }
        main.show_series(series[name], history.eval_loss if name == "loss" else None)
        self._title_main()

    @on(Plot.Zoomed)
    def _title_main(self) -> None:
        main = self.query_one("#main", Plot)
        name = GRAPHS[self._graph]
        marks = ", ◆ eval" if name == "loss" else ""
        scale = ", log scale" if main.log_scale else ""
        main.border_title = f"{name}: raw dim, smoothed {main.smoothing:g} bright{marks}{scale}"
        if main.cursor_text:
            main.border_subtitle = main.cursor_text
        elif main.x_range:
            main.border_subtitle = f"steps {main.x_range[0]:,} to {main.x_range[1]:,}; Esc shows all"
        else:
            main.border_subtitle = ""

    def _panel(self, name: str) -> Panel:
        return self.query_one(f"#{name}", Panel)

    # -- keys ------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what applies now is shown and works."""
        watch = self._watch
        alive = watch is not None and (watch.status is None or watch.status.alive)
        if action in ("stop", "request"):
            return alive
        if action == "resume":
            return (
                watch is not None
                and not alive
                and watch.status is not None
                and watch.status.state != "finished"
            )
        if action == "enter":
            zooming = self.is_mounted and self.query_one("#main", Plot).zooming
            return zooming or (watch is None and self.app.recipe is not None)
        if action in ("log_scale", "smoothing", "graph", "zoom", "freeze", "view", "copy"):
            return watch is not None
        return True

    def action_enter(self) -> None:
        """Mark an edge of the range to zoom into, or start the open recipe."""
        main = self.query_one("#main", Plot)
        if main.zooming:
            main.mark_edge()
            self._title_main()
            self.refresh_bindings()
        elif self._watch is None and self.app.recipe is not None:
            self._start(self.app.recipe)

    @work(exclusive=True, group="start")
    async def _start(self, recipe: Recipe) -> None:
        """Check the recipe and launch its run; both touch disks and are kept off the event loop."""

        def start() -> RunDirectory:
            from sftui import preflight

            preflight.check(recipe)
            return launch.start(recipe, ["sftui", self.app.recipe_name])

        try:
            run = await asyncio.to_thread(start)
        except InputError as error:
            self._panel("notice").display = True
            self._panel("notice").show(Content.styled(printable_lines(str(error)), "bold $text-error"))
            return
        self.app.open_run(run)
        survives, advice = await asyncio.to_thread(survives_logout)
        if not survives:
            self.app.notify(advice, severity="warning", timeout=15, markup=False)

    def action_stop(self) -> None:
        """Ask the run to stop, after a yes; once it is stopping, offer to kill it."""
        watch = self._watch
        if watch is None or watch.status is None:
            return
        run = watch.run
        if watch.status.state == "stopping" or "stop" in run.pending():
            question = f"{run.id} is stopping: it finishes its step and saves.\nKill it now, without saving?"
            confirm = Confirm(question, "kill", danger=True)
            act: Callable[[RunDirectory], object] = launch.kill
        else:
            question = f"Stop {run.id}?\nIt finishes its step and saves; r resumes it."
            confirm, act = Confirm(question, "stop"), launch.stop

        def answered(yes: bool | None) -> None:
            if yes:
                self.app.attempt(lambda: act(run))

        self.app.push_screen(confirm, answered)

    def action_resume(self) -> None:
        """Go on after the last checkpoint."""
        if self._watch is not None:
            run = self._watch.run
            self.app.attempt(lambda: launch.resume(run))
            self.show_run(run)

    def action_request(self, name: str) -> None:
        """Drop a request for the trainer; it is taken up after the step that is being computed."""
        if self._watch is not None:
            self._watch.run.request(name)
            verb = {"save": "a checkpoint", "evaluate": "an evaluation", "sample": "answers"}[name]
            self.app.notify(f"asked for {verb} after this step", timeout=3)

    def action_log_scale(self) -> None:
        """Switch the main plot between linear and logarithmic."""
        main = self.query_one("#main", Plot)
        if main.zooming:
            # While a range is chosen, h and l are what they are in vi.
            self.action_move(1)
            return
        main.log_scale = not main.log_scale
        self._title_main()

    def action_smoothing(self) -> None:
        """The next smoothing."""
        main = self.query_one("#main", Plot)
        main.smoothing = next((value for value in SMOOTHINGS if value > main.smoothing + 1e-9), SMOOTHINGS[0])
        self._title_main()

    def action_graph(self) -> None:
        """Another curve in the main plot."""
        self._graph = (self._graph + 1) % len(GRAPHS)
        if self._watch is not None:
            self._put_main(self._watch.history)

    def action_zoom(self) -> None:
        """Begin to choose a range of steps."""
        self.query_one("#main", Plot).begin_zoom()
        self._title_main()
        self.refresh_bindings()

    def action_move(self, cells: int) -> None:
        """Move the zoom cursor."""
        self.query_one("#main", Plot).move_cursor(cells)
        self._title_main()

    def action_back(self) -> None:
        """One layer out: the zoom, then the list of runs."""
        if self.query_one("#main", Plot).cancel_zoom():
            self._title_main()
            self.refresh_bindings()
        else:
            self.app.action_show("runs")

    def action_freeze(self) -> None:
        """Hold the screen still; the run and the reading go on."""
        self._frozen = not self._frozen
        if self._watch is not None and self._watch.status is not None:
            status, history = self._watch.status, self._watch.history
            self._panel("subject").show(view.subject(status, history, time.time(), frozen=self._frozen))
        if not self._frozen:
            self._show()

    def action_view(self) -> None:
        """Log, answers or warnings in the lower panel."""
        self._view = (self._view + 1) % len(VIEWS)
        if self._watch is not None:
            self._shown_answers = True
            self._show_lower(self._watch)
            lower = self.query_one("#lower", VerticalScroll)
            self.call_after_refresh(
                lower.scroll_end if VIEWS[self._view] == "log" else lower.scroll_home, animate=False
            )

    def action_copy(self) -> None:
        """Copy the path of the run."""
        if self._watch is not None:
            self.app.copy(str(self._watch.run.path))


def _summary(run: RunDirectory) -> str:
    """The recipe of a run in a line."""
    from sftui.recipe_file import load_recipe

    try:
        return load_recipe(run.recipe_file).summary()
    except InputError:
        return ""


def printable_lines(text: str) -> str:
    """Several lines of others' text, each made safe to show."""
    return "\n".join(printable(line) for line in text.splitlines())
