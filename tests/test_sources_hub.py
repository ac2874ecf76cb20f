"""Datasets of the Hub, as far as no network is needed: a folder laid out like one, and every refusal."""

from __future__ import annotations

import json
import logging
import threading
from pathlib import Path
from typing import Any

import datasets
import pytest

from sftui.data.sources import hub, hub_reach, open_rows
from sftui.data.sources.hub import open_hub
from sftui.errors import InputError
from sftui.recipe import Source

README = """---
configs:
- config_name: main
  data_files:
  - {split: train, path: main/train.jsonl}
  - {split: test, path: main/test.jsonl}
- config_name: other
  data_files:
  - {split: a, path: other/a.jsonl}
  - {split: b, path: other/a.jsonl}
---
"""


def lines(count: int) -> str:
    rows = ({"n": n, "messages": [{"role": "user", "content": str(n)}], "none": None} for n in range(count))
    return "".join(json.dumps(row) + "\n" for row in rows)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "hf")
    monkeypatch.setattr(datasets, "disable_progress_bars", lambda: None)
    return tmp_path / "hf"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    data = tmp_path / "dataset"
    for place, count in (("main/train", 2500), ("main/test", 5), ("other/a", 3)):
        (data / f"{place}.jsonl").parent.mkdir(parents=True, exist_ok=True)
        (data / f"{place}.jsonl").write_text(lines(count))
    (data / "README.md").write_text(README)
    return data


def source(path: Path | str, **more: Any) -> Source:
    return Source.model_validate({"path": str(path), **more})


def test_a_prepared_dataset_is_whole_and_any_row_is_at_hand(folder: Path) -> None:
    rows = open_hub(source(folder, name="main"), wait=True)
    assert (len(rows), rows.complete) == (2500, True)
    assert rows[2400] == {"n": 2400, "messages": [{"role": "user", "content": "2400"}], "none": None}
    assert rows.where(7) == f"{folder}/train[7]"
    assert json.loads(rows.raw(7))["n"] == 7
    test = open_hub(source(folder, name="main", split="test", limit=4), wait=True)
    assert len(test) == 4
    assert test.identity != rows.identity


def test_a_preview_fetches_the_first_rows_as_they_are_wanted(folder: Path) -> None:
    rows = open_hub(source(folder, name="main"), wait=False)
    assert (len(rows), rows.complete) == (0, False)
    rows.read_on(0)
    first = len(rows)
    assert 0 < first < 100
    assert 0 < rows.share < 1
    assert rows[first - 1]["n"] == first - 1
    assert rows[0] == {"n": 0, "messages": [{"role": "user", "content": "0"}], "none": None}
    while not rows.complete:
        rows.read_on(0)
    assert (len(rows), rows.share) == (1000, 1.0)
    assert [rows[i]["n"] for i in range(1000)] == list(range(1000))
    assert rows.where(999) == f"{folder}/train[999]"


def test_a_preview_of_a_short_split_ends_with_it_and_keeps_the_limit(folder: Path) -> None:
    rows = open_rows(source(folder, name="main", split="test"), wait=False)
    assert 0 < len(rows) <= 5
    while not rows.complete:
        rows.read_on(0)
    assert (len(rows), rows.share) == (5, 1.0)
    limited = open_rows(source(folder, name="main", limit=7), wait=False)
    assert (len(limited), limited.complete) == (7, True)
    assert limited.identity != rows.identity


def test_without_waiting_a_dataset_that_was_prepared_is_whole(folder: Path) -> None:
    preview = open_hub(source(folder, name="main"), wait=False)
    whole = open_hub(source(folder, name="main"), wait=True)
    again = open_hub(source(folder, name="main"), wait=False)
    assert (len(again), again.complete, again.identity) == (2500, True, whole.identity)
    assert preview.identity != whole.identity


@pytest.mark.parametrize(("split", "count"), [("train[:10%]", 250), ("train[5:9]", 4), ("train+test", 2505)])
@pytest.mark.parametrize("wait", [True, False])
def test_slices_of_splits_are_those_of_datasets(folder: Path, split: str, count: int, wait: bool) -> None:
    rows = open_rows(source(folder, name="main", split=split), wait=wait)
    assert (len(rows), rows.complete) == (count, True)


@pytest.mark.parametrize("wait", [True, False])
@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({}, "name: has several configurations: expected name to be one of main, other"),
        (
            {"name": "mian"},
            "name: found configuration 'mian': expected one of main, other\n  did you mean 'main'?",
        ),
        ({"name": "other"}, "split: has several splits: expected split to be one of a, b"),
        ({"name": "other", "split": "c"}, "split: found split 'c': expected one of a, b"),
        (
            {"name": "main", "split": "validation[:5]"},
            "found split 'validation[:5]': expected one of train, test",
        ),
    ],
)
def test_what_is_not_there_lists_what_is(
    folder: Path, wait: bool, choice: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError) as error:
        open_hub(source(folder, **choice), wait=wait)
    assert str(error.value).startswith(f"{folder}: ")
    assert message in str(error.value)


def test_a_local_folder_with_a_name_or_a_split_is_read_as_one_of_the_hub(folder: Path) -> None:
    assert len(open_rows(source(folder, name="main", split="test"))) == 5
    assert len(open_rows(source(folder))) == 2508


def test_rows_that_do_not_fit_together_are_one_error(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "train.jsonl").write_text('{"n": 1}\n{"n": [')
    with pytest.raises(InputError, match=r"bad: cannot be opened: .+") as error:
        open_rows(source(tmp_path / "bad", split="train"))
    assert "\n" not in str(error.value)


def test_a_network_that_fails_later_is_one_error_and_the_rows_that_came_stay(folder: Path) -> None:
    rows = open_hub(source(folder, name="main"), wait=False)
    assert isinstance(rows, hub.Preview)

    def failing(tables: Any) -> Any:
        yield next(tables)
        raise ConnectionError("connection reset\nby peer")

    rows._tables = failing(rows._tables)
    rows.read_on(0)
    known = len(rows)
    with pytest.raises(InputError, match=r"the Hub cannot be reached: connection reset$"):
        rows.read_on(0)
    assert (len(rows), rows[known - 1]["n"], rows.complete) == (known, known - 1, False)


class Session:
    """Stands for the connection to the Hub: every request ends as `answer` says."""

    def __init__(self, answer: Any) -> None:
        self.answer, self.asked = answer, []

    def head(self, url: str, timeout: float) -> Any:
        self.asked.append((url, timeout))
        return self.answer()


class TestReach:
    """Whether the Hub answers."""

    @pytest.fixture(autouse=True)
    def online(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", False)
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT", raising=False)
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "https://hub.example")

    def session(self, monkeypatch: pytest.MonkeyPatch, answer: Any) -> Session:
        session = Session(answer)
        monkeypatch.setattr("huggingface_hub.get_session", lambda: session)
        return session

    def test_any_answer_will_do(self, monkeypatch: pytest.MonkeyPatch) -> None:
        session = self.session(monkeypatch, lambda: object())
        assert hub_reach.why_unreached() is None
        assert session.asked == [("https://hub.example", 3.0)]

    def test_a_dead_network_is_one_error_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail() -> Any:
            raise OSError("[Errno -2] Name or service not known\nmore")

        self.session(monkeypatch, fail)
        with pytest.raises(InputError) as error:
            open_rows(source("no-such-owner/no-such-name"))
        assert str(error.value) == (
            "no-such-owner/no-such-name: is no file here, and the Hub cannot be reached: "
            "[Errno -2] Name or service not known"
        )
        assert datasets.config.HF_HUB_OFFLINE is False

    def test_a_network_that_never_answers_is_not_waited_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        ended = threading.Event()
        self.session(monkeypatch, lambda: ended.wait(60))
        monkeypatch.setattr(hub_reach, "_WAIT_SECONDS", 0.05)
        assert hub_reach.why_unreached() == (
            "no answer within 0.05 s; HF_HUB_ETAG_TIMEOUT sets how many to wait"
        )
        ended.set()

    def test_a_slow_network_is_given_the_time_that_is_asked_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        session = self.session(monkeypatch, lambda: object())
        for asked, seconds in (("20", 20.0), ("1", 3.0), ("soon", 3.0)):
            monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", asked)
            assert hub_reach.why_unreached() is None
            assert session.asked[-1][1] == seconds

    def test_without_a_network_what_was_prepared_before_is_read(
        self, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "name").mkdir()
        (tmp_path / "name" / "train.jsonl").write_text(lines(3))
        open_hub(source(tmp_path / "name"), wait=True)
        (prepared,) = (path for path in cache.iterdir() if path.is_dir())
        prepared.rename(cache / "owner___name")
        (configuration,) = (cache / "owner___name").iterdir()
        configuration.rename(configuration.with_name("default"))
        monkeypatch.setattr(hub, "why_unreached", lambda: "no network")
        for wait in (True, False):
            rows = open_rows(source("owner/name"), wait=wait)
            assert (rows.complete, [rows[i]["n"] for i in range(len(rows))]) == (True, [0, 1, 2])
        with pytest.raises(InputError, match=r"the Hub cannot be reached: no network$"):
            open_rows(source("owner/other"))

    def test_a_folder_needs_no_hub(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hub, "why_unreached", lambda: pytest.fail("the Hub was asked"))
        assert len(open_rows(source(folder, name="main", split="test"))) == 5

    def test_what_the_libraries_tell_of_each_try_stays_off_the_terminal(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("DATASETS_VERBOSITY", raising=False)
        monkeypatch.setenv("HF_HUB_VERBOSITY", "info")
        for name in ("datasets", "huggingface_hub"):
            monkeypatch.setattr(logging.getLogger(name), "level", logging.WARNING)
            logging.getLogger(name).setLevel(logging.WARNING)
        hub_reach.silence()
        assert not logging.getLogger("datasets").isEnabledFor(logging.WARNING)
        assert logging.getLogger("huggingface_hub").isEnabledFor(logging.WARNING), "it is asked for"


class TestRefusals:
    """What the Hub's library says, for a person."""

    @pytest.mark.parametrize("wait", [True, False])
    @pytest.mark.parametrize("name", ["no-such-owner/no-such-name", "gsm8k"])
    def test_offline_there_is_only_what_is_on_this_machine(
        self, name: str, wait: bool, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
        with pytest.raises(InputError) as error:
            open_rows(source(name), wait=wait)
        assert str(error.value).startswith(
            f"{name}: is no file here, and no dataset of the Hub on this machine"
        )
        assert error.value.hint == "unset HF_HUB_OFFLINE to look on the Hub"

    @pytest.mark.parametrize(
        ("raised", "message"),
        [
            (
                datasets.exceptions.DatasetNotFoundError(
                    "Dataset 'o/n' doesn't exist on the Hub or cannot be accessed."
                ),
                "o/n: is no file here, and no dataset of the Hub that can be had\n  is it spelled right?",
            ),
            (
                datasets.exceptions.DatasetNotFoundError(
                    "Dataset 'o/n' is a gated dataset on the Hub. Visit .."
                ),
                "o/n: is a gated dataset of the Hub, and its terms are not accepted\n"
                "  accept its terms at https://huggingface.co/datasets/o/n, then: hf auth login",
            ),
            (
                datasets.exceptions.DatasetNotFoundError(
                    "Revision 'v9' doesn't exist for dataset 'o/n' on the Hub."
                ),
                "o/n: revision: has no revision 'v9' on the Hub",
            ),
            (
                ConnectionError("Couldn't reach 'o/n' on the Hub (slow)"),
                "o/n: is no file here, and the Hub cannot be reached: Couldn't reach 'o/n' on the Hub (slow)",
            ),
            (
                RuntimeError("Dataset scripts are no longer supported\nmore"),
                "o/n: cannot be opened: Dataset scripts are",
            ),
            (KeyError(), "o/n: cannot be opened: KeyError"),
        ],
    )
    def test_each_has_its_word(
        self, raised: Exception, message: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(hub, "why_unreached", lambda: None)

        def refuse(*arguments: Any, **named: Any) -> Any:
            raise raised

        monkeypatch.setattr(datasets, "load_dataset_builder", refuse)
        with pytest.raises(InputError) as error:
            open_rows(source("o/n", revision="v9"))
        assert str(error.value).startswith(message)
