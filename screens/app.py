"""The workbench: what is open, which screen is in front, what works everywhere."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textual import work
from textual.app import App
from textual.binding import Binding
from textual.screen import Screen

from sftui.errors import InputError
from sftui.runs.directory import RunDirectory
from sftui.runs.listing import list_runs, name_for_commands
from sftui.terminal import takes_utf8

from .frame import Frame
from .themes import THEMES, prefers_dark, theme_for

if TYPE_CHECKING:
    from textual.command import Provider

    from sftui.telemetry import Sample

    from .widgets.braille import GlyphName

DEVICE_SECONDS = 2.0


def _commands() -> type[Provider]:
    """What the palette offers; imported when it is first opened."""
    from .palette import Commands

    return Commands


class Workbench(App[None]):
    """The terminal app. It starts trainers and watches run directories; no run depends on it."""

    TITLE = "sftui"
    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    COMMANDS = {_commands}
    MODES = {"train": lambda: _screen("train"), "runs": lambda: _screen("runs")}
    BINDINGS = [
        Binding("5", "show('train')", "Train", show=False, tooltip="Train: one run, live", id="app.train"),
        Binding(
            "6", "show('runs')", "Runs", show=False, tooltip="Runs: all runs of the directory", id="app.runs"
        ),
        Binding(
            "ctrl+p",
            "command_palette",
            "palette",
            show=False,
            tooltip="all commands, by name",
            id="app.palette",
        ),
        Binding("T", "theme", "theme", show=False, tooltip="light or dark", id="app.theme"),
        Binding("question_mark", "help", "help", tooltip="all keys of this screen", id="app.help"),
        Binding("q", "quit", "quit", tooltip="leave; training goes on", id="app.quit"),
    ]

    def __init__(
        self,
        folder: Path,
        *,
        refresh: float = 1.0,
        glyphs: Literal["auto", "braille", "block"] = "auto",
        recipe: Any = None,
        recipe_name: str = "",
        read_recipe: Callable[[], Any] | None = None,
        command_line: list[str] | None = None,
        run: RunDirectory | None = None,
    ) -> None:
        """`folder` holds the runs, `refresh` is in seconds. Opens on `run`, else `recipe`, else all runs."""
        # The first screen is the first mode: an empty one before it would cost a tenth of the start.
        self.DEFAULT_MODE = "train" if run is not None or recipe is not None else "runs"  # type: ignore[misc]
        super().__init__()
        self.folder = folder.absolute()
        self.refresh_seconds = refresh
        self.glyphs: GlyphName = ("braille" if takes_utf8() else "block") if glyphs == "auto" else glyphs
        self.recipe = recipe
        self.recipe_name = recipe_name
        self.command_line = command_line or ["sftui"]
        self._read_recipe = read_recipe
        self.run_directory = run
        self.device_text = ""
        self.parting_words = ""
        for theme in THEMES:
            self.register_theme(theme)
        self.set_reactive(Workbench.theme, theme_for(self.console.color_system, dark=prefers_dark()))

    def on_mount(self) -> None:
        """What the first screen does not need comes after it is painted."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            # The terminal is gone or the machine goes down: leave, runs go on without us.
            loop.add_signal_handler(number, self.exit)
        self.call_after_refresh(self._watch_device)

    def action_show(self, mode: str) -> None:
        """Bring a screen to the front."""
        if self.current_mode != mode:
            self.switch_mode(mode)

    def read_recipe(self) -> Any:
        """The open recipe as its file says now; may run in a thread. Raises `InputError`."""
        if self._read_recipe is not None:
            self.recipe = self._read_recipe()
        return self.recipe

    def open_run(self, run: RunDirectory) -> None:
        """Watch a run."""
        self.run_directory = run
        self.action_show("train")
        if isinstance(self.screen, Frame):
            self.screen.adopt()

    @work(group="attempt")
    async def attempt(self, act: Callable[[], object], then: Callable[[], object] | None = None) -> None:
        """Do in a thread what may take long or be refused, and say why when it is; `then` if it is done.

        `act` must not touch the screen; `then` may.
        """
        try:
            await asyncio.to_thread(act)
        except InputError as error:
            self.notify(str(error), severity="error", timeout=8, markup=False)
            return
        if then is not None:
            then()

    def action_help(self) -> None:
        """Show all keys of the screen in front."""
        from .help import HelpScreen

        if isinstance(self.screen, Frame):
            self.push_screen(HelpScreen(self.screen))

    def action_theme(self) -> None:
        """Light or dark."""
        self.theme = theme_for(self.console.color_system, dark=not self.current_theme.dark)

    def copy(self, text: str) -> None:
        """Put text on the clipboard; a tmux that does not pass the terminal's own way on gets it directly."""
        self.copy_to_clipboard(text)
        self.attempt(
            lambda: _copy_in_tmux(text), lambda: self.notify(f"copied: {text}", timeout=3, markup=False)
        )

    async def action_quit(self) -> None:
        """Leave. Runs go on; the words on the way out say which."""
        self.parting_words = await asyncio.to_thread(_parting_words, self.folder)
        self.exit()

    @work(exclusive=True, group="device")
    async def _watch_device(self) -> None:
        """This machine in short, at the top right."""
        from sftui.telemetry import Sampler

        sampler = await asyncio.to_thread(Sampler)
        try:
            while True:
                text = device_text(await asyncio.to_thread(sampler.sample))
                if text != self.device_text:
                    self.device_text = text
                    if isinstance(self.screen, Frame):
                        self.screen.refresh_masthead()
                await asyncio.sleep(DEVICE_SECONDS)
        finally:
            sampler.close()


def device_text(sample: Sample) -> str:
    """`H200 12.3/139 GiB`, or cores and RAM where there is no GPU."""
    gpus = [gpu for gpu in sample.gpus if gpu.visible]
    if gpus:
        used = sum(gpu.used_bytes or 0 for gpu in gpus)
        total = sum(gpu.total_bytes or 0 for gpu in gpus)
        name = gpus[0].name.removeprefix("NVIDIA ")
        many = f"{len(gpus)} × " if len(gpus) > 1 else ""
        return f"{many}{name} {used / 2**30:.1f}/{total / 2**30:.0f} GiB"
    ram = f"{sample.ram_used_bytes / 2**30:.1f}/{sample.ram_total_bytes / 2**30:.0f} GiB"
    return f"CPU {sample.cpu_count} cores  RAM {ram}"


def _screen(mode: str) -> Screen[Any]:
    """The screen of a mode; its module is imported when it is first shown."""
    if mode == "train":
        from .train import TrainScreen

        return TrainScreen()
    from .runs import RunsScreen

    return RunsScreen()


def _parting_words(folder: Path) -> str:
    """Which runs go on, and how to watch them again; nothing where none does."""
    alive = [one.run for one in list_runs(folder) if one.status.alive]
    if not alive:
        return ""
    names = ", ".join(run.id for run in alive)
    return f"training goes on: {names}\nwatch it again:  sftui attach {name_for_commands(alive[0])}"


def _copy_in_tmux(text: str) -> None:
    """Give text to the tmux around us, if there is one. Raises `InputError` if it does not take it."""
    if not os.environ.get("TMUX"):
        return
    try:
        subprocess.run(["tmux", "load-buffer", "-w", "-"], input=text.encode(), timeout=2, check=True)
    except (OSError, subprocess.SubprocessError):
        raise InputError(f"tmux did not take the copy: {text}") from None
