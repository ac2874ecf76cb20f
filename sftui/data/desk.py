"""The open dataset of the workbench: asked from the event loop, answered by data processes.

Nothing here blocks the caller. Reading, rendering and tokenising happen in child processes, so that a
large file, a slow template or a hostile row cannot hold up a key.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import CancelledError, Future
from dataclasses import replace
from typing import Any

from sftui.data.analysis import Analysis
from sftui.data.overview import OverlengthCost, Overview
from sftui.data.packing.answers import Answers, Question
from sftui.data.packing.bins import Bins
from sftui.data.packing.plan import Batching, Plan
from sftui.data.query import Query
from sftui.data.reader import READER, DatasetSpec, Status
from sftui.data.search import Search
from sftui.data.views import RowLine, RowView, Side
from sftui.data.workers import Job, Pool, WorkerLostError
from sftui.errors import InputError
from sftui.recipe import Packing, Recipe

LOOK_SECONDS = 30.0  # that showing a row may take before its process is given up
STATUS_SECONDS = 0.1  # between two looks at how far a file is indexed
TOLD_SECONDS = 0.1  # between two words to the screen
_SNAPSHOT_SHARE = 0.1  # of the time goes at most into snapshots of the analysis
_LOST = "the process that reads the data has ended, or takes too long"
_CUTS = {"max_length", "overlength", "truncation_side", "bad_rows"}  # what is tokenised stays
_PACKING = {"packing", "repack_each_epoch"}  # what is found in rows stays too

SHOWN_TOKENS = 100_000  # of a row, on the screen


class Desk:
    """One recipe's dataset. `changed` is called from a thread when an overview has new facts.

    Each opening of the files is a generation of its own: what an earlier one has still under way is
    thrown away when it arrives.
    """

    def __init__(self, recipe: Recipe, changed: Callable[[], None]) -> None:
        self._spec = DatasetSpec.of(recipe)
        self._batching = Batching.of(recipe.training)
        self._packing = Answers()
        self._changed = changed
        self._lock = threading.Lock()  # of spec, batching, generation, analysis, overviews
        self._closed = threading.Event()
        self._generation = 0
        self._analysis: Analysis | None = None
        self._overviews: dict[Side, Overview] = {side: Overview(side) for side in self.sides}
        self._templates: tuple[str, ...] = ()
        self._opened = False  # files and tokenizer, so that showing a row waits for no download
        self._telling = threading.Lock()
        self._quiet_until = 0.0
        self._searches: list[Search] = []
        self._looker: Pool[Any] = Pool(Job(READER, (self._spec, False)), 1)

    @property
    def sides(self) -> tuple[Side, ...]:
        """Training rows, and held-out ones where they have files of their own."""
        return _sides(self._spec)

    def start(self) -> None:
        """Open the files and begin to analyse them, in the background."""
        self._restart(self._spec)

    def close(self) -> None:
        """End all processes."""
        with self._lock:
            self._closed.set()
            self._generation += 1
            analysis, searches = self._analysis, self._searches
        for search in searches:
            search.cancel()
        if analysis is not None:
            analysis.cancel()
        self._packing.close()
        self._looker.kill()

    def overview(self, side: Side) -> Overview:
        """What is known of a side by now; its arrays go on being filled."""
        return self._overviews.get(side) or Overview(side)

    def lines(self, side: Side, begin: int, end: int) -> Future[list[RowLine]]:
        """The first words of some rows. Fails with an InputError."""
        return self._looker.submit("lines", side, begin, end, timeout=self._patience, lost=_LOST)

    def view(self, side: Side, row: int, sequence: int = 0) -> Future[RowView]:
        """One row, token by token. Fails with an InputError."""
        lost = "showing this row takes too long, or ends the process that does"
        return self._looker.submit(
            "view", side, row, sequence, SHOWN_TOKENS, timeout=self._patience, urgent=True, lost=lost
        )

    def cost(self, side: Side, max_length: int) -> OverlengthCost | None:
        """What each choice for longer sequences would lose; None before anything is known. For a thread."""
        analysis = self._analysis
        if analysis is None or side not in analysis.tallies:
            return None
        return analysis.cost(side, max_length)

    def plan(self, max_length: int | None = None) -> Future[Plan]:
        """What each packing strategy makes of the training rows known by now; None: the recipe's max_length.

        A later call cancels the future of an earlier one that has not begun. As long as nothing is known,
        the plan is that of no rows.
        """
        return self._packing.plan(self._question(max_length))

    def bins(self, strategy: Packing | None = None) -> Future[Bins | None]:
        """The bins that a run would train on; the result is None until all rows are analysed.

        Without `strategy`, the recipe's. A later call cancels the future of an earlier one that has not
        begun.
        """
        question = self._question(None)
        return self._packing.bins(question, strategy or question.data.packing)

    def _question(self, max_length: int | None) -> Question:
        with self._lock:
            data, seed = self._spec.data, self._spec.seed
            question = Question(self._analysis, data, seed, self._batching)
        if max_length is None:
            return question
        return replace(question, data=data.model_copy(update={"max_length": max_length}))

    def find(self, side: Side, query: Query, found: Callable[[list[int], int, bool], None]) -> Search:
        """Look for rows, in the background; see `Search`."""
        search = Search(self._spec, self.overview(side), query, found)
        with self._lock:
            self._searches = [each for each in self._searches if each.alive] + [search]
            if not self._closed.is_set():
                search.start()
        return search

    def change(self, recipe: Recipe) -> None:
        """Go on with another recipe: views follow at once; what was tokenised and still holds is kept."""
        new = DatasetSpec.of(recipe, self._spec.now)
        with self._lock:
            old, analysis = self._spec, self._analysis
            self._batching = Batching.of(recipe.training)
            if new == old or self._closed.is_set():
                return
            self._spec = new
        self._looker.job = Job(READER, (new, False))
        self._looker.submit("change", new, urgent=True)
        if analysis is None or analysis.state == "failed" or _tokens(old) != _tokens(new):
            self._restart(old)
        elif old.data.model_dump(exclude=_PACKING) != new.data.model_dump(exclude=_PACKING):
            threading.Thread(target=self._recut, args=(analysis,), daemon=True).start()

    @property
    def _patience(self) -> float | None:
        return LOOK_SECONDS if self._opened else None

    def _recut(self, analysis: Analysis) -> None:
        with self._telling:  # one after the other, each to what is wanted by then
            with self._lock:
                data = self._spec.data
                if analysis is not self._analysis:
                    return
            analysis.recut(data)
        self._tell(analysis, at_once=True)

    def _restart(self, old: DatasetSpec) -> None:
        """Begin a new generation; of rows that are the same, what was known under `old` stays for now."""
        with self._lock:
            self._generation += 1
            generation, spec, previous = self._generation, self._spec, self._analysis
            self._analysis, self._opened = None, False
            self._overviews = {
                side: replace(self.overview(side), state="opening", problem=None, share=0.0, findings=())
                if getattr(old.data, side) == getattr(spec.data, side)
                else Overview(side)
                for side in _sides(spec)
            }
        threading.Thread(target=self._work, args=(generation, spec, previous), daemon=True).start()

    def _work(self, generation: int, spec: DatasetSpec, previous: Analysis | None) -> None:
        """Open, index, analyse; ends early when another generation has begun."""
        if previous is not None:
            previous.cancel()
        try:
            rows = self._open(generation, spec)
            analysis = self._begin(generation, spec, rows) if rows else None
            if analysis is not None:
                analysis.run()
                self._tell(analysis, at_once=True)
        except InputError as error:
            self._fail(generation, str(error))
        except WorkerLostError:
            self._fail(generation, _LOST)
        except RuntimeError as error:
            self._fail(generation, f"reading the data has failed: {str(error).strip().splitlines()[-1]}")
        except CancelledError:
            return

    def _open(self, generation: int, spec: DatasetSpec) -> dict[Side, int]:
        """The number of rows of each side when its files are indexed; none if that is no longer wanted."""
        while True:
            # How long that takes is the network's business, or the disk's.
            found: dict[Side, Status] = {
                side: self._looker.submit("status", side).result() for side in _sides(spec)
            }
            told = {
                side: replace(
                    self.overview(side),
                    state="indexing",
                    rows=status.rows,
                    counted=status.complete,
                    share=status.share,
                )
                for side, status in found.items()
            }
            if not self._put(generation, told):
                return {}
            self._changed()
            if all(status.complete for status in found.values()):
                return {side: status.rows for side, status in found.items()}
            if self._closed.wait(STATUS_SECONDS):
                return {}

    def _begin(self, generation: int, spec: DatasetSpec, rows: Mapping[Side, int]) -> Analysis | None:
        templates = self._looker.submit("templates").result()
        keys: dict[Side, str] = {side: self._looker.submit("key", side).result() for side in rows}
        with self._lock:
            # The keys are of this generation's recipe: with another's, the store would be spoilt.
            if generation != self._generation:
                return None
            analysis = Analysis(
                spec, rows, keys, self._where, lambda: self._tell(analysis), wait=False, low_priority=True
            )
            self._analysis, self._templates, self._opened = analysis, templates, True
        self._tell(analysis, at_once=True)
        return analysis

    def _where(self, side: Side, row: int) -> str:
        try:
            where: str = self._looker.submit("where", side, row, timeout=LOOK_SECONDS).result()
        except (InputError, WorkerLostError, CancelledError, RuntimeError):
            return f"row {row:,}"
        return where

    def _tell(self, analysis: Analysis, *, at_once: bool = False) -> None:
        """Take a snapshot of the analysis, not too often."""
        with self._telling:
            began = time.monotonic()
            if analysis is not self._analysis or (not at_once and began < self._quiet_until):
                return
            found = {side: analysis.overview(side, self._templates) for side in analysis.tallies}
            now = time.monotonic()
            self._quiet_until = now + max(TOLD_SECONDS, (now - began) / _SNAPSHOT_SHARE)
            with self._lock:
                if analysis is not self._analysis:
                    return
                self._overviews = found
        self._changed()

    def _fail(self, generation: int, problem: str) -> None:
        failed = {
            side: replace(overview, state="failed", problem=problem)
            for side, overview in self._overviews.items()
        }
        if self._put(generation, failed):
            self._changed()

    def _put(self, generation: int, found: Mapping[Side, Overview]) -> bool:
        """Show these overviews, if they are of the present generation."""
        with self._lock:
            if generation != self._generation:
                return False
            self._overviews = dict(found)
            return True


def _sides(spec: DatasetSpec) -> tuple[Side, ...]:
    return ("train", "eval") if spec.data.eval else ("train",)


def _tokens(spec: DatasetSpec) -> tuple[Any, ...]:
    """What the tokens and findings of a dataset follow from, and which rows are drawn: all but the cuts."""
    data = spec.data
    chance = data.eval_fraction or any(source.weight % 1 for source in data.train)
    kept = data.model_dump(exclude=_CUTS | _PACKING)
    return spec.name_or_path, spec.revision, spec.now, spec.seed if chance else None, kept
