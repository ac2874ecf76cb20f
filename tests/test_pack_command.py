"""What `sftui pack` prints, in which shape, and how it ends."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui import pack_text, words
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
    assert re.search(r"▸ wrapped .*\dx\n", asked)
    assert re.search(r"  best_fit .*recipe\n", asked)


HEADS = ["bins", "fill", "padding", "cut", "lost", "steps", "per step", "speed-up"]


def table_of(text: str) -> tuple[list[str], list[str], list[str]]:
    """The heads, the lines of the table, and what stands below it."""
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.split()[:2] == ["bins", "fill"])
    return re.split(r"  +", lines[at].strip()), lines[at : at + 5], lines[at + 5 :]


def test_a_narrow_terminal_keeps_what_counts_most_and_its_notes(here: Path) -> None:
    answer = pack_text.look(load_recipe(write(rows(), packing="best_fit")), None)
    shown = []
    for width in (None, 100, 70, 62, 54, 48, 40, 30):
        heads, table, notes = table_of(pack_text.render(answer, width).plain)
        shown.append(heads)
        assert width is None or width < 40 or max(map(len, table)) <= width
        noted = dict.fromkeys(note.partition(":")[0] for note in notes if not note.startswith("~"))
        assert list(noted) == [head for head in ("cut", "lost", "per step", "speed-up") if head in heads]
    assert shown[0] == shown[1] == HEADS
    gone = [[head for head in HEADS if head not in heads] for heads in shown]
    assert ["padding", "per step", "speed-up"] in gone, "before anything that is lost"
    assert shown[-1] == ["bins", "fill", "steps"]
    assert sorted(map(len, shown), reverse=True) == list(map(len, shown))


def test_what_wrapping_loses_is_shown_beside_what_it_cuts(sftui: Any) -> None:
    recipe = write(rows(), packing="wrapped")
    named = document(sftui("pack", recipe, "--json"))
    heads, table, _ = table_of(sftui("pack", recipe).out)
    cells = {line[2:].split()[0]: line[2:].split()[1:] for line in table[1:]}
    wrapped = dict(zip(heads, cells["wrapped"], strict=False))
    assert (wrapped["cut"], wrapped["lost"]) == (str(named["cut"]), str(named["lost_tokens"]))
    assert 0 < named["lost_tokens"] < named["cut"], "else the test tells nothing"
    assert len(cells["best_fit"]) == len(cells["wrapped"]) - 1 - 2, "nothing is cut nor lost"


def test_the_effective_batch_of_each_strategy_is_told(sftui: Any) -> None:
    recipe = write(rows(), packing="best_fit")
    batch = ["training.per_device_train_batch_size=2", "training.gradient_accumulation_steps=3"]
    named = document(sftui("pack", recipe, "--json", *batch))
    each = {one["strategy"]: one["sequences_per_step"] for one in named["strategies"]}
    assert each["none"] == 6
    assert each["best_fit"] == round(6 * 199 / named["bins"], 2) == named["sequences_per_step"]
    text = sftui("pack", recipe, *batch).out
    assert f" {each['best_fit']:.1f} " in text
    assert "per step: sequences in an optimizer step of 6 sequences, or bins if packed\n" in text


def test_the_speed_up_says_what_it_takes_for_granted(sftui: Any) -> None:
    text = sftui("pack", write(rows(), packing="best_fit")).out
    assert "no padding is computed in bins (varlen or flash attention)" in text


@given(st.integers(0, 10**7), st.integers(1, 10**7))
def test_a_share_and_its_remainder_add_up_and_only_the_whole_is_whole(part: int, total: int) -> None:
    value = min(part, total) / total
    shown, left = words.share(value), words.remainder(value)
    assert round(10 * (float(shown[:-1]) + float(left[:-1]))) == 1000
    assert abs(float(shown[:-1]) - 100 * value) <= (0.1 if value < 0.001 or value > 0.999 else 0.0500001)
    assert (shown == "100.0%") == (value >= 1) == (left == "0.0%")
    assert (shown == "0.0%") == (value == 0) == (left == "100.0%")


def test_bins_that_are_not_quite_full_are_not_shown_as_full(sftui: Any) -> None:
    # Each as long as the longest, but for the first: of 8 x 199 tokens and more, few are missing.
    recipe = write([{"question": "q", "answer": "word " * (30 - (n == 0))} for n in range(500)])
    longest = document(sftui("pack", recipe, "--json", "data.max_length=4096"))["longest"]
    room = [f"data.max_length={longest}", "data.packing=next_fit"]
    assert 0.9995 < document(sftui("pack", recipe, "--json", *room))["fill"] < 1
    assert re.search(r"next_fit +500 +99\.9% +0\.1% ", sftui("pack", recipe, *room).out)


def test_why_a_truncated_sequence_is_left_out_is_said(sftui: Any) -> None:
    turns = [{"role": "user", "content": "word " * 200}, {"role": "assistant", "content": "yes"}]
    recipe = write([*rows(20), {"messages": turns}], overlength="truncate", sequence_per="turn")
    assert (
        "1 longer is truncated, 1 longer is left out: no trained token remains; " in sftui("pack", recipe).out
    )
    nothing = sftui("pack", write([{"messages": turns}], overlength="truncate", sequence_per="turn"))
    assert nothing.code == 2
    assert "1 longer than max_length 120, of which no trained token remains" in nothing.err
    recipe = write([*rows(20), {"messages": turns}], sequence_per="turn")
    assert "2 longer are left out; " in sftui("pack", recipe).out


@pytest.mark.parametrize(("side", "kept"), [("right", "beginning"), ("left", "end")])
def test_that_wrapping_does_not_save_what_is_too_long_is_said(sftui: Any, side: str, kept: str) -> None:
    said = (
        "longer sequences are dropped before wrapping (data.overlength: drop); "
        f"overlength: truncate keeps their {kept}\n"
    )
    recipe = write(rows(), packing="wrapped", truncation_side=side)
    assert said in sftui("pack", recipe).out
    for options in (["data.overlength=truncate"], ["--strategy", "best_fit"], ["data.max_length=4096"]):
        assert "before wrapping" not in sftui("pack", recipe, *options).out


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


def test_a_model_that_cannot_be_packed_is_told_and_is_a_no(sftui: Any) -> None:
    recipe = write(rows(20), packing="best_fit")
    Path("model/config.json").write_text(json.dumps(MAMBA))
    done = sftui("pack", recipe, "--json")
    assert done.code == 1, "the run would not start"
    reason = json.loads(done.out)["unsupported"]
    assert reason.startswith("mamba ")
    assert done.err == f"sftui: this model cannot be packed: {reason}\n"
    assert json.loads(done.out)["refusals"] == [f"this model cannot be packed: {reason}"]
    alone = sftui("pack", recipe, "--strategy", "none", "--json")
    assert (alone.code, alone.err) == (0, "")
    assert json.loads(alone.out)["unsupported"] == reason
    assert json.loads(alone.out)["refusals"] == []
    Path("model/config.json").write_text("{")
    broken = sftui("pack", recipe)
    assert broken.code == 2
    assert "config.json: cannot be read as JSON" in broken.err


def test_hostile_rows_are_told_without_being_obeyed(sftui: Any) -> None:
    done = sftui("pack", write([*rows(3), {"messages": [{"role": "\x1b[2J\x07", "content": "x"}]}]))
    assert done.code == 1
    assert "\x1b" not in done.err + done.out
    assert "\x07" not in done.err + done.out


def test_a_missing_recipe_is_all_that_is_missing(sftui: Any) -> None:
    done = sftui("pack")
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith("the following arguments are required: RECIPE\n")
    assert document(sftui("pack", write(rows(20)), "--json", "data.max_length=64"))["max_length"] == 64
