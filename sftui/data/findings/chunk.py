"""What was found in a chunk of rows: made by a data process, kept in the cache, gathered by the analysis."""

from __future__ import annotations

import contextlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sftui.data.chunk import RowError, sealed, unsealed
from sftui.data.corpus import Corpus
from sftui.data.encode import Prepared
from sftui.data.findings.columns import ColumnSet
from sftui.data.findings.duplicates import NO_SKETCH, SKETCH_BYTES, duplicate_text, sketch
from sftui.data.findings.registry import BITS, CUT_CODES
from sftui.data.findings.rows import RowFacts, failure_finding, inspect_row
from sftui.data.history import rewritten_turns
from sftui.data.regions import Region, turn_regions
from sftui.data.tokenizer import ChatTokenizer
from sftui.data.views import RowFinding
from sftui.errors import InputError
from sftui.printable import printable
from sftui.recipe import DataSection

EXAMPLES = 5  # so many rows of a chunk are described, for each code
_DETAIL = 200  # characters
_MAGIC = b"sftui-findings-2\n"


@dataclass(slots=True)
class ChunkFindings:
    """The findings of the rows from `begin` on.

    `flags` has one number a row with the bit of each code set; `details` are (code, row, words) of the
    first rows with it; what max_length does is not among them. `formats` counts how rows were read,
    `columns` which sets of columns there are. `sketches` has SKETCH_BYTES a row, for finding duplicates.
    """

    begin: int
    flags: array[int] = field(default_factory=lambda: array("Q"))
    details: list[tuple[str, int, str]] = field(default_factory=list)
    formats: Counter[str] = field(default_factory=Counter)
    columns: list[ColumnSet] = field(default_factory=list)
    sketches: bytes = b""

    def to_bytes(self) -> bytes:
        """For a file; `from_bytes` reads it on the same kind of machine."""
        head = {
            "begin": self.begin,
            "rows": len(self.flags),
            "details": self.details,
            "formats": self.formats,
            "columns": [[each.source, each.names, each.count, list(each.rows)] for each in self.columns],
        }
        content = b"".join([json.dumps(head).encode(), b"\n", self.flags.tobytes(), self.sketches])
        return sealed(_MAGIC, content)

    @classmethod
    def from_bytes(cls, data: bytes) -> ChunkFindings | None:
        """What was written; None if it is damaged."""
        content = unsealed(_MAGIC, data)
        if content is None:
            return None
        line, _, rest = content.partition(b"\n")
        head: dict[str, Any] = json.loads(line)
        flags = array("Q")
        at = flags.itemsize * head["rows"]
        flags.frombytes(rest[:at])
        return cls(
            head["begin"],
            flags,
            [(code, row, words) for code, row, words in head["details"]],
            Counter(head["formats"]),
            [ColumnSet(source, tuple(names), count, rows) for source, names, count, rows in head["columns"]],
            rest[at:],
        )


class Inspector:
    """Looks at rows while they are encoded."""

    def __init__(
        self, corpus: Corpus, tokenizer: ChatTokenizer, data: DataSection, begin: int, rows: int
    ) -> None:
        self._corpus, self._tokenizer, self._data = corpus, tokenizer, data
        self._begin = begin
        self._found = ChunkFindings(begin, array("Q", bytes(8 * rows)))
        self._sketches = bytearray(NO_SKETCH * rows)
        self._columns: Counter[tuple[int, tuple[str, ...]]] = Counter()
        self._column_rows: dict[tuple[int, tuple[str, ...]], list[int]] = {}
        self._described: Counter[str] = Counter()

    def watch(self, prepared: Iterable[Prepared | RowError]) -> Iterator[Prepared | RowError]:
        """Pass on what comes by, having looked at it."""
        last = -1
        for each in prepared:
            if each.row != last:
                self._look_at_columns(each.row)
            if isinstance(each, RowError):
                self._note(each.row, failure_finding(each.error()))
            else:
                self._look_at(each, again=each.row == last)
            last = each.row
            yield each

    def result(self) -> ChunkFindings:
        """All that was found."""
        self._found.sketches = bytes(self._sketches)
        self._found.columns = [
            ColumnSet(source, names, count, self._column_rows[source, names])
            for (source, names), count in self._columns.items()
        ]
        return self._found

    def _look_at(self, each: Prepared, *, again: bool) -> None:
        conversation = each.conversation
        if not again:
            self._found.formats[conversation.format] += 1
            at = SKETCH_BYTES * (each.row - self._begin)
            # With a sequence for each turn, this is only the row up to its first one.
            whole = self._corpus[each.row] if self._data.sequence_per == "turn" else conversation
            self._sketches[at : at + SKETCH_BYTES] = sketch(duplicate_text(whole))
        regions: tuple[Region, ...] = ()
        rewritten: tuple[int, ...] = ()
        if conversation.text is None:
            template = self._tokenizer.templates.choose(conversation)
            regions = turn_regions(template, conversation, each.marked.text, each.marked.spans)
            # The row itself can be used: that it takes too long to look closer is no finding.
            with contextlib.suppress(InputError):
                rewritten = rewritten_turns(template, conversation, self._data.train_on)
        facts = RowFacts.of(
            conversation,
            each.marked,
            each.ids,
            each.offsets,
            each.trained,
            regions,
            rewritten,
            self._tokenizer,
            self._data,
        )
        for finding in inspect_row(facts):
            if finding.code not in CUT_CODES:
                self._note(each.row, finding)

    def _look_at_columns(self, row: int) -> None:
        try:
            kind = (self._corpus.source(row), tuple(self._corpus.row(row)))
        except InputError:
            return
        self._columns[kind] += 1
        rows = self._column_rows.setdefault(kind, [])
        if len(rows) < EXAMPLES:
            rows.append(row)

    def _note(self, row: int, finding: RowFinding) -> None:
        self._found.flags[row - self._begin] |= 1 << BITS[finding.code]
        if self._described[finding.code] < EXAMPLES:
            self._described[finding.code] += 1
            self._found.details.append((finding.code, row, printable(finding.detail[:_DETAIL])))
