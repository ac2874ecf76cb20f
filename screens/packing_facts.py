"""What the Packing screen knows: plans of some lengths and the bins of a strategy, asked of the desk."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from sftui.data.packing.bins import Bins
    from sftui.data.packing.plan import Plan
    from sftui.data.packing.summary import Summary
    from sftui.recipe import Packing

    from .desk import Desk

T = TypeVar("T")
# Of all rows that have become known since a length of the table was last asked for.
TABLE_SHARE = 0.25


class Facts:
    """One plan and one set of bins is asked for at a time; what is wanted by then is asked for next.

    `start` runs a coroutine, `changed` is called on the event loop when more is known.
    """

    def __init__(self, start: Callable[[Awaitable[None]], object], changed: Callable[[], None]) -> None:
        self.plans: dict[int, Plan] = {}
        self.bins: Bins | None = None
        self.problem: str | None = None
        self._cut_loss: tuple[Summary, int] | None = None
        self._start, self._changed = start, changed
        self._desk: Desk | None = None
        self._stamp = 0
        self._asked: dict[int, int] = {}
        self._lengths: tuple[int, ...] = ()
        self._table: tuple[int, ...] = ()
        self._strategy: Packing | None = None
        self._asked_bins: tuple[int, Packing] | None = None
        self._planning = self._binning = False

    def open(self, desk: Desk | None) -> None:
        """Another dataset: nothing is known of it."""
        self._desk = desk
        self.plans, self.bins, self.problem = {}, None, None
        self._cut_loss = None
        self.renew()

    def renew(self) -> None:
        """What is known may have changed: all of it is asked for again, shown meanwhile."""
        self._stamp += 1

    def forget_bins(self) -> None:
        """They are not those of the rows any more."""
        self.bins = None
        self.forget_cut_loss()

    def forget_cut_loss(self) -> None:
        """Other tokens may be trained."""
        self._cut_loss = None

    def cut_loss(self, plan: Plan | None) -> int | None:
        """Tokens that wrapped's cuts lose; None where its bins have not been looked at."""
        if plan is None or self._cut_loss is None:
            return None
        summary, lost = self._cut_loss
        wrapped = plan.of("wrapped")
        same = (summary.max_length, summary.sequences, summary.tokens)
        return lost if same == (wrapped.max_length, wrapped.sequences, wrapped.tokens) else None

    def want(self, lengths: tuple[int, ...], table: tuple[int, ...], strategy: Packing | None) -> None:
        """Plans of `lengths` first, then of `table`, and the bins of a strategy."""
        self._lengths, self._table, self._strategy = lengths, table, strategy
        if not self._planning and self._next_length() is not None:
            self._planning = True
            self._start(self._plan())
        if not self._binning and self._next_bins() is not None:
            self._binning = True
            self._start(self._bin())

    def _next_length(self) -> int | None:
        for length in self._lengths:
            if self._asked.get(length) != self._stamp:
                return length
        share = max((plan.share for plan in self.plans.values()), default=0.0)
        for length in self._table:
            known = self.plans.get(length)
            due = known is None or known.share + TABLE_SHARE < share or (share >= 1 > known.share)
            if self._asked.get(length) != self._stamp and (due or share >= 1):
                return length
        return None

    async def _plan(self) -> None:
        try:
            while (desk := self._desk) is not None and (length := self._next_length()) is not None:
                self._asked[length] = self._stamp
                plan = await self._answer(partial(desk.plan, length))
                if plan is not None and desk is self._desk:
                    self.plans[length] = plan
                    self._changed()
        finally:
            self._planning = False

    def _next_bins(self) -> tuple[int, Packing] | None:
        wanted = None if self._strategy is None else (self._stamp, self._strategy)
        return wanted if wanted != self._asked_bins else None

    async def _bin(self) -> None:
        try:
            while (desk := self._desk) is not None and (wanted := self._next_bins()) is not None:
                self._asked_bins = wanted
                bins = await self._answer(partial(desk.bins, wanted[1]))
                if bins is not None and bins.summary.strategy == "wrapped":
                    lost = await asyncio.to_thread(bins.lost_tokens)
                    self._cut_loss = (bins.summary, lost) if desk is self._desk else None
                if desk is self._desk:
                    self.bins = bins
                    self._changed()
        finally:
            self._binning = False

    async def _answer(self, ask: Callable[[], Future[T]]) -> T | None:
        """What comes of a question; None where it is cancelled or fails, which `problem` says."""
        try:
            answer = await asyncio.wrap_future(ask())
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
            return None
        except Exception as error:  # whatever became of it: the screen stays
            self.problem = str(error) or type(error).__name__
            self._changed()
            return None
        self.problem = None
        return answer
