"""What is planned and laid out is what the trainer packs: the same sequences in the same order."""

from __future__ import annotations

import random
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftui.data.bulk import encoded_chunks
from sftui.data.chunk import Chunk
from sftui.data.corpus import Corpus
from sftui.data.cut import kept_range, kept_spans
from sftui.data.dataset import encode_dataset
from sftui.data.packing.kept import Kept, gather, keep, kept_lengths
from sftui.data.packing.layout import lay_out
from sftui.data.packing.plan import STRATEGIES, Batching, Plan, plan_of
from sftui.data.packing.summary import summarise
from sftui.data.reader import DatasetSpec
from sftui.data.used import Draws, draws_of
from sftui.recipe import DataSection, TrainingSection
from tests.data_fixtures import CHATML, model_directory
from tests.test_analysis import mixed, spec_of, write

BATCHING = Batching(batch_size=4, step_batches=16)
ONCE = Draws(0, None, 0, None)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_directory(tmp_path_factory.mktemp("models") / "model", CHATML)


def bare(spec: DatasetSpec, corpus: Corpus) -> list[Chunk]:
    """All chunks, without their ids."""
    chunks = list(encoded_chunks(spec, "train", corpus, spec.tokenizer()))
    for chunk in chunks:
        chunk.ids = chunk.ids[:0]
    return chunks


CASES: list[dict[str, Any]] = [
    {},
    {"max_length": 110},
    {"max_length": 60, "overlength": "truncate"},
    {"max_length": 60, "overlength": "truncate", "truncation_side": "left"},
    {"max_length": 70, "overlength": "truncate", "truncation_side": "left", "sequence_per": "turn"},
    {"max_length": 90, "sequence_per": "turn", "train_on": "last_assistant"},
    {"eval_fraction": 0.2, "max_length": 80},
    {"eval_fraction": 0.3, "weights": (0.5, 2.5), "sequence_per": "turn", "max_length": 120},
    {"weights": (3, 0.4), "sequence_per": "turn", "overlength": "truncate", "max_length": 60},
    {"weights": (0.3, 0.7), "seed": 5},
]


@pytest.mark.parametrize("fields", CASES, ids=str)
def test_the_sequences_are_those_that_the_trainer_packs(
    tmp_path: Path, model: Path, fields: dict[str, Any]
) -> None:
    fields = {"max_length": 10_000, "bad_rows": "drop", **fields}
    weights = fields.pop("weights", (1, 1))
    sources = [
        {"path": write(tmp_path, mixed(700), f"{n}.jsonl"), "weight": weight}
        for n, weight in enumerate(weights)
    ]
    spec = spec_of(model, train=sources, **fields)
    data = encode_dataset(spec.data, spec.tokenizer(), spec.seed)
    corpus = Corpus(spec.data.train)
    draws = draws_of(corpus, spec.data, spec.seed)
    chunks = bare(spec, corpus)
    random.Random(0).shuffle(chunks)
    whole = gather(chunks)
    kept = keep(whole, spec.data, draws.train)
    assert len(kept) > 50
    assert [(row, n) for row, n in zip(kept.rows.tolist(), kept.lengths.tolist(), strict=True)] == [
        (sequence.row, len(sequence)) for sequence in data.train
    ]
    for number, sequence in enumerate(data.train):
        spans = kept.trained(number, 0, len(sequence))
        assert mask(len(sequence), spans) == sequence.trained
    limit = spec.data.max_length
    for strategy in STRATEGIES:
        shown = lay_out(kept.lengths.tolist(), strategy, limit, seed=spec.seed)
        trained = lay_out([len(sequence) for sequence in data.train], strategy, limit, seed=spec.seed)
        assert [shown.pieces(n) for n in range(len(shown))] == [
            trained.pieces(n) for n in range(len(trained))
        ]
    plan = plan_of(whole, len(corpus), draws, spec.data, BATCHING)
    assert (plan.exact, plan.share) == (True, 1.0)
    assert (plan.sequences, plan.tokens) == (len(data.train), data.train_counts.tokens)
    if spec.data.overlength == "drop" and spec.data.sequence_per == "conversation" and weights == (1, 1):
        assert plan.dropped == len(data.train_counts.overlength)


def mask(length: int, spans: Iterable[tuple[int, int]]) -> bytes:
    found = bytearray(length)
    for begin, end in spans:
        assert 0 < begin < end <= length
        found[begin:end] = b"\1" * (end - begin)
    return bytes(found)


@pytest.mark.parametrize("seed", range(4))
def test_numbers_name_the_sequences_of_a_row(seed: int) -> None:
    whole = gather(made(300, seed))
    before: dict[int, int] = {}
    for row, number in zip(whole.rows.tolist(), whole.numbers.tolist(), strict=True):
        assert number == before.get(row, 0)
        before[row] = number + 1
    assert whole.row_count == 320
    assert list(before) == sorted(before)


def made(rows: int, seed: int = 0) -> list[Chunk]:
    """Chunks of 64 rows with 0 to 3 sequences each, some of them without a trained token."""
    lots, chunks = random.Random(seed), []
    for begin in range(0, rows, 64):
        chunk = Chunk(begin, 64)
        for _ in range(64):
            sequences = lots.choice([0, 1, 1, 1, 2, 3])
            chunk.counts.append(sequences)
            for _ in range(sequences):
                length = lots.randint(3, 100)
                bounds = sorted(lots.sample(range(1, length + 1), 2 * lots.randint(0, min(3, length // 2))))
                chunk.lengths.append(length)
                chunk.span_counts.append(len(bounds) // 2)
                chunk.spans.extend(bounds)
                chunk.ended.append(1)
        chunks.append(chunk)
    return chunks


def section(max_length: int, overlength: str = "drop", side: str = "right", **more: Any) -> DataSection:
    fields = {"max_length": max_length, "overlength": overlength, "truncation_side": side, **more}
    return DataSection.model_validate({"train": "train.jsonl", **fields})


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10**6),
    st.integers(2, 110),
    st.sampled_from(["drop", "truncate", "error"]),
    st.sampled_from(["right", "left"]),
    st.booleans(),
)
def test_what_remains_is_what_the_plain_rules_leave(
    seed: int, limit: int, overlength: str, side: str, drawn: bool
) -> None:
    chunks, data = made(128, seed), section(limit, overlength, side)
    lots = random.Random(seed)
    times = array("I", [lots.choice([0, 1, 1, 2, 3]) for _ in range(128)]) if drawn else None
    expected = []
    for chunk in chunks:
        at = span = 0
        for offset, count in enumerate(chunk.counts):
            of_row = []
            for number in range(count):
                length, spans = chunk.lengths[at], chunk.span_counts[at]
                own = chunk.spans[2 * span : 2 * (span + spans)]
                pairs = list(zip(own[::2], own[1::2], strict=True))
                first, end = kept_range(length, data)
                left = kept_spans(pairs, first, end)
                if end and left:
                    of_row.append((chunk.begin + offset, number, end - first, tuple(left)))
                at, span = at + 1, span + spans
            expected += of_row * (1 if times is None else times[chunk.begin + offset])
    whole = gather(chunks)
    kept = keep(whole, data, times)
    assert described(kept) == expected
    plan = plan_of(whole, 128, Draws(128, times, 0, None), data, BATCHING)
    assert plan.exact
    assert plan.sequences == len(expected)
    assert plan.tokens == sum(length for _, _, length, _ in expected)
    often = np.ones(len(whole.rows), int) if times is None else np.asarray(times)[whole.rows]
    assert plan.sequences + plan.dropped + plan.untrained == often.sum()
    long = whole.lengths > limit
    assert plan.lost_tokens == (often * (whole.lengths - kept_lengths(whole, data)))[long].sum()
    lengths = [length for _, _, length, _ in expected]
    for strategy in STRATEGIES:
        assert plan.of(strategy) == summarise(lengths, strategy, limit, BATCHING.batch_size)


def described(kept: Kept) -> list[tuple[int, int, int, tuple[tuple[int, int], ...]]]:
    return [
        (
            int(kept.rows[n]),
            int(kept.whole.numbers[kept.places[n]]),
            int(kept.lengths[n]),
            kept.trained(n, 0, int(kept.lengths[n])),
        )
        for n in range(len(kept))
    ]


def planned(chunks: list[Chunk], rows: int, data: DataSection, draws: Draws | None = ONCE) -> Plan:
    return plan_of(gather(chunks), rows, draws, data, BATCHING)


def test_before_all_rows_are_known_the_plan_is_scaled_up() -> None:
    chunks, data = made(6400), section(80)
    whole, half = planned(chunks, 6400, data), planned(chunks[1::2], 6400, data)
    assert (half.exact, half.share) == (False, 0.5)
    assert (whole.exact, whole.share) == (True, 1.0)
    for name in ("sequences", "tokens", "dropped", "untrained", "lost_tokens"):
        assert getattr(half, name) == pytest.approx(getattr(whole, name), rel=0.1), name
    for strategy in STRATEGIES:
        assert half.of(strategy).bins == pytest.approx(whole.of(strategy).bins, rel=0.05)
    counted = sum(len(chunk.lengths) for chunk in chunks[1::2])
    assert half.sequences + half.dropped + half.untrained == pytest.approx(2 * counted, abs=2)


def test_rows_that_will_be_held_out_or_drawn_again_are_reckoned_with() -> None:
    chunks = made(6400)
    plain = planned(chunks, 6400, section(80))
    waiting = planned(chunks, 6400, section(80, eval_fraction=0.25), None)
    assert (waiting.exact, waiting.share) == (False, 1.0)
    assert waiting.sequences == pytest.approx(0.75 * plain.sequences, abs=1)
    # The first half of the rows is drawn three times, and nothing else is known yet.
    times = array("I", [3] * 3200 + [1] * 3200)
    some = planned(chunks[:50], 6400, section(80), Draws(6400, times, 0, None))
    assert some.sequences == pytest.approx(2 * plain.sequences, rel=0.05)


def test_nothing_at_all_is_a_plan_of_nothing() -> None:
    plan = planned([], 0, section(80), None)
    assert (plan.sequences, plan.tokens, plan.longest, plan.share, plan.exact) == (0, 0, 0, 0.0, False)
    assert [plan.of(strategy).bins for strategy in STRATEGIES] == [0, 0, 0, 0]
    assert [plan.steps(strategy) for strategy in STRATEGIES] == [0, 0, 0, 0]
    assert plan.speedup("best_fit") == 1.0


def test_steps_are_those_of_whole_epochs_and_speed_that_of_tokens() -> None:
    training = TrainingSection(per_device_train_batch_size=4, gradient_accumulation_steps=3, num_processes=2)
    assert Batching.of(training) == Batching(4, 24)
    plan = plan_of(gather(made(640)), 640, ONCE, section(100), Batching.of(training))
    best = plan.of("best_fit")
    assert (plan.steps("best_fit") - 1) * 24 < best.bins <= plan.steps("best_fit") * 24
    assert plan.steps("none") == -(-plan.sequences // 24) > plan.steps("best_fit")
    assert plan.speedup("none") == 1.0
    assert plan.speedup("best_fit") == plan.of("none").padded_tokens / plan.tokens > 1.1
    alone = plan_of(gather(made(640)), 640, ONCE, section(100), Batching(1, 1))
    assert alone.speedup("best_fit") == 1.0, "nothing is padded"


def test_a_step_of_bins_has_more_sequences_than_one_of_rows() -> None:
    plan = plan_of(gather(made(640)), 640, ONCE, section(100), Batching(4, 24))
    assert plan.sequences_per_step("none") == 24
    best = plan.of("best_fit")
    assert plan.sequences_per_step("best_fit") == pytest.approx(24 * plan.sequences / best.bins)
    assert plan.sequences_per_step("wrapped") > plan.sequences_per_step("best_fit") > 24
    large = plan_of(gather(made(640)), 640, ONCE, section(100), Batching(4, 100_000))
    assert {large.sequences_per_step(strategy) for strategy in STRATEGIES} == {plan.sequences}
    nothing = plan_of(gather(()), 0, ONCE, section(100), BATCHING)
    assert nothing.sequences_per_step("none") == nothing.sequences_per_step("best_fit") == 0


def test_more_sequences_are_expected_instead_of_gone_through() -> None:
    whole, data = gather(made(6400)), section(80)
    exact = plan_of(whole, 6400, ONCE, data, BATCHING)
    expected = plan_of(whole, 6400, ONCE, data, BATCHING, in_order=100)
    assert exact.of("next_fit").exact
    assert not expected.of("next_fit").exact
    assert expected.of("next_fit").bins == pytest.approx(exact.of("next_fit").bins, rel=0.01)
    assert expected.of("best_fit") == exact.of("best_fit")
