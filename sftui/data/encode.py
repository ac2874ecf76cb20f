"""Rows of a corpus become sequences: rendered, located, tokenised, many at a time."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from sftui.data.bounds import OutOfTime, bounded
from sftui.data.chunk import Chunk, RowError
from sftui.data.conversation import Conversation
from sftui.data.corpus import Corpus
from sftui.data.history import conversations_per_turn
from sftui.data.mask import trained_mask
from sftui.data.tokenizer import ChatTokenizer
from sftui.data.turns import Span, TrainedText
from sftui.errors import InputError
from sftui.recipe import SequencePer, TrainOn

RENDER_SECONDS = 10.0  # that one row may take
_SLOW_ROWS = 2  # that may take longer before a template counts as one that never ends
_SLOW_ROWS_TOGETHER = 8  # that may take longer, of those encoded together
_CHARACTERS = 2_000_000  # tokenised together: what the tokenizers library keeps of them takes 100 MB


@dataclass(frozen=True, slots=True)
class Prepared:
    """One sequence with everything that it was made from.

    `trained` has one byte a token, 1 for trained, never the first: nothing predicts it. `spans` are
    the same as (first, end, weight) of tokens.
    """

    row: int
    conversation: Conversation
    marked: TrainedText
    ids: list[int]
    offsets: Sequence[tuple[int, int]]
    trained: bytes
    spans: tuple[tuple[int, int, float], ...]


@dataclass(slots=True)
class Patience:
    """How many rows a process has tried, and how many of them took too long."""

    tried: int = 0
    slow: int = 0

    @property
    def over(self) -> bool:
        """Whether most did: a template that never ends would take hours to say so of every row."""
        return self.slow > _SLOW_ROWS and 2 * self.slow >= self.tried


_Located = tuple[int, Conversation, TrainedText]


def prepare(
    corpus: Corpus,
    rows: Iterable[int],
    tokenizer: ChatTokenizer,
    train_on: TrainOn,
    per: SequencePer,
    patience: Patience,
) -> Iterator[Prepared | RowError]:
    """The sequences of `rows` in order, many tokenised together; a row that cannot be used is a RowError."""
    waiting: list[_Located | RowError] = []
    characters, began = 0, patience.slow
    for row in rows:
        if patience.over or patience.slow - began > _SLOW_ROWS_TOGETHER:
            told = InputError("not tried: rendering took too long for the rows before it")
            waiting.append(RowError.of(row, told, corpus.where(row), passing=True))
            continue
        located = _located(corpus, row, tokenizer, train_on, per, patience)
        waiting += located
        characters += sum(len(each[2].text) for each in located if not isinstance(each, RowError))
        if characters >= _CHARACTERS:
            yield from _tokenised(waiting, tokenizer)
            waiting, characters = [], 0
    yield from _tokenised(waiting, tokenizer)


def _located(
    corpus: Corpus,
    row: int,
    tokenizer: ChatTokenizer,
    train_on: TrainOn,
    per: SequencePer,
    patience: Patience,
) -> Sequence[_Located | RowError]:
    patience.tried += 1
    try:
        with bounded(RENDER_SECONDS):
            return [(row, *each) for each in locate(corpus[row], tokenizer, train_on, per)]
    except OutOfTime as error:
        patience.slow += 1
        return [RowError.of(row, error, corpus.where(row), passing=True)]
    except InputError as error:
        return [RowError.of(row, error, corpus.where(row))]
    except MemoryError:
        told = InputError("takes too much memory")
        return [RowError.of(row, told, corpus.where(row), passing=True)]


def _tokenised(
    located: Iterable[_Located | RowError], tokenizer: ChatTokenizer
) -> Iterator[Prepared | RowError]:
    listed = list(located)
    texts = [each[2].text for each in listed if not isinstance(each, RowError)]
    try:
        tokens = iter(tokenizer.tokenize(texts))
    except Exception as error:  # the library raises bare Exception
        if len(listed) > 1:
            for each in listed:
                yield from _tokenised([each], tokenizer)
            return
        (row, conversation, _), *_ = (each for each in listed if not isinstance(each, RowError))
        yield RowError.of(row, InputError(f"the tokenizer fails on it: {error}"), conversation.where)
        return
    for each in listed:
        if isinstance(each, RowError):
            yield each
            continue
        ids, offsets = next(tokens)
        trained, spans = mark(ids, offsets, each[2], tokenizer.special_ids)
        yield Prepared(*each, ids, offsets, trained, spans)


def locate(
    conversation: Conversation, tokenizer: ChatTokenizer, train_on: TrainOn, per: SequencePer
) -> list[tuple[Conversation, TrainedText]]:
    """The conversations that become sequences of their own, rendered, with what is trained of them."""
    parts = [conversation]
    if per == "turn" and conversation.text is None:
        # Without a trained turn, the whole shows that there is none.
        parts = conversations_per_turn(conversation, train_on) or parts
    result = []
    for part in parts:
        marked = tokenizer.trained_text(part, train_on)
        check_unicode(marked.text, part.where)
        result.append((part, marked))
    return result


def mark(
    ids: list[int], offsets: Sequence[tuple[int, int]], marked: TrainedText, special_ids: Set[int]
) -> tuple[bytes, tuple[tuple[int, int, float], ...]]:
    """The mask of the tokens, and its runs as (first, end, weight)."""
    weights = {span.weight for span in marked.spans}
    if len(weights) <= 1:
        trained = _without_first(trained_mask(ids, offsets, marked.text, marked.spans, special_ids))
        return trained, tuple((*run, weight) for run in _runs(trained) for weight in weights)
    chosen: list[tuple[int, int, float]] = []
    for weight in weights:
        own: list[Span] = [span for span in marked.spans if span.weight == weight]
        trained = _without_first(trained_mask(ids, offsets, marked.text, own, special_ids))
        chosen += ((first, end, weight) for first, end in _runs(trained))
    spans: list[tuple[int, int, float]] = []
    for first, end, weight in sorted(chosen):
        # A token that lies across two spans is the earlier one's.
        begin = max(first, spans[-1][1]) if spans else first
        if begin < end:
            spans.append((begin, end, weight))
    return mask_of(len(ids), [span[:2] for span in spans]), tuple(spans)


def encode_chunk(prepared: Iterable[Prepared | RowError], begin: int, rows: int, special: Set[str]) -> Chunk:
    """The sequences in compact form; `special` are the texts that can end a turn."""
    chunk = Chunk(begin, rows)
    endings = tuple(special)
    counts = [0] * rows
    weights: list[float] = []
    for each in prepared:
        if isinstance(each, RowError):
            chunk.errors.append(each)
            continue
        counts[each.row - begin] += 1
        chunk.lengths.append(len(each.ids))
        chunk.ids.fromlist(each.ids)
        chunk.span_counts.append(len(each.spans))
        for first, end, weight in each.spans:
            chunk.spans.append(first)
            chunk.spans.append(end)
            weights.append(weight)
        chunk.ended.append(ends(each.marked, endings))
    chunk.counts.extend(counts)
    if any(weight != 1.0 for weight in weights):
        chunk.weights.extend(weights)
    return chunk


def ends(marked: TrainedText, special: tuple[str, ...]) -> bool:
    """Whether a special token ends every trained turn. What is no turn (a plain text) counts as ended."""
    text = marked.text
    return all(turn < 0 or text.endswith(special, start, end) for start, end, turn, _ in marked.spans)


def mask_of(length: int, spans: Iterable[tuple[int, int]]) -> bytes:
    """One byte a token, 1 within the spans."""
    mask = bytearray(length)
    for first, end in spans:
        mask[first:end] = b"\1" * (end - first)
    return bytes(mask)


def check_unicode(text: str, where: str) -> None:
    """JSON can spell half a surrogate pair, which is no text and which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"holds {text[error.start]!r}, half a surrogate pair: expected valid Unicode", file=where
        ) from error


def token_weights(length: int, spans: Iterable[tuple[int, int]], weights: Iterable[float]) -> array[float]:
    """One weight a token; 0 outside the spans."""
    result = array("f", bytes(4 * length))
    for (first, end), weight in zip(spans, weights, strict=True):
        result[first:end] = array("f", [weight] * (end - first))
    return result


def _without_first(mask: bytes) -> bytes:
    return b"\0" + mask[1:] if mask else mask


def _runs(mask: bytes) -> Iterator[tuple[int, int]]:
    first = mask.find(1)
    while first >= 0:
        end = mask.find(0, first)
        end = len(mask) if end < 0 else end
        yield first, end
        first = mask.find(1, end)
