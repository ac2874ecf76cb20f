"""The open dataset of the workbench answers at once, follows the recipe, and leaves nothing behind."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent import futures
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from sftui.data import desk as module
from sftui.data.analysis import Analysis
from sftui.data.dataset import encode_dataset
from sftui.data.desk import Desk
from sftui.data.findings.registry import BITS, CHECKS
from sftui.data.overview import Overview
from sftui.data.packing.layout import lay_out
from sftui.data.packing.plan import STRATEGIES, Plan
from sftui.data.query import parse_query
from sftui.data.tokenizer import load_tokenizer
from sftui.data.views import RowLine, RowView
from sftui.errors import InputError
from sftui.recipe import Recipe
from tests.data_fixtures import CHATML, assistant, model_directory, user
from tests.worker_objects import DEADLY, allow

ROWS = 3000


class Watched:
    """A desk with what it said of itself."""

    def __init__(self, recipe: Recipe) -> None:
        self.told: list[float] = []
        self.states: list[str] = []
        self.desk = Desk(recipe, self._changed)

    def _changed(self) -> None:
        self.told.append(time.monotonic())
        self.states.append(self.desk.overview("train").state)

    def until(self, wanted: Callable[[Overview], bool], seconds: float = 30.0) -> Overview:
        end = time.monotonic() + seconds
        while not wanted(overview := self.desk.overview("train")):
            assert time.monotonic() < end, overview
            time.sleep(0.01)
        return overview

    def done(self) -> Overview:
        return self.until(lambda overview: overview.state in ("done", "failed"))


def children() -> list[psutil.Process]:
    found = []
    for each in psutil.Process().children(recursive=True):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            if "sftui.data.workers" in " ".join(each.cmdline()):
                found.append(each)
    return found


def none_left(but: Collection[psutil.Process] = (), seconds: float = 5.0) -> bool:
    """Whether no data process is left, but those of other tests."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not set(children()) - set(but):
            return True
        time.sleep(0.02)
    return False


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No thread may end by an exception: it would be printed over the screen."""
    raised: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    before = children()
    yield
    assert none_left(before)
    assert [(each.thread.name, each.exc_value) for each in raised] == []


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    model_directory(folder / "model", CHATML)
    rows: list[Any] = [
        {"messages": [user(f"question {n}"), assistant(f"first {n}"), user("more"), assistant(f"answer {n}")]}
        for n in range(ROWS)
    ]
    rows[5], rows[2500] = {"question": "Where is the needle?", "answer": "In row five. " * 40}, {"broken": 1}
    rows[7] = {"messages": [user("only a question")]}
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "eval.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows[:20]))
    return folder


def recipe_of(folder: Path, **data: Any) -> Recipe:
    fields: dict[str, Any] = {"train": str(folder / "train.jsonl"), **data}
    model = fields.pop("model", str(folder / "model"))
    return Recipe.model_validate({"model": {"name_or_path": model}, "data": fields})


@pytest.fixture
def opened(folder: Path) -> Iterator[Watched]:
    watched = Watched(recipe_of(folder))
    watched.desk.start()
    yield watched
    watched.desk.close()


def view(desk: Desk, row: int, sequence: int = 0) -> RowView:
    return desk.view("train", row, sequence).result(20)


def trained(view: RowView) -> str:
    return "".join(token.text for token in view.tokens if token.trained)


def test_the_overview_goes_from_opening_to_done(opened: Watched) -> None:
    assert opened.desk.overview("train").state == "opening"
    overview = opened.done()
    assert (overview.state, overview.rows, overview.counted, overview.analysed) == ("done", ROWS, True, ROWS)
    order = ["opening", "indexing", "analysing", "done"]
    assert opened.states == sorted(opened.states, key=order.index)
    assert opened.states[-1] == "done"
    assert overview.trained_tokens > 0
    assert "chatml" in overview.templates
    gaps = [after - before for before, after in zip(opened.told, opened.told[1:], strict=False)]
    assert sum(gap < 0.08 for gap in gaps) <= 4  # when it begins another state, and at the end
    told = len(opened.told)
    time.sleep(0.3)
    assert len(opened.told) == told


def test_what_is_asked_comes_without_blocking(opened: Watched) -> None:
    began = time.monotonic()
    answers = [opened.desk.lines("train", at, at + 50) for at in range(0, 500, 50)]
    looks = [opened.desk.view("train", row) for row in (0, 5, 2500)]
    opened.desk.overview("train")
    opened.desk.change(recipe_of(opened_folder(opened), max_length=64))
    opened.desk.find("train", parse_query("needle", (), {}), lambda *_: None).cancel()
    assert time.monotonic() - began < 2
    lines = [line for answer in answers for line in answer.result(20)]
    assert [line.row for line in lines] == list(range(500))
    assert isinstance(lines[0], RowLine)
    assert lines[5].words == "Where is the needle?"
    first, needle, broken = (look.result(20) for look in looks)
    assert trained(first) == "first 0<|im_end|>answer 0<|im_end|>"
    assert needle.where.endswith("train.jsonl:6")
    assert broken.error is not None
    assert "train.jsonl:2501" in broken.error


def opened_folder(opened: Watched) -> Path:
    return Path(opened.desk._spec.name_or_path).parent


def test_rows_that_are_not_there_are_said_so(opened: Watched) -> None:
    with pytest.raises(InputError, match="there is no row 99,999: expected 0 to 2,999"):
        view(opened.desk, 99_999)
    assert opened.desk.lines("train", 99_999, 100_050).result(20) == []
    assert [line.row for line in opened.desk.lines("train", 2998, 3050).result(20)] == [2998, 2999]


def test_views_follow_the_recipe_at_once_and_the_overview_later(opened: Watched, folder: Path) -> None:
    before = opened.done()
    opened.desk.change(recipe_of(folder, train_on="last_assistant"))
    assert trained(view(opened.desk, 3)) == "answer 3<|im_end|>"
    after = opened.until(lambda each: each.state == "done" and each.trained_tokens != before.trained_tokens)
    assert after.trained_tokens < before.trained_tokens
    assert after.tokens == before.tokens
    opened.desk.change(recipe_of(folder, train_on="last_assistant", chat_template="plain"))
    assert "<|im_start|>" not in view(opened.desk, 3).text
    opened.until(lambda each: each.state == "done" and each.tokens != before.tokens)


def test_another_max_length_tokenises_nothing_again(opened: Watched, folder: Path) -> None:
    before = opened.done()
    assert before.cost is not None
    assert before.cost.sequences == 0
    analysis = opened.desk._analysis
    for limit in (64, 30, 100):
        opened.desk.change(recipe_of(folder, max_length=limit, overlength="truncate"))
    assert view(opened.desk, 5).truncated == view(opened.desk, 5).total - 100
    after = opened.until(lambda each: each.cost is not None and each.cost.max_length == 100)
    assert after.state == "done"
    assert after.cost is not None
    assert after.cost.sequences == 1
    assert [each.rows for each in after.findings if each.code == "truncated"] == [(5,)]
    assert opened.desk._analysis is analysis
    cost = opened.desk.cost("train", 30)
    assert cost is not None
    assert cost.sequences > 1
    assert opened.desk.cost("eval", 30) is None


def test_a_recipe_that_was_changed_in_place_is_another(opened: Watched, folder: Path) -> None:
    recipe = recipe_of(folder)
    opened.desk.change(recipe)
    recipe.data.train_on = "last_assistant"
    opened.desk.change(recipe)
    assert trained(view(opened.desk, 3)) == "answer 3<|im_end|>"


def test_held_out_rows_have_a_side_of_their_own(folder: Path) -> None:
    watched = Watched(recipe_of(folder, eval=str(folder / "eval.jsonl")))
    assert watched.desk.sides == ("train", "eval")
    watched.desk.start()
    try:
        watched.done()
        assert watched.desk.overview("eval").rows == 20
        assert watched.desk.view("eval", 5).result(20).where.endswith("eval.jsonl:6")
        watched.desk.change(recipe_of(folder))
        assert watched.desk.sides == ("train",)
        assert watched.done().rows == ROWS
        assert watched.desk.overview("eval").rows == 0
    finally:
        watched.desk.close()


# -- packing


def test_the_plan_grows_until_it_is_exact(opened: Watched, folder: Path) -> None:
    plans: list[Plan] = []
    while not plans or not plans[-1].exact:
        plans.append(opened.desk.plan().result(20))
        assert plans[-1].exact or opened.desk.bins().result(20) is None or opened.desk.plan().result(20).exact
        time.sleep(0.01)
    shares = [plan.share for plan in plans]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    recipe = recipe_of(folder, bad_rows="drop")
    tokenizer = load_tokenizer(recipe.model.name_or_path)
    data = encode_dataset(recipe.data, tokenizer, recipe.training.seed)
    assert plans[-1].sequences == len(data.train) == ROWS - 2
    assert plans[-1].tokens == data.train_counts.tokens
    lengths = [len(sequence) for sequence in data.train]
    for strategy in STRATEGIES:
        bins = opened.desk.bins(strategy).result(20)
        assert bins is not None
        layout = lay_out(lengths, strategy, 2048, seed=recipe.training.seed)
        assert bins.summary == plans[-1].of(strategy)
        rows = [data.train[piece.sequence].row for n in range(len(layout)) for piece in layout.pieces(n)]
        assert [piece.row for view in bins.view(0, len(bins)) for piece in view.pieces] == rows
        assert bins.bin_of(2500) is None


def test_plans_for_another_length_are_made_by_the_way(opened: Watched, folder: Path) -> None:
    opened.done()
    analysis = opened.desk._analysis
    plans = {limit: opened.desk.plan(limit).result(20) for limit in (30, 64, 512)}
    assert [plan.max_length for plan in plans.values()] == [30, 64, 512]
    assert plans[30].dropped > plans[64].dropped == 1
    assert plans[512].dropped == 0
    assert plans[512].of("best_fit").bins < plans[64].of("best_fit").bins
    assert opened.desk.plan().result(20).max_length == 2048, "the recipe stays"
    assert opened.desk.plan(64).result(20) is plans[64], "what was asked before is known"
    opened.desk.change(recipe_of(folder, max_length=64, overlength="truncate"))
    truncating = opened.desk.plan().result(20)
    assert (truncating.max_length, truncating.dropped, truncating.truncated) == (64, 0, 1)
    bins = opened.desk.bins("next_fit").result(20)
    assert bins is not None
    assert max(view.tokens for view in bins.view(0, len(bins))) <= 64
    assert opened.desk._analysis is analysis


def test_another_packing_looks_at_no_row_again(
    opened: Watched, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened.done()
    analysis, told = opened.desk._analysis, len(opened.told)
    assert analysis is not None
    recut: list[Any] = []
    monkeypatch.setattr(Analysis, "recut", lambda self, data: recut.append(data))
    assert opened.desk.plan().result(20).step_batches == 8
    recipe = recipe_of(folder, packing="best_fit", repack_each_epoch=True)
    opened.desk.change(recipe)
    bins = opened.desk.bins().result(20)
    assert bins is not None
    assert bins.summary.strategy == "best_fit"
    recipe.training.per_device_train_batch_size = 4
    recipe.training.num_processes = 2
    opened.desk.change(recipe)
    plan = opened.desk.plan().result(20)
    assert (plan.batch_size, plan.step_batches) == (4, 64)
    recipe.training.seed += 1
    opened.desk.change(recipe)
    other = opened.desk.bins().result(20)
    assert other is not None
    assert list(other.rows()) != list(bins.rows()), "which of equal sequences share a bin is the seed's"
    time.sleep(0.3)
    assert (opened.desk._analysis, len(opened.told), recut) == (analysis, told, [])


def test_another_seed_draws_other_rows(folder: Path) -> None:
    source = {"path": str(folder / "train.jsonl"), "weight": 0.5}
    recipe = recipe_of(folder, train=[source], max_length=64)
    watched = Watched(recipe)
    watched.desk.start()
    try:
        watched.done()
        bins = watched.desk.bins().result(20)
        recipe.training.seed += 1
        watched.desk.change(recipe)
        watched.until(lambda each: each.state != "done")
        watched.done()
        other = watched.desk.bins().result(20)
        assert bins is not None
        assert other is not None
        one, two = ({row for rows in each.rows() for row in rows} for each in (bins, other))
        assert len(one) == pytest.approx(ROWS / 2, abs=3)
        assert len(one & two) == pytest.approx(ROWS / 4, rel=0.15)
        assert watched.desk.plan().result(20).sequences == len(two)
    finally:
        watched.desk.close()


def test_packing_blocks_nobody_and_ends_with_the_desk(opened: Watched) -> None:
    early: list[Future[Any]] = [opened.desk.plan(limit) for limit in range(20, 400)]
    early.append(opened.desk.bins())
    opened.done()
    late = [opened.desk.plan(limit) for limit in range(20, 400)]
    assert late[-1].result(20).max_length == 399
    assert sum(future.cancelled() for future in late) > 100, "only the newest counts"
    waiting: list[Future[Any]] = [opened.desk.plan(40), opened.desk.bins("wrapped")]
    opened.desk.close()
    waiting += [opened.desk.plan(), opened.desk.bins()]
    assert futures.wait((*early, *late, *waiting), 20).not_done == set()
    assert all(future.cancelled() for future in waiting[-2:])


# -- searching


class Finds:
    def __init__(self) -> None:
        self.rows: list[int] = []
        self.looked: list[int] = []
        self.finished = threading.Event()

    def __call__(self, rows: list[int], looked: int, finished: bool) -> None:
        assert not self.finished.is_set()
        assert rows == sorted(rows)
        self.rows += rows
        self.looked.append(looked)
        if finished:
            self.finished.set()


def search(desk: Desk, typed: str) -> tuple[Finds, Any]:
    finds = Finds()
    one = desk.find("train", parse_query(typed, CHECKS, BITS), finds)
    assert finds.finished.wait(40)
    return finds, one


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("needle", [5]),
        ("re:^question\\s12\\d$", list(range(120, 130))),
        ('"answer 2999"', [2999]),
        ("broken", [2500]),
        ("-role:assistant", [7, 2500]),
        ("finding:no-trained", [7]),
        ("finding:unreadable-row", [2500]),
        ("trained:0", [7, 2500]),
        ("tokens:>100 row", [5]),
        ("nowhere-to-be-found", []),
    ],
)
def test_rows_are_found_by_text_and_by_counts(opened: Watched, typed: str, expected: list[int]) -> None:
    opened.done()
    finds, one = search(opened.desk, typed)
    assert finds.rows == expected
    assert finds.looked[-1] == ROWS
    assert one.problem is None


def test_a_cancelled_search_ends_at_once(opened: Watched) -> None:
    opened.done()
    for wait in (0.0, 0.05, 0.5):
        finds = Finds()
        one = opened.desk.find("train", parse_query("re:(a+)+$|question", (), {}), finds)
        time.sleep(wait)
        began = time.monotonic()
        one.cancel()
        assert time.monotonic() - began < 2
        one._thread.join(5)
        assert not one.alive


def test_an_expression_that_never_ends_is_given_up(tmp_path: Path, folder: Path) -> None:
    rows = [{"question": "a" * 64 + "b", "answer": "x"}] * 30
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    watched = Watched(recipe_of(folder, train=str(tmp_path / "train.jsonl")))
    watched.desk.start()
    try:
        watched.done()
        finds, one = search(watched.desk, "re:(a|aa)+$")
        assert finds.rows == []
        assert one.problem == "the regular expression takes too long on these rows"
    finally:
        watched.desk.close()


# -- what goes wrong


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"train": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"model": "/nowhere/model"}, "/nowhere/model"),
        ({"chat_template": "none.jinja"}, "none.jinja"),
        ({"eval_fraction": 0.0001}, "data.eval_fraction"),
    ],
)
def test_what_cannot_be_opened_is_told_and_may_be_mended(
    folder: Path, wrong: dict[str, Any], said: str
) -> None:
    watched = Watched(recipe_of(folder, **wrong))
    watched.desk.start()
    try:
        overview = watched.done()
        assert overview.state == "failed"
        assert overview.problem is not None
        assert said in overview.problem
        watched.desk.change(recipe_of(folder))
        assert watched.until(lambda each: each.state == "done").analysed == ROWS
        assert trained(view(watched.desk, 3)).endswith("answer 3<|im_end|>")
        watched.desk.change(recipe_of(folder, **wrong))
        assert watched.until(lambda each: each.state == "failed").problem == overview.problem
    finally:
        watched.desk.close()


def test_rows_are_listed_also_without_a_tokenizer(folder: Path) -> None:
    watched = Watched(recipe_of(folder, model="/nowhere/model"))
    watched.desk.start()
    try:
        assert watched.done().rows == ROWS
        assert watched.desk.lines("train", 5, 6).result(20)[0].words == "Where is the needle?"
        with pytest.raises(InputError, match="/nowhere/model"):
            view(watched.desk, 5)
    finally:
        watched.desk.close()


def test_a_row_that_ends_its_process_does_not_end_the_others(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    allow(monkeypatch)
    monkeypatch.setattr(module, "READER", "tests.worker_objects:DeadlyReader")
    rows = [{"question": DEADLY if n == 2 else f"question {n}", "answer": "x"} for n in range(4)]
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    watched = Watched(recipe_of(folder, train=str(tmp_path / "train.jsonl")))
    watched.desk.start()
    try:
        watched.done()
        with pytest.raises(InputError, match="showing this row takes too long, or ends the process"):
            view(watched.desk, 2)
        assert "question 3" in view(watched.desk, 3).text
    finally:
        watched.desk.close()


@pytest.mark.parametrize("wait", [0.0, 0.05, 0.2, 0.6, 1.2])
def test_it_may_be_closed_at_any_time_and_twice(folder: Path, wait: float) -> None:
    before = children()
    watched = Watched(recipe_of(folder))
    watched.desk.start()
    waiting = [watched.desk.view("train", row) for row in range(20)]
    finds = Finds()
    watched.desk.find("train", parse_query("question", (), {}), finds)
    watched.desk.change(recipe_of(folder, train_on="everything"))
    time.sleep(wait)
    began = time.monotonic()
    watched.desk.close()
    watched.desk.close()
    assert time.monotonic() - began < 3
    assert none_left(before)
    told = len(watched.told)
    watched.desk.change(recipe_of(folder, train_on="last_assistant"))
    late = watched.desk.find("train", parse_query("question", (), {}), finds)
    time.sleep(0.3)
    assert len(watched.told) <= told + 1  # a call that was under way
    assert not late.alive
    assert all(future.done() for future in waiting)


def test_many_changes_in_a_row_end_in_the_last(opened: Watched, folder: Path) -> None:
    for number in range(12):
        choice = ("assistant", "last_assistant", "everything")[number % 3]
        opened.desk.change(recipe_of(folder, train_on=choice, max_length=50 + number))
        time.sleep(0.03 * (number % 4))
    overview = opened.until(
        lambda each: each.state == "done" and each.cost is not None and each.cost.max_length == 61
    )
    assert overview.analysed == ROWS
    assert all(token.trained for token in view(opened.desk, 3).tokens[1:])
    expected = sum(n - 1 for n in overview.lengths if n)
    assert overview.trained_tokens == expected
