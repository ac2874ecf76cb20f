"""How long the sequences of a dataset are: tokenised where the tokenizer is at hand, else guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sftui.data.analysis import analyse
from sftui.data.findings.lengths import percentiles
from sftui.data.overview import Overview
from sftui.data.reader import DatasetSpec
from sftui.data.views import Finding
from sftui.memory.levers import LENGTH_STEP
from sftui.proposal.rows import RowFacts
from sftui.recipe import DataSection, Recipe

ANALYSED = 20_000  # rows of a source that are tokenised, from its beginning

# Findings that follow from max_length, which was not chosen yet when the rows were looked at.
_OF_LENGTH = {"overlength-refused", "dropped-overlength", "truncated", "truncated-to-nothing"}

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of sequences. `counts`: how many of those looked at have each length.

    `sequences` and `tokens` are of all rows, scaled up where only some were looked at. `tokenised`: by the
    model's tokenizer; else from characters. `complete`: all rows were tokenised. `findings` are those of
    `check`, none where not tokenised.
    """

    counts: Mapping[int, int]
    sequences: int
    tokens: int
    tokenised: bool
    findings: tuple[Finding, ...] = ()
    complete: bool = False

    @property
    def mean(self) -> float:
        """Tokens of a sequence."""
        return self.tokens / max(1, self.sequences)

    @property
    def longest(self) -> int | None:
        """Tokens of the longest sequence of all; None where a longer one may be among those not tokenised."""
        return self.at(100) if self.complete else None

    def at(self, percent: int) -> int:
        """The length that so many percent do not exceed: 50, 95, 99 or 100."""
        found = percentiles(Counter(self.counts))
        assert found is not None, "there are no lengths without sequences"
        return dict(zip((5, 50, 95, 99, 100), found, strict=True))[percent]

    def mean_within(self, length: int, *, drops: bool) -> float:
        """Tokens of a sequence that is used with this max_length; longer ones are dropped, or cut."""
        used = {each: count for each, count in self.counts.items() if each <= length or not drops}
        return sum(min(each, length) * count for each, count in used.items()) / max(1, sum(used.values()))

    def share_longer(self, length: int) -> float:
        """The share of sequences that are longer."""
        longer = sum(count for each, count in self.counts.items() if each > length)
        return longer / sum(self.counts.values())

    def found(self, *codes: str) -> int:
        """How many rows have one of these findings; the most of one of them."""
        return max((each.count for each in self.findings if each.code in codes), default=0)

    @property
    def wanted(self) -> int:
        """A max_length that costs nothing: the longest, or the 99th percentile if few are far longer.

        A multiple of 64.
        """
        longest, most = self.at(100), self.at(99)
        return rounded_up(longest if longest <= 4 * most else most)


def rounded_up(length: int) -> int:
    """The next multiple of 64, at least 256."""
    return max(256, -(-length // LENGTH_STEP) * LENGTH_STEP)


def guessed_lengths(facts: RowFacts) -> Lengths:
    """From the characters of the rows that were looked at."""
    counts = Counter(facts.guesses)
    readable = facts.count * len(facts.guesses) // max(1, facts.sampled)
    tokens = sum(facts.guesses) * readable // max(1, len(facts.guesses))
    return Lengths(counts, readable, tokens, tokenised=False)


def measured_lengths(recipe: Recipe, facts: RowFacts, progress: Progress | None) -> Lengths | None:
    """From the model's tokenizer and template, as `check` has it; None where no row becomes a sequence.

    Of the first 20,000 rows of each source. Raises InputError.
    """
    data = recipe.data.model_copy(deep=True)
    data.eval, data.eval_fraction = [], 0.0
    if any(_many(facts, source.limit) for source in data.train):
        for source in data.train:
            source.limit = min(source.limit or ANALYSED, ANALYSED)
    overview = _overview(recipe, data, progress)
    if not overview.sequences:
        return None
    scale = facts.count / overview.rows if overview.rows < facts.count else 1.0
    return Lengths(
        counts=overview.length_counts,
        sequences=round(overview.sequences * scale),
        tokens=round(overview.tokens * scale),
        tokenised=True,
        findings=overview.findings,
        complete=facts.counted and overview.rows >= facts.count,
    )


def _many(facts: RowFacts, limit: int | None) -> bool:
    return facts.count > ANALYSED and (limit is None or limit > ANALYSED)


def _overview(recipe: Recipe, data: DataSection, progress: Progress | None) -> Overview:
    model = recipe.model
    spec = DatasetSpec(data, model.name_or_path, model.revision, datetime.now(), recipe.training.seed)
    return analyse(spec, progress)["train"]


def worst(findings: Sequence[Finding], most: int) -> list[str]:
    """The messages of errors and warnings, errors first; not what another max_length changes."""
    told = [each for each in findings if each.severity != "info" and each.code not in _OF_LENGTH]
    return [each.message for each in sorted(told, key=lambda each: each.severity != "error")[:most]]
