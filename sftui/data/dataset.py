"""A dataset ready to train on: every row encoded, cut to length, held out or drawn as the recipe says."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from sftui.data import sequences
from sftui.data.bulk import encoded_chunks
from sftui.data.chunk import EncodedSequence, RowError
from sftui.data.corpus import Corpus
from sftui.data.cut import kept_range, kept_spans
from sftui.data.encode import mask_of, token_weights
from sftui.data.hold_out import hold_out
from sftui.data.reader import DatasetSpec
from sftui.data.tokenizer import ChatTokenizer
from sftui.data.views import Side
from sftui.errors import InputError
from sftui.recipe import DataSection

_NAMED_ROWS = 5  # so many rows a notice names


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows of one side; rows are named as `train.jsonl:1205`.

    `rows` counts the rows of the side once each, however often a source's weight draws them. `tokens`
    and `trained_tokens` are of the sequences that are used. Of `unended` rows, some trained turn is not
    ended by a special token, so that nothing teaches the model to stop there.
    """

    rows: int
    tokens: int
    trained_tokens: int
    bad: tuple[str, ...]  # unreadable, left out
    overlength: tuple[str, ...]  # dropped
    truncated: tuple[str, ...]
    untrained: tuple[str, ...]  # left out
    unended: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EncodedData:
    """A dataset ready to train on.

    A sequence's conversation is `train_corpus[sequence.row]`, or `eval_corpus[..]` for one of `eval`.
    `notices` say what a person should know. `fingerprint` changes with any token, mask or weight, or
    their order.
    """

    train: list[sequences.Sequence]
    eval: list[sequences.Sequence]
    train_corpus: Corpus = field(repr=False)
    eval_corpus: Corpus = field(repr=False)
    train_counts: Counts
    eval_counts: Counts
    notices: tuple[str, ...]
    fingerprint: str


def encode_dataset(
    data: DataSection,
    tokenizer: ChatTokenizer,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> EncodedData:
    """Encode all rows of `data` on every core; which are held out or drawn follows from `seed` alone.

    `progress` is called with rows done and rows in all; what it raises ends the work. Raises InputError
    for a source that cannot be opened, for bad rows unless `data.bad_rows` drops them, and if a side that
    was asked for is left without a trained token.
    """
    corpus = Corpus(data.train)
    eval_corpus = Corpus(data.eval) if data.eval else corpus
    train_rows: Sequence[int] = range(len(corpus))
    eval_rows: Sequence[int] = range(len(eval_corpus)) if data.eval else ()
    if data.eval_fraction:
        train_rows, eval_rows = hold_out(len(corpus), data.eval_fraction, seed)
    total = len(corpus) + (len(eval_corpus) if data.eval else 0)
    report = progress or (lambda done, total: None)
    train = _Side("training", corpus, train_rows, data)
    held_out = _Side("held-out", eval_corpus, eval_rows, data)
    spec = DatasetSpec(data, tokenizer.name_or_path, tokenizer.revision, tokenizer.now, seed)

    def read(name: Side, rows: Corpus, sides: Iterable[_Side], before: int) -> None:
        for chunk in encoded_chunks(spec, name, rows, tokenizer, lambda: report(before, total)):
            encoded = list(chunk.sequences())
            for side in sides:
                side.take(encoded, chunk.errors)
            report(before + chunk.begin + chunk.rows, total)

    read("train", corpus, (train, held_out) if data.eval_fraction else (train,), 0)
    if data.eval:
        read("eval", eval_corpus, (held_out,), len(corpus))
    for side in (train, held_out):
        side.check()
    drawn = _drawn(train, corpus, seed)
    return EncodedData(
        train=drawn,
        eval=held_out.sequences,
        train_corpus=corpus,
        eval_corpus=eval_corpus,
        train_counts=train.counts(drawn),
        eval_counts=held_out.counts(held_out.sequences),
        notices=(*train.notices(), *held_out.notices()),
        fingerprint=_fingerprint((drawn, held_out.sequences)),
    )


class _Side:
    """The rows of one side, training or held out, on their way to sequences."""

    def __init__(self, name: str, corpus: Corpus, rows: Sequence[int], data: DataSection) -> None:
        self.name, self.corpus, self.data = name, corpus, data
        self.rows = rows
        self._wanted = rows if isinstance(rows, range) else set(rows)
        self.sequences: list[sequences.Sequence] = []
        self.bad: list[RowError] = []
        self.overlength: dict[int, int] = {}  # row -> tokens
        self.truncated: set[int] = set()
        self.untrained: set[int] = set()
        self.unended: set[int] = set()

    def take(self, encoded: Iterable[EncodedSequence], errors: Iterable[RowError]) -> None:
        """Take those that are of this side."""
        self.bad += (error for error in errors if error.row in self._wanted)
        for each in encoded:
            if each.row in self._wanted:
                self._admit(each)

    def check(self) -> None:
        """Refuse what the recipe does not allow, and a side without a trained token."""
        if self.bad and self.data.bad_rows == "error":
            first = self.bad[0]
            advice = "`sftui check` lists such rows; data.bad_rows: drop leaves them out"
            raise InputError(
                f"{first.problem}{self._more(len(self.bad), 'cannot be used')}",
                file=first.file,
                line=first.line,
                key=first.key,
                hint=f"{first.hint}\n  {advice}" if first.hint else advice,
            )
        if self.overlength and self.data.overlength == "error":
            row, length = next(iter(self.overlength.items()))
            raise InputError(
                f"{length:,} tokens: longer than max_length {self.data.max_length:,}"
                f"{self._more(len(self.overlength), 'are too long')}",
                file=self.corpus.where(row),
                hint="raise data.max_length, or set data.overlength to drop or truncate",
            )
        if len(self.rows) and not self.sequences:
            raise InputError(f"no {self.name} row has a trained token: {self._reasons()}", key="data")

    def counts(self, used: list[sequences.Sequence]) -> Counts:
        """What became of the rows; `used` are the sequences as often as they are drawn."""
        return Counts(
            rows=len(self.rows),
            tokens=sum(map(len, used)),
            trained_tokens=sum(sequence.trained.count(1) for sequence in used),
            bad=self._where(error.row for error in self.bad),
            overlength=self._where(self.overlength),
            truncated=self._where(self.truncated),
            untrained=self._where(self.untrained),
            unended=self._where(self.unended),
        )

    def notices(self) -> list[str]:
        """A line for each thing that a person should know of."""
        limit = f"longer than max_length {self.data.max_length:,}"
        unended = "have a trained turn that no special token ends (nothing teaches the model to stop)"
        texts: tuple[tuple[Iterable[int], str], ...] = (
            ((error.row for error in self.bad), "that cannot be used are left out"),
            (self.overlength, f"{limit} were dropped"),
            (self.truncated, f"{limit} were cut there"),
            (self.untrained, "without a trained token are left out"),
            (self.unended, unended),
        )
        named = [(self._where(rows), text) for rows, text in texts]
        return [
            f"{len(where):,} of {len(self.rows):,} {self.name} rows {text}: {_some(where)}"
            for where, text in named
            if where
        ]

    def _where(self, rows: Iterable[int]) -> tuple[str, ...]:
        return tuple(self.corpus.where(row) for row in sorted(rows))

    def _more(self, found: int, what: str) -> str:
        if found == 1:
            return ""
        return f" (with it, {found:,} of {len(self.rows):,} {self.name} rows {what})"

    def _reasons(self) -> str:
        first = [f"the first: {self.bad[0].error()}"] if self.bad else []
        return "; ".join([*self.notices(), *first])

    def _admit(self, each: EncodedSequence) -> None:
        """Keep, cut or leave out one sequence."""
        length = len(each.input_ids)
        first, end = kept_range(length, self.data)
        if end == 0:
            self.overlength[each.row] = length
            return
        spans = list(each.spans)
        weights = each.weights
        ids = each.input_ids
        if end - first < length:
            self.truncated.add(each.row)
            ids = ids[first:end]
            if weights is not None:
                kept = [kept_spans([span], first, end) for span in spans]
                weights = array("f", [w for w, left in zip(weights, kept, strict=True) if left])
            spans = kept_spans(spans, first, end)
        if not spans:
            self.untrained.add(each.row)
            return
        if not each.ended:
            self.unended.add(each.row)
        self.sequences.append(
            sequences.Sequence(
                ids,
                mask_of(len(ids), spans),
                each.row,
                self.corpus.where(each.row),
                None if weights is None else token_weights(len(ids), spans, weights),
            )
        )


def _drawn(side: _Side, corpus: Corpus, seed: int) -> list[sequences.Sequence]:
    """The training sequences as often as the weights of their sources say."""
    if all(source.weight == 1.0 for source in side.data.train):
        return side.sequences
    by_row: dict[int, list[sequences.Sequence]] = {}
    for sequence in side.sequences:
        by_row.setdefault(sequence.row, []).append(sequence)
    drawn = corpus.drawn(side.rows, seed)
    result = [sequence for row in drawn for sequence in by_row.get(row, ())]
    if not result:
        raise InputError("the weights draw no row that has a trained token", key="data.train")
    return result


def _fingerprint(sides: Iterable[list[sequences.Sequence]]) -> str:
    digest = hashlib.sha256()
    for side in sides:
        digest.update(len(side).to_bytes(8, "little"))
        for sequence in side:
            digest.update(len(sequence).to_bytes(8, "little"))
            digest.update(sequence.input_ids)
            digest.update(sequence.trained)
            if sequence.weights is not None:
                digest.update(sequence.weights)
    return digest.hexdigest()


def _some(where: Sequence[str]) -> str:
    """The first few, by the names of their files, and that there are more."""
    names = [place.rpartition("/")[2] for place in where[:_NAMED_ROWS]]
    return ", ".join([*names, *(["..."] if len(where) > _NAMED_ROWS else [])])
