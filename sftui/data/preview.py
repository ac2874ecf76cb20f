"""One row in full, token by token, under a recipe: what is trained of it, and why."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from dataclasses import replace
from functools import cache
from itertools import islice
from typing import TYPE_CHECKING

from sftui.data.bounds import bounded
from sftui.data.conversation import Conversation
from sftui.data.corpus import Corpus
from sftui.data.cut import fate, kept_range
from sftui.data.encode import RENDER_SECONDS, locate, mark
from sftui.data.findings.rows import RowFacts, failure_finding, inspect_row
from sftui.data.history import rewritten_turns
from sftui.data.messages import as_json, messages_of
from sftui.data.regions import Region, turn_regions
from sftui.data.tokenizer import ChatTokenizer
from sftui.data.turns import TrainedText
from sftui.data.views import RowView, Token, Turn
from sftui.errors import InputError
from sftui.recipe import DataSection

if TYPE_CHECKING:
    from collections.abc import Sequence

IGNORED = -100


def row_view(
    corpus: Corpus,
    row: int,
    tokenizer: ChatTokenizer,
    data: DataSection,
    sequence: int = 0,
    limit: int | None = None,
) -> RowView:
    """Row `row` as it would be trained, with its first `limit` tokens; an unusable one has an error."""
    raw = corpus.raw(row)
    where = corpus.where(row)
    try:
        with bounded(RENDER_SECONDS):
            conversation = corpus[row]
            parts = locate(conversation, tokenizer, data.train_on, data.sequence_per)
            sequence = min(sequence, len(parts) - 1)
            part, marked = parts[sequence]
            template = tokenizer.templates.choose(part) if part.text is None else None
            regions = turn_regions(template, part, marked.text, marked.spans) if template else ()
            rewritten = rewritten_turns(template, part, data.train_on) if template else ()
    except InputError as error:
        lot = "left out" if data.bad_rows == "drop" else "refused"
        told = (failure_finding(error),)
        return RowView(row, where, raw, fate=f"{lot}: cannot be used", findings=told, error=str(error))
    ((ids, found),) = tokenizer.tokenize([marked.text])
    offsets = list(found)
    trained, spans = mark(ids, offsets, marked, tokenizer.special_ids)
    first, end = kept_range(len(ids), data)
    facts = RowFacts.of(part, marked, ids, offsets, trained, regions, rewritten, tokenizer, data)
    labeller = _Labeller(part, marked, regions, data)
    weights = {at: weight for begin, stop, weight in spans for at in range(begin, stop)}
    pieces = _pieces(marked.text, offsets)
    spelled = _spelled(tokenizer, ids, marked.text, offsets)
    tokens = []
    shown = islice(zip(ids, offsets, pieces, strict=True), limit)
    for at, (token_id, (begin, stop), piece) in enumerate(shown):
        cut = not first <= at < end
        # Nothing predicts the first token that is left, so it is not trained either.
        counts = bool(trained[at]) and not cut and at != first
        region = labeller.region(begin)
        tokens.append(
            Token(
                id=token_id,
                text=piece,
                start=begin,
                end=stop,
                bytes=spelled[at],
                special=token_id in tokenizer.special_ids,
                trained=counts,
                weight=weights.get(at, 0.0) if counts else 0.0,
                label=token_id if counts else IGNORED,
                turn=region.index if region else -1,
                role=region.role if region else "",
                why=labeller.why(at, begin, stop, bool(trained[at]), cut, first, len(ids)),
                cut=cut,
            )
        )
    kept = trained.count(1, first + 1, end)
    return RowView(
        row=row,
        where=where,
        raw=raw,
        format=part.format,
        template=template.name if template else "",
        text=marked.text,
        messages=messages_of(part),
        tools=as_json(part.tools) if part.tools else "",
        tokens=tuple(tokens),
        turns=tuple(
            replace(turn, last=min(turn.last, len(tokens)))
            for turn in _turns(regions, offsets, trained, first, end)
            if turn.first < len(tokens) or turn.first == turn.last
        ),
        more=len(ids) - len(tokens),
        sequence=sequence,
        sequences=len(parts),
        total=len(ids),
        trained=kept,
        truncated=len(ids) - (end - first),
        fate=fate(len(ids), kept, data),
        findings=tuple(inspect_row(facts)),
    )


class _Labeller:
    """Why a token is trained, or is not."""

    def __init__(
        self, conversation: Conversation, marked: TrainedText, regions: Sequence[Region], data: DataSection
    ) -> None:
        self.conversation, self.marked, self.data = conversation, marked, data
        self.regions = regions
        self.starts = [region.start for region in regions]
        self.spans: dict[int, tuple[int, int]] = {}  # first and last trained character of each turn
        for span in marked.spans:
            first, _ = self.spans.get(span.turn, (span.start, span.end))
            self.spans[span.turn] = first, span.end

    def region(self, at: int) -> Region | None:
        """The message that the character at `at` belongs to."""
        found = bisect_right(self.starts, at) - 1
        return self.regions[found] if found >= 0 else None

    def why(self, at: int, begin: int, end: int, trained: bool, cut: bool, first: int, total: int) -> str:
        """In a few words; `at` counts tokens, `begin` and `end` characters."""
        if cut:
            if self.data.overlength == "truncate":
                return f"cut: beyond max_length {self.data.max_length:,}"
            return f"left out: {total:,} tokens are more than max_length {self.data.max_length:,}"
        if at == first and (at == 0 or trained):
            return "first token: nothing predicts it"
        region = self.region(begin)
        if self.conversation.text is not None:
            return "plain text: all of it is trained"
        if region is None or region.index < 0:
            return "trained: everything is" if trained else "template"
        role = region.role
        if trained:
            return self._why_trained(region)
        span = self.spans.get(region.index)
        if span is not None and begin < span[0]:
            return "template: the prompt, given to the model"
        if span is not None and begin >= span[1]:
            return "template: after the end of the turn"
        if span is not None:
            return f"{role}: the template does not mark it as generated"
        if region.content_start is None or begin < region.content_start:
            return "template"
        if region.content_end is not None and begin >= region.content_end:
            return "template"
        if self._weight(region.index) == 0.0:
            return f"{role}: the row says not to train it"
        if role == "assistant":
            return f"assistant: not selected by train_on: {self.data.train_on}"
        return f"{role}: not trained"

    def _why_trained(self, region: Region) -> str:
        weight = self._weight(region.index)
        if weight is not None:
            said = "the row says so"
        else:
            said = f"train_on: {self.data.train_on}"
        return f"trained: {region.role}, message {region.index} ({said})"

    def _weight(self, index: int) -> float | None:
        weights = self.conversation.weights
        return weights[index] if weights is not None and 0 <= index < len(weights) else None


def _pieces(text: str, offsets: Sequence[tuple[int, int]]) -> list[str]:
    """The text of each token; of tokens that share a character only the first has it."""
    pieces, done = [], 0
    for start, end in offsets:
        pieces.append(text[start:end] if start >= done or end > done else "")
        done = max(done, end)
    return pieces


def _spelled(
    tokenizer: ChatTokenizer, ids: Sequence[int], text: str, offsets: Sequence[tuple[int, int]]
) -> list[bytes]:
    """The bytes that each token stands for: of its text, unless it shares a character with a neighbour.

    Which bytes of the character it has is known from the vocabulary alone.
    """
    table = _byte_level()
    result = []
    for at, (token_id, (begin, end)) in enumerate(zip(ids, offsets, strict=True)):
        shared = (at > 0 and offsets[at - 1][1] > begin) or (
            at + 1 < len(offsets) and offsets[at + 1][0] < end
        )
        name = (tokenizer.backend.id_to_token(token_id) or "") if shared else ""
        if len(name) == 6 and name.startswith("<0x") and name.endswith(">"):
            result.append(bytes([int(name[3:5], 16)]))
        elif name and all(char in table for char in name):
            result.append(bytes(table[char] for char in name))
        else:
            result.append(text[begin:end].encode())
    return result


@cache
def _byte_level() -> dict[str, int]:
    """The characters by which byte-level vocabularies spell bytes (GPT-2's table)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + i): byte for i, byte in enumerate(others)}


def _turns(
    regions: Sequence[Region], offsets: Sequence[tuple[int, int]], trained: bytes, first: int, end: int
) -> tuple[Turn, ...]:
    """The messages as ranges of tokens: a token belongs to where it starts.

    Counted are the trained tokens that remain of tokens first to end.
    """
    starts = [start for start, _ in offsets]
    turns = []
    for region in regions:
        begin, stop = bisect_left(starts, region.start), bisect_left(starts, region.end)
        count = trained.count(1, max(begin, first + 1), max(begin, min(stop, end)))
        if stop > begin or region.index >= 0:
            turns.append(Turn(region.index, region.role, begin, stop, count))
    return tuple(turns)
