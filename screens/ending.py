"""How a run is ended from a screen: first by asking it, and once it is stopping by force."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sftui.errors import InputError
from sftui.runs import launch
from sftui.runs.directory import RunDirectory
from sftui.runs.status import Status

from .confirm import Confirm

if TYPE_CHECKING:
    from .app import Workbench


def ask_to_end(
    app: Workbench, run: RunDirectory, status: Status, then: Callable[[], object] | None = None
) -> None:
    """Stop the run after a yes, or kill it where it is stopping already; `then` once that is done."""
    if status.state == "stopping" or "stop" in run.pending():
        question = f"{run.id} is stopping: it finishes its step and saves.\nKill it now, without saving?"
        confirm, act = Confirm(question, "kill", danger=True), _kill
    else:
        question = f"Stop {run.id}?\nIt finishes its step and saves; r resumes it."
        confirm, act = Confirm(question, "stop"), launch.stop

    def answered(yes: bool | None) -> None:
        if yes:
            app.attempt(lambda: act(run), then)

    app.push_screen(confirm, answered)


def _kill(run: RunDirectory) -> None:
    if not launch.kill(run):
        raise InputError("no trainer of it is alive on this machine: nothing was killed", file=run.id)
