"""All rows of a corpus, encoded chunk by chunk on every core."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence

from sftui.data.chunk import Chunk, RowError
from sftui.data.corpus import Corpus
from sftui.data.reader import READER, DatasetSpec, Reader
from sftui.data.store import CHUNK_ROWS, Store, chunk_name, chunks_of, store_key
from sftui.data.tokenizer import ChatTokenizer
from sftui.data.views import Side
from sftui.data.workers import Job, Pool, TooMuchMemoryError, WorkerLostError, process_count
from sftui.errors import InputError

LOST = (WorkerLostError, TooMuchMemoryError)  # what a row does that ends its process, or nearly
LOST_ROW = InputError("reading or rendering this row takes too long or too much memory")

_PARTS = 8
_FEW_ROWS = 4 * CHUNK_ROWS  # encoded sooner than processes start


def chunk_seconds(rows: int) -> float:
    """How long a chunk may take before its process counts as stuck; a row has a tighter limit of its own."""
    return 45.0 + 0.5 * rows


def encoded_chunks(
    spec: DatasetSpec,
    side: Side,
    corpus: Corpus,
    tokenizer: ChatTokenizer,
    waiting: Callable[[], None] = lambda: None,
) -> Iterator[Chunk]:
    """The chunks of all rows, in order. A row that ends its process is an error of that row.

    `waiting` is called every so often while another process encodes the same rows.
    """
    key = store_key(corpus.identity, tokenizer, spec.data)
    parts = chunks_of(len(corpus))
    store = Store(key)
    with store.alone(waiting):
        known = sum(store.has(chunk_name(*part)) for part in parts)
        if process_count() == 1 or (len(parts) - known) * CHUNK_ROWS <= _FEW_ROWS:
            reader = Reader.opened(spec, side, corpus, tokenizer)
            for part in parts:
                yield _whole(reader.encoded(side, key, *part))
        else:
            yield from _by_processes(Job(READER, (spec,)), side, key, corpus, parts)
    store.prune()


def _by_processes(
    job: Job, side: Side, key: str, corpus: Corpus, parts: Sequence[tuple[int, int]]
) -> Iterator[Chunk]:
    with Pool[bytes](job, min(process_count(), len(parts))) as pool:
        calls = [("encoded", side, key, *part) for part in parts]
        done = pool.ordered(calls, timeout=chunk_seconds(CHUNK_ROWS))
        for part, future in zip(parts, done, strict=True):
            try:
                yield _whole(future.result())
            except LOST:
                yield from _one_by_one(pool, side, key, corpus, *part)


def _one_by_one(
    pool: Pool[bytes], side: Side, key: str, corpus: Corpus, begin: int, end: int
) -> Iterator[Chunk]:
    """The rows of a chunk that ended its process, taken apart until the row that does it stands alone."""
    if end - begin == 1:
        error = RowError.of(begin, LOST_ROW, corpus.where(begin), passing=True)
        yield Chunk(begin, 1, counts=array("I", [0]), errors=[error])
        return
    for part in taken_apart(begin, end):
        try:
            future = pool.submit("encoded", side, key, *part, timeout=chunk_seconds(part[1] - part[0]))
            yield _whole(future.result())
        except LOST:
            yield from _one_by_one(pool, side, key, corpus, *part)


def taken_apart(begin: int, end: int) -> list[tuple[int, int]]:
    """Rows `begin` to `end` in a few parts: few, so that a row that hangs is waited for a few times only."""
    step = -(-(end - begin) // _PARTS)
    return [(at, min(at + step, end)) for at in range(begin, end, step)]


def _whole(data: bytes) -> Chunk:
    chunk = Chunk.from_bytes(data)
    if chunk is None:
        raise InputError("encoded rows were damaged on their way; try again")
    return chunk
