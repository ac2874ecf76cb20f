"""What `check` says a run will use is what the trainer takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sftui.data.analysis import Analysis, analyse
from sftui.data.corpus import Corpus
from sftui.data.dataset import Counts, encode_dataset
from sftui.data.store import store_key
from sftui.data.used import Used
from sftui.data.views import Side
from tests.data_fixtures import CHATML, model_directory
from tests.test_analysis import mixed, spec_of, write


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return model_directory(tmp_path_factory.mktemp("models") / "model", CHATML)


def counted(counts: Counts, sequences: int) -> Used:
    return Used(counts.rows, sequences, counts.tokens, counts.trained_tokens)


CASES: list[dict[str, Any]] = [
    {},
    {"max_length": 60},
    {"max_length": 60, "overlength": "truncate"},
    {"max_length": 60, "overlength": "truncate", "truncation_side": "left", "sequence_per": "turn"},
    {"eval_fraction": 0.2, "max_length": 80},
    {"train_on": "last_assistant", "eval_fraction": 0.3, "weights": (0.5, 2.5)},
    {"weights": (3, 0.4), "sequence_per": "turn"},
]


@pytest.mark.parametrize("fields", CASES, ids=str)
def test_used_is_what_the_trainer_takes(tmp_path: Path, model: Path, fields: dict[str, Any]) -> None:
    fields = {"max_length": 10_000, "bad_rows": "drop", **fields}
    weights = fields.pop("weights", (1, 1))
    sources = [
        {"path": write(tmp_path, mixed(60)[20 * n :], f"{n}.jsonl"), "weight": weight}
        for n, weight in enumerate(weights)
    ]
    held_out = {} if "eval_fraction" in fields else {"eval": write(tmp_path, mixed(9), "eval.jsonl")}
    spec = spec_of(model, train=sources, **held_out, **fields)
    overviews = analyse(spec)
    data = encode_dataset(spec.data, spec.tokenizer(), spec.seed)
    train = overviews["train"]
    assert train.used == counted(data.train_counts, len(data.train))
    evaluated = train.held_out if "eval_fraction" in fields else overviews["eval"].used
    assert evaluated == counted(data.eval_counts, len(data.eval))


def test_another_length_is_followed_without_looking_again(tmp_path: Path, model: Path) -> None:
    spec = spec_of(model, train=write(tmp_path, mixed(60)), max_length=10_000, bad_rows="drop")
    corpus = Corpus(spec.data.train)
    keys: dict[Side, str] = {"train": store_key(corpus.identity, spec.tokenizer(), spec.data)}
    analysis = Analysis(spec, {"train": 60}, keys, lambda side, row: corpus.where(row), lambda: None)
    assert analysis.overview("train").used is None, "nothing is known yet"
    analysis.run()
    shorter = spec.data.model_copy(update={"max_length": 60, "overlength": "truncate"})
    analysis.recut(shorter)
    data = encode_dataset(shorter, spec.tokenizer(), spec.seed)
    assert analysis.overview("train").used == counted(data.train_counts, len(data.train))
