"""Runs: all runs of a directory, whoever started them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import DataTable, Input

from sftui.printable import printable, printable_lines
from sftui.runs import launch
from sftui.runs.directory import RunDirectory
from sftui.runs.listing import Listed, delete_run, list_runs
from sftui.runs.memory_history import PeakReader
from sftui.runs.status import Status
from sftui.words import count, duration, number, size

from .frame import Frame
from .keys import key
from .run_columns import WIDTHS, Layout, cut, layout
from .widgets.panel import Panel
from .widgets.state import state_text

Row = tuple[Content, ...]


class RunsScreen(Frame):
    """A line a run, kept up to date by looking at the directory."""

    MODE = "runs"
    CSS_PATH = "runs.tcss"
    BINDINGS = [
        # Before the table's own, which does the same but is not shown.
        key("runs.open", "enter", "open", "open", "watch the run", show=True, first=True),
        key("runs.resume", "r", "resume", "resume", "go on after its last checkpoint", show=True),
        key("runs.stop", "X", "stop", "stop", "let it finish its step, save and end", show=True),
        key("runs.delete", "D", "delete", "delete", "remove the run and all its files", show=True),
        key(
            "runs.filter",
            "slash",
            "filter",
            "filter",
            "show only runs whose name or state matches",
            show=True,
            first=True,  # before the next key, which is of the field
        ),
        key("runs.down", "j", "move(1)", "down", "next run"),
        key("runs.up", "k", "move(-1)", "up", "run before"),
        key("runs.copy", "y", "copy", "copy path", "copy the path of the run"),
        key("runs.clear", "escape", "clear", "all runs", "show all runs again"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._listed: list[Listed] = []
        self._sizes: dict[str, tuple[tuple[str, int], int]] = {}
        self._peaks: dict[str, PeakReader] = {}
        self._layout = Layout({}, 0)
        self._shown: dict[str, Row] = {}
        self._filter = ""
        self._table: DataTable[str | Content] = DataTable(id="table", cursor_type="row", cell_padding=0)

    def compose_body(self) -> ComposeResult:
        """A line on the directory, the table, what the run under the cursor says."""
        # The first look is taken here, so that the first frame shows the runs and not an empty table.
        self._listed = list_runs(self.app.folder)
        with Vertical(id="body"):
            yield Panel(id="subject")
            field = Input(placeholder="part of a name, or a state", id="filter", compact=True)
            field.display, field.disabled = False, True
            yield field
            if self._listed:
                yield self._table
            yield Panel(id="empty")
            yield Panel(id="detail")

    def on_mount(self) -> None:
        """Show what there is, then look every so often."""
        self._show()
        self.call_after_refresh(self._follow)

    def on_screen_resume(self) -> None:
        """Show at once what has changed meanwhile."""
        if self._listed:
            self._show()

    @work(exclusive=True, group="follow")
    async def _follow(self) -> None:
        while True:
            if self.is_current or not self._listed:
                self._listed = await asyncio.to_thread(self._look, self.app.folder)
                launch.reap()
                self._show()
            await asyncio.sleep(self.app.refresh_seconds)

    def _look(self, folder: Path) -> list[Listed]:
        """In a thread: the runs, and the sizes and peaks of those that have changed."""
        listed = list_runs(folder)
        for one in listed:
            seen = (one.status.state, one.status.step // 100)
            if self._sizes.get(one.run.id, (None, 0))[0] != seen:
                self._sizes[one.run.id] = (seen, one.run.bytes_on_disk())
            elif not one.status.alive:
                continue
            self._peaks.setdefault(one.run.id, PeakReader(one.run.events_file)).read()
        return listed

    def _peak(self, one: Listed) -> int | None:
        # Of a run that ran out of memory what it had taken before says little.
        short = one.status.error is not None and one.status.error.kind == "memory"
        return self._peaks[one.run.id].highest if one.run.id in self._peaks and not short else None

    # -- showing ---------------------------------------------------------------------------------

    def on_resize(self, event: events.Resize) -> None:
        """Other columns may fit now."""
        if self._listed:
            self._show()

    def _fitting(self) -> Layout:
        listed = self._matching()
        name = max((len(one.run.id) for one in listed), default=WIDTHS["run"])
        step = max((len(_step(one.status)) for one in listed), default=0)
        measured = any(self._peak(one) is not None for one in listed)
        return layout(self.size.width, name, step, measured=measured)

    def _lay_out(self, new: Layout) -> None:
        """Other columns: the table is filled anew."""
        self._layout, self._shown = new, {}
        self._table.clear(columns=True)
        for name, width in new.widths.items():
            # The cells between two columns belong to the second.
            before = 0 if name == "run" else new.gap
            label = name if name in ("run", "state") else name.rjust(width)
            self._table.add_column(" " * before + label, key=name, width=before + width)

    def _show(self) -> None:
        if not self.query(Panel):
            return
        table, current = self._table, self._current()
        if not table.is_attached and self._listed:
            self.query_one("#body").mount(table, after=self.query_one("#subject"))
            table.focus()
        listed = self._matching()
        if (new := self._fitting()) != self._layout:
            self._lay_out(new)
        now = time.time()
        rows = {one.run.id: self._row(one, now) for one in listed}
        if list(rows) != list(self._shown):
            table.clear()
            for key, row in rows.items():
                table.add_row(*row, key=key)
            if current is not None and current.run.id in rows:
                table.move_cursor(row=list(rows).index(current.run.id), animate=False)
        else:
            for key, row in rows.items():
                for name, cell, before in zip(self._layout.widths, row, self._shown[key], strict=True):
                    if cell != before or str(cell) != str(before):
                        table.update_cell(key, name, cell)
        self._shown = rows
        alive = sum(one.status.alive for one in self._listed)
        running = f", {alive} running" if alive else ""
        plural = "run" if len(self._listed) == 1 else "runs"
        text = f"{len(self._listed)} {plural}{running} in {self.app.folder}"
        self.query_one("#subject", Panel).show(Content(text))
        table.display = bool(self._listed)
        empty = self.query_one("#empty", Panel)
        empty.display = not self._listed
        if not self._listed:
            empty.show(self._empty_text())
        self._show_detail()
        self.refresh_bindings()

    def _empty_text(self) -> Content:
        return Content.assemble(
            ("No runs here yet.\n\n", "bold"),
            "See a complete small run, nothing to download:   sftui demo\n",
            "Begin with a ready recipe or your own dataset:   4\n",
            "Train a recipe:                                  sftui train RECIPE\n",
            "Look into another directory:                     sftui --output-dir DIR\n\n",
            ("A run started from any other terminal appears here by itself.", "$foreground-muted"),
        )

    def _row(self, one: Listed, now: float) -> Row:
        status: Status = one.status
        widths, gap = self._layout
        values = {
            "step": _step(status),
            "loss": number(status.loss) or "–",
            "eval": number(status.eval_loss) or "–",
            "tokens": count(status.tokens) if status.tokens else "–",
            "memory": size(self._peak(one)) or "–",
            "took": duration(status.seconds(now)),
            "size": size(self._sizes.get(one.run.id, (None, 0))[1]),
        }
        cells = {
            name: Content(text.rjust(gap + widths[name])) for name, text in values.items() if name in widths
        }
        cells["run"] = Content(cut(printable(one.run.id), widths["run"]))
        cells["state"] = Content.assemble(" " * gap, state_text(status.state))
        return tuple(cells[name] for name in widths)

    def _show_detail(self) -> None:
        current = self._current()
        detail = self.query_one("#detail", Panel)
        detail.display = current is not None
        if current is None:
            return
        status = current.status
        if status.error:
            cause, advice = printable_lines(status.error.cause), printable(status.error.advice)
            detail.show(Content.assemble((f"failed: {cause}\n", "bold $text-error"), advice))
        elif status.state == "lost":
            detail.show(
                Content.styled("lost: the trainer ended without a word; r resumes it", "$text-warning")
            )
        else:
            result = current.run.result
            where = f"{result.name}: {result}" if result else str(current.run.path)
            peak = self._peak(current)
            taken = f"at most {size(peak)} on the GPU" if peak and "memory" not in self._layout.widths else ""
            detail.show(Content("  ".join(part for part in (status.detail, taken, where) if part)))

    def _matching(self) -> list[Listed]:
        wanted = self._filter.strip().lower()
        return [one for one in self._listed if wanted in f"{one.run.id} {one.status.state}".lower()]

    def _current(self) -> Listed | None:
        table = self._table
        if not table.row_count or not table.is_valid_row_index(table.cursor_row):
            return None
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value
        return next((one for one in self._listed if one.run.id == key), None)

    # -- keys ------------------------------------------------------------------------------------

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what applies to the run under the cursor is shown and works."""
        if action == "filter":
            return bool(self._listed) and not isinstance(self.focused, Input)
        if action not in ("open", "resume", "stop", "delete", "copy") or not self.is_mounted:
            return True
        current = self._current()
        # Enter in the filter leads to the table.
        if current is None or (action == "open" and isinstance(self.focused, Input)):
            return False
        status = current.status
        if action == "stop":
            return status.alive
        if action == "resume":
            return not status.alive and status.state != "finished"
        if action == "delete":
            return not status.alive
        return True

    @on(DataTable.RowSelected)
    def action_open(self) -> None:
        """Watch the run."""
        current = self._current()
        if current is not None:
            self.app.open_run(current.run)

    @on(DataTable.RowHighlighted)
    def _highlighted(self) -> None:
        self._show_detail()
        self.refresh_bindings()

    def action_move(self, rows: int) -> None:
        """Up or down."""
        table = self._table
        table.move_cursor(row=table.cursor_row + rows)

    def action_resume(self) -> None:
        """Go on after the last checkpoint, and watch."""
        run = self._current_run()
        if run is not None:
            self.app.attempt(lambda: launch.resume(run), lambda: self.app.open_run(run))

    def action_stop(self) -> None:
        """Ask the run to stop, after a yes; once it is stopping, offer to kill it."""
        current = self._current()
        if current is not None:
            from .ending import ask_to_end

            ask_to_end(self.app, current.run, current.status, self._follow)

    def action_delete(self) -> None:
        """Remove the run, after a yes."""
        run = self._current_run()
        if run is None:
            return

        from .confirm import Confirm

        def answered(yes: bool | None) -> None:
            if yes:
                self.app.attempt(lambda: delete_run(run), self._follow)

        question = f"Delete {run.id} with its checkpoints and its result?"
        self.app.push_screen(Confirm(question, "delete", danger=True), answered)

    def _current_run(self) -> RunDirectory | None:
        current = self._current()
        return current.run if current else None

    def action_filter(self) -> None:
        """Type part of a name or a state."""
        field = self.query_one("#filter", Input)
        field.display, field.disabled = True, False
        self.set_focus(field)  # at once: the next key is of the field

    @on(Input.Changed, "#filter")
    def _filter_changed(self, event: Input.Changed) -> None:
        self._filter = event.value
        self._show()

    @on(Input.Submitted, "#filter")
    def _filter_done(self) -> None:
        self._leave_filter()

    def _leave_filter(self) -> None:
        """To the table, where there is one."""
        self.set_focus(self._table if self._table.is_attached and self._listed else None)

    def action_clear(self) -> None:
        """All runs again."""
        field = self.query_one("#filter", Input)
        field.display, field.disabled, field.value = False, True, ""
        self._filter = ""
        self._show()
        self._leave_filter()

    def action_copy(self) -> None:
        """Copy the path of the run."""
        run = self._current_run()
        if run is not None:
            self.app.copy(str(run.path))


def _step(status: Status) -> str:
    return f"{status.step:,}/{status.max_steps:,}" if status.max_steps else "–"
