"""Conversations become sequences: token ids, and for each token whether it is trained."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass, field

from sftui.data.corpus import Corpus
from sftui.data.formats import Conversation
from sftui.data.mask import trained_mask
from sftui.data.tokenizer import ChatTokenizer
from sftui.data.turns import TrainedText
from sftui.errors import InputError
from sftui.recipe import DataSection

IGNORED = -100  # the label that the loss leaves out

_CHUNK_ROWS = 256  # tokenized together: enough for all cores, few enough to keep memory low
_NAMED_ROWS = 5  # so many rows a notice names


@dataclass(frozen=True, slots=True)
class Sequence:
    """One row as tokens.

    `trained` has one byte a token, 1 for trained. `row` is its number in the corpus that it comes
    from, `where` the same for a person.
    """

    input_ids: array[int]
    trained: bytes
    row: int
    where: str

    def __len__(self) -> int:
        return len(self.input_ids)


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the rows of one side; rows are named as `train.jsonl:1205`.

    `tokens` and `trained_tokens` are of the sequences that are used. Of `unended` rows, some trained
    turn is not ended by a special token, so that nothing teaches the model to stop there.
    """

    rows: int
    tokens: int
    trained_tokens: int
    overlength: tuple[str, ...]  # dropped
    truncated: tuple[str, ...]
    untrained: tuple[str, ...]  # left out
    unended: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class EncodedData:
    """A dataset ready to train on.

    A sequence's conversation is `train_corpus[sequence.row]`, or `eval_corpus[..]` for one of `eval`.
    `notices` say what a person should know. `fingerprint` changes with any token or mask, or their order.
    """

    train: list[Sequence]
    eval: list[Sequence]
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
    """Encode all rows of `data`; which are held out by `eval_fraction` follows from `seed` alone.

    `progress` is called with rows done and rows in all. Raises InputError for an unusable row or
    source, and if a side that was asked for is left without a trained token.
    """
    corpus = Corpus(data.train)
    eval_corpus = Corpus(data.eval) if data.eval else corpus
    train_rows, eval_rows = list(range(len(corpus))), list(range(len(eval_corpus))) if data.eval else []
    if data.eval_fraction:
        train_rows, eval_rows = hold_out(len(corpus), data.eval_fraction, seed)
    total = len(train_rows) + len(eval_rows)
    report = progress or (lambda done, total: None)
    train = _Side("training", corpus, train_rows, data, tokenizer)
    for done in train.encode():
        report(done, total)
    held_out = _Side("held-out", eval_corpus, eval_rows, data, tokenizer)
    for done in held_out.encode():
        report(len(train_rows) + done, total)
    return EncodedData(
        train=train.sequences,
        eval=held_out.sequences,
        train_corpus=corpus,
        eval_corpus=eval_corpus,
        train_counts=train.counts(),
        eval_counts=held_out.counts(),
        notices=(*train.notices(), *held_out.notices()),
        fingerprint=_fingerprint((train.sequences, held_out.sequences)),
    )


def labels(sequence: Sequence) -> list[int]:
    """The ids, with IGNORED where a token is not trained; the first never is: nothing predicts it."""
    return [
        token if trained else IGNORED
        for token, trained in zip(sequence.input_ids, sequence.trained, strict=True)
    ]


def prompt_of(conversation: Conversation, tokenizer: ChatTokenizer) -> tuple[list[int], str]:
    """What the model is asked for the last assistant turn, as ids, and the answer that is expected.

    The answer is the turn's trained text without the special token that ends it. Raises InputError if
    the conversation has no assistant turn or the template refuses it.
    """
    turns = conversation.assistant_turns()
    if not turns:
        raise InputError("no assistant turn to answer", file=conversation.where)
    prompt = tokenizer.encode(tokenizer.prompt_text(conversation, turns[-1]))
    located = tokenizer.trained_text(conversation, "last_assistant")
    answer = "".join(located.text[start:end] for start, end, _ in located.spans)
    return prompt, _without_end(answer, tokenizer.special_strings).strip()


def held_out_count(rows: int, fraction: float) -> int:
    """How many of `rows` are held out. Raises InputError if that is none of them, or all."""
    count = round(rows * fraction)
    if not 0 < count < rows:
        raise InputError(
            f"{fraction:g} of {rows:,} rows is {count:,}: expected at least one row on either side",
            key="data.eval_fraction",
        )
    return count


def hold_out(rows: int, fraction: float, seed: int) -> tuple[list[int], list[int]]:
    """Row numbers to train on and to hold out, ascending: round(rows * fraction) of them, at random.

    A row's lot is the hash of seed and row number, which stays the same in every version of Python.
    Raises InputError if nothing would be held out, or everything.
    """
    count = held_out_count(rows, fraction)
    lots = [hashlib.blake2b(f"{seed}:{row}".encode(), digest_size=8).digest() for row in range(rows)]
    chosen = set(sorted(range(rows), key=lots.__getitem__)[:count])
    return [row for row in range(rows) if row not in chosen], sorted(chosen)


class _Side:
    """The rows of one side, training or held out, on their way to sequences."""

    def __init__(
        self, name: str, corpus: Corpus, rows: list[int], data: DataSection, tokenizer: ChatTokenizer
    ) -> None:
        self.name, self.corpus, self.rows, self.data, self.tokenizer = name, corpus, rows, data, tokenizer
        self.sequences: list[Sequence] = []
        self.overlength: list[str] = []
        self.truncated: list[str] = []
        self.untrained: list[str] = []
        self.unended: list[str] = []

    def encode(self) -> Iterator[int]:
        """Encode all rows; yields after each chunk how many are done."""
        for begin in range(0, len(self.rows), _CHUNK_ROWS):
            chunk = self.rows[begin : begin + _CHUNK_ROWS]
            self._encode_chunk(chunk)
            yield begin + len(chunk)
        if self.rows and not self.sequences:
            raise InputError(f"no {self.name} row has a trained token: {self._reasons()}", key="data")

    def counts(self) -> Counts:
        """What became of the rows."""
        return Counts(
            rows=len(self.rows),
            tokens=sum(map(len, self.sequences)),
            trained_tokens=sum(sum(sequence.trained) for sequence in self.sequences),
            overlength=tuple(self.overlength),
            truncated=tuple(self.truncated),
            untrained=tuple(self.untrained),
            unended=tuple(self.unended),
        )

    def notices(self) -> list[str]:
        """A line for each thing that a person should know of."""
        longer = f"longer than max_length {self.data.max_length:,}"
        texts = (
            (self.overlength, f"{longer} were dropped"),
            (self.truncated, f"{longer} were cut there"),
            (self.untrained, "without a trained token are left out"),
            (
                self.unended,
                "have a trained turn that no special token ends (nothing teaches the model to stop)",
            ),
        )
        return [
            f"{len(where):,} of {len(self.rows):,} {self.name} rows {text}: {_some(where)}"
            for where, text in texts
            if where
        ]

    def _reasons(self) -> str:
        return "; ".join(self.notices()) or "the source has none"

    def _encode_chunk(self, rows: list[int]) -> None:
        conversations = [self.corpus[row] for row in rows]
        located = [self.tokenizer.trained_text(each, self.data.train_on) for each in conversations]
        for conversation, marked in zip(conversations, located, strict=True):
            _check_unicode(marked.text, conversation.where)
        encodings = self.tokenizer.encode_batch([marked.text for marked in located])
        for row, conversation, marked, encoding in zip(rows, conversations, located, encodings, strict=True):
            mask = trained_mask(
                encoding.ids, encoding.offsets, marked.text, marked.spans, self.tokenizer.special_ids
            )
            # Nothing predicts the first token, so it is not trained even where everything is.
            sequence = Sequence(array("i", encoding.ids), b"\0" + mask[1:], row, conversation.where)
            self._admit(sequence, marked)

    def _admit(self, sequence: Sequence, marked: TrainedText) -> None:
        """Keep, cut or leave out one sequence."""
        limit, where = self.data.max_length, sequence.where
        if len(sequence) > limit:
            if self.data.overlength == "error":
                raise InputError(
                    f"{len(sequence):,} tokens: longer than max_length {limit:,}",
                    file=where,
                    hint="raise data.max_length, or set data.overlength to drop or truncate",
                )
            if self.data.overlength == "drop":
                self.overlength.append(where)
                return
            self.truncated.append(where)
            sequence = Sequence(sequence.input_ids[:limit], sequence.trained[:limit], sequence.row, where)
        if 1 not in sequence.trained:
            self.untrained.append(where)
            return
        if self.data.train_on != "everything":
            answers = [marked.text[start:end] for start, end, _ in marked.spans]
            special = self.tokenizer.special_strings
            if any(_without_end(answer, special) == answer for answer in answers):
                self.unended.append(where)
        self.sequences.append(sequence)


def _without_end(answer: str, special: Set[str]) -> str:
    """`answer` less the special token that it ends with, if it does."""
    ending = max((token for token in special if answer.endswith(token)), key=len, default="")
    return answer.removesuffix(ending)


def _check_unicode(text: str, where: str) -> None:
    """JSON can spell half a surrogate pair, which is no text and which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"holds {text[error.start]!r}, half a surrogate pair: expected valid Unicode", file=where
        ) from error


def _fingerprint(sides: Iterable[list[Sequence]]) -> str:
    digest = hashlib.sha256()
    for sequences in sides:
        digest.update(len(sequences).to_bytes(8, "little"))
        for sequence in sequences:
            digest.update(len(sequence).to_bytes(8, "little"))
            digest.update(sequence.input_ids)
            digest.update(sequence.trained)
    return digest.hexdigest()


def _some(where: list[str]) -> str:
    """The first few, by the names of their files, and that there are more."""
    return ", ".join(
        [
            *(place.rpartition("/")[2] for place in where[:_NAMED_ROWS]),
            *(["..."] if len(where) > _NAMED_ROWS else []),
        ]
    )
