"""One side of a dataset while it is analysed: what the chunks that have come in add up to."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from sftui.data.chunk import Chunk
from sftui.data.cut import kept_range, kept_spans, longest, overlength_cost, sum_of
from sftui.data.findings.chunk import ChunkFindings
from sftui.data.findings.columns import ColumnSet
from sftui.data.findings.registry import BITS, CUT_CODES, flags_of
from sftui.data.findings.summary import SideFacts
from sftui.data.overview import OverlengthCost
from sftui.data.views import Side
from sftui.recipe import DataSection

_DETAILS = 5  # rows that are described, of each code
_COLUMN_ROWS = 20
_COLUMN_SETS = 1000  # beyond them, rows with yet other columns are counted together
_OTHER_COLUMNS = ("..",)
_CUT_BITS = flags_of(CUT_CODES)


@dataclass(slots=True)
class Tally:
    """The arrays have one entry a row and are filled in any order; `known` has a 1 for each row that is.

    `details` are (row, words) of the first rows with a code, `pieces` the chunks by their first row.
    `length_counts` has how many sequences have each length; `sketches` those that the store does not have, by
    their first row.
    """

    side: Side
    rows: int
    lengths: array[int] = field(init=False)
    trained: array[int] = field(init=False)
    flags: array[int] = field(init=False)
    known: bytearray = field(init=False)
    analysed: int = 0
    sequences: int = 0
    tokens: int = 0
    trained_tokens: int = 0
    details: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    formats: Counter[str] = field(default_factory=Counter)
    columns: dict[tuple[int, tuple[str, ...]], ColumnSet] = field(default_factory=dict)
    pieces: dict[int, Chunk] = field(default_factory=dict)
    length_counts: Counter[int] = field(default_factory=Counter)
    sketches: dict[int, bytes] = field(default_factory=dict)
    _cut_pieces: set[int] = field(default_factory=set)
    _cost: OverlengthCost | None = None  # under the max_length of the last cut

    def __post_init__(self) -> None:
        self.lengths = array("I", bytes(4 * self.rows))
        self.trained = array("I", bytes(4 * self.rows))
        self.flags = array("Q", bytes(8 * self.rows))
        self.known = bytearray(self.rows)

    def add(self, chunk: Chunk, found: ChunkFindings, data: DataSection) -> None:
        """Count a chunk in."""
        begin, end = chunk.begin, chunk.begin + chunk.rows
        trained = list(_trained(chunk))
        self.lengths[begin:end] = longest(chunk.lengths, chunk.counts)
        self.trained[begin:end] = array("I", _by_row(trained, chunk.counts))
        self.flags[begin:end] = found.flags
        self.known[begin:end] = b"\1" * chunk.rows
        self.analysed += chunk.rows
        self.sequences += len(chunk.lengths)
        self.tokens += sum(chunk.lengths)
        self.trained_tokens += sum(trained)
        self.length_counts.update(chunk.lengths)
        self.formats += found.formats
        for each in found.columns:
            kind = (each.source, each.names)
            if kind not in self.columns and len(self.columns) >= _COLUMN_SETS:
                kind = (each.source, _OTHER_COLUMNS)
            known = self.columns.get(kind, ColumnSet(*kind, 0, ()))
            rows = sorted({*known.rows, *each.rows})[:_COLUMN_ROWS]
            self.columns[kind] = ColumnSet(*kind, known.count + each.count, rows)
        for code, row, words in found.details:
            self._describe(code, row, words)
        if found.sketches:
            self.sketches[begin] = found.sketches
        self.pieces[begin] = chunk
        self._cut(chunk, data)

    def recut(self, data: DataSection) -> None:
        """Find out again what max_length does, under another choice."""
        self._cost = None
        for code in CUT_CODES:
            self.details.pop(code, None)
        for begin in self._cut_pieces:
            for row in range(begin, begin + self.pieces[begin].rows):
                self.flags[row] &= ~_CUT_BITS
        self._cut_pieces.clear()
        for chunk in self.pieces.values():
            self._cut(chunk, data)

    def cost(self, max_length: int) -> OverlengthCost:
        """What each choice for longer sequences would lose."""
        if self._cost is not None and self._cost.max_length == max_length:
            return self._cost
        pieces = list(self.pieces.values())
        return overlength_cost(max_length, ((c.lengths, c.span_counts, c.spans) for c in pieces))

    def facts(self, data: DataSection, cost: OverlengthCost, where: Callable[[int], str]) -> SideFacts:
        """What the summary is made of."""
        lost = cost.drop
        if data.overlength == "truncate":
            lost = cost.truncate_right if data.truncation_side == "right" else cost.truncate_left
        return SideFacts(
            side=self.side,
            flags=self.flags,
            lengths=self.lengths,
            analysed=self.analysed,
            complete=self.analysed == self.rows,
            details=self.details,
            where=where,
            tokens=self.tokens - lost.tokens,
            trained_tokens=self.trained_tokens - lost.trained_tokens,
            all_trained=data.train_on == "everything" or set(self.formats) == {"text"},
            columns=tuple(self.columns.values()),
        )

    def _describe(self, code: str, row: int, words: str) -> None:
        kept = self.details.setdefault(code, [])
        if any(row == known for known, _ in kept):
            return
        if len(kept) < _DETAILS or row < kept[-1][0]:
            kept.append((row, words))
            kept.sort()
            del kept[_DETAILS:]

    def _cut(self, chunk: Chunk, data: DataSection) -> None:
        """Mark the rows of a chunk that max_length drops, cuts, or cuts to nothing, and count the cost."""
        cost = overlength_cost(data.max_length, [(chunk.lengths, chunk.span_counts, chunk.spans)])
        self._cost = cost if self._cost is None else sum_of(self._cost, cost)
        if not chunk.lengths or max(chunk.lengths) <= data.max_length:
            return
        self._cut_pieces.add(chunk.begin)
        for row, length, spans in _sequences(chunk):
            if length <= data.max_length:
                continue
            first, end = kept_range(length, data)
            remaining = kept_spans(spans, first, end)
            trained = sum(stop - begin for begin, stop in spans)
            lost = trained - sum(stop - begin for begin, stop in remaining)
            words = f"{length:,} tokens"
            if data.overlength == "drop":
                code = "dropped-overlength"
            elif data.overlength == "error":
                code = "overlength-refused"
            elif spans and not remaining:
                code, words = "truncated-to-nothing", f"{words}, all {trained:,} trained ones are cut"
            else:
                code, words = "truncated", f"{words}, {lost:,} of {trained:,} trained ones are cut"
            self.flags[row] |= 1 << BITS[code]
            self._describe(code, row, words)


def _sequences(chunk: Chunk) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """(row, tokens, trained spans) of each sequence."""
    sequence = span = 0
    for offset, count in enumerate(chunk.counts):
        for _ in range(count):
            spans = chunk.span_counts[sequence]
            own = chunk.spans[2 * span : 2 * (span + spans)]
            yield chunk.begin + offset, chunk.lengths[sequence], list(zip(own[::2], own[1::2], strict=True))
            sequence, span = sequence + 1, span + spans


def _trained(chunk: Chunk) -> Iterator[int]:
    """Trained tokens of each sequence."""
    at = 0
    for count in chunk.span_counts:
        own = chunk.spans[2 * at : 2 * (at + count)]
        yield sum(own[1::2]) - sum(own[::2])
        at += count


def _by_row(values: list[int], counts: Iterable[int]) -> Iterator[int]:
    at = 0
    for count in counts:
        yield sum(values[at : at + count])
        at += count
