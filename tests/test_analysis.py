"""What is told of a dataset is what its rows are, in whatever order they were looked at."""

from __future__ import annotations

import json
import random
import threading
import time
from array import array
from collections import Counter
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sftui.data import analysis as module
from sftui.data.analysis import Analysis, analyse
from sftui.data.chunk import Chunk
from sftui.data.corpus import Corpus
from sftui.data.dataset import encode_dataset
from sftui.data.findings.chunk import ChunkFindings
from sftui.data.findings.registry import BITS
from sftui.data.overview import Overview
from sftui.data.reader import DatasetSpec
from sftui.data.store import store_key
from sftui.data.views import Finding
from sftui.errors import InputError
from sftui.recipe import DataSection
from tests.data_fixtures import CHATML, assistant, model_directory, user
from tests.worker_objects import DEADLY, allow

NOW = datetime(2026, 11, 20, 9, 30)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_directory(tmp_path_factory.mktemp("models") / "model", CHATML)


def write(directory: Path, rows: list[Any], name: str = "train.jsonl") -> str:
    path = directory / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def spec_of(model: Path, seed: int = 1, **fields: Any) -> DatasetSpec:
    return DatasetSpec(DataSection.model_validate(fields), str(model), None, NOW, seed)


def mixed(count: int) -> list[Any]:
    """Rows of one, two and three turns, some too long, some unusable, some untrained."""
    lots = random.Random(7)
    rows: list[Any] = []
    for number in range(count):
        turns = [
            turn
            for n in range(lots.randint(1, 3))
            for turn in (
                user(f"question {number} {n}"),
                assistant(f"answer {lots.random()} " * lots.randint(1, 9)),
            )
        ]
        rows.append({"messages": turns[:1] if number % 50 == 49 else turns})
    for bad in range(10, count, 97):
        rows[bad] = '{"messages": ['
    return rows


def found(overview: Overview, code: str) -> Finding | None:
    return next((finding for finding in overview.findings if finding.code == code), None)


def facts_of(overview: Overview) -> tuple[Any, ...]:
    """Everything that an overview says."""
    return tuple(getattr(overview, name) for name in Overview.__slots__)


@pytest.mark.parametrize("per", ["conversation", "turn"])
def test_the_numbers_are_those_of_the_encoded_dataset(tmp_path: Path, model: Path, per: str) -> None:
    spec = spec_of(
        model, train=write(tmp_path, mixed(700)), sequence_per=per, max_length=10_000, bad_rows="drop"
    )
    overview = analyse(spec)["train"]
    data = encode_dataset(spec.data, spec.tokenizer(), seed=1)
    lengths, trained, longest = [0] * 700, [0] * 700, 0
    for sequence in data.train:
        lengths[sequence.row] = max(lengths[sequence.row], len(sequence))
        trained[sequence.row] += sum(sequence.trained)
        longest = max(longest, len(sequence))
    untrained = [row for row in range(700) if not trained[row] and overview.lengths[row]]
    assert (overview.state, overview.problem) == ("done", None)
    assert (overview.rows, overview.analysed, overview.share) == (700, 700, 1.0)
    assert list(overview.trained) == trained
    assert [n for row, n in enumerate(overview.lengths) if row not in untrained] == [
        n for row, n in enumerate(lengths) if row not in untrained
    ]
    assert overview.trained_tokens == data.train_counts.trained_tokens == sum(trained)
    assert overview.tokens == data.train_counts.tokens + sum(overview.lengths[row] for row in untrained)
    assert overview.sequences == len(data.train) + len(untrained)
    assert overview.percentiles is not None
    assert overview.percentiles[-1] == longest
    assert sum(overview.known) == 700
    assert overview.formats == (("messages", 700 - len(data.train_counts.bad)),)
    unreadable, nothing = found(overview, "unreadable-row"), found(overview, "no-trained-tokens")
    assert unreadable is not None
    assert nothing is not None
    assert (unreadable.count, nothing.count) == (len(data.train_counts.bad), len(untrained))
    assert unreadable.severity == "warning"
    assert unreadable.remedy.startswith("They are left out.") and "bad_rows" not in unreadable.remedy
    assert list(nothing.rows) == untrained[:20]


@pytest.mark.parametrize(
    ("overlength", "side"), [("drop", "right"), ("truncate", "right"), ("truncate", "left")]
)
def test_what_a_cut_costs_is_what_is_lost(tmp_path: Path, model: Path, overlength: str, side: str) -> None:
    path = write(tmp_path, mixed(300))
    options: dict[str, Any] = {"train": path, "bad_rows": "drop"}
    spec = spec_of(model, **options, max_length=110, overlength=overlength, truncation_side=side)
    overview = analyse(spec)["train"]
    whole = encode_dataset(spec_of(model, **options, max_length=10_000).data, spec.tokenizer(), 1)
    cut = encode_dataset(spec.data, spec.tokenizer(), 1)
    cost = overview.cost
    assert cost is not None
    assert cost.sequences > 10
    loss = cost.drop
    if overlength == "truncate":
        loss = cost.truncate_right if side == "right" else cost.truncate_left
    assert loss.trained_tokens == whole.train_counts.trained_tokens - cut.train_counts.trained_tokens
    lost = len(whole.train) - len(cut.train)
    assert lost <= loss.sequences <= lost + len(whole.train_counts.untrained)


def chunked(count: int) -> list[tuple[Chunk, ChunkFindings]]:
    """Made-up chunks of a dataset with everything in it."""
    lots, made = random.Random(3), []
    for begin in range(0, count, 64):
        chunk, flags = Chunk(begin, 64), array("Q")
        details: list[tuple[str, int, str]] = []
        for row in range(begin, begin + 64):
            sequences = lots.choice([0, 1, 1, 2])
            chunk.counts.append(sequences)
            for _ in range(sequences):
                length = lots.randint(5, 90)
                first = lots.randint(1, length - 3)
                chunk.lengths.append(length)
                chunk.span_counts.append(1)
                chunk.spans.extend([first, lots.randint(first + 1, length)])
                chunk.ended.append(1)
            code = lots.choice(["mojibake", "empty-answer", "secret"])
            flags.append(1 << BITS[code] if lots.random() < 0.1 else 0)
            if flags[-1]:
                details.append((code, row, f"detail {lots.random()}"))
        kinds = Counter({lots.choice(["messages", "text", "alpaca"]): 64})
        made.append((chunk, ChunkFindings(begin, flags, details, kinds)))
    return made


def made_up(count: int, data: DataSection) -> Analysis:
    spec = DatasetSpec(data, "model", None, NOW, 1)
    return Analysis(spec, {"train": count}, {"train": "key"}, lambda _, row: f"at:{row}", lambda: None)


def test_the_order_of_the_chunks_makes_no_difference() -> None:
    data = DataSection(train=["x"], max_length=50, overlength="truncate")
    told = set()
    for seed in range(6):
        analysis, parts = made_up(640, data), chunked(640)
        random.Random(seed).shuffle(parts)
        for chunk, findings in parts:
            analysis.tallies["train"].add(chunk, findings, data)
        told.add(repr([str(fact) for fact in facts_of(analysis.overview("train"))]))
    assert len(told) == 1


@pytest.mark.parametrize(
    "after",
    [
        {"max_length": 30},
        {"max_length": 80, "overlength": "truncate"},
        {"max_length": 40, "overlength": "truncate", "truncation_side": "left"},
        {"max_length": 20, "overlength": "error"},
        {"max_length": 1000},
    ],
)
def test_another_cut_is_as_if_it_had_always_been_so(after: dict[str, Any]) -> None:
    before = DataSection(train=["x"], max_length=50)
    wanted = DataSection.model_validate({"train": ["x"], **after})
    recut, fresh = made_up(640, before), made_up(640, wanted)
    parts = chunked(640)
    for chunk, findings in parts[:7]:
        recut.tallies["train"].add(chunk, findings, before)
    recut.overview("train")
    recut.recut(wanted)
    for chunk, findings in parts[7:]:
        recut.tallies["train"].add(chunk, findings, wanted)
    for chunk, findings in chunked(640):
        fresh.tallies["train"].add(chunk, findings, wanted)
    for one, other in zip(facts_of(recut.overview("train")), facts_of(fresh.overview("train")), strict=True):
        assert one == other
    assert recut.cost("train", 60) == fresh.cost("train", 60)


def test_a_snapshot_of_a_million_rows_is_cheap() -> None:
    """In time, because it is taken while keys are answered."""
    data = DataSection(train=["x"], max_length=50)
    analysis = made_up(1_000_000, data)
    for chunk, findings in chunked(64 * 40):
        analysis.tallies["train"].add(chunk, findings, data)
    analysis.overview("train")
    began = time.perf_counter()
    analysis.overview("train")
    assert time.perf_counter() - began < 5


# -- findings


def test_held_out_files_that_repeat_training_rows_are_a_leak(tmp_path: Path, model: Path) -> None:
    rows = mixed(60)
    rows[50] = {"question": "of a training row", "answer": "that no held-out row has a number for"}
    held_out = [*mixed(120)[70:90], rows[50], rows[7]]
    spec = spec_of(model, train=write(tmp_path, rows), eval=write(tmp_path, held_out, "eval.jsonl"))
    overviews = analyse(spec)
    leak = found(overviews["train"], "eval-leak")
    assert leak is not None
    assert (leak.eval_rows, leak.rows) == ((20, 21), ())
    told = ("eval.jsonl:21: the same as train.jsonl:51", "eval.jsonl:22: the same as train.jsonl:8")
    assert leak.examples == told
    assert [each.examples for each in overviews["eval"].findings if each.code == "eval-leak"] == [told]
    assert [overviews[side].rows for side in overviews] == [60, 22]
    bit = 1 << BITS["eval-leak"]
    assert [row for row, flags in enumerate(overviews["eval"].flags) if flags & bit] == [20, 21]
    assert not any(flags & bit for flags in overviews["train"].flags)


def test_rows_held_out_by_a_fraction_may_leak_too(tmp_path: Path, model: Path) -> None:
    rows = [{"question": f"a question of number {n}", "answer": f"{n} times {n + 1}"} for n in range(40)]
    spec = spec_of(model, train=write(tmp_path, rows * 2), eval_fraction=0.25)
    data = encode_dataset(spec.data, spec.tokenizer(), seed=1)
    trained = {sequence.row % 40 for sequence in data.train}
    leaks = [sequence.row for sequence in data.eval if sequence.row % 40 in trained]
    overview = analyse(spec)["train"]
    bit = 1 << BITS["eval-leak"]
    assert [row for row, flags in enumerate(overview.flags) if flags & bit] == leaks
    leak = found(overview, "eval-leak")
    assert leak is not None
    assert (
        leak.examples[0] == f"train.jsonl:{leaks[0] + 1}: the same as train.jsonl:{(leaks[0] + 40) % 80 + 1}"
    )
    repeated = Counter(sequence.row % 40 for sequence in data.train)
    duplicate = found(overview, "exact-duplicate")
    assert duplicate is not None
    assert duplicate.count == sum(times == 2 for times in repeated.values())


def test_a_fraction_that_holds_out_nothing_is_said_at_once(tmp_path: Path, model: Path) -> None:
    spec = spec_of(model, train=write(tmp_path, mixed(9)), eval_fraction=0.01)
    with pytest.raises(InputError, match=r"data\.eval_fraction: 0\.01 of 9 rows is 0"):
        analyse(spec)


def test_duplicates_are_found_across_chunks_and_without_a_cache(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"question": f"question {n}", "answer": f"answer {n}"} for n in range(1300)]
    rows[1290] = rows[3]
    spec = spec_of(model, train=write(tmp_path, rows))
    blocked = tmp_path / "file"
    blocked.write_text("in the way")
    for cache in (tmp_path / "cache", blocked / "cache"):
        monkeypatch.setenv("SFTUI_CACHE", str(cache))
        duplicate = found(analyse(spec)["train"], "exact-duplicate")
        assert duplicate is not None
        assert duplicate.rows == (1290,)
        assert duplicate.examples == ("train.jsonl:1291: the same as train.jsonl:4",)
    assert (tmp_path / "cache" / "encoded").is_dir()


def test_unreadable_rows_are_told_by_line_and_the_others_analysed(tmp_path: Path, model: Path) -> None:
    rows = mixed(9)
    rows[2], rows[6] = '{"messages": [', "[1]"
    overview = analyse(spec_of(model, train=write(tmp_path, rows)))["train"]
    unreadable = found(overview, "unreadable-row")
    assert unreadable is not None
    assert (unreadable.count, unreadable.rows, unreadable.severity) == (2, (2, 6), "error")
    assert [example.partition(": ")[0] for example in unreadable.examples] == [
        "train.jsonl:3",
        "train.jsonl:7",
    ]
    assert sum(1 for length in overview.lengths if length) == 7


def test_a_row_that_ends_its_process_is_a_finding(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch)
    monkeypatch.setattr(module, "READER", "tests.worker_objects:DeadlyReader")
    rows = [{"question": f"question {n}", "answer": f"answer {n}"} for n in range(600)]
    rows[200]["question"], rows[100] = DEADLY, rows[599]
    overview = analyse(spec_of(model, train=write(tmp_path, rows)))["train"]
    lost = found(overview, "unreadable-row")
    assert lost is not None
    assert lost.rows == (200,)
    assert "takes too long or too much memory" in lost.examples[0]
    assert overview.analysed == 600
    assert list(overview.known) == [1] * 600
    duplicate = found(overview, "exact-duplicate")
    assert duplicate is not None
    assert duplicate.rows == (599,)  # of rows in chunks that had to be taken apart, too


HOSTILE = {
    "endless": "{% for a in range(9000) %}{% for b in range(9000) %}{% endfor %}{% endfor %}" + CHATML,
    "huge": "{{ 'x' * 999999999999 }}",
    "refusing": "{{ raise_exception('never') }}",
    "broken": "{{ messages.nothing.at_all.here }}",
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_template_becomes_findings_and_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    allow(monkeypatch)
    monkeypatch.setattr(module, "READER", "tests.worker_objects:HastyReader")
    model = model_directory(tmp_path / "model", HOSTILE[kind])
    rows = [{"question": f"q {n}", "answer": f"a {n}"} for n in range(1500)]
    began = time.monotonic()
    overview = analyse(spec_of(model, train=write(tmp_path, rows)))["train"]
    assert time.monotonic() - began < 15
    errors = [finding for finding in overview.findings if finding.severity == "error"]
    assert overview.analysed == 1500
    assert sum(finding.count for finding in errors if finding.code != "no-trained-tokens") == 1500
    assert overview.tokens == 0


# -- how it goes


def test_a_cancelled_analysis_returns_at_once(tmp_path: Path, model: Path) -> None:
    spec = spec_of(model, train=write(tmp_path, mixed(5000)))
    corpus = Corpus(spec.data.train)
    told: list[None] = []
    key = store_key(corpus.identity, spec.tokenizer(), spec.data)
    analysis = Analysis(
        spec, {"train": 5000}, {"train": key}, lambda _, row: corpus.where(row), lambda: told.append(None)
    )
    thread = threading.Thread(target=analysis.run)
    thread.start()
    while not told and thread.is_alive():
        time.sleep(0.01)
    began = time.monotonic()
    analysis.cancel()
    assert time.monotonic() - began < 2
    thread.join(5)
    assert not thread.is_alive()
    assert analysis.overview("train").state == "analysing"
    count = len(told)
    time.sleep(0.2)
    assert len(told) == count


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"train": "nowhere.jsonl"}, r"nowhere\.jsonl"),
        ({"train": "train.jsonl", "eval": "none.jsonl"}, r"none\.jsonl"),
        ({"train": "train.jsonl", "chat_template": "none.jinja"}, r"none\.jinja"),
    ],
)
def test_what_cannot_be_opened_is_an_input_error(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, mixed(3))
    with pytest.raises(InputError, match=said):
        analyse(spec_of(model, **fields))


def test_the_second_time_comes_from_the_cache_with_the_same_answer(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = spec_of(model, train=write(tmp_path, mixed(1500)), eval_fraction=0.1, max_length=100)
    told: list[tuple[int, int]] = []
    first = analyse(spec, lambda *at: told.append(at))
    assert told[-1] == (1500, 1500)
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    allow(monkeypatch)
    monkeypatch.setattr(module, "READER", "tests.worker_objects:ForgetfulReader")
    second = analyse(spec)
    assert facts_of(second["train"]) == facts_of(first["train"])
