"""What `sftui pack` prints, in which shape, and how it ends."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sftui import pack_text
from sftui.cli import main
from sftui.data.dataset import encode_dataset
from sftui.data.packing.layout import lay_out
from sftui.data.packing.plan import STRATEGIES
from sftui.data.tokenizer import load_tokenizer
from sftui.recipe import Packing
from sftui.recipe_file import load_recipe
from tests.data_fixtures import CHATML, model_directory

LIMIT = 120
MAMBA = {"model_type": "mamba", "layer_types": ["mamba"]}


class Result(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    model_directory(tmp_path / "model", CHATML)
    return tmp_path


@pytest.fixture
def sftui(here: Path, capfd: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> Result:
        try:
            code = main(list(arguments))
        except SystemExit as error:
            code = int(error.code or 0)
        return Result(code, *capfd.readouterr())

    return run


def rows(count: int = 200) -> list[Any]:
    lots = random.Random(5)
    return [
        {"question": f"q{n}", "answer": "word " * (60 if n == 17 else lots.randint(1, 12))}
        for n in range(count)
    ]


def write(found: list[Any], **data: Any) -> str:
    """Rows and a recipe for them."""
    lines = (row if isinstance(row, str) else json.dumps(row) for row in found)
    Path("train.jsonl").write_text("".join(line + "\n" for line in lines))
    section = {"train": "train.jsonl", "max_length": LIMIT, **data}
    Path("recipe.yaml").write_text(json.dumps({"model": {"name_or_path": "./model"}, "data": section}))
    return "recipe.yaml"


def document(done: Result) -> Any:
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def trained(recipe: str, strategy: Packing) -> tuple[list[int], list[list[int]]]:
    """The lengths that the trainer has, and the rows of each of its bins."""
    loaded = load_recipe(recipe)
    tokenizer = load_tokenizer(loaded.model.name_or_path)
    found = encode_dataset(loaded.data, tokenizer, loaded.training.seed).train
    lengths = [len(sequence) for sequence in found]
    layout = lay_out(lengths, strategy, loaded.data.max_length, seed=loaded.training.seed)
    return lengths, [[found[piece.sequence].row for piece in layout.pieces(n)] for n in range(len(layout))]


# -- for programs


def test_the_document_says_what_becomes_of_the_rows(sftui: Any) -> None:
    recipe = write(rows(), packing="best_fit")
    found = document(sftui("pack", recipe, "--json", "training.per_device_train_batch_size=4"))
    lengths, bins = trained(recipe, "best_fit")
    named = {name: found[name] for name in ("strategy", "max_length", "sequences", "tokens", "bins")}
    assert named == {
        "strategy": "best_fit",
        "max_length": LIMIT,
        "sequences": 199,
        "tokens": sum(lengths),
        "bins": len(bins),
    }
    assert -(-sum(lengths) // LIMIT) <= found["lower_bound"] <= len(bins)
    assert found["fill"] == pytest.approx(sum(lengths) / (LIMIT * len(bins)), abs=1e-6)
    assert found["padding"] == LIMIT * len(bins) - sum(lengths)
    assert (found["dropped"], found["truncated"], found["cut"], found["lost_tokens"]) == (1, 0, 0, 0)
    assert found["longest"] > LIMIT
    assert found["overlength_tokens"] == found["longest"]
    assert found["steps"] == -(-len(bins) // 32)
    assert found["speedup"] > 1.1
    assert found["unsupported"] is None
    assert found["refusals"] == []
    assert "layout" not in found
    by_name = {each["strategy"]: each for each in found["strategies"]}
    assert tuple(by_name) == STRATEGIES
    assert by_name["best_fit"].items() <= found.items()
    assert by_name["none"]["bins"] == 199
    assert by_name["next_fit"]["bins"] >= by_name["best_fit"]["bins"] >= by_name["wrapped"]["bins"]
    assert [each["cut"] > 0 for each in found["strategies"]] == [False, False, False, True]


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("per", ["conversation", "turn"])
def test_the_layout_has_the_rows_of_the_trainers_bins(sftui: Any, strategy: Packing, per: str) -> None:
    history = [{"role": role, "content": f"{role} says this"} for role in ("user", "assistant") * 2]
    found = [*rows(40), {"messages": history}, *rows(3)]
    recipe = write(found, packing=strategy, sequence_per=per, eval_fraction=0.2)
    named = document(sftui("pack", recipe, "--json", "--layout"))
    lengths, bins = trained(recipe, strategy)
    assert named["layout"] == bins
    assert named["bins"] == len(bins)
    listed = sum(map(len, bins))
    assert listed == len(lengths) + named["cut"]
    assert (0 < named["lost_tokens"] <= named["cut"]) == (strategy == "wrapped")
    text = sftui("pack", recipe, "--layout").out
    lines = [line for line in text.splitlines() if line.startswith("bin ")]
    assert [[int(row) for row in line.partition("rows ")[2].split()] for line in lines] == bins
    tokens = [int(re.findall(r"([\d,]+) tokens", line)[0].replace(",", "")) for line in lines]
    assert sum(tokens) == sum(lengths)


def test_another_strategy_may_be_asked_for(sftui: Any) -> None:
    recipe = write(rows(), packing="next_fit")
    asked = document(sftui("pack", recipe, "--strategy", "best_fit", "--json", "--layout"))
    assert asked["strategy"] == "best_fit"
    assert asked["layout"] == trained(recipe, "best_fit")[1]
    own = document(sftui("pack", recipe, "--json"))
    assert own["strategy"] == "next_fit"
    assert own["strategies"] == asked["strategies"]
    done = sftui("pack", recipe, "--strategy", "tightest")
    assert (done.code, done.out) == (2, "")
    assert "invalid choice: 'tightest'" in done.err


def test_a_long_layout_comes_in_pieces(here: Path) -> None:
    answer = pack_text.look(load_recipe(write(rows(), packing="best_fit")), None)
    pieces = list(pack_text.json_lines(answer, with_layout=True))
    assert len(pieces) > answer.packable.plan.of("best_fit").bins
    assert max(map(len, pieces[1:])) < 200
    whole = pack_text.to_json(answer)
    assert json.loads("".join(pieces)) == {**whole, "layout": list(answer.bins().rows())}
    assert json.loads("".join(pack_text.json_lines(answer, with_layout=False))) == whole


# -- for people


def test_the_strategies_stand_side_by_side(sftui: Any) -> None:
    recipe = write(rows(), packing="best_fit", bad_rows="drop")
    done = sftui("pack", recipe, "training.per_device_train_batch_size=4")
    assert (done.code, done.err) == (0, "")
    assert "\x1b" not in done.out
    assert "199 sequences" in done.out
    assert "max_length 120: 1 longer is left out" in done.out
    table = {line[2:].split(" ")[0]: line for line in done.out.splitlines() if line.startswith(("▸ ", "  "))}
    assert [name for name in table if name] == list(STRATEGIES)
    assert table["best_fit"].startswith("▸ ")
    assert table["best_fit"].endswith("recipe")
    assert sum(line.startswith("▸") for line in table.values()) == 1
    assert "padded batches of 4" in done.out
    own = trained(recipe, "best_fit")[1]
    assert f" {len(own):,} " in table["best_fit"]
    assert re.search(r"~\d+\.\d%", table["none"])
    assert "~ is to be expected" in done.out
    asked = sftui("pack", recipe, "--strategy", "wrapped").out
    assert re.search(r"▸ wrapped .*\d\n", asked)
    assert re.search(r"  best_fit .*recipe\n", asked)


def test_a_narrow_terminal_keeps_what_counts_most(here: Path) -> None:
    answer = pack_text.look(load_recipe(write(rows(), packing="best_fit")), None)
    heads = []
    for width in (None, 100, 60, 50, 40, 30):
        table = [line for _, line in pack_text._table(answer, width)]
        heads.append(table[0].split())
        assert width is None or width < 40 or max(map(len, table)) <= width
    assert heads[0] == heads[1] == ["bins", "fill", "padding", "steps", "speed-up", "cut"]
    assert heads[-1] == ["bins", "fill", "steps"]
    assert sorted(map(len, heads), reverse=True) == list(map(len, heads))


def test_colours_are_for_terminals(sftui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = write(rows(), packing="best_fit")
    plain = sftui("pack", recipe).out
    monkeypatch.setenv("FORCE_COLOR", "1")
    coloured = sftui("pack", recipe).out
    assert "\x1b[" in coloured
    assert re.sub(r"\x1b\[[\d;]*m", "", coloured) == plain
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in sftui("pack", recipe).out


# -- what goes wrong


def test_what_would_not_start_is_said_and_is_a_no(sftui: Any) -> None:
    recipe = write([*rows(40), '{"broken"', {"question": "q"}], overlength="error")
    done = sftui("pack", recipe, "--json")
    assert done.code == 1
    assert "sftui: 2 rows cannot be used, and data.bad_rows is error; the first: " in done.err
    assert "train.jsonl:41: not JSON" in done.err
    assert "sftui: 1 longer than max_length 120, and data.overlength is error\n" in done.err
    found = json.loads(done.out)
    assert len(found["refusals"]) == 2
    assert found["sequences"] == 39
    mended = sftui("pack", recipe, "data.bad_rows=drop", "data.overlength=truncate", "--json")
    assert document(mended)["truncated"] == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["data.max_length=8"], "no sequence is left to pack: 200 longer than max_length 8"),
        (["data.train_on=completion", "data.train.0.format=text"], "no sequence is left to pack: 200 rows"),
        (["data.eval_fraction=0.0001"], "data.eval_fraction"),
        (["data.train.0.path=nowhere.jsonl"], "nowhere.jsonl"),
        (["model.name_or_path=./nowhere"], "nowhere: is neither a directory nor a Hub id"),
        (["data.packing=tightest"], "data.packing"),
    ],
)
def test_unusable_input_is_told_in_words(sftui: Any, options: list[str], said: str) -> None:
    done = sftui("pack", write(rows()), *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("sftui: ")
    assert said in done.err


def test_a_model_that_cannot_be_packed_is_told(sftui: Any) -> None:
    recipe = write(rows(20), packing="best_fit")
    Path("model/config.json").write_text(json.dumps(MAMBA))
    done = sftui("pack", recipe, "--json")
    assert done.code == 0
    assert done.err.startswith("sftui: this model cannot be packed: mamba ")
    reason = json.loads(done.out)["unsupported"]
    assert reason in done.err
    alone = sftui("pack", recipe, "--strategy", "none", "--json")
    assert (alone.code, alone.err) == (0, "")
    assert json.loads(alone.out)["unsupported"] == reason
    Path("model/config.json").write_text("{")
    broken = sftui("pack", recipe)
    assert broken.code == 2
    assert "config.json: cannot be read as JSON" in broken.err


def test_hostile_rows_are_told_without_being_obeyed(sftui: Any) -> None:
    done = sftui("pack", write([*rows(3), {"messages": [{"role": "\x1b[2J\x07", "content": "x"}]}]))
    assert done.code == 1
    assert "\x1b" not in done.err + done.out
    assert "\x07" not in done.err + done.out
