"""Encoded rows in compact form: what worker processes hand over and what the cache keeps."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

from sftui.errors import InputError

_MAGIC = b"sftui-chunk-2\n"


@dataclass(frozen=True, slots=True)
class RowError:
    """A row that cannot be used. `row` is its number in the corpus.

    It may be usable another time if it is `passing`: it took too much time or memory.
    """

    row: int
    problem: str
    file: str | None
    line: int | None
    key: str | None
    hint: str | None
    passing: bool = False

    @classmethod
    def of(cls, row: int, error: InputError, where: str, *, passing: bool = False) -> RowError:
        """From the error that reading or rendering the row raised; `where` if that does not say."""
        file, line = (error.file, error.line) if error.file is not None else (where, None)
        return cls(row, error.problem, file, line, error.key, error.hint, passing)

    def error(self) -> InputError:
        """The error again."""
        return InputError(self.problem, file=self.file, line=self.line, key=self.key, hint=self.hint)


@dataclass(slots=True)
class Chunk:
    """The sequences of the rows `begin` to `begin + rows` of a corpus, whole: nothing is cut yet.

    `counts` has the number of sequences of each row (0 for a row in `errors`), `lengths` the tokens of
    each sequence, `ids` all tokens one after the other. `spans` holds, for `span_counts` many of each
    sequence, pairs of first and end: the trained tokens. `weights` has one number a span, or nothing
    where all are 1. `ended` tells of each sequence whether a special token ends each trained turn.
    """

    begin: int
    rows: int
    counts: array[int] = field(default_factory=lambda: array("I"))
    lengths: array[int] = field(default_factory=lambda: array("I"))
    ids: array[int] = field(default_factory=lambda: array("i"))
    span_counts: array[int] = field(default_factory=lambda: array("I"))
    spans: array[int] = field(default_factory=lambda: array("I"))
    weights: array[float] = field(default_factory=lambda: array("f"))
    ended: bytearray = field(default_factory=bytearray)
    errors: list[RowError] = field(default_factory=list)

    @property
    def lasting(self) -> bool:
        """Whether the rows would become the same another time."""
        return not any(error.passing for error in self.errors)

    def to_bytes(self) -> bytes:
        """The chunk for a file; `from_bytes` reads it on the same kind of machine."""
        parts = [getattr(self, name).tobytes() for name, _ in _ARRAYS] + [bytes(self.ended)]
        head = {
            "begin": self.begin,
            "rows": self.rows,
            "sizes": [len(part) for part in parts],
            "errors": [[e.row, e.problem, e.file, e.line, e.key, e.hint, e.passing] for e in self.errors],
        }
        return sealed(_MAGIC, b"".join([json.dumps(head).encode(), b"\n", *parts]))

    @classmethod
    def from_bytes(cls, data: bytes) -> Chunk | None:
        """The chunk in `data`; None if it is damaged or of another version."""
        content = unsealed(_MAGIC, data)
        if content is None:
            return None
        at = content.index(b"\n") + 1
        head: dict[str, Any] = json.loads(content[:at])
        chunk = cls(head["begin"], head["rows"], errors=[RowError(*each) for each in head["errors"]])
        for (name, code), size in zip(_ARRAYS, head["sizes"], strict=False):
            values: array[Any] = array(code)
            values.frombytes(content[at : at + size])
            setattr(chunk, name, values)
            at += size
        chunk.ended = bytearray(content[at:])
        return chunk

    def sequences(self) -> Iterator[EncodedSequence]:
        """Every sequence, in order."""
        sequence = at = span = 0
        for offset, count in enumerate(self.counts):
            for _ in range(count):
                length, spans = self.lengths[sequence], self.span_counts[sequence]
                bounds = self.spans[2 * span : 2 * (span + spans)]
                weights = self.weights[span : span + spans] if self.weights else None
                if weights is not None and all(weight == 1.0 for weight in weights):
                    weights = None
                pairs = ((bounds[0], bounds[1]),) if spans == 1 else tuple(_pairs(bounds))
                ids, ended = self.ids[at : at + length], bool(self.ended[sequence])
                yield EncodedSequence(self.begin + offset, ids, pairs, weights, ended)
                sequence, at, span = sequence + 1, at + length, span + spans


def _pairs(bounds: array[int]) -> Iterator[tuple[int, int]]:
    return zip(bounds[::2], bounds[1::2], strict=True)


def sealed(magic: bytes, content: bytes) -> bytes:
    """`content` for a file, so that damage is noticed: a crash may leave one of the right size, of zeros."""
    return b"".join([magic, crc32(content).to_bytes(4, "little"), content])


def unsealed(magic: bytes, data: bytes) -> bytes | None:
    """The content of what `sealed` made; None if it is damaged or of another kind."""
    at = len(magic) + 4
    content = data[at:]
    whole = data.startswith(magic) and data[len(magic) : at] == crc32(content).to_bytes(4, "little")
    return content if whole else None


_ARRAYS = (
    ("counts", "I"),
    ("lengths", "I"),
    ("ids", "i"),
    ("span_counts", "I"),
    ("spans", "I"),
    ("weights", "f"),
)


class EncodedSequence(NamedTuple):
    """One sequence: its row, token ids, trained token spans, their weights (None: all 1)."""

    row: int
    input_ids: array[int]
    spans: tuple[tuple[int, int], ...]
    weights: array[float] | None
    ended: bool
