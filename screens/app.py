"""The workbench: what is open, which screen is in front, what works everywhere."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textual import on, work
from textual.app import App
from textual.message import Message

from sftui.errors import InputError
from sftui.runs.directory import RunDirectory
from sftui.runs.listing import list_runs, name_for_commands
from sftui.terminal import takes_utf8

from .dataset import Dataset
from .desk import OpenDesk, open_desk
from .frame import Frame
from .keys import key
from .modes import screen_of
from .opened import Opened
from .themes import THEMES, prefers_dark, theme_for

if TYPE_CHECKING:
    from textual.command import Provider

    from sftui.memory.device import Device
    from sftui.telemetry import Sample

    from .widgets.braille import GlyphName

DEVICE_SECONDS = 2.0
# After the first paint, when all that the first screen needs is loaded.
SETTLED_SECONDS = 2.0
# That a thread, which follows an analysis, may go on while keys wait for it: Python's own is 0.005.
SWITCH_SECONDS = 0.001
# Objects made before the young are looked through, and how many such times before the older are.
GARBAGE = 10_000, 20, 20


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
    MODES = {
        "data": lambda: screen_of("data"),
        "packing": lambda: screen_of("packing"),
        "memory": lambda: screen_of("memory"),
        "recipe": lambda: screen_of("recipe"),
        "train": lambda: screen_of("train"),
        "runs": lambda: screen_of("runs"),
    }
    BINDINGS = [
        key("app.data", "1", "show('data')", "Data", "Data: rows, token by token"),
        key("app.packing", "2", "show('packing')", "Packing", "Packing: sequences in bins"),
        key("app.memory", "3", "show('memory')", "Memory", "Memory: whether it fits, and why"),
        key("app.recipe", "4", "show('recipe')", "Recipe", "Recipe: every field, and what it comes to"),
        key("app.train", "5", "show('train')", "Train", "Train: one run, live"),
        key("app.runs", "6", "show('runs')", "Runs", "Runs: all runs of the directory"),
        key("app.palette", "ctrl+p", "command_palette", "palette", "all commands, by name"),
        key("app.theme", "T", "theme", "theme", "light or dark"),
        key("app.save", "S", "save", "save", "write what was changed into the recipe"),
        key("app.undo", "u", "undo", "undo", "take back the last change of the recipe, made on any screen"),
        key("app.redo", "U,ctrl+r", "redo", "redo", "make it again"),
        key("app.start", "R", "start", "start a run", "start a run of the open recipe, after a summary"),
        key("app.help", "question_mark", "help", "help", "all keys of this screen", show=True),
        key("app.quit", "q", "quit", "quit", "leave; training goes on", show=True),
    ]

    class DeskChanged(Message):
        """From a thread: more is known of the dataset."""

    def __init__(
        self,
        folder: Path,
        *,
        refresh: float = 1.0,
        glyphs: Literal["auto", "braille", "block"] = "auto",
        recipe: Any = None,
        recipe_name: str = "",
        command_line: list[str] | None = None,
        run: RunDirectory | None = None,
        open_desk: OpenDesk = open_desk,
    ) -> None:
        """`folder` holds the runs, `refresh` is in seconds. Opens on `run`, else `recipe`, else all runs."""
        # The first screen is the first mode: an empty one before it would cost a tenth of the start.
        first = "train" if run is not None else "data" if recipe is not None else "runs"
        self.DEFAULT_MODE = first  # type: ignore[misc]
        super().__init__()
        self.folder = folder.absolute()
        self.refresh_seconds = refresh
        self.glyphs: GlyphName = ("braille" if takes_utf8() else "block") if glyphs == "auto" else glyphs
        self.opened = Opened(self, recipe_name, recipe)
        self.command_line = command_line or ["sftui"]
        self.dataset = Dataset(self, open_desk)
        self.run_directory = run
        self.device_text = ""
        self.memory_device: Device | None = None  # to fit into; None: the one here that a run takes
        self.parting_words = ""
        self._has_left = False
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
        if self.recipe is not None:
            self.call_after_refresh(self._compare_with_file)
        elif self.run_directory is not None:
            self.call_after_refresh(self.opened.open_of_run, self.run_directory)
        if not self.is_headless:
            sys.setswitchinterval(SWITCH_SECONDS)
            self.set_timer(SETTLED_SECONDS, _look_less_for_garbage)

    async def on_unmount(self) -> None:
        """The processes that read the data go with the app."""
        await self.dataset.close()

    def action_show(self, mode: str) -> None:
        """Bring a screen to the front."""
        if self.current_mode != mode:
            self.switch_mode(mode)

    # -- the dataset

    @on(DeskChanged)
    def _follow_desk(self) -> None:
        for screen in self.frames:
            screen.follow()

    def show_row(self, row: int, sequence: int) -> None:
        """Go to a sequence of a training row on the Data screen."""
        self.dataset.wanted_row = row, sequence
        self.action_show("data")

    def show_bin(self, row: int) -> None:
        """Go to the bin of a training row on the Packing screen."""
        self.dataset.wanted_bin = row
        self.action_show("packing")

    # -- the recipe

    @property
    def recipe(self) -> Any:
        """The open recipe with what was changed since it was read; None where none is open."""
        return self.opened.recipe

    @property
    def recipe_name(self) -> str:
        """Its file, or what it is called."""
        return self.opened.name

    @property
    def unsaved(self) -> list[str]:
        """What is not in the recipe's file, as it would be given on the command line."""
        return self.opened.unsaved

    def _compare_with_file(self) -> None:
        """What the command line says otherwise than the file is not saved."""
        if self.opened.now is not None and self.unsaved and isinstance(self.screen, Frame):
            self.screen.refresh_masthead()

    def read_recipe(self) -> Any:
        """The open recipe and what others have made of its file; for a thread too. Raises `InputError`."""
        return self.opened.read_again()

    def change(self, values: Mapping[str, Any]) -> None:
        """Change the open recipe: values of dotted keys.

        Raises `InputError` and changes nothing if they do not fit.
        """
        self.opened.change(values)

    def action_save(self) -> None:
        """Write what was changed into the recipe's file."""
        self.opened.save()

    def action_undo(self) -> None:
        """Take back the last change of the open recipe."""
        self.opened.undo()

    def action_redo(self) -> None:
        """Make it again."""
        self.opened.redo()

    def action_start(self) -> None:
        """Start a run of the open recipe, after a last look at what it comes to."""
        from .recipe_start import ask_to_start

        ask_to_start(self)

    def show_recipe(self) -> None:
        """The recipe has changed, or the file that it stands in, or the dataset is open now."""
        self.dataset.change(self.recipe)
        for screen in self.frames:
            screen.refresh_masthead()
            screen.adopt()
            screen.rebind()

    @property
    def frames(self) -> list[Frame]:
        """The screen in front, without the boxes over it; one that is not mounted yet will look by itself."""
        return [screen for screen in self.screen_stack if isinstance(screen, Frame) and screen.is_mounted]

    # -- runs

    def open_run(self, run: RunDirectory) -> None:
        """Watch a run; its recipe is on the other screens, unless another one is open."""
        self.run_directory = run
        self.opened.open_of_run(run)
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

    def action_help_quit(self) -> None:
        """Ctrl C stops nothing: a run has its own way to stop, and leaving has a key."""
        self.notify("q leaves; training goes on", timeout=3)

    async def action_quit(self) -> None:
        """Leave, after a yes where changes to the recipe would be lost."""
        lost = self.opened.lost
        if not lost:
            await self._leave()
            return

        from .confirm import Confirm, Other

        async def answered(yes: bool | None) -> None:
            if yes:
                await self._leave()

        lines = "\n".join(f"  {change}" for change in lost)
        save = Other("save and leave", lambda: self.opened.save(lambda: self.run_worker(self._leave())))
        other = save if self.opened.can_be_saved else None
        self.push_screen(Confirm(f"Leave without saving?\n{lines}", "leave", "stay", other=other), answered)

    async def _leave(self) -> None:
        """Runs go on; the words on the way out say which, and what was not saved."""
        words = [await asyncio.to_thread(_parting_words, self.folder)]
        if lost := self.opened.lost:
            words.append(f"unsaved changes: {' '.join(lost)}")
        self.parting_words = "\n".join(filter(None, words))
        self._has_left = True
        self.exit()

    def rescue(self) -> str:
        """After the end: what was changed and not saved goes to a file where nobody chose to leave it.

        A crash and a lost connection are such ends. Returns which file, in words; empty if nothing is lost.
        """
        made, lost = self.opened.now, self.opened.lost
        if self._has_left or made is None or not lost:
            return ""
        from .rescue import rescue

        try:
            return f"unsaved changes are in {rescue(made)}"
        except InputError as error:
            return f"unsaved changes: {' '.join(lost)} ({error})"

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


def _look_less_for_garbage() -> None:
    """Not in what is loaded by now, which holds up a key for 40 ms each time, and seldom in the rest."""
    gc.freeze()
    gc.set_threshold(*GARBAGE)


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
