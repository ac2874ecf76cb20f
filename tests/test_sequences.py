"""Datasets become sequences whose trained tokens are exactly the trained text; nothing is lost unseen."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftui.data import store
from sftui.data.dataset import EncodedData, encode_dataset
from sftui.data.hold_out import hold_out
from sftui.data.sequences import Sequence, labels, prompt_of
from sftui.data.tokenizer import ChatTokenizer, load_tokenizer
from sftui.errors import InputError
from sftui.recipe import DataSection
from tests import data_fixtures
from tests.data_fixtures import CHATML, PLAIN, QWEN3, assistant, conversation, model_directory, user

GSM8K = Path(__file__).parents[2] / "shared" / "data" / "gsm8k_train.jsonl"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> ChatTokenizer:
    return load_tokenizer(str(model_directory(tmp_path_factory.mktemp("model"), CHATML)))


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ChatTokenizer]:
    directory = tmp_path_factory.mktemp("models")
    names = ("CHATML", "MARKED", "LLAMA3", "GEMMA", "LLAMA2", "NEMO", "PHI3", "QWEN3", "HARMONY")
    return {
        name: load_tokenizer(str(model_directory(directory / name, getattr(data_fixtures, name))))
        for name in names
    }


def write(directory: Path, rows: list[dict[str, Any]], name: str = "train.jsonl") -> str:
    path = directory / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def section(**fields: Any) -> DataSection:
    return DataSection.model_validate(fields)


def answers(*texts: str) -> list[dict[str, Any]]:
    return [{"question": "q", "answer": text} for text in texts]


def encode(
    directory: Path, rows: list[dict[str, Any]], tokenizer: ChatTokenizer, **options: Any
) -> EncodedData:
    return encode_dataset(section(train=write(directory, rows), **options), tokenizer, seed=1)


def trained_text(sequence: Sequence, tokenizer: ChatTokenizer) -> str:
    return tokenizer.decode(
        [i for i, trained in zip(sequence.input_ids, sequence.trained, strict=True) if trained]
    )


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(exchanges=st.lists(st.tuples(words, words), min_size=1, max_size=3))
def test_trained_tokens_spell_the_trained_text(
    tmp_path: Path, tokenizers: dict[str, ChatTokenizer], exchanges: list[tuple[str, str]]
) -> None:
    messages = [turn for question, answer in exchanges for turn in (user(question), assistant(answer))]
    for tokenizer in tokenizers.values():
        located = tokenizer.trained_text(conversation(*messages), "assistant")
        [sequence] = encode(tmp_path, [{"messages": messages}], tokenizer, max_length=10_000).train
        assert tokenizer.decode(sequence.input_ids) == located.text
        expected = "".join(located.text[start:end] for start, end, *_ in located.spans)
        assert trained_text(sequence, tokenizer) == expected


def test_labels_are_the_ids_where_trained_and_never_the_first(
    tmp_path: Path, tokenizer: ChatTokenizer
) -> None:
    [sequence] = encode(tmp_path, answers("yes"), tokenizer).train
    assert [label for label in labels(sequence) if label != -100] == tokenizer.encode("yes<|im_end|>")
    [sequence] = encode(tmp_path, answers("yes"), tokenizer, train_on="everything").train
    assert labels(sequence) == [-100, *sequence.input_ids[1:]]
    assert sum(sequence.trained) == len(sequence) - 1


def test_overlength_rows_are_dropped_and_named(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    data = encode(tmp_path, answers("yes", "x " * 99, "no"), tokenizer, max_length=60)
    assert [sequence.row for sequence in data.train] == [0, 2]
    assert data.train_counts.overlength == (f"{tmp_path}/train.jsonl:2",)
    assert data.notices == ("1 of 3 training rows longer than max_length 60 were dropped: train.jsonl:2",)


def test_a_row_as_long_as_max_length_is_not_too_long(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    [whole] = encode(tmp_path, answers("yes"), tokenizer).train
    assert len(encode(tmp_path, answers("yes"), tokenizer, max_length=len(whole)).train) == 1


def test_overlength_rows_are_cut_on_the_right(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    [whole] = encode(tmp_path, answers("x " * 99), tokenizer).train
    data = encode(tmp_path, answers("x " * 99), tokenizer, max_length=60, overlength="truncate")
    assert data.train[0].input_ids == whole.input_ids[:60]
    assert data.train[0].trained == whole.trained[:60]
    assert data.train_counts.truncated == (f"{tmp_path}/train.jsonl:1",)


def test_overlength_rows_may_be_an_error(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    with pytest.raises(InputError, match=r"train\.jsonl:2: \d+ tokens: longer than max_length 60"):
        encode(tmp_path, answers("yes", "x " * 99), tokenizer, max_length=60, overlength="error")


def test_rows_without_a_trained_token_are_left_out_and_named(
    tmp_path: Path, tokenizer: ChatTokenizer
) -> None:
    rows = [{"messages": [user("a")]}, {"messages": [user("a"), assistant("b")]}]
    data = encode(tmp_path, rows, tokenizer)
    assert [sequence.row for sequence in data.train] == [1]
    assert data.train_counts.untrained == (f"{tmp_path}/train.jsonl:1",)
    assert "1 of 2 training rows without a trained token are left out" in data.notices[0]


def test_truncation_that_removes_every_label_is_noticed(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    rows = [{"question": "long " * 99, "answer": "a"}, *answers("a")]
    data = encode(tmp_path, rows, tokenizer, max_length=60, overlength="truncate")
    assert [sequence.row for sequence in data.train] == [1]
    assert data.train_counts.untrained == data.train_counts.truncated == (f"{tmp_path}/train.jsonl:1",)


@pytest.mark.parametrize(
    ("rows", "options", "reason"),
    [
        ([{"messages": [user("a")]}], {}, "1 of 1 training rows without a trained token are left out"),
        (answers("x " * 99), {"max_length": 9}, "1 of 1 training rows longer than max_length 9 were dropped"),
    ],
)
def test_a_dataset_without_a_trained_token_does_not_start(
    tmp_path: Path, tokenizer: ChatTokenizer, rows: list[dict[str, Any]], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InputError, match="no training row has a trained token") as error:
        encode(tmp_path, rows, tokenizer, **options)
    assert reason in str(error.value)


def test_held_out_rows_need_a_trained_token_too(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    held_out = write(tmp_path, [{"messages": [user("a")]}], "eval.jsonl")
    with pytest.raises(InputError, match="no held-out row has a trained token"):
        encode(tmp_path, answers("a"), tokenizer, eval=held_out)


def test_a_turn_that_nothing_ends_is_noticed(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(model_directory(tmp_path / "model", PLAIN)))
    data = encode(tmp_path, answers("a", "b"), tokenizer)
    assert len(data.train) == 2
    assert "2 of 2 training rows have a trained turn that no special token ends" in data.notices[0]


def test_notices_name_only_the_first_rows(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    rows = [{"messages": [user("a")]}] * 9 + answers("b")
    [notice] = encode(tmp_path, rows, tokenizer).notices
    assert notice.count("train.jsonl:") == 5
    assert notice.endswith(", ...")


def test_counts_add_up(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    data = encode(tmp_path, answers("yes", "no", "x " * 99), tokenizer, max_length=60)
    assert data.train_counts.rows == 3
    assert data.train_counts.tokens == sum(len(sequence) for sequence in data.train)
    assert data.train_counts.trained_tokens == sum(
        label != -100 for sequence in data.train for label in labels(sequence)
    )


def test_sequences_lead_back_to_their_conversation(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    one, two = write(tmp_path, answers("a", "b"), "1.jsonl"), write(tmp_path, answers("c"), "2.jsonl")
    data = encode_dataset(section(train=[one, two], eval=[two]), tokenizer, seed=1)
    found = [data.train_corpus[sequence.row].messages[1]["content"] for sequence in data.train]
    assert found == ["a", "b", "c"]
    assert [sequence.where for sequence in data.train] == [f"{one}:1", f"{one}:2", f"{two}:1"]
    assert data.eval_corpus[data.eval[0].row].messages[1]["content"] == "c"
    with pytest.raises(IndexError):
        data.train_corpus[3]


def test_eval_fraction_holds_out_the_same_rows_for_the_same_seed(
    tmp_path: Path, tokenizer: ChatTokenizer
) -> None:
    asked = section(train=write(tmp_path, answers(*map(str, range(50)))), eval_fraction=0.2)
    data = encode_dataset(asked, tokenizer, seed=1)
    assert len(data.eval) == data.eval_counts.rows == 10
    assert sorted(sequence.row for sequence in data.train + data.eval) == list(range(50))
    again, other = encode_dataset(asked, tokenizer, seed=1), encode_dataset(asked, tokenizer, seed=2)
    assert again.fingerprint == data.fingerprint
    assert [sequence.row for sequence in other.eval] != [sequence.row for sequence in data.eval]
    assert data.eval_corpus[data.eval[0].row].messages[1]["content"] == str(data.eval[0].row)


def test_the_rows_held_out_do_not_change_with_versions() -> None:
    assert hold_out(10, 0.3, seed=42) == ([1, 3, 4, 6, 7, 8, 9], [0, 2, 5])


@pytest.mark.parametrize("fraction", [0.01, 0.99])
def test_an_eval_fraction_that_leaves_one_side_empty_is_an_error(fraction: float) -> None:
    with pytest.raises(InputError, match=r"data\.eval_fraction: .* of 10 rows is"):
        hold_out(10, fraction, seed=1)


def test_the_fingerprint_changes_with_tokens_masks_and_order(
    tmp_path: Path, tokenizer: ChatTokenizer
) -> None:
    fingerprints = {
        encode(tmp_path, answers("a", "b"), tokenizer).fingerprint,
        encode(tmp_path, answers("b", "a"), tokenizer).fingerprint,
        encode(tmp_path, answers("a", "c"), tokenizer).fingerprint,
        encode(tmp_path, answers("a", "b"), tokenizer, train_on="everything").fingerprint,
        encode(tmp_path, answers("a"), tokenizer, eval=write(tmp_path, answers("b"), "e.jsonl")).fingerprint,
    }
    assert len(fingerprints) == 5
    assert encode(tmp_path, answers("a", "b"), tokenizer).fingerprint in fingerprints


def test_chunks_make_no_difference_and_progress_is_told(
    tmp_path: Path, tokenizer: ChatTokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = section(train=write(tmp_path, answers(*map(str, range(10)))), eval_fraction=0.2)
    whole = encode_dataset(asked, tokenizer, seed=1)
    monkeypatch.setattr(store, "CHUNK_ROWS", 3)
    told: list[tuple[int, int]] = []
    assert encode_dataset(asked, tokenizer, 1, lambda *at: told.append(at)).fingerprint == whole.fingerprint
    assert told == [(3, 10), (6, 10), (9, 10), (10, 10)]


def test_half_a_surrogate_pair_is_an_error_with_its_row(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    said = r"train\.jsonl:2: answer: character 1 is '\\ud83d', half of a surrogate pair"
    with pytest.raises(InputError, match=said):
        encode(tmp_path, answers("a", "\ud83d"), tokenizer)


def test_train_on_completion_trains_the_completion_alone(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    row = {"prompt": [user("a"), assistant("b"), user("c")], "completion": "d"}
    [sequence] = encode(tmp_path, [row], tokenizer, train_on="completion").train
    assert trained_text(sequence, tokenizer) == "d<|im_end|>"


def test_the_prompt_of_a_row_ends_where_the_model_answers(tmp_path: Path) -> None:
    tokenizer = load_tokenizer(str(model_directory(tmp_path, QWEN3)))
    talk = conversation(
        user("a"), assistant("b"), user("c"), assistant("d", reasoning_content="r"), user("e")
    )
    ids, answer = prompt_of(talk, tokenizer)
    assert tokenizer.decode(ids).endswith("<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n")
    assert answer == "d"
    ids, answer = prompt_of(conversation(*talk.messages[:4]), tokenizer)
    assert answer == "<think>\nr\n</think>\n\nd"


def test_there_is_no_prompt_without_an_assistant_turn(tokenizer: ChatTokenizer) -> None:
    with pytest.raises(InputError, match="no assistant turn to answer"):
        prompt_of(conversation(user("a")), tokenizer)


@pytest.mark.skipif(not GSM8K.exists(), reason="the real data is not here")
def test_real_rows_train_their_answers(tmp_path: Path, tokenizer: ChatTokenizer) -> None:
    asked = section(train=[{"path": os.fspath(GSM8K), "limit": 300}], max_length=10_000)
    data = encode_dataset(asked, tokenizer, seed=1)
    assert len(data.train) == 300
    assert data.notices == ()
    for sequence in data.train:
        answer = data.train_corpus[sequence.row].messages[1]["content"]
        assert trained_text(sequence, tokenizer) == answer + "<|im_end|>"
