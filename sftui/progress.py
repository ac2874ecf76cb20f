"""Following a run from a plain terminal or a pipe: a progress bar, or lines."""

from __future__ import annotations

import codecs
import os
import select
import shlex
import stat
import sys
import time
from collections.abc import Callable
from typing import BinaryIO

from sftui.errors import InputError
from sftui.printable import printable, printable_lines
from sftui.runs import launch, lock
from sftui.runs.directory import RunDirectory
from sftui.runs.history import Answer, History, Watch
from sftui.runs.listing import name_for_commands
from sftui.runs.memory_history import Trial
from sftui.runs.status import Status, read_status
from sftui.terminal import is_dumb
from sftui.words import apart, count, duration, number, rate, size

POLL_SECONDS = 0.25
LINE_SECONDS = 5.0
BLOCK = 65_536


def follow(run: RunDirectory) -> int:
    """Show a run until it ends; returns the exit code. Ctrl-C stops it cleanly, a second one kills it.

    The run does not depend on this: when the terminal goes, it goes on.
    """
    # Elsewhere may be another directory: the whole path works in all of them.
    elsewhere = shlex.quote(str(run.path.absolute()))
    print(f"run {run.id}  (watch it elsewhere: sftui attach {elsewhere})", file=sys.stderr)
    watch = Watch(run)
    show = _bar if sys.stdout.isatty() and not is_dumb() else _lines
    interrupts, killed, alive = 0, False, True
    shown = show()
    try:
        while alive:
            try:
                shown(watch, False)
                time.sleep(POLL_SECONDS)
                launch.reap()
                watch.catch_up()
                alive = watch.status.alive if watch.status else run.path.is_dir()
            except KeyboardInterrupt:
                interrupts += 1
                killed = _interrupt(run, interrupts) or killed
        watch.catch_up()
    finally:
        shown(watch, True)
    if watch.status is None:
        print(f"{run.path}: the run is gone", file=sys.stderr)
        return 1
    return _report(run, watch.status, watch.history, killed)


def _interrupt(run: RunDirectory, count: int) -> bool:
    """Ctrl-C: the first stops the run, the next ones kill it; whether it was killed."""
    try:
        if count == 1:
            launch.stop(run)
            print("\nstopping: finishes the step and saves; Ctrl-C again kills it", file=sys.stderr)
        elif launch.kill(run):
            print(file=sys.stderr)
            return True
        else:
            print("\nit cannot be killed from here yet; Ctrl-C tries again", file=sys.stderr)
    except InputError as error:
        print(f"\n{error}", file=sys.stderr)
    return False


def _report(run: RunDirectory, status: Status, history: History, killed: bool) -> int:
    """The last lines: answers before and after, how it ended, where the result is."""
    for first, latest in history.before_and_after():
        print(_pair(first, latest))
    if status.state == "failed":
        cause = f"{status.error.cause}\n  {status.error.advice}" if status.error else "it does not say why"
        print(f"failed: {printable_lines(cause)}", file=sys.stderr)
        if status.error and status.error.kind != "input":
            resume = f"sftui resume {name_for_commands(run)}"
            anew = f"sftui train {shlex.quote(str(run.recipe_file))} key=value"
            print(f"  {resume if status.error.resumable else anew}", file=sys.stderr)
        return 2 if status.error and status.error.kind == "input" else 1
    if status.state == "lost":
        how = "killed" if killed else "lost: the trainer ended without a word"
        print(f"{how}; go on with: sftui resume {name_for_commands(run)}", file=sys.stderr)
        return 1
    took = duration(status.seconds(time.time()))
    losses = f"loss {number(status.loss)}"
    if status.eval_loss is not None:
        losses += f", held out {number(status.eval_loss)}"
    print(f"{status.state} after {status.step:,} steps in {took}: {losses}")
    if status.state == "stopped":
        print(f"go on with: sftui resume {name_for_commands(run)}")
    result = run.result
    if result is not None:
        print(f"{result.name}: {result}")
    return 0


def _pair(first: Answer, latest: Answer) -> str:
    return "\n".join(
        (
            f"question  {printable(first.prompt)}",
            f"  before  {printable(first.text)}",
            f"  after   {printable(latest.text)}",
        )
    )


Show = Callable[[Watch, bool], None]


def _lines() -> Show:
    """Plain lines: one every few seconds, one for each evaluation, checkpoint and warning."""
    detail, warnings, last_step, last_time = "", 0, 0, 0.0
    memory = _memory()
    evaluations: dict[int, float] = {}

    def show(watch: Watch, final: bool) -> None:
        nonlocal detail, warnings, last_step, last_time, evaluations
        status, history = watch.status, watch.history
        if status is None:
            return
        for warning in history.warnings[warnings:]:
            print(f"warning: {printable(warning)}", flush=True)
        warnings = len(history.warnings)
        for line in memory(history, final):
            print(line, flush=True)
        now = time.monotonic()
        phase = status.detail.split(" ", 1)[0]
        if phase and phase != detail and status.step == 0:
            print(status.detail, flush=True)
        detail = phase
        news = [
            ((step, "then"), f"evaluation at step {step:,}: loss {number(loss)}")
            for step, loss in history.evaluations.items()
            if evaluations.get(step) != loss
        ]
        evaluations = dict(history.evaluations)
        step = history.step["step"] if history.step else last_step
        if step != last_step and (final or now - last_time >= LINE_SECONDS):
            last_step, last_time = step, now
            news.append(((step, "first"), _step_line(status, history)))
        for _, line in sorted(news):
            print(line, flush=True)

    return show


def _memory() -> Callable[[History, bool], list[str]]:
    """Lines on what is new of a run's memory: its trial, then its peak, and at the end the peak once more
    if it has grown."""
    tried: Trial | None = None
    said: int | None = None

    def news(history: History, final: bool) -> list[str]:
        nonlocal tried, said
        taken, lines = history.taken, []
        trial = taken.trial
        if trial is not None and trial != tried:
            fits = trial.peak_bytes is not None or taken.highest is None
            result = f"in {trial.seconds:.1f} s" if fits else "do not fit"
            lines.append(f"tried the largest batch: {trial.rows:,} x {trial.length:,} tokens {result}")
        tried = trial
        known = taken.stepped and (trial is not None or history.step is not None)
        if known and taken.highest is not None and (said is None or (final and taken.highest > said)):
            said = taken.highest
            line = f"memory: at most {size(said)} allocated"
            if taken.predicted is not None and taken.difference is not None:
                line += f", {apart(taken.difference)} the {size(taken.predicted.peak_bytes)} predicted"
            lines.append(line)
        return lines

    return news


def _step_line(status: Status, history: History) -> str:
    event = history.step or {}
    parts = [
        f"step {event.get('step', 0):,}/{status.max_steps:,}",
        f"loss {number(event.get('loss'))}",
        f"lr {rate(event.get('learning_rate'))}",
        f"{count(event.get('tokens_per_second') or 0)} tok/s",
    ]
    left = history.seconds_left(status.max_steps)
    if left and status.alive:
        parts.append(f"ends in {duration(left)}")
    return "  ".join(parts)


def _bar() -> Show:
    """One line with a bar, redrawn in place; evaluations and warnings scroll above it."""
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn

    progress = Progress(
        TextColumn("{task.fields[state]}"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        console=Console(highlight=False),
        auto_refresh=False,
    )
    task = progress.add_task("", total=None, state="starting", text="")
    progress.start()
    told: dict[str, int] = {"warnings": 0}
    memory = _memory()
    evaluations: dict[int, float] = {}

    def show(watch: Watch, final: bool) -> None:
        nonlocal evaluations
        status, history = watch.status, watch.history
        if status is not None:
            for warning in history.warnings[told["warnings"] :]:
                progress.print(f"[yellow]warning:[/] {escape(printable(warning))}")
            told["warnings"] = len(history.warnings)
            for line in memory(history, final):
                progress.print(line)
            for step, loss in history.evaluations.items():
                if evaluations.get(step) != loss:
                    progress.print(f"evaluation at step {step:,}: loss {number(loss)}")
            evaluations = dict(history.evaluations)
            text = _step_line(status, history) if history.step and not status.detail else status.detail
            total = status.max_steps or None
            progress.update(task, total=total, completed=status.step, state=status.state, text=escape(text))
            progress.refresh()
        if final:
            progress.stop()

    return show


def wait_for_end(run: RunDirectory) -> int:
    """Wait until a run has ended and its trainer is gone; 0 if it stopped or finished, else 1."""
    while (status := read_status(run)) is not None and (status.alive or lock.is_held(run.lock_file)):
        launch.reap()
        time.sleep(POLL_SECONDS)
    return 0 if status is not None and status.state in ("stopped", "finished") else 1


def print_log(run: RunDirectory, *, lines: int | None, follow: bool) -> None:
    """Print the trainer's log, its last lines, or on and on until the run has ended or nobody reads."""
    try:
        file = run.log_file.open("rb")
    except OSError:
        print(f"{run.id}: no log yet", file=sys.stderr)
        return
    # A piece may end within a character.
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with file:
        if lines is not None:
            file.seek(_start_of_last(file, lines))
        while True:
            status = read_status(run)
            while chunk := file.read(BLOCK):
                sys.stdout.write(decoder.decode(chunk))
            sys.stdout.flush()
            if not follow or status is None or not status.alive or _reader_goes(POLL_SECONDS):
                return


def _reader_goes(seconds: float) -> bool:
    """Wait; whether the reader of a piped stdout has gone, which else shows only when it is written to."""
    try:
        descriptor = sys.stdout.fileno()
        mode = os.fstat(descriptor).st_mode
    except OSError:  # stdout is no file
        mode = 0
    if not (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)):
        time.sleep(seconds)
        return False
    poll = select.poll()
    poll.register(descriptor, 0)  # errors and hang-ups are told unasked
    return bool(poll.poll(seconds * 1000))


def _start_of_last(file: BinaryIO, lines: int) -> int:
    """Where the last `lines` lines of a file begin."""
    end = file.seek(0, 2)
    # The newline at the very end ends the last line rather than begin another.
    position, wanted = max(0, end - 1), lines
    if not wanted:
        return end
    while position:
        start = max(0, position - BLOCK)
        file.seek(start)
        block = file.read(position - start)
        while (found := block.rfind(b"\n")) >= 0:
            wanted -= 1
            if not wanted:
                return start + found + 1
            block = block[:found]
        position = start
    return 0
