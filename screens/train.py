"""Train: one run, live."""

from __future__ import annotations

import asyncio
import time

from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content

from sftui.errors import InputError
from sftui.runs import launch
from sftui.runs.directory import RunDirectory
from sftui.runs.history import History, News, Watch, tail

from . import train_view as view
from .ending import ask_to_end
from .frame import Frame
from .train_keys import BINDINGS
from .widgets.curves import MainPlot, SmallPlots
from .widgets.panel import Panel
from .widgets.plot import Plot
from .widgets.run_text import RunText

LOG_LINES = 200


class TrainScreen(Frame):
    """The live dashboard of a run, or the open recipe ready to start where there is no run."""

    MODE = "train"
    CSS_PATH = "train.tcss"
    AUTO_FOCUS = ""
    BINDINGS = BINDINGS

    def __init__(self) -> None:
        super().__init__()
        self._watch: Watch | None = None
        self._frozen = False
        self._log: list[str] = []
        self._log_size = -1
        self._summary: str | None = None
        self._notice: Content | None = None

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
            yield MainPlot(id="main", glyphs=glyphs)
            with Vertical(id="side"):
                yield Panel(id="now")
                yield Panel(id="machine")
        yield SmallPlots(id="strips", glyphs=glyphs)
        yield RunText(id="lower")

    def on_mount(self) -> None:
        """Show what the app has open."""
        self.query_one("#now").border_title = "now"
        self.show_run(self.app.run_directory)

    def adopt(self) -> None:
        """Another run may have been opened, or the recipe changed."""
        if self.is_mounted and (self._watch.run if self._watch else None) != self.app.run_directory:
            self.show_run(self.app.run_directory)
        elif self.is_mounted and self._watch is None:
            self._show_recipe()

    # -- the run ---------------------------------------------------------------------------------

    def show_run(self, run: RunDirectory | None) -> None:
        """Show another run, or the open recipe where `run` is None."""
        self._watch = Watch(run) if run is not None else None
        self._log, self._log_size, self._summary, self._notice = [], -1, None, None
        self._frozen = False
        self.set_class(run is None, "-no-run")
        history = self._watch.history if self._watch else History()
        self._main.show_history(history)
        self.query_one(SmallPlots).show_history(history)
        self.query_one(RunText).reset()
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
        while True:
            alive = self._alive
            news, log = await asyncio.to_thread(self._look, watch)
            if log is not None:
                self._log = log
            watch.take(news)
            if not self._frozen:
                self._show(log is not None or bool(news.events))
            if alive != self._alive:
                launch.reap()
                self.refresh_bindings()
            if self._summary is None:
                # After the first look: it needs the recipe's model, which takes longer to import.
                self._summary = await asyncio.to_thread(_summary, watch.run)
            if not news.more:
                await asyncio.sleep(self.app.refresh_seconds)

    def _look(self, watch: Watch) -> tuple[News, list[str] | None]:
        """In a thread: events, and the end of the log if it has grown. Frozen, only whether the run lives."""
        if self._frozen:
            return watch.glance(), None
        news = watch.look()
        self._notice = view.notice(news.status, watch.run) if news.status is not None else None
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
            self._panel("progress").show(Content(""))
            self._panel("notice").display = False
            return
        now = time.time()
        width = self.size.width - 2
        self._panel("subject").show(view.subject(status, history, now, width, frozen=self._frozen))
        self._panel("progress").show(view.progress_line(status, width))
        self._panel("recipe").show(Content(f"{watch.run.id}  {self._summary or ''}"))
        self.set_class(status.error is not None and history.step is None, "-no-steps")
        notice = self._notice or view.early_warning(status, history)
        self._panel("notice").display = notice is not None
        if notice is not None:
            self._panel("notice").show(notice)
        self._panel("numbers").show(view.numbers(status, history, width))
        self._panel("now").show(view.now_panel(status, history))
        machine = self._panel("machine")
        machine.show(view.machine_panel(history, machine.content_size.width))
        machine.border_title = view.machine_title(history.memory, status)
        machine.border_subtitle = view.compared(history.taken)
        for plot in self.query(Plot):
            plot.data_changed()
        if changed:
            self.query_one(RunText).say(history, self._log)

    def _show_recipe(self) -> None:
        """No run: the open recipe, or how to come to one."""
        recipe = self.app.recipe
        if recipe is None:
            text = "no run is open: 6 lists the runs. To start one:  4 opens a recipe, or  sftui demo"
        else:
            text = f"{recipe.summary()}\n\nEnter starts this run."
        self._panel("subject").show(Content(text))

    @property
    def _alive(self) -> bool:
        """Whether the run that is shown is known to live."""
        watch = self._watch
        return watch is not None and watch.status is not None and watch.status.alive

    @property
    def _main(self) -> MainPlot:
        return self.query_one(MainPlot)

    def _panel(self, name: str) -> Panel:
        return self.query_one(f"#{name}", Panel)

    # -- keys ------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what applies now is shown and works."""
        watch = self._watch
        alive = self._alive
        if action == "stop":
            return alive
        if action == "request":
            return alive and watch is not None and view.can_be_asked(watch.history, str(parameters[0]))
        if action == "resume":
            return (
                watch is not None
                and not alive
                and watch.status is not None
                and watch.status.state != "finished"
            )
        if action == "enter":
            zooming = self.is_mounted and self._main.zooming
            return zooming or (watch is None and self.app.recipe is not None)
        if action in ("log_scale", "smoothing", "graph", "zoom", "freeze", "view", "memory", "copy"):
            return watch is not None
        return True

    def action_enter(self) -> None:
        """Mark an edge of the range to zoom into, or start the open recipe."""
        main = self._main
        if main.zooming:
            main.mark_edge()
            main.retitle()
            self.refresh_bindings()
        elif self._watch is None and self.app.recipe is not None:
            self.app.action_start()

    def action_stop(self) -> None:
        """Ask the run to stop, after a yes; once it is stopping, offer to kill it."""
        watch = self._watch
        if watch is None or watch.status is None:
            return
        ask_to_end(self.app, watch.run, watch.status)

    def action_resume(self) -> None:
        """Go on after the last checkpoint."""
        if self._watch is not None:
            run = self._watch.run
            self.app.attempt(lambda: launch.resume(run), lambda: self._resumed(run))

    def _resumed(self, run: RunDirectory) -> None:
        """Follow it again, unless another run has been opened meanwhile."""
        if self._watch is not None and self._watch.run == run:
            self.show_run(run)

    def action_request(self, name: str) -> None:
        """Drop a request for the trainer; it is taken up after the step that is being computed."""
        if self._watch is not None:
            run = self._watch.run
            thing = {"save": "a checkpoint", "evaluate": "an evaluation", "sample": "answers"}[name]
            self.app.attempt(
                lambda: launch.ask(run, name),
                lambda: self.app.notify(f"asked for {thing} after this step", timeout=3),
            )

    def action_log_scale(self) -> None:
        """Switch the main plot between linear and logarithmic."""
        main = self._main
        if main.zooming:
            # While a range is chosen, h and l are what they are in vi.
            self.action_move(1)
            return
        main.log_scale = not main.log_scale
        main.retitle()

    def action_smoothing(self) -> None:
        """The next smoothing."""
        self._main.next_smoothing()

    def action_graph(self) -> None:
        """Another curve in the main plot."""
        self._main.next_graph()

    def action_zoom(self) -> None:
        """Begin to choose a range of steps."""
        self._main.begin_zoom()
        self._main.retitle()
        self.refresh_bindings()

    def action_move(self, cells: int) -> None:
        """Move the zoom cursor."""
        self._main.move_cursor(cells)
        self._main.retitle()

    def action_back(self) -> None:
        """One layer out: the zoom, then the list of runs."""
        if self._main.cancel_zoom():
            self._main.retitle()
            self.refresh_bindings()
        else:
            self.app.action_show("runs")

    def action_freeze(self) -> None:
        """Hold the screen still; the run and the reading go on."""
        watch = self._watch
        if watch is None or watch.status is None:
            return
        self._frozen = not self._frozen
        self._show()

    def action_view(self) -> None:
        """Log, answers or warnings in the lower panel."""
        self.query_one(RunText).next_view()

    def action_memory(self) -> None:
        """What it was predicted to take beside what it took."""
        if self._watch is not None:
            from .run_memory import RunMemoryScreen

            self.app.push_screen(RunMemoryScreen(self._watch, self.app.refresh_seconds))

    def action_scroll(self, lines: int) -> None:
        """Scroll the log, the answers or the warnings."""
        self.query_one(RunText).scroll_relative(y=lines, animate=False)

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
