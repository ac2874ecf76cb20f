"""A whole dataset looked at, chunk by chunk, on every core, with results as they come."""

from __future__ import annotations

import contextlib
import threading
from array import array
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_COMPLETED, CancelledError, Future, wait
from dataclasses import replace
from typing import Any

from sftui.data.bulk import LOST, LOST_ROW, chunk_seconds, taken_apart
from sftui.data.chunk import Chunk
from sftui.data.corpus import Corpus
from sftui.data.findings.chunk import ChunkFindings
from sftui.data.findings.duplicates import DuplicateReport
from sftui.data.findings.lengths import percentiles
from sftui.data.findings.registry import BITS
from sftui.data.findings.rows import failure_finding
from sftui.data.findings.summary import mark_duplicates, mark_lengths, summarise
from sftui.data.hold_out import held_out_count
from sftui.data.overview import OverlengthCost, Overview, State
from sftui.data.reader import READER, ChunkFacts, DatasetSpec
from sftui.data.store import chunks_of, store_key
from sftui.data.tally import Tally
from sftui.data.used import Draws, used_of
from sftui.data.views import Side, Used
from sftui.data.workers import Job, Pool, process_count
from sftui.errors import InputError
from sftui.recipe import DataSection

_DUPLICATE_SECONDS = 600.0

Part = tuple[Side, int, int]


class Analysis:
    """The analysis of some sides of a dataset; `run` does it, in whatever thread it is called.

    `rows` and `keys` give the number of rows of each side and its entry in the store. `changed` is called
    after each chunk. `wait` is `Reader`'s: how the rows were opened that the keys are of. May be cancelled
    from another thread.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        rows: Mapping[Side, int],
        keys: Mapping[Side, str],
        where: Callable[[Side, int], str],
        changed: Callable[[], None],
        *,
        wait: bool = True,
        low_priority: bool = False,
    ) -> None:
        self.spec = spec
        self.keys = keys
        self.tallies = {side: Tally(side, count) for side, count in rows.items()}
        self.state: State = "analysing"
        self.error: InputError | None = None
        self._where = where
        self._wheres: dict[tuple[Side, int], str] = {}
        self._duplicates: DuplicateReport | None = None
        self.draws: Draws | None = None  # known early: packing is told while rows are analysed
        self._used: dict[Side, Used] = {}
        self._held_out: Used | None = None
        self._changed = changed
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        job = Job(READER, (spec, wait))
        parts = sum(len(chunks_of(count)) for count in rows.values())
        self._pool: Pool[Any] = Pool(job, min(process_count(), parts), low_priority=low_priority)

    def cancel(self) -> None:
        """End it: its processes at once, and `run` soon."""
        self._cancelled.set()
        self._pool.kill()

    def run(self) -> None:
        """Analyse everything; what stops it is in `error` then."""
        try:
            if fraction := self.spec.data.eval_fraction:
                held_out_count(self.tallies["train"].rows, fraction)
            self._pool.submit("prune", "train", self.keys["train"])
            drawing = self._pool.submit("draws")
            drawing.add_done_callback(self._drawn)
            self._run_chunks()
            if not self._cancelled.is_set():
                self._find_duplicates()
                self.draws = drawing.result()
                with self._lock:
                    self._count_used()
                    self.state = "done"
        except InputError as error:
            if not self._cancelled.is_set():
                self.state, self.error = "failed", error
        except CancelledError:  # only ever because the pool has ended with us
            pass
        finally:
            self._pool.close()
        if not self._cancelled.is_set():
            self._changed()

    def recut(self, data: DataSection) -> None:
        """Follow another max_length or overlength; what was tokenised stays."""
        with self._lock:
            self.spec = replace(self.spec, data=data)
            for tally in self.tallies.values():
                tally.recut(data)
            if self.state == "done":
                self._count_used()

    def overview(self, side: Side, templates: tuple[str, ...] = ()) -> Overview:
        """What is known of a side by now; the training side has the findings of all."""
        with self._lock:
            tally, data = self.tallies[side], self.spec.data
            formats = sorted(tally.formats.items(), key=lambda each: (-each[1], each[0]))
            cost = tally.cost(data.max_length)
            sides = [
                tally,
                *(other for other in self.tallies.values() if other is not tally and side == "train"),
            ]
            facts = [
                each.facts(
                    data, cost if each is tally else each.cost(data.max_length), self._where_of(each.side)
                )
                for each in sides
            ]
            return Overview(
                side=side,
                state=self.state,
                problem=str(self.error) if self.error else None,
                rows=tally.rows,
                counted=True,
                analysed=tally.analysed,
                share=tally.analysed / tally.rows if tally.rows else 1.0,
                formats=tuple(formats),
                templates=templates,
                sequences=tally.sequences,
                tokens=tally.tokens,
                trained_tokens=tally.trained_tokens,
                lengths=tally.lengths,
                trained=tally.trained,
                flags=tally.flags,
                known=tally.known,
                findings=summarise(
                    facts,
                    self._duplicates,
                    self._where_of("train"),
                    drops_unusable=data.bad_rows == "drop",
                ),
                percentiles=percentiles(tally.length_counts),
                length_counts=dict(sorted(tally.length_counts.items())),
                cost=cost,
                used=self._used.get(side),
                held_out=self._held_out if side == "train" else None,
            )

    def cost(self, side: Side, max_length: int) -> OverlengthCost:
        """What each choice for longer sequences would lose."""
        return self.tallies[side].cost(max_length)

    def _drawn(self, drawing: Future[Draws]) -> None:
        if not drawing.cancelled() and drawing.exception() is None:
            self.draws = drawing.result()

    def _count_used(self) -> None:
        """What a run takes of each side."""
        assert self.draws is not None
        draws, data = self.draws, self.spec.data
        for side, tally in self.tallies.items():
            chunks = tally.pieces.values()
            if side == "train":
                self._used[side] = used_of(chunks, data, draws.train_rows, draws.train)
            else:
                self._used[side] = used_of(chunks, data, tally.rows, None)
        if draws.held_out is not None:
            chunks = self.tallies["train"].pieces.values()
            self._held_out = used_of(chunks, data, draws.held_out_rows, draws.held_out)

    def _where_of(self, side: Side) -> Callable[[int], str]:
        """Where a row of a side stands; asked for once only."""

        def where(row: int) -> str:
            if (side, row) not in self._wheres:
                self._wheres[side, row] = self._where(side, row)
            return self._wheres[side, row]

        return where

    def _run_chunks(self) -> None:
        parts: list[Part] = [
            (side, *part) for side, tally in self.tallies.items() for part in chunks_of(tally.rows)
        ]
        waiting = iter(parts)
        running: dict[Future[ChunkFacts], Part] = {}
        while not self._cancelled.is_set():
            for part in waiting:
                running[self._submit(part)] = part
                if len(running) >= 2 * self._pool.size:
                    break
            if not running:
                return
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                part = running.pop(future)
                if future.cancelled() or self._cancelled.is_set():
                    return
                try:
                    self._add(part[0], future.result())
                except LOST:
                    self._one_by_one(*part)
            self._changed()

    def _submit(self, part: Part) -> Future[ChunkFacts]:
        side, begin, end = part
        key = self.keys[side]
        return self._pool.submit("analysed", side, key, begin, end, timeout=chunk_seconds(end - begin))

    def _add(self, side: Side, facts: ChunkFacts) -> None:
        with self._lock:
            self.tallies[side].add(facts.chunk, facts.findings, self.spec.data)

    def _one_by_one(self, side: Side, begin: int, end: int) -> None:
        """The rows of a chunk that ended its process, taken apart until the row that does it stands alone."""
        if self._cancelled.is_set():
            return
        if end - begin == 1:
            self._add(side, _lost(begin))
            return
        for part in taken_apart(begin, end):
            try:
                self._add(side, self._submit((side, *part)).result())
            except LOST:
                self._one_by_one(side, *part)

    def _find_duplicates(self) -> None:
        """Rows that repeat others, held-out rows that are trained on, and rows of unusual length."""
        unkept = {side: tally.sketches for side, tally in self.tallies.items()}
        task = self._pool.submit("duplicates", self.keys, unkept, timeout=_DUPLICATE_SECONDS)
        with contextlib.suppress(*LOST):
            self._duplicates = task.result()
        with self._lock:
            flags = {side: tally.flags for side, tally in self.tallies.items()}
            if self._duplicates is not None:
                mark_duplicates(self._duplicates, flags["train"], flags.get("eval", flags["train"]))
            for tally in self.tallies.values():
                mark_lengths(tally.flags, tally.lengths)


def _lost(row: int) -> ChunkFacts:
    """The chunk of one row that cannot be had."""
    finding = failure_finding(LOST_ROW)
    found = ChunkFindings(row, array("Q", [1 << BITS[finding.code]]), [(finding.code, row, finding.detail)])
    return ChunkFacts(Chunk(row, 1, counts=array("I", [0])), found)


def analyse(spec: DatasetSpec, progress: Callable[[int, int], None] | None = None) -> dict[Side, Overview]:
    """The finished overviews of all sides of a dataset. Raises InputError if it cannot be opened or read.

    `progress` is called with rows done and rows in all.
    """
    corpora: dict[Side, Corpus] = {"train": Corpus(spec.data.train)}
    if spec.data.eval:
        corpora["eval"] = Corpus(spec.data.eval)
    tokenizer = spec.tokenizer()
    rows = {side: len(corpus) for side, corpus in corpora.items()}
    keys = {side: store_key(corpus.identity, tokenizer, spec.data) for side, corpus in corpora.items()}

    def changed() -> None:
        if progress is not None:
            progress(sum(tally.analysed for tally in analysis.tallies.values()), sum(rows.values()))

    analysis = Analysis(spec, rows, keys, lambda side, row: corpora[side].where(row), changed)
    analysis.run()
    if analysis.error is not None:
        raise analysis.error
    return {side: analysis.overview(side) for side in corpora}
