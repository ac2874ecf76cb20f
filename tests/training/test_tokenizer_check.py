"""Where transformers would read other tokens than are trained, the run says so."""

from __future__ import annotations

import json
import logging
import threading
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sftui.data.corpus import Corpus
from sftui.data.sequences import Sequence
from sftui.data.tokenizer import load_tokenizer
from sftui.recipe import Recipe
from sftui.training import tokenizer_check
from sftui.training.tokenizer_check import check_tokenizer, load_auto_tokenizer

from .conftest import MakeRecipe, events_of, losses_of, train_here


class Warnings:
    """A journal that only keeps what it is warned of."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def warn(self, message: str) -> None:
        self.messages.append(message)


@pytest.fixture
def check(make_recipe: MakeRecipe, tiny_model: Path) -> Callable[[], list[str]]:
    """Compare the recipe's rows; returns the warnings."""
    recipe: Recipe = make_recipe()
    corpus = Corpus(recipe.data.train)
    sequences = [Sequence(array("i", [1]), b"\1", row, f"rows.jsonl:{row + 1}") for row in range(len(corpus))]

    def check() -> list[str]:
        journal: Any = Warnings()
        tokenizer = load_tokenizer(str(tiny_model))
        check_tokenizer(recipe, tokenizer, sequences, corpus, journal)
        return journal.messages

    return check


def otherwise(
    change: Callable[[list[int], str], list[int]], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Let transformers' tokenizer give other ids."""

    def load(base: Path, trust_remote_code: bool) -> Callable[..., dict[str, list[int]]]:
        real = load_auto_tokenizer(base, trust_remote_code)
        return lambda text, **options: {"input_ids": change(real(text, **options)["input_ids"], text)}

    monkeypatch.setattr(tokenizer_check, "load_auto_tokenizer", load)
    return load


def test_a_tokenizer_that_transformers_reads_alike_is_not_warned_of(check: Callable[[], list[str]]) -> None:
    assert check() == []


def test_the_first_row_and_token_that_differ_are_named(
    check: Callable[[], list[str]], rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    third = json.loads(rows.read_text().splitlines()[2])["question"]
    otherwise(lambda ids, text: [*ids[:4], ids[4] + 1, *ids[5:]] if third in text else ids, monkeypatch)
    [message] = check()
    assert message.startswith("rows.jsonl:3, token 4: ")
    assert "inference with transformers will see other tokens" in message


def test_tokens_that_one_of_them_lacks_at_the_end_are_a_difference(
    check: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    otherwise(lambda ids, _: ids[:-1], monkeypatch)
    [message] = check()
    assert "read by transformers as nothing" in message


def test_a_tokenizer_that_transformers_cannot_load_is_a_line_in_the_log(
    check: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def load(base: Path, trust_remote_code: bool) -> Any:
        raise ValueError("Tokenizer class NoSuchTokenizer does not exist")

    monkeypatch.setattr(tokenizer_check, "load_auto_tokenizer", load)
    with caplog.at_level(logging.INFO, "sftui"):
        assert check() == []
    assert [record.levelname for record in caplog.records] == ["INFO"]
    assert "NoSuchTokenizer" in caplog.text


def test_a_tokenizer_that_takes_long_to_load_is_not_waited_for(
    check: Callable[[], list[str]], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr(tokenizer_check, "load_auto_tokenizer", lambda *_: go_on.wait(60))
    monkeypatch.setattr(tokenizer_check, "SECONDS", 0.05)
    with caplog.at_level(logging.INFO, "sftui"):
        assert check() == []
    go_on.set()
    assert "needs more than 0.05 s" in caplog.text


def test_a_run_whose_tokenizer_differs_warns_and_trains(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    otherwise(lambda ids, _: [0, *ids], monkeypatch)
    run = train_here(make_recipe("training.max_steps=1"))
    [warning] = events_of(run, "warning")
    assert "rows.jsonl:1, token 0: " in warning["message"]
    assert len(losses_of(run)) == 1
