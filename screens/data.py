"""Data: the rows of the open recipe, token by token, and what is wrong with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Input

from . import data_view as view
from . import findings_view
from .data_keys import ACTIONS, BINDINGS, WITH_ROWS, WITHOUT_DATA
from .data_view import PANES, Pane
from .desk import Desk
from .pace import Looks
from .panes import Panes
from .widgets.conversation import Conversation, Wanted
from .widgets.filter import Filter
from .widgets.finding_list import FindingList
from .widgets.line_list import LineList
from .widgets.panel import Panel
from .widgets.row_list import RowList
from .widgets.rows_pane import RowsPane
from .widgets.statistics import Statistics
from .widgets.token_view import TokenView

if TYPE_CHECKING:
    from sftui.data.overview import Overview
    from sftui.data.views import Finding, Side
    from sftui.recipe import Recipe


class DataScreen(Panes[Pane]):
    """Rows at the left, the one under the cursor at the right, statistics below."""

    MODE = "data"
    CSS_PATH = ["data.tcss", "choices.tcss"]
    HORIZONTAL_BREAKPOINTS = [(0, "-slim"), (76, "-narrow"), (100, "-wide")]
    BINDINGS = BINDINGS
    ACTIONS = ACTIONS
    panes = PANES

    def __init__(self) -> None:
        super().__init__()
        self._desk: Desk | None = None
        self._recipe: Recipe | None = None
        self._overview: Overview | None = None
        self._problem: str | None = None
        self._side: Side = "train"
        self._sequence = self._changes = 0
        self._looks = Looks(self, self._look)
        self._rows = RowsPane(id="rows-pane")
        self._tokens = Conversation(id="tokens")
        self._findings = FindingList(id="findings")
        self._statistics = Statistics(id="statistics")
        names = ("subject", "problem", "no-findings", "token", "token-line")
        self._panels = {name: Panel(id=name) for name in names}

    def compose_body(self) -> ComposeResult:
        """Subject; rows and findings; the row and the token under the cursor; statistics."""
        panels = self._panels
        yield panels["subject"]
        yield panels["problem"]
        with Horizontal(id="middle"):
            with Vertical(id="left"):
                yield self._rows
                with Vertical(id="findings-pane"):
                    yield self._findings
                    yield panels["no-findings"]
            with Vertical(id="right"):
                yield self._tokens
                yield panels["token"]
        yield self._statistics
        yield panels["token-line"]

    def on_mount(self) -> None:
        """What reads the data is imported and started after the first paint."""
        self.query_one("#findings-pane").border_title = "findings"
        self._panels["token"].border_title = "token"
        self._statistics.border_title = "lengths"
        self._go_to_pane("rows")
        self._show()
        if self.app.recipe is not None:
            self.call_after_refresh(self.app.dataset.want)

    # -- the dataset

    def _open_side(self, side: Side) -> None:
        desk = self._desk
        assert desk is not None
        self._side, self._sequence = side, 0
        self._changes += 1
        self._rows.open(desk, side)
        self._tokens.open(lambda wanted: desk.view(wanted.side, wanted.row, wanted.sequence))
        self._looks.now()

    def adopt(self) -> None:
        """Dataset and recipe may be others, changed here or on another screen; the analysis has gone on."""
        dataset = self.app.dataset
        desk, recipe, before = dataset.desk, dataset.recipe, self._recipe
        opened = desk is not self._desk
        self._desk, self._problem = desk, dataset.problem
        if desk is None:
            self._show()
            return
        if recipe is not before:
            self._recipe, self._sequence = recipe, 0
            self._changes += 1
        if opened:
            self._open_side(self._side if self._side in desk.sides else "train")
        elif before is not None and _sources(before) != _sources(recipe):
            self._open_side("train")
        else:
            self._looks.now()
        self._go_to_wanted()

    def _go_to_wanted(self) -> None:
        """To the row that another screen has sent for."""
        wanted, self.app.dataset.wanted_row = self.app.dataset.wanted_row, None
        if wanted is None:
            return
        row, sequence = wanted
        if self._side != "train":
            self._open_side("train")
        self._rows.show_row(row)
        self._go_to_pane("rows")
        self._sequence = sequence
        self._want()

    def follow(self) -> None:
        """Follow the analysis, but not too often."""
        self._looks.soon()

    def _look(self) -> None:
        """See what is known by now."""
        if self._desk is not None:
            self._overview = self._desk.overview(self._side)
            self._show()
            self._want()

    @on(LineList.Moved, "#rows")
    @on(RowsPane.Listed)
    @on(RowList.Begun)
    def _want(self) -> None:
        """Show the row under the cursor, once the list has its words: a huge row would hold them up."""
        row, recipe, rows = self._rows.list.row, self._recipe, self._rows
        if row is None and rows.filtered:
            self._tokens.want_none("looking …" if rows.searching else "no row matches", soon=rows.searching)
        if row is None or recipe is None or not rows.list.begun:
            return
        if self._tokens.wanted is not None and row != self._tokens.wanted.row:
            self._sequence = 0
        wanted = Wanted(self._side, row, self._sequence, self._changes)
        self._tokens.want(wanted, recipe.data.max_length)

    # -- showing

    def _show(self) -> None:
        """Bring every part up to date; each draws itself only if it says something else."""
        recipe, overview = self._recipe or self.app.recipe, self._overview
        problem = self._problem or view.problem_of(overview)
        self.set_class(recipe is None, "-empty")
        self.set_class(recipe is not None and problem is not None, "-problem")
        if recipe is None:
            self._panels["problem"].show(view.NO_RECIPE)
            return
        if problem is not None:
            self._panels["problem"].show(view.problem(problem))
        self._panels["subject"].show(view.subject(recipe, overview, self.size.width - 2))
        self._panels["no-findings"].display = overview is None or not overview.findings
        self._panels["no-findings"].show(findings_view.no_findings(overview))
        self._refresh_keys(self._desk is not None, overview is not None and overview.rows > 0)
        if overview is not None:
            self._rows.show(overview)
            self._findings.show(overview.findings, overview.side)
            if self._statistics.display:
                self._statistics.show(overview, recipe)

    @on(TokenView.Moved)
    @on(Conversation.Shown)
    def _show_token(self) -> None:
        self._looks.move()
        row, at, panel = self._tokens.row, self._tokens.cursor, self._panels["token"]
        panel.border_title = Content(view.token_title(row, at))
        panel.show(view.token_panel(row, at))
        self._panels["token-line"].show(view.token_line(row, at))

    # -- keys

    def _target(self, pane: Pane) -> Widget:
        if pane == "tokens":
            return self._tokens
        return self._findings if pane == "findings" else self._rows.list

    @property
    def _cursor(self) -> LineList | TokenView:
        if self._pane == "tokens":
            return self._tokens
        return self._findings if self._pane == "findings" else self._rows.list

    def _applies(self, action: str) -> bool:
        if self._desk is None:
            return action in WITHOUT_DATA and self.app.recipe is not None
        if action == "filter" and isinstance(self.focused, Input):
            return False
        if action in WITH_ROWS:
            return self._overview is not None and self._overview.rows > 0
        if action == "sequence":
            return self._tokens.row is not None and self._tokens.row.sequences > 1
        return action != "side" or len(self._desk.sides) > 1

    def action_step(self, tokens: int) -> None:
        """To another token."""
        if self._pane == "tokens":
            self._tokens.move(tokens)

    def action_turn(self, turns: int) -> None:
        """To the next turn or one before."""
        self._tokens.turn(turns)

    @on(LineList.Chosen)
    def action_enter(self) -> None:
        """Rows lead to tokens, a finding to its rows, a token to what is known of it."""
        finding = self._findings.current
        if self._pane == "rows":
            self._go_to_pane("tokens")
        elif self._pane == "tokens":
            self.action_explain()
        elif finding is not None:
            self._findings.stay()
            self._show_rows_of(finding)
            self._go_to_pane("rows")

    def _show_rows_of(self, finding: Finding) -> None:
        """Only the rows that have a finding, on the side that has some; all where it is about none."""
        desk, overview = self._desk, self._overview
        if desk is None or overview is None:
            return
        side = findings_view.place_of(finding, overview, desk.sides)
        if side is None:
            self._rows.close_filter()
            self.app.notify(f"{finding.code} is not about single rows: here are all", timeout=4, markup=False)
            return
        if side != self._side:
            self._open_side(side)
        self._rows.ask(f"finding:{finding.code}")

    def action_back(self) -> None:
        """One layer out: to the rows, then to all of them."""
        if self._pane == "rows":
            self._rows.close_filter()
        self._go_to_pane("rows")

    def action_filter(self) -> None:
        """Type a filter."""
        self._mark_pane("rows")
        self._rows.open_filter()

    @on(Filter.Done)
    def _filter_done(self) -> None:
        self._go_to_pane("rows")

    def action_next_finding(self, step: int) -> None:
        """To the next row that has the finding under the findings' cursor, or any."""
        finding, overview, desk = self._findings.current, self._overview, self._desk
        if finding is None or overview is None or desk is None:
            self.app.notify("nothing has been found so far", timeout=3)
        else:
            of_rows = findings_view.place_of(finding, overview, desk.sides) is not None
            self._rows.to_flagged(finding.code if of_rows else None, step)

    def action_view(self) -> None:
        """Another way to look at the row."""
        self._tokens.next_view()

    def action_spaces(self) -> None:
        """Spaces as symbols or as spaces."""
        self._tokens.show_spaces(not self._tokens.spaces)

    def action_sequence(self) -> None:
        """The next sequence of the row."""
        row = self._tokens.row
        if row is not None and row.sequences > 1:
            self._sequence = (row.sequence + 1) % row.sequences
            self._want()

    def action_side(self) -> None:
        """Held-out rows, or training rows again."""
        self._open_side("eval" if self._side == "train" else "train")

    def action_copy(self) -> None:
        """Copy the row's place."""
        if self._tokens.row is not None:
            self.app.copy(self._tokens.row.where)

    def action_bin(self) -> None:
        """The row's bin."""
        row = self._rows.list.row
        if row is not None and self._side == "train":
            self.app.show_bin(row)

    def action_reload(self) -> None:
        """Read recipe and data again."""
        self.app.dataset.reload()

    def action_go_to(self) -> None:
        """Go to a row by its number."""
        from .data_choices import GoTo

        rows = self._overview.rows if self._overview is not None else 0
        self.app.push_screen(GoTo(rows), self._rows.go_to)

    def action_explain(self) -> None:
        """What is wrong with the row, the finding, or the token in full."""
        from .data_choices import Words

        tokens = self._tokens
        said = findings_view.explanation(self._pane, self._findings.current, tokens.row, tokens.cursor)
        if said is not None:
            self.app.push_screen(Words(*said))

    def action_overview(self) -> None:
        """The statistics in a box."""
        from .data_choices import OverviewScreen

        desk, side = self._desk, self._side
        if desk is not None:
            self.app.push_screen(OverviewScreen(lambda: (desk.overview(side), self.app.recipe)))

    def action_change(self, what: str) -> None:
        """Change the open recipe: one of `CHANGES`."""
        from .data_changes import CHANGES

        desk, side = self._desk, self._side
        if desk is not None:
            CHANGES[what](self.app, self._overview, lambda length: desk.cost(side, length))


def _sources(recipe: Recipe) -> tuple[object, object]:
    return recipe.data.train, recipe.data.eval
