"""What was tokenised once is found again, by whoever opens the same dataset, and never by another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from sftui.data import encode, store
from sftui.data.cache import cache_directory
from sftui.data.chunk import Chunk, EncodedSequence
from sftui.data.corpus import Corpus
from sftui.data.dataset import EncodedData, encode_dataset
from sftui.data.findings.chunk import ChunkFindings
from sftui.data.findings.duplicates import SKETCH_BYTES
from sftui.data.reader import DatasetSpec, Reader
from sftui.data.store import Store, chunk_name, chunks_of, of_same_data, store_key
from sftui.data.tokenizer import load_tokenizer
from sftui.errors import InputError
from sftui.recipe import DataSection
from tests.data_fixtures import CHATML, model_directory
from tests.run_fixtures import ROOT

NOW = datetime(2026, 11, 20, 9, 30)
DATED = "{{ strftime_now('%d %b %Y') }}" + CHATML
ASKED = "{% if strftime_now is defined %}{% set today = strftime_now('%d %b %Y') %}{% endif %}" + CHATML


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_directory(tmp_path_factory.mktemp("models") / "model")


def write(directory: Path, count: int = 5, name: str = "train.jsonl", answer: str = "yes") -> Path:
    path = directory / name
    rows = ({"question": f"q {n}", "answer": f"{answer} {n}"} for n in range(count))
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def section(path: Path, **fields: Any) -> DataSection:
    return DataSection.model_validate({"train": str(path), **fields})


def encoded(data: DataSection, model: Path, now: datetime = NOW) -> EncodedData:
    tokenizer = load_tokenizer(str(model), now=now, chat_template=data.chat_template)
    return encode_dataset(data, tokenizer, seed=1)


def entries() -> list[Path]:
    folder = cache_directory() / "encoded"
    return sorted(folder.iterdir()) if folder.exists() else []


def chunks() -> list[Path]:
    return [file for entry in entries() for file in sorted(entry.iterdir())]


def test_the_second_time_nothing_is_tokenised(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = section(write(tmp_path, 1200))
    first = encoded(data, model)
    assert [file.name for file in chunks()] == [chunk_name(*part) for part in chunks_of(1200)]
    monkeypatch.setattr(encode, "locate", lambda *_: pytest.fail("tokenised again"))
    second = encoded(data, model)
    assert second.fingerprint == first.fingerprint
    assert second.train_counts == first.train_counts


def test_rows_that_cannot_be_used_are_remembered_with_all_they_say(tmp_path: Path, model: Path) -> None:
    path = write(tmp_path)
    path.write_text(path.read_text() + "{nonsense\n")
    data = section(path)
    said = []
    for _ in range(2):
        with pytest.raises(InputError) as error:
            encoded(data, model)
        said.append((str(error.value), error.value.file, error.value.line))
    assert said[0] == said[1]
    assert "train.jsonl:6" in said[0][0]


@pytest.mark.parametrize(
    "cut", [{"max_length": 40}, {"overlength": "truncate"}, {"bad_rows": "drop"}, {"eval_fraction": 0.2}]
)
def test_cuts_are_no_part_of_the_key(
    tmp_path: Path, model: Path, cut: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path)
    encoded(section(path), model)
    monkeypatch.setattr(encode, "locate", lambda *_: pytest.fail("tokenised again"))
    encoded(section(path, **cut), model)
    assert len(entries()) == 1


def key_of(data: DataSection, model: Path, now: datetime = NOW) -> str:
    tokenizer = load_tokenizer(str(model), now=now, chat_template=data.chat_template)
    return store_key(Corpus(data.train).identity, tokenizer, data)


@pytest.mark.parametrize(
    "other",
    [
        {"train_on": "everything"},
        {"sequence_per": "turn"},
        {"chat_template": "chatml"},
        {"train": [{"path": "train.jsonl", "limit": 2}]},
        {"train": [{"path": "train.jsonl", "format": "question_answer"}]},
        {"train": [{"path": "train.jsonl", "columns": {"question": "answer", "answer": "question"}}]},
        {"train": ["train.jsonl", "train.jsonl"]},
    ],
)
def test_whatever_changes_tokens_changes_the_key(
    tmp_path: Path, model: Path, other: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path)
    assert key_of(section(path), model) != key_of(section(path, **other), model)
    assert key_of(section(path, **other), model) == key_of(section(path, **other), model)


def test_a_sources_weight_is_no_part_of_the_key(tmp_path: Path, model: Path) -> None:
    path = write(tmp_path)
    weighted = section(path, train=[{"path": str(path), "weight": 2.5}])
    assert key_of(section(path), model) == key_of(weighted, model)


def test_other_content_is_another_key(tmp_path: Path, model: Path) -> None:
    path = write(tmp_path)
    first = encoded(section(path), model)
    os.utime(write(tmp_path, answer="was"), ns=(1, 1))
    second = encoded(section(path), model)
    assert len(entries()) == 2
    assert second.fingerprint != first.fingerprint


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "chat_template.jinja"])
def test_the_files_of_the_tokenizer_are_in_the_key(tmp_path: Path, name: str) -> None:
    data, model = section(write(tmp_path)), model_directory(tmp_path / "model")
    before = key_of(data, model)
    assert key_of(data, model) == before
    text = (model / name).read_text()
    (model / name).write_text(text.replace("{", "{ ", 1) if name.endswith("json") else text + "\n")
    assert key_of(data, model) != before


def test_the_date_is_in_the_key_where_it_is_printed(tmp_path: Path) -> None:
    data = section(write(tmp_path))
    later, tomorrow = NOW.replace(hour=23), NOW.replace(day=21)
    plain = model_directory(tmp_path / "plain", CHATML)
    assert key_of(data, plain, NOW) == key_of(data, plain, tomorrow)
    for name, template in (("dated", DATED), ("asked", ASKED)):
        model = model_directory(tmp_path / name, template)
        assert key_of(data, model, NOW) == key_of(data, model, later)
        assert key_of(data, model, NOW) != key_of(data, model, tomorrow)
    hidden = "{% set f = strftime_now %}{{ f('%d') }}{% set p = '%H' %}{{ strftime_now(p) }}" + CHATML
    model = model_directory(tmp_path / "hidden", hidden)
    assert key_of(data, model, NOW) != key_of(data, model, NOW.replace(second=1))


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[: len(data) // 2],
        lambda data: data[:-1],
        lambda data: bytes(len(data)),
        lambda data: data[:-8] + bytes(8),
        lambda data: data[:60] + b"\xff\xfe" + data[62:],
        lambda data: b"sftui-chunk-1\n" + data[14:],
    ],
)
def test_damaged_chunks_are_made_anew(tmp_path: Path, model: Path, damage: Any) -> None:
    data = section(write(tmp_path, 600))
    first = encoded(data, model)
    whole = chunks()[0].read_bytes()
    chunks()[0].write_bytes(damage(whole))
    assert encoded(data, model).fingerprint == first.fingerprint
    assert chunks()[0].read_bytes() == whole


def test_other_code_makes_other_entries(tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = section(write(tmp_path))
    before = key_of(data, model)
    monkeypatch.setattr(store, "code_identity", lambda: "f" * 64)
    after = key_of(data, model)
    assert after != before
    assert of_same_data(after, before)
    assert not of_same_data(after, key_of(section(tmp_path / "train.jsonl", train_on="everything"), model))


def test_damaged_findings_are_made_anew(tmp_path: Path, model: Path) -> None:
    reader, key = open_reader(section(write(tmp_path)), model)
    first = reader.analysed("train", key, 0, 5)
    [findings] = [file for file in chunks() if file.name.endswith(".findings")]
    whole = findings.read_bytes()
    for damaged in (b"", whole[:-1], bytes(len(whole)), whole[:40] + b"x" + whole[41:]):
        findings.write_bytes(damaged)
        assert ChunkFindings.from_bytes(damaged) is None
        assert reader.analysed("train", key, 0, 5).findings == first.findings
        assert findings.read_bytes() == whole


def open_reader(data: DataSection, model: Path) -> tuple[Reader, str]:
    reader = Reader(DatasetSpec(data, str(model), None, NOW, 1))
    return reader, reader.key("train")


def full(*_: Any, **__: Any) -> int:
    raise OSError(28, "No space left on device")


def read_only(cache: Path) -> None:
    cache.mkdir()
    (cache / "encoded").write_text("in the way")


@pytest.mark.parametrize("broken", ["full", "no folder"])
def test_a_cache_that_cannot_be_written_only_costs_time(
    tmp_path: Path, model: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    data = section(write(tmp_path, 600))
    reader, key = open_reader(data, model)
    whole = encoded(data, model)
    kept = reader.analysed("train", key, 0, 512)
    if broken == "full":
        monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "other"))
        monkeypatch.setattr(Path, "write_bytes", full)
    else:
        monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "another"))
        read_only(tmp_path / "another")
    assert encoded(data, model).fingerprint == whole.fingerprint
    reader, _ = open_reader(data, model)
    facts = reader.analysed("train", key, 0, 512)
    assert facts.chunk == kept.chunk
    assert kept.findings.sketches == b""
    assert len(facts.findings.sketches) == 512 * SKETCH_BYTES
    assert not list((cache_directory() / "encoded").glob("*/*"))


def test_what_took_too_long_is_not_remembered(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = "{% for a in range(3000) %}{% for b in range(3000) %}{% endfor %}{% endfor %}" + CHATML
    directory = model_directory(tmp_path / "slow", slow)
    data = section(write(tmp_path, 3), bad_rows="drop")
    with monkeypatch.context() as hasty:
        hasty.setattr(encode, "RENDER_SECONDS", 0.05)
        with pytest.raises(InputError, match="no training row has a trained token"):
            encoded(data, directory)
    assert chunks() == []
    assert Corpus(data.train)[0].messages


def test_a_dataset_that_changed_is_not_kept_under_the_old_key(tmp_path: Path, model: Path) -> None:
    path = write(tmp_path)
    _, key = open_reader(section(path), model)
    os.utime(write(tmp_path, answer="was"), ns=(1, 1))
    reader, other = open_reader(section(path), model)
    assert other != key
    with pytest.raises(InputError, match="has changed since it was opened"):
        reader.encoded("train", key, 0, 5)
    assert entries() == []


TWICE = """
import sys
from datetime import datetime
from sftui.data.dataset import encode_dataset
from sftui.data.tokenizer import load_tokenizer
from sftui.recipe import DataSection
tokenizer = load_tokenizer(sys.argv[2], now=datetime(2026, 11, 20, 9, 30))
print(encode_dataset(DataSection(train=sys.argv[1]), tokenizer, 1).fingerprint)
"""


def test_two_processes_at_once_agree(tmp_path: Path, model: Path) -> None:
    path = write(tmp_path, 1500)
    command = [sys.executable, "-c", TWICE, str(path), str(model)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) for _ in range(2)]
    said = {process.communicate(timeout=60)[0].strip() for process in both}
    assert said == {encoded(section(path), model).fingerprint}
    assert [file.name for file in chunks()] == [chunk_name(*part) for part in chunks_of(1500)]


def test_the_least_recently_used_entries_go_first(
    tmp_path: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = []
    for number in range(3):
        path = write(tmp_path, name=f"{number}.jsonl")
        encoded(section(path), model)
        keys.append(key_of(section(path), model))
    for age, key in enumerate(reversed(keys)):
        os.utime(cache_directory() / "encoded" / key, (1e9 - age, 1e9 - age))
    encoded(section(tmp_path / "0.jsonl"), model)
    size = sum(file.stat().st_size for file in chunks())
    monkeypatch.setattr(store, "LIMIT_BYTES", size // 2 + 1)
    Store(keys[0]).prune()
    assert [entry.name for entry in entries()] == [keys[0]]
    monkeypatch.setattr(store, "LIMIT_BYTES", 1)
    Store(keys[0]).prune()
    assert [entry.name for entry in entries()] == [keys[0]]  # what is in use stays


def test_chunks_keep_all_that_they_are_given() -> None:
    chunk = Chunk(7, 3)
    chunk.counts.extend([2, 0, 1])
    chunk.lengths.extend([3, 2, 4])
    chunk.ids.extend(range(9))
    chunk.span_counts.extend([1, 0, 2])
    chunk.spans.extend([1, 3, 1, 2, 3, 4])
    chunk.weights.extend([1.0, 0.5, 2.0])
    chunk.ended.extend([1, 0, 1])
    again = Chunk.from_bytes(chunk.to_bytes())
    assert again == chunk
    whole, untrained, weighted = again.sequences()
    assert isinstance(whole, EncodedSequence)
    assert (whole.row, list(whole.input_ids), whole.spans, whole.weights) == (7, [0, 1, 2], ((1, 3),), None)
    assert (untrained.row, untrained.spans, untrained.ended) == (7, (), False)
    assert (weighted.row, weighted.spans) == (9, ((1, 2), (3, 4)))
    assert weighted.weights is not None
    assert list(weighted.weights) == [0.5, 2.0]


def test_processes_of_one_run_take_turns_and_a_waiting_one_can_be_stopped(
    tmp_path: Path, model: Path
) -> None:
    data = section(write(tmp_path))
    tokenizer = load_tokenizer(str(model), now=NOW)
    waited = []

    def stop(done: int, total: int) -> None:
        waited.append((done, total))
        raise KeyboardInterrupt

    with Store(store_key(Corpus(data.train).identity, tokenizer, data)).alone(lambda: None):
        with pytest.raises(KeyboardInterrupt):
            encode_dataset(data, tokenizer, 1, stop)
        assert waited == [(0, 5)]
        assert not chunks()
    assert len(encode_dataset(data, tokenizer, 1).train) == 5


def test_files_that_cannot_be_read_on_are_said_to_whoever_asks(tmp_path: Path, model: Path) -> None:
    class Failing(Corpus):
        complete = False

        def read_on(self, seconds: float) -> None:
            raise InputError("has gone", file="train.jsonl")

    data = section(write(tmp_path))
    reader, _ = open_reader(data, model)
    reader._corpora["train"] = Failing(data.train)
    assert reader.status("train").rows == 5
    assert reader.idle(0.01)
    assert not reader.idle(0.01)
    with pytest.raises(InputError, match="has gone"):
        reader.status("train")
    other = write(tmp_path, name="other.jsonl")
    reader.change(DatasetSpec(section(other), str(model), None, NOW, 1))
    assert reader.status("train").complete
