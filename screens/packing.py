"""Packing: how the sequences of the open recipe share bins, and whether they leak."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widget import Widget

from . import data_view
from . import packing_view as view
from .desk import Desk
from .pace import Looks
from .packing_facts import Facts
from .packing_keys import ACTIONS, BINDINGS, IN_A_BIN, WITH_BINS, WITHOUT_DATA
from .packing_view import PANES, Pane
from .panes import Panes
from .widgets.bin_detail import BinDetail
from .widgets.bins_pane import BinsPane
from .widgets.fill_chart import FillChart
from .widgets.leak_panel import LeakPanel
from .widgets.length_pane import LengthPane
from .widgets.line_list import LineList
from .widgets.panel import Panel
from .widgets.strategies_pane import StrategiesPane
from .widgets.token_view import TokenView

if TYPE_CHECKING:
    from sftui.data.overview import Overview
    from sftui.data.packing.plan import Plan
    from sftui.recipe import Recipe

    from .packing_choices import Target

# Between two looks while rows are analysed: what a strategy makes of a million takes a moment.
LOOK_SECONDS = 0.5


class PackingScreen(Panes[Pane]):
    """Strategies and max_length at the left, the bins at the right, the leak test below."""

    MODE = "packing"
    CSS_PATH = ["packing.tcss", "choices.tcss"]
    BINDINGS = BINDINGS
    ACTIONS = ACTIONS
    panes = PANES

    def __init__(self) -> None:
        super().__init__()
        self._desk: Desk | None = None
        self._recipe: Recipe | None = None
        self._overview: Overview | None = None
        self._problem: str | None = None
        self._before: Pane = "strategies"
        self._looks = Looks(self, self._look)
        self._facts = Facts(lambda work: self.run_worker(work, group="facts"), self._show)
        self._strategies = StrategiesPane(id="strategies-pane")
        self._lengths = LengthPane(id="length-pane")
        self._fill = FillChart(id="fill-pane")
        self._bins = BinsPane(id="bins-pane")
        self._detail = BinDetail(id="bin-pane")
        self._leak = LeakPanel(id="leak")
        self._panels = {name: Panel(id=name) for name in ("subject", "problem")}

    def compose_body(self) -> ComposeResult:
        """Subject; strategies, max_length and fill; bins and the one under the cursor; the leak test."""
        yield self._panels["subject"]
        yield self._panels["problem"]
        with Horizontal(id="middle"):
            with Vertical(id="left"):
                yield self._strategies
                yield self._lengths
                yield self._fill
            with Vertical(id="right"):
                yield self._bins
                yield self._detail
        yield self._leak

    def on_mount(self) -> None:
        """What reads the data is imported and started after the first paint."""
        self._fill.border_title = "fill of the bins"
        self._go_to_pane("strategies")
        self._show()
        self.call_after_refresh(self.app.dataset.want)

    # -- the dataset

    def adopt(self) -> None:
        """Dataset and recipe may be others, changed here or on another screen; the analysis has gone on."""
        dataset = self.app.dataset
        desk, recipe, before = dataset.desk, dataset.recipe, self._recipe
        opened, self._problem = desk is not self._desk, dataset.problem
        self._desk = desk
        if desk is None:
            self._show()
            return
        if opened:
            self._facts.open(desk)
            self._bins.close()
        if before is not None and before.data != recipe.data:
            self._facts.forget_cut_loss()
        if opened or before is None or before.data.max_length != recipe.data.max_length:
            self._lengths.length = recipe.data.max_length
        self._recipe = recipe
        self._leak.adopt(recipe)
        self._looks.now()

    def follow(self) -> None:
        """Follow the analysis, but not too often."""
        busy = self._overview is not None and self._overview.state == "analysing"
        self._looks.soon(LOOK_SECONDS if busy else 0)

    def _look(self) -> None:
        """See what is known by now."""
        if self._desk is not None:
            self._overview = self._desk.overview("train")
            self._facts.renew()
            if self._overview.analysed < self._overview.rows:
                self._facts.forget_bins()
            self._show()

    def _want(self) -> None:
        """Ask for what is shown and not known."""
        recipe, overview = self._recipe, self._overview
        if recipe is None or overview is None or not overview.analysed:
            return
        own, complete = recipe.data.max_length, overview.analysed == overview.rows
        strategy = self._strategies.list.strategy if complete else None
        self._facts.want((self._lengths.length, own), tuple(self._lengths.table(own)), strategy)
        self._leak.look()

    # -- showing

    @property
    def _plan(self) -> Plan | None:
        """What the recipe's own max_length comes to."""
        return self._facts.plans.get(self._recipe.data.max_length) if self._recipe is not None else None

    def _show(self) -> None:
        """Bring every part up to date; each draws itself only if it says something else."""
        recipe, overview, plan = self._recipe or self.app.recipe, self._overview, self._plan
        problem = self._problem or data_view.problem_of(overview)
        self.set_class(recipe is None, "-empty")
        self.set_class(recipe is not None and problem is not None, "-problem")
        if recipe is None:
            self._panels["problem"].show(view.NO_RECIPE)
            return
        if problem is not None:
            self._panels["problem"].show(data_view.problem(problem))
        cut_loss = self._facts.cut_loss(plan)
        self._panels["subject"].show(view.subject(recipe, plan, overview, self.size.width - 2, cut_loss))
        self._strategies.show(plan, recipe.data.packing, cut_loss)
        desk, app = self._desk, self.app
        held_out = desk.overview("eval") if desk is not None and "eval" in desk.sides else None
        on_gpu = app.memory_device is not None or not app.device_text.startswith("CPU")
        strategy = self._strategies.list.strategy
        self._lengths.show(recipe, self._facts.plans, strategy, cut_loss, (overview, held_out), on_gpu)
        bins = self._facts.bins
        self._bins.show(bins, recipe.data.packing, view.no_bins(plan, overview, self._facts.problem))
        self.set_class(self._bins.is_open, "-open")
        self._fill.border_subtitle = view.fill_words(bins)
        self._fill.show(bins.fills() if bins is not None else ())
        self._go_to_wanted()
        self._show_bin()
        self._refresh_keys(self._desk is not None, self._bins.list.count > 0)
        self._want()

    @on(LineList.Moved, "#bins")
    def _show_bin(self) -> None:
        """The bin under the cursor."""
        self._looks.move()
        if self._detail.display:
            bins = self._bins.list
            self._detail.show(bins.current, bins.cuts(bins.cursor), self.app.glyphs)

    @on(TokenView.Moved)
    def _moved(self) -> None:
        self._looks.move()

    # -- keys

    def _go_to_pane(self, pane: Pane) -> None:
        if self._pane != "length":
            self._before = self._pane
        self.set_class(self._bins.is_open, "-open")
        super()._go_to_pane(pane)

    def _target(self, pane: Pane) -> Widget:
        if pane == "bins":
            return self._bins.target
        return self._strategies.list if pane == "strategies" else self._lengths.slider

    @property
    def _cursor(self) -> LineList | TokenView | None:
        if self._pane == "bins":
            return self._bins.target
        return self._strategies.list if self._pane == "strategies" else None

    def _applies(self, action: str) -> bool:
        if self._desk is None:
            return action in WITHOUT_DATA and self.app.recipe is not None
        if action in WITH_BINS:
            return self._bins.list.count > 0
        return action not in IN_A_BIN or self._bins.is_open

    def action_move(self, lines: int) -> None:
        """A line; a shorter or longer max_length."""
        if self._pane == "length":
            self._lengths.double(-lines)
        else:
            super().action_move(lines)

    def action_step(self, steps: int) -> None:
        """A token, or another max_length."""
        if self._pane == "bins" and self._bins.is_open:
            self._bins.tokens.move(steps)
        else:
            self._lengths.step(steps)

    def action_double(self, steps: int) -> None:
        """The next power of two."""
        self._lengths.double(steps)

    @on(LengthPane.Tried)
    def _tried(self) -> None:
        """The slider has moved."""
        if self._pane != "length":
            self._go_to_pane("length")
        self._show()

    def action_turn(self, turns: int) -> None:
        """To the bin's next sequence or one before."""
        self._bins.tokens.turn(turns)

    def action_spaces(self) -> None:
        """Spaces as symbols or as spaces."""
        self._bins.tokens.show_spaces(not self._bins.tokens.spaces)

    @on(LineList.Chosen)
    def action_enter(self) -> None:
        """A strategy is chosen, a bin opened, a token leads to its row, a length is applied."""
        if self._pane == "strategies":
            self._change({"data.packing": self._strategies.list.strategy})
        elif self._pane == "length":
            self._change({"data.max_length": self._lengths.length})
            self._go_to_pane(self._before)
        elif self._bins.is_open:
            self.action_row()
        elif (desk := self._desk) is not None:
            self._bins.open(lambda row, sequence: desk.view("train", row, sequence))
            self._go_to_pane("bins")

    @on(LineList.Moved, "#strategies")
    @on(LengthPane.Resized)
    def _look_again(self) -> None:
        self._show()

    def _change(self, values: dict[str, Any]) -> None:
        from .data_changes import apply

        recipe = self._recipe
        if recipe is None:
            return
        if recipe.data.repack_each_epoch and values.get("data.packing", "best_fit") != "best_fit":
            values["data.repack_each_epoch"] = False  # which only best_fit has
        apply(self.app, values)

    def action_back(self) -> None:
        """One layer out."""
        recipe = self._recipe
        if recipe is None:
            return
        if self._pane == "length":
            self._lengths.length = recipe.data.max_length
            self._go_to_pane(self._before)
            return
        if self._pane == "strategies":
            self._strategies.list.go_to(view.STRATEGIES.index(recipe.data.packing))
        elif self._bins.is_open:
            self._bins.close()
            self._go_to_pane("bins")
        else:
            self._go_to_pane("strategies")

    def action_row(self) -> None:
        """The sequence under the cursor, on the Data screen; of a bin that is not open the first."""
        place, found = self._bins.tokens.place, self._bins.current
        piece = place.piece if place is not None else found.pieces[0] if found is not None else None
        if piece is not None:
            self.app.show_row(piece.row, piece.sequence)

    def action_go_to(self) -> None:
        """Go to a bin by its number or by a row's."""
        from .packing_choices import GoToBin

        rows = self._overview.rows if self._overview is not None else 0
        self.app.push_screen(GoToBin(self._bins.list.count, rows), self._go_to)

    def _go_to(self, target: Target | None) -> None:
        if target is None:
            return
        self._bins.close()
        if target.kind == "row":
            self.app.dataset.wanted_bin = target.number
            self._go_to_wanted()
        else:
            self._bins.list.go_to(target.number)
        self._go_to_pane("bins")

    def _go_to_wanted(self) -> None:
        """To the bin of the row that somebody wants to see, once there are bins."""
        row, bins = self.app.dataset.wanted_bin, self._facts.bins
        if row is None or bins is None:
            return
        self.app.dataset.wanted_bin = None
        number = bins.bin_of(row)
        if number is None:
            self.app.notify(f"row {row:,} is in no bin: it is left out", timeout=4, markup=False)
            return
        self._bins.close()
        self._bins.list.go_to(number)
        self._go_to_pane("bins")

    def action_attention(self) -> None:
        """The attention pattern of the bin, larger."""
        from .packing_choices import AttentionScreen

        found = self._bins.current
        if found is not None:
            self.app.push_screen(AttentionScreen(found, self.app.glyphs))

    def action_max_length(self) -> None:
        """Type the longest sequence."""
        from .data_changes import CHANGES

        desk = self._desk
        if desk is not None:
            CHANGES["max_length"](self.app, self._overview, lambda length: desk.cost("train", length))

    def action_leak_test(self) -> None:
        """Run the leak test, or end it."""
        self._leak.toggle()

    def action_reload(self) -> None:
        """Read recipe and data again."""
        self.app.dataset.reload()
