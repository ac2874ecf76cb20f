"""The open dataset of a data process: what it reads, renders and tokenises on request."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sftui.data.bounds import OutOfTime, bounded
from sftui.data.chunk import Chunk
from sftui.data.corpus import Corpus
from sftui.data.encode import Patience, encode_chunk, prepare
from sftui.data.findings.chunk import ChunkFindings, Inspector
from sftui.data.findings.duplicates import NO_SKETCH, SKETCH_BYTES, DuplicateReport, duplicate_groups
from sftui.data.hold_out import hold_out
from sftui.data.messages import messages_of
from sftui.data.query import Query
from sftui.data.store import CHUNK_ROWS, Store, chunk_name, chunks_of, of_same_data, store_key
from sftui.data.template_files import available_names
from sftui.data.tokenizer import ChatTokenizer, load_tokenizer
from sftui.data.used import Draws, draws_of
from sftui.data.views import RowLine, RowView, Side
from sftui.errors import InputError
from sftui.printable import printable
from sftui.recipe import DataSection, Recipe

READER = "sftui.data.reader:Reader"  # what a data process hosts
_WORDS = 160  # characters of a row that a list shows
_ON_SECONDS = 0.2  # read on at a time towards a row that is asked for
_MATCH_SECONDS = 0.5  # that a regular expression may take on one row
_SLOW_MATCHES = 4  # of rows searched together, before the expression is given up


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """Everything that a dataset's tokens follow from. `now` is the date that templates may print."""

    data: DataSection
    name_or_path: str
    revision: str | None
    now: datetime
    seed: int  # of what is held out by eval_fraction

    @classmethod
    def of(cls, recipe: Recipe, now: datetime | None = None) -> DatasetSpec:
        """The dataset of a recipe as it is now; the date is today's unless it is given."""
        model, data = recipe.model, recipe.data.model_copy(deep=True)
        moment = now or datetime.now()
        return cls(data, model.name_or_path, model.revision, moment, recipe.training.seed)

    def tokenizer(self) -> ChatTokenizer:
        """The tokenizer with the chat template that the recipe chooses. Raises InputError."""
        return load_tokenizer(
            self.name_or_path, self.revision, now=self.now, chat_template=self.data.chat_template
        )


@dataclass(frozen=True, slots=True)
class Status:
    """How far one side has been opened."""

    rows: int
    complete: bool
    share: float


@dataclass(slots=True)
class ChunkFacts:
    """What the analysis keeps of one chunk. `span_counts` and `spans` tell what a cut would lose."""

    chunk: Chunk  # without its ids and errors
    findings: ChunkFindings  # with sketches only if the store does not have them


class Reader:
    """One dataset, opened when it is first asked for; `wait` opens it whole at once (see `Corpus`).

    Every method may raise InputError.
    """

    def __init__(self, spec: DatasetSpec, wait: bool = True) -> None:
        self._spec = spec
        self._wait = wait
        self._corpora: dict[Side, Corpus] = {}
        self._tokenizers: dict[str | None, ChatTokenizer] = {}
        self._stores: dict[str, Store] = {}
        self._patience = Patience()
        self._unread: dict[Side, InputError] = {}

    @classmethod
    def opened(cls, spec: DatasetSpec, side: Side, corpus: Corpus, tokenizer: ChatTokenizer) -> Reader:
        """A reader of what this process has open already."""
        reader = cls(spec)
        reader._corpora[side] = corpus
        reader._tokenizers[spec.data.chat_template] = tokenizer
        return reader

    def change(self, spec: DatasetSpec) -> None:
        """Go on with another recipe; files stay open unless they are others."""
        for side in ("train", "eval"):
            if getattr(spec.data, side) != getattr(self._spec.data, side):
                self._corpora.pop(side, None)
                self._unread.pop(side, None)
        if (spec.name_or_path, spec.revision, spec.now) != (
            self._spec.name_or_path,
            self._spec.revision,
            self._spec.now,
        ):
            self._tokenizers.clear()
        self._patience = Patience()
        self._spec = spec

    def idle(self, seconds: float) -> bool:
        """Go on reading files that are not read to their end; False if none is left."""
        for side, corpus in self._corpora.items():
            if not corpus.complete and side not in self._unread:
                try:
                    corpus.read_on(seconds)
                except InputError as error:
                    self._unread[side] = error
                return True
        return False

    def corpus(self, side: Side) -> Corpus:
        """The rows of one side."""
        if side not in self._corpora:
            sources = self._spec.data.train if side == "train" else self._spec.data.eval
            self._corpora[side] = Corpus(sources, wait=self._wait)
        return self._corpora[side]

    def tokenizer(self) -> ChatTokenizer:
        """The tokenizer, with the chat template of the recipe."""
        name = self._spec.data.chat_template
        if name not in self._tokenizers:
            self._tokenizers[name] = self._spec.tokenizer()
        return self._tokenizers[name]

    def status(self, side: Side) -> Status:
        """How much of the side is open."""
        corpus = self.corpus(side)
        if side in self._unread:
            raise self._unread[side]
        return Status(len(corpus), corpus.complete, corpus.share)

    def count(self, side: Side, row: int) -> int:
        """How many rows are known when `row` is, or, if there is no such row, when all are."""
        return len(self._reached(side, row))

    def draws(self) -> Draws:
        """How often each row of data.train is used."""
        return draws_of(self._reached("train", sys.maxsize), self._spec.data, self._spec.seed)

    def where(self, side: Side, row: int) -> str:
        """Where a row stands, for people."""
        return self._reached(side, row).where(row)

    def templates(self) -> tuple[str, ...]:
        """The names that `data.chat_template` can choose from."""
        return available_names(self.tokenizer().templates)

    def key(self, side: Side) -> str:
        """The name of the side's entry in the store."""
        return store_key(self.corpus(side).identity, self.tokenizer(), self._spec.data)

    def lines(self, side: Side, begin: int, end: int) -> list[RowLine]:
        """The first words of some rows."""
        corpus = self._reached(side, begin)
        return [_line(corpus, row) for row in range(begin, min(end, len(corpus)))]

    def view(self, side: Side, row: int, sequence: int = 0, limit: int | None = None) -> RowView:
        """One row, token by token, with its first `limit` tokens."""
        from sftui.data.preview import row_view

        corpus = self._reached(side, row)
        if not 0 <= row < len(corpus):
            raise InputError(f"there is no row {row:,}: expected 0 to {len(corpus) - 1:,}")
        return row_view(corpus, row, self.tokenizer(), self._spec.data, sequence, limit)

    def search(self, side: Side, query: Query, begin: int, end: int) -> list[int]:
        """The rows whose text the query wants; a row whose text takes too long to tell is not one."""
        corpus = self._reached(side, end - 1)
        found, slow = [], 0
        for row in range(begin, min(end, len(corpus))):
            try:
                conversation = corpus[row]
            except InputError:
                text, roles = corpus.raw(row), set[str]()
            else:
                text = "\n".join(words for _, words in messages_of(conversation))
                roles = {str(message["role"]) for message in conversation.messages}
            try:
                with bounded(_MATCH_SECONDS):
                    if query.matches_text(text, roles):
                        found.append(row)
            except OutOfTime as error:
                slow += 1
                if slow > _SLOW_MATCHES:
                    raise InputError("the regular expression takes too long on these rows") from error
        return found

    def encoded(self, side: Side, key: str, begin: int, end: int) -> bytes:
        """The sequences of some rows as `Chunk.to_bytes`, from the store or made now and kept there."""
        store = self._store(side, key)
        name = chunk_name(begin, end)
        known = store.read(name)
        if known is not None and Chunk.from_bytes(known) is not None:
            return known
        chunk = self._encode(side, begin, end, None)
        data = chunk.to_bytes()
        if chunk.lasting and self._is_whole(side, begin, end):
            store.write(name, data)
        return data

    def analysed(self, side: Side, key: str, begin: int, end: int) -> ChunkFacts:
        """Lengths, trained tokens and findings of some rows; what is tokenised for it is kept."""
        store = self._store(side, key)
        tokens = chunk_name(begin, end)
        known, known_findings = store.read(tokens), store.read(_findings_name(begin, end))
        chunk = Chunk.from_bytes(known) if known is not None else None
        findings = ChunkFindings.from_bytes(known_findings) if known_findings is not None else None
        kept = True
        if chunk is None or findings is None:
            corpus, data = self._reached(side, end - 1), self._spec.data
            inspector = Inspector(corpus, self.tokenizer(), data, begin, end - begin)
            chunk = self._encode(side, begin, end, inspector)
            findings = inspector.result()
            kept = (
                chunk.lasting
                and self._is_whole(side, begin, end)
                and store.write(tokens, chunk.to_bytes())
                and store.write(_findings_name(begin, end), findings.to_bytes())
            )
        if kept:
            findings.sketches = b""
        chunk.ids, chunk.errors = chunk.ids[:0], []
        return ChunkFacts(chunk, findings)

    def duplicates(
        self, keys: Mapping[Side, str], unkept: Mapping[Side, Mapping[int, bytes]]
    ) -> DuplicateReport:
        """Training rows that repeat others, and held-out rows that repeat training rows.

        `keys` are the entries of the sides in the store, `unkept` sketches that are not there, by side and
        first row.
        """
        data = self._spec.data
        train = self._sketches("train", keys["train"], unkept.get("train", {}))
        if "eval" in keys:
            held_out = self._sketches("eval", keys["eval"], unkept.get("eval", {}))
            return duplicate_groups(train + held_out, len(train) // SKETCH_BYTES)
        rows = len(train) // SKETCH_BYTES
        if not data.eval_fraction:
            return duplicate_groups(train, rows)
        parts = hold_out(rows, data.eval_fraction, self._spec.seed)
        places = (SKETCH_BYTES * row for part in parts for row in part)
        ordered = b"".join(train[at : at + SKETCH_BYTES] for at in places)
        return duplicate_groups(ordered, len(parts[0])).mapped(*parts)

    def prune(self, side: Side, key: str) -> None:
        """Keep the store within its limit."""
        self._store(side, key).prune()

    def _sketches(self, side: Side, key: str, unkept: Mapping[int, bytes]) -> bytes:
        """Of all rows; of those that nothing is known of, NO_SKETCH."""
        store, rows = self._store(side, key), len(self._reached(side, sys.maxsize))
        result = bytearray(NO_SKETCH * rows)
        for begin, end in chunks_of(rows):
            known = store.read(_findings_name(begin, end))
            found = ChunkFindings.from_bytes(known) if known is not None else None
            if found is not None:
                result[SKETCH_BYTES * begin : SKETCH_BYTES * end] = found.sketches
        for begin, sketches in unkept.items():
            at = SKETCH_BYTES * begin
            result[at : at + len(sketches)] = sketches
        return bytes(result)

    def _encode(self, side: Side, begin: int, end: int, inspector: Inspector | None) -> Chunk:
        tokenizer, data = self.tokenizer(), self._spec.data
        prepared = prepare(
            self._reached(side, end - 1),
            range(begin, end),
            tokenizer,
            data.train_on,
            data.sequence_per,
            self._patience,
        )
        if inspector is not None:
            prepared = inspector.watch(prepared)
        return encode_chunk(prepared, begin, end - begin, tokenizer.special_strings)

    def _reached(self, side: Side, row: int) -> Corpus:
        """The rows of one side, read on until `row` is known or all are."""
        corpus = self.corpus(side)
        while row >= len(corpus) and not corpus.complete:
            corpus.read_on(_ON_SECONDS)
        return corpus

    def _is_whole(self, side: Side, begin: int, end: int) -> bool:
        """Whether these rows are a chunk, not a part of one that was taken apart."""
        return begin % CHUNK_ROWS == 0 and (
            end - begin == CHUNK_ROWS or end == len(self._reached(side, sys.maxsize))
        )

    def _store(self, side: Side, key: str) -> Store:
        """The entry `key`. Raises InputError if the dataset has become another, with other tokens."""
        if key not in self._stores:
            if not of_same_data(key, self.key(side)):
                raise InputError("the data or the tokenizer has changed since it was opened: open it again")
            self._stores[key] = Store(key)
        return self._stores[key]


def _findings_name(begin: int, end: int) -> str:
    return f"{chunk_name(begin, end)}.findings"


def _line(corpus: Corpus, row: int) -> RowLine:
    where = corpus.where(row)
    try:
        conversation = corpus[row]
    except InputError as error:
        return RowLine(row, where, printable(corpus.raw(row)[:_WORDS]), error.problem)
    if conversation.text is not None:
        return RowLine(row, where, printable(conversation.text.strip()[:_WORDS]))
    said = [m for m in conversation.messages if isinstance(m.get("content"), str) and m["content"].strip()]
    first = next((m for m in said if m["role"] == "user"), said[0] if said else None)
    words = first["content"].strip()[:_WORDS] if first else ""
    return RowLine(row, where, printable(words))
