"""The sequences to train on are those that the recipe asks for, and no row is lost unseen."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sftui.data import bulk
from sftui.data.dataset import EncodedData, encode_dataset
from sftui.data.sequences import Sequence, labels
from sftui.data.tokenizer import ChatTokenizer, load_tokenizer
from sftui.errors import InputError
from sftui.recipe import DataSection
from tests.data_fixtures import CHATML, QWEN3, assistant, model_directory, user
from tests.worker_objects import DEADLY, HANGING, allow

MANY = 2100  # rows, encoded by several processes


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return load_tokenizer(str(model_directory(tmp_path_factory.mktemp("model"), CHATML)))


def write(directory: Path, rows: list[Any], name: str = "train.jsonl") -> str:
    path = directory / name
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return str(path)


def section(**fields: Any) -> DataSection:
    return DataSection.model_validate(fields)


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"question": f"q {n}", "answer": f"a {n}"} for n in range(count)]


def encode(directory: Path, rows: list[Any], tokenizer: ChatTokenizer, **options: Any) -> EncodedData:
    return encode_dataset(section(train=write(directory, rows), **options), tokenizer, seed=1)


def trained_text(sequence: Sequence, tokenizer: ChatTokenizer) -> str:
    return tokenizer.decode([label for label in labels(sequence) if label != -100])


# -- bad rows


def test_bad_rows_refuse_with_the_first_and_how_many(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    rows = [*numbered(3), "{nonsense", {"question": "q"}, *numbered(2)]
    with pytest.raises(InputError) as error:
        encode(tmp_path, rows, tokenizer)
    assert str(error.value).startswith(f"{tmp_path}/train.jsonl:4: ")
    assert "(with it, 2 of 7 training rows cannot be used)" in str(error.value)
    assert "data.bad_rows: drop leaves them out" in str(error.value)


def test_a_single_bad_row_is_told_alone(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    with pytest.raises(InputError) as error:
        encode(tmp_path, [*numbered(3), "{nonsense"], tokenizer)
    assert "with it" not in str(error.value)
    assert "data.bad_rows: drop" in str(error.value)


def test_bad_rows_may_be_left_out(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    rows = [*numbered(3), "{nonsense", {"question": "q"}, *numbered(2)]
    data = encode(tmp_path, rows, tokenizer, bad_rows="drop")
    assert [sequence.row for sequence in data.train] == [0, 1, 2, 5, 6]
    assert data.train_counts.bad == (f"{tmp_path}/train.jsonl:4", f"{tmp_path}/train.jsonl:5")
    said = "2 of 7 training rows that cannot be used are left out: train.jsonl:4, train.jsonl:5"
    assert data.notices == (said,)


def test_when_all_rows_are_bad_the_first_says_why(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    with pytest.raises(InputError, match="no training row has a trained token") as error:
        encode(tmp_path, ["{nonsense", "{nonsense"], tokenizer, bad_rows="drop")
    assert "the first: " in str(error.value)
    assert "train.jsonl:1: not JSON" in str(error.value)


def test_bad_held_out_rows_are_told_as_such(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    held_out = write(tmp_path, [*numbered(1), "{nonsense", "{nonsense"], "eval.jsonl")
    with pytest.raises(InputError, match=r"eval\.jsonl:2.*with it, 2 of 3 held-out rows"):
        encode(tmp_path, numbered(2), tokenizer, eval=held_out)


def test_bad_rows_belong_to_the_side_that_drew_them(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    rows = [row if n % 2 else "{nonsense" for n, row in enumerate(numbered(40))]
    data = encode(tmp_path, rows, tokenizer, bad_rows="drop", eval_fraction=0.25)
    assert len(data.train_counts.bad) + len(data.eval_counts.bad) == 20
    assert len(data.eval_counts.bad) + len(data.eval) == data.eval_counts.rows == 10


def test_how_many_rows_are_too_long_is_told(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    rows = [*numbered(2), *[{"question": "q", "answer": "long " * 50}] * 3]
    said = r"train\.jsonl:3: .*longer than max_length 60 \(with it, 3 of 5 training rows are too long\)"
    with pytest.raises(InputError, match=said):
        encode(tmp_path, rows, tokenizer, max_length=60, overlength="error")


# -- weights of sources


@pytest.mark.parametrize(("weight", "times"), [(0.5, 10), (2, 40), (2.5, 50)])
def test_a_sources_rows_count_as_often_as_its_weight_says(
    tmp_path: Path, tokenizer: ChatTokenizer, weight: float, times: int
) -> None:
    one = write(tmp_path, numbered(20), "one.jsonl")
    two = write(tmp_path, numbered(7), "two.jsonl")
    asked = section(train=[{"path": one, "weight": weight}, two])
    data = encode_dataset(asked, tokenizer, seed=1)
    drawn = Counter(sequence.row for sequence in data.train)
    assert sum(drawn[row] for row in range(20)) == times
    assert all(drawn[row] == 1 for row in range(20, 27))
    assert {drawn[row] for row in range(20)} <= {int(weight), int(weight) + 1}
    assert [sequence.row for sequence in data.train] == sorted(drawn.elements())
    assert data.train_counts.rows == 27
    assert data.train_counts.tokens == sum(map(len, data.train))
    assert encode_dataset(asked, tokenizer, seed=1).fingerprint == data.fingerprint
    if weight != 2:
        assert encode_dataset(asked, tokenizer, seed=2).fingerprint != data.fingerprint


def test_weights_that_draw_nothing_are_refused(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    path = write(tmp_path, numbered(2))
    with pytest.raises(InputError, match=r"data\.train: the weights draw no row"):
        encode_dataset(section(train=[{"path": path, "weight": 0.1}]), tokenizer, seed=1)


def test_held_out_rows_are_not_drawn_by_weight(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    path = write(tmp_path, numbered(20))
    asked = section(train=[{"path": path, "weight": 3}], eval_fraction=0.25)
    data = encode_dataset(asked, tokenizer, seed=1)
    assert (len(data.train), len(data.eval)) == (45, 5)


# -- turns, cuts, weights


def test_one_sequence_a_turn_is_what_the_model_sees_at_each(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(model_directory(tmp_path / "model", QWEN3)))
    thoughts = [assistant(f"answer {n}", reasoning_content=f"thought {n}") for n in range(3)]
    messages = [turn for n in range(3) for turn in (user(f"question {n}"), thoughts[n])]
    data = encode(tmp_path, [{"messages": messages}] * 2, tokenizer, sequence_per="turn")
    assert [sequence.row for sequence in data.train] == [0, 0, 0, 1, 1, 1]
    for number, sequence in enumerate(data.train[:3]):
        expected = f"<think>\nthought {number}\n</think>\n\nanswer {number}<|im_end|>"
        assert trained_text(sequence, tokenizer) == expected
        text = tokenizer.decode(sequence.input_ids)
        assert f"question {number}" in text
        assert f"question {number + 1}" not in text
    assert data.train_counts.rows == 2
    whole = encode(tmp_path, [{"messages": messages}] * 2, tokenizer)
    assert len(whole.train) == 2
    assert whole.fingerprint != data.fingerprint


LONG = {"messages": [user("a " * 40), assistant("first " * 30), user("b"), assistant("last " * 10)]}


@pytest.mark.parametrize("side", ["right", "left"])
def test_a_cut_keeps_the_labels_of_what_remains(tmp_path: Path, tokenizer: ChatTokenizer, side: str) -> None:
    [whole] = encode(tmp_path, [LONG], tokenizer, max_length=100_000).train
    for limit in range(2, len(whole), 7):
        options = {"max_length": limit, "overlength": "truncate", "truncation_side": side}
        kept = slice(limit) if side == "right" else slice(len(whole) - limit, None)
        expected = [-100, *labels(whole)[kept][1:]]
        if set(expected) == {-100}:
            with pytest.raises(InputError, match="without a trained token"):
                encode(tmp_path, [LONG], tokenizer, **options)
            continue
        [cut] = encode(tmp_path, [LONG], tokenizer, **options).train
        assert list(cut.input_ids) == list(whole.input_ids)[kept]
        assert labels(cut) == expected


@pytest.mark.parametrize("side", ["right", "left"])
def test_weights_of_messages_reach_the_sequence_also_after_a_cut(
    tmp_path: Path, tokenizer: ChatTokenizer, side: str
) -> None:
    messages = [
        *(user("a " * 30), {**assistant("first " * 10), "weight": 0.5}),
        *(user("b"), {**assistant("second " * 10), "weight": 0}),
        *(user("c"), {**assistant("third " * 10), "weight": 2}),
    ]
    rows = [*numbered(1), {"messages": messages}]
    plain, whole = encode(tmp_path, rows, tokenizer, max_length=100_000).train
    assert plain.weights is None
    assert whole.weights is not None
    told = list(whole.weights)
    assert set(told) == {0.0, 0.5, 2.0}
    assert [weight > 0 for weight in told] == [bool(trained) for trained in whole.trained]
    for weight, words in ((0.5, "first " * 10), (2.0, "third " * 10)):
        ids = [i for i, own in zip(whole.input_ids, told, strict=True) if own == weight]
        assert tokenizer.decode(ids) == words + "<|im_end|>"
    for limit in range(len(plain) + 1, len(whole), 11):
        options = {"max_length": limit, "overlength": "truncate", "truncation_side": side}
        cut = encode(tmp_path, rows, tokenizer, **options).train[1:]
        kept = slice(limit) if side == "right" else slice(len(whole) - limit, None)
        expected = [0.0, *told[kept][1:]]
        if not any(expected):
            assert cut == []
            continue
        assert list(cut[0].weights or ()) == expected
        assert bytes(weight > 0 for weight in expected) == cut[0].trained


def test_weights_of_one_are_as_none(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    row = {"messages": [user("a"), {**assistant("b"), "weight": 1}]}
    other = {"messages": [user("a"), {**assistant("b"), "weight": 0.5}]}
    [alone] = encode(tmp_path, [row], tokenizer).train
    beside = encode(tmp_path, [row, other], tokenizer).train
    assert alone.weights is None
    assert beside[0].weights is None
    assert beside[1].weights is not None


@pytest.mark.parametrize("field", ["train_on", "overlength", "max_length", "weight", "template"])
def test_the_fingerprint_changes_with_whatever_is_trained(
    tmp_path: Path, tokenizer: ChatTokenizer, field: str
) -> None:
    rows = [{"messages": [user("a"), assistant("b"), user("c"), assistant("d " * 30)]}, *numbered(2)]
    before = encode(tmp_path, rows, tokenizer, max_length=60)
    other: dict[str, Any] = {
        "train_on": {"train_on": "last_assistant", "max_length": 1000},
        "overlength": {"overlength": "truncate", "max_length": 60},
        "max_length": {"max_length": 1000},
        "weight": {"max_length": 60, "train": [{"path": str(tmp_path / "train.jsonl"), "weight": 2}]},
        "template": {"max_length": 60, "chat_template": "plain"},
    }[field]
    used = tokenizer
    if "chat_template" in other:
        used = load_tokenizer(tokenizer.name_or_path, chat_template="plain")
    asked = section(**{"train": str(tmp_path / "train.jsonl"), **other})
    assert encode_dataset(asked, used, seed=1).fingerprint != before.fingerprint


# -- several processes


def test_several_processes_make_the_same_of_the_rows(
    tmp_path: Path, tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[Any] = numbered(MANY)
    rows[7], rows[1900] = "{nonsense", {"messages": [user("a"), {**assistant("b"), "weight": 0.5}]}
    options: dict[str, Any] = {"bad_rows": "drop", "eval_fraction": 0.1}
    asked = section(train=write(tmp_path, rows), **options)
    started: list[str] = []
    by_processes = bulk._by_processes

    def watched(*given: Any) -> Any:
        started.append("pool")
        return by_processes(*given)

    monkeypatch.setattr(bulk, "_by_processes", watched)
    told: list[tuple[int, int]] = []
    several = encode_dataset(asked, tokenizer, 1, lambda *at: told.append(at))
    assert started == ["pool"]
    assert [total for _, total in told] == [MANY] * len(told)
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert told[-1] == (MANY, MANY)
    monkeypatch.setenv("SFTUI_CACHE", str(tmp_path / "other"))
    monkeypatch.setattr(bulk, "_FEW_ROWS", 10 * MANY)
    alone = encode_dataset(asked, tokenizer, 1)
    assert started == ["pool"]
    assert several.fingerprint == alone.fingerprint
    assert several.train == alone.train
    assert several.eval == alone.eval
    assert several.train_counts == alone.train_counts
    assert several.eval_counts == alone.eval_counts
    assert several.train_counts.bad + several.eval_counts.bad == (f"{tmp_path}/train.jsonl:8",)


@pytest.mark.parametrize("deed", [DEADLY, HANGING])
def test_a_row_that_ends_its_process_is_one_bad_row(
    tmp_path: Path, tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch, deed: str
) -> None:
    allow(monkeypatch)
    monkeypatch.setattr(bulk, "READER", "tests.worker_objects:DeadlyReader")
    monkeypatch.setattr(bulk, "_FEW_ROWS", 0)
    monkeypatch.setattr(bulk, "chunk_seconds", lambda rows: 1.0)
    rows = numbered(700)
    rows[300]["question"] = deed
    data = encode(tmp_path, rows, tokenizer, bad_rows="drop")
    assert [sequence.row for sequence in data.train] == [row for row in range(700) if row != 300]
    assert data.train_counts.bad == (f"{tmp_path}/train.jsonl:301",)
    rows[300]["question"] = "harmless"
    os.utime(write(tmp_path, rows), ns=(1, 1))
    assert len(encode_dataset(section(train=str(tmp_path / "train.jsonl")), tokenizer, 1).train) == 700


def test_held_out_files_are_encoded_like_the_others(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    held_out = write(tmp_path, numbered(MANY)[100:], "eval.jsonl")
    told: list[tuple[int, int]] = []
    asked = section(train=write(tmp_path, numbered(3)), eval=held_out)
    data = encode_dataset(asked, tokenizer, 1, lambda *at: told.append(at))
    assert (len(data.train), len(data.eval)) == (3, MANY - 100)
    assert told[-1] == (MANY - 97, MANY - 97)
    assert data.eval[5].where == f"{held_out}:6"
    assert data.eval_counts.rows == MANY - 100


def test_files_that_change_while_they_are_encoded_are_told(
    tmp_path: Path, tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = section(train=write(tmp_path, numbered(MANY)))
    keys = bulk.store_key

    def changed_after(*given: Any) -> str:
        key = keys(*given)
        os.utime(asked.train[0].path, ns=(1, 1))
        return key

    monkeypatch.setattr(bulk, "store_key", changed_after)
    with pytest.raises(InputError, match="has changed since it was opened"):
        encode_dataset(asked, tokenizer, 1)
