"""A recipe's training rows, all encoded as the trainer does it, ready to be packed."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sftui.data.bulk import encoded_chunks
from sftui.data.chunk import Chunk, RowError
from sftui.data.corpus import Corpus
from sftui.data.packing.kept import Kept, gather, keep
from sftui.data.packing.plan import Batching, Plan, plan_of
from sftui.data.reader import DatasetSpec
from sftui.data.used import draws_of
from sftui.errors import InputError
from sftui.recipe import DataSection, Recipe

NOTHING_REMAINS = "no trained token remains"  # why truncating leaves a sequence out


@dataclass(frozen=True, slots=True, eq=False)
class Packable:
    """The sequences that a run packs, and the plan for them; `refusals` say why it would not start."""

    kept: Kept
    plan: Plan
    refusals: tuple[str, ...]


def packable(recipe: Recipe, progress: Callable[[int, int], None]) -> Packable:
    """Encode the rows, or take them from the cache; `progress` is called with rows done and rows in all.

    Raises InputError for a source that cannot be opened, and if no sequence is left.
    """
    spec = DatasetSpec.of(recipe)
    corpus, tokenizer, data = Corpus(spec.data.train), spec.tokenizer(), spec.data
    draws = draws_of(corpus, data, spec.seed)
    chunks: list[Chunk] = []
    errors: list[RowError] = []
    for chunk in encoded_chunks(spec, "train", corpus, tokenizer):
        chunk.ids = chunk.ids[:0]  # only lengths are of use here
        chunks.append(chunk)
        errors += chunk.errors
        progress(chunk.begin + chunk.rows, len(corpus))
    whole = gather(chunks)
    plan = plan_of(whole, len(corpus), draws, data, Batching.of(recipe.training), in_order=sys.maxsize)
    refusals = tuple(_refusals(errors, plan, data))
    if not plan.sequences:
        left_out = "; ".join(refusals or _left_out(errors, plan, data)) or "no row is drawn"
        raise InputError(f"no sequence is left to pack: {left_out}", key="data")
    return Packable(keep(whole, data, draws.train), plan, refusals)


def _refusals(errors: list[RowError], plan: Plan, data: DataSection) -> Iterable[str]:
    """Why a run would not start."""
    if errors and data.bad_rows == "error":
        first = InputError(errors[0].problem, file=errors[0].file, line=errors[0].line)
        yield f"{_rows(errors)} cannot be used, and data.bad_rows is error; the first: {first}"
    if plan.dropped and data.overlength == "error":
        yield f"{plan.dropped:,} longer than max_length {plan.max_length:,}, and data.overlength is error"


def _left_out(errors: list[RowError], plan: Plan, data: DataSection) -> Iterable[str]:
    if plan.dropped:
        why = f", of which {NOTHING_REMAINS}" if data.overlength == "truncate" else ""
        yield f"{plan.dropped:,} longer than max_length {plan.max_length:,}{why}"
    if plan.untrained:
        yield f"{plan.untrained:,} without a trained token"
    if errors:
        yield f"{_rows(errors)} that cannot be used"


def _rows(errors: list[RowError]) -> str:
    return f"{len(errors):,} {'row' if len(errors) == 1 else 'rows'}"
