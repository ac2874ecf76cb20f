"""A search through all rows of one side of a dataset, in the background."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError

from sftui.data.bulk import LOST
from sftui.data.overview import Overview
from sftui.data.query import Query
from sftui.data.reader import READER, DatasetSpec
from sftui.data.workers import Job, Pool, process_count
from sftui.errors import InputError

SEARCH_ROWS = 4096  # searched by one process at a time
SEARCH_SECONDS = 120.0  # that they may take; a regular expression has a tighter limit for each row


class Search:
    """Looks for the rows that `query` wants, among those that `overview` knows.

    `found` is called from a thread with the new matches (ascending), how many rows have been looked at,
    and whether that was the last call. `problem` says then what was left out, if anything was.
    """

    def __init__(
        self,
        spec: DatasetSpec,
        overview: Overview,
        query: Query,
        found: Callable[[list[int], int, bool], None],
    ) -> None:
        self.problem: str | None = None
        self._spec, self._overview, self._query, self._found = spec, overview, query, found
        self._lock = threading.Lock()
        self._cancelled = False
        self._pool: Pool[list[int]] | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    @property
    def alive(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def cancel(self) -> None:
        """End it, without waiting; `found` is not called again, but for a call that is under way."""
        with self._lock:
            self._cancelled, pool = True, self._pool
        if pool is not None:
            pool.kill()

    def _run(self) -> None:
        rows = self._overview.rows
        spans = [(at, min(at + SEARCH_ROWS, rows)) for at in range(0, rows, SEARCH_ROWS)]
        told = 0
        try:
            for _, end, matching in self._matching(spans):
                if self._cancelled:
                    return
                told = end
                self._found(self._by_counts(matching), end, end == rows)
        except (InputError, RuntimeError) as error:
            self.problem = str(error)
        except CancelledError:
            return
        finally:
            if self._pool is not None:
                self._pool.close()
        if not self._cancelled and (told < rows or not rows):
            self._found([], told, True)

    def _matching(self, spans: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int, Sequence[int]]]:
        """Each span and its rows whose text matches."""
        if not (self._query.needs_text or self._query.needs_roles):
            yield from ((begin, end, range(begin, end)) for begin, end in spans)
            return
        job = Job(READER, (self._spec, False))
        pool: Pool[list[int]] = Pool(job, min(process_count(), len(spans)), low_priority=True)
        with self._lock:
            if self._cancelled:
                return
            self._pool = pool
        calls = [("search", self._overview.side, self._query, *span) for span in spans]
        for (begin, end), future in zip(spans, pool.ordered(calls, timeout=SEARCH_SECONDS), strict=True):
            try:
                yield begin, end, future.result()
            except LOST:
                self.problem = f"rows {begin:,} to {end - 1:,} take too long to search"
                yield begin, end, ()

    def _by_counts(self, rows: Sequence[int]) -> list[int]:
        query, overview = self._query, self._overview
        if not query.needs_counts:
            return list(rows)
        known, lengths, trained, flags = overview.known, overview.lengths, overview.trained, overview.flags
        return [
            row
            for row in rows
            if row < len(known)
            and known[row]
            and query.matches_counts(lengths[row], trained[row], flags[row])
        ]
