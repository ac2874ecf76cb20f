"""What the desk answers about packing: worked out in threads, and kept while the analysis stays the same."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from sftui.data.newest import Newest
from sftui.data.packing.bins import Bins, bins_of
from sftui.data.packing.kept import Whole, gather, keep
from sftui.data.packing.plan import Batching, Plan, plan_of
from sftui.recipe import DataSection, Packing

if TYPE_CHECKING:
    from sftui.data.analysis import Analysis

T = TypeVar("T")

_GROWTH = 1.05  # of the chunks that are known, before they are gathered again
_PLANS = 64  # as many steps of a slider
_LAYOUTS = 2  # of a million sequences, each takes 70 MB


@dataclass(frozen=True, slots=True)
class Question:
    """A dataset as far as it is analysed (None: not at all yet), and the recipe that is asked about."""

    analysis: Analysis | None
    data: DataSection
    seed: int
    batching: Batching

    @property
    def cut(self) -> Hashable:
        """What decides, for one analysis, which tokens remain."""
        return self.data.max_length, self.data.overlength, self.data.truncation_side


class Answers:
    """Plans and bins of the training rows, each kind in a thread of its own.

    A later question cancels the future of an earlier one of the same kind that has not begun.
    """

    def __init__(self) -> None:
        self._planning: Newest[Plan] = Newest()
        self._laying_out: Newest[Bins | None] = Newest()
        self._plans: _Remembered[Plan] = _Remembered(_PLANS)
        self._bins: _Remembered[Bins] = _Remembered(_LAYOUTS)
        self._gathering = threading.Lock()
        self._gathered: tuple[Analysis, int, Whole] | None = None

    def plan(self, question: Question) -> Future[Plan]:
        """What each strategy makes of the rows that are known."""
        return self._planning.submit(lambda: self._plan(question))

    def bins(self, question: Question, strategy: Packing) -> Future[Bins | None]:
        """The bins; None before all rows are known."""
        return self._laying_out.submit(lambda: self._lay_out(question, strategy))

    def close(self) -> None:
        """Answer nothing any more."""
        self._planning.close()
        self._laying_out.close()

    def _plan(self, question: Question) -> Plan:
        analysis = question.analysis
        rows = analysis.tallies["train"].rows if analysis is not None else 0
        draws = analysis.draws if analysis is not None else None
        whole = self._known(analysis)
        return self._plans.of(
            whole,
            (question.cut, question.batching, draws is not None),
            lambda: plan_of(whole, rows, draws, question.data, question.batching),
        )

    def _lay_out(self, question: Question, strategy: Packing) -> Bins | None:
        analysis, data = question.analysis, question.data
        draws = analysis.draws if analysis is not None else None
        whole = self._known(analysis)
        if analysis is None or draws is None or whole.row_count < analysis.tallies["train"].rows:
            return None
        batch_size = question.batching.batch_size
        return self._bins.of(
            whole,
            (question.cut, question.seed, batch_size, strategy),
            lambda: bins_of(
                keep(whole, data, draws.train), strategy, data.max_length, question.seed, batch_size
            ),
        )

    def _known(self, analysis: Analysis | None) -> Whole:
        """The sequences of the rows that are known, or nearly all of them while they become more."""
        with self._gathering:
            if analysis is None:
                return gather(())
            tally = analysis.tallies["train"]
            chunks = list(tally.pieces.values())
            if self._gathered is not None and self._gathered[0] is analysis:
                _, count, whole = self._gathered
                complete = sum(chunk.rows for chunk in chunks) == tally.rows
                if len(chunks) < (count + 1 if complete else _GROWTH * count):
                    return whole
            whole = gather(chunks)
            self._gathered = analysis, len(chunks), whole
            return whole


class _Remembered(Generic[T]):
    """The last few results for the same sequences; for one thread."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._whole: Whole | None = None
        self._results: dict[Hashable, T] = {}

    def of(self, whole: Whole, key: Hashable, make: Callable[[], T]) -> T:
        """The result for `key`, made if it is not there."""
        if whole is not self._whole:
            self._whole = whole
            self._results.clear()
        if key in self._results:
            self._results[key] = self._results.pop(key)  # those asked for last are kept
            return self._results[key]
        result = self._results[key] = make()
        while len(self._results) > self._most:
            del self._results[next(iter(self._results))]
        return result
