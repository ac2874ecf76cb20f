"""What `sftui preview` and `sftui check` print, in which shape, and that rows cannot drive the terminal."""

from __future__ import annotations

import json
import re
import shutil
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftui.cli import main
from sftui.data.corpus import Corpus
from sftui.data.preview import row_view
from sftui.data.tokenizer import load_tokenizer
from sftui.json_text import json_text
from sftui.recipe import DataSection
from tests.data_fixtures import CHATML, MARKED, assistant, model_directory, user

ESC = "\x1b"
EVIL = f"{ESC}]0;owned\x07{ESC}[2J\x9b31m\u202egnp.exe\u200b[bold red]markup[/]\r\n"
UNSAFE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b\u202a-\u202e\u2066-\u2069]")


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


def write(rows: list[Any], name: str = "train.jsonl", **data: Any) -> str:
    """Rows and a recipe for them."""
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    Path(name).write_text("".join(line + "\n" for line in lines))
    recipe = {"model": {"name_or_path": "model"}, "data": {"train": name, **data}}
    Path("recipe.yaml").write_text(json.dumps(recipe))
    return "recipe.yaml"


PLAIN = [{"question": f"q{n}", "answer": f"a{n}"} for n in range(5)]


def test_json_has_its_shape(sftui: Any) -> None:
    done = sftui("preview", write(PLAIN), "--row", "3", "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert {"row", "tokens", "total", "trained", "truncated", "findings"} <= set(found)
    assert (found["row"], found["format"]) == (3, "question_answer")
    assert found["where"] == str(Path("train.jsonl:4").absolute())
    assert found["total"] == len(found["tokens"])
    assert found["trained"] == sum(token["trained"] for token in found["tokens"]) == 3
    assert found["truncated"] == 0
    assert isinstance(found["findings"], list)
    for token in found["tokens"]:
        assert set(token) == {"id", "text", "trained", "why"}
    text = "".join(token["text"] for token in found["tokens"])
    assert text == "<|im_start|>user\nq3<|im_end|>\n<|im_start|>assistant\na3<|im_end|>\n"
    assert "".join(token["text"] for token in found["tokens"] if token["trained"]) == "a3<|im_end|>"


@pytest.mark.parametrize(
    ("asked", "rows"),
    [
        ([], [0]),
        (["--row", "4"], [4]),
        (["--rows", "1:3"], [1, 2]),
        (["--rows", "3:"], [3, 4]),
        (["--rows", ":2"], [0, 1]),
        (["--rows", "3:99"], [3, 4]),
        (["--rows", "2"], [2]),
    ],
)
def test_rows_are_one_line_each(sftui: Any, asked: list[str], rows: list[int]) -> None:
    done = sftui("preview", write(PLAIN), *asked, "--json")
    assert done.code == 0
    assert [json.loads(line)["row"] for line in done.out.splitlines()] == rows


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (["--row", "5"], "--row: found 5: expected rows from 0 to 4"),
        (["--rows", "9:12"], "--rows: found 9:12: expected rows from 0 to 4"),
        (["--rows", "9:"], "--rows: found 9:: expected rows from 0 to 4"),
        (["--row=-1"], "--row: found '-1': expected a row number, counted from 0, or A:B"),
        (["--row", "x"], "--row: found 'x': expected a row number"),
        (["--row", ""], "--row: found '': expected a row number"),
        (["--row", "1:2"], "--row: found 1:2: expected one row number"),
        (["--row", "9" * 5000], "--row: found"),
        (["--row", "٣"], "--row: found '٣'"),
        (["--rows", "3:1"], "--rows: found 3:1, which names no row"),
        (["--rows", "2:2"], "--rows: found 2:2, which names no row"),
        (["--rows=-3:-1"], "--rows: found '-3:-1'"),
        (["--rows", "1:2:3"], "--rows: found '1:2:3'"),
        (["--row", "1", "--rows", "1:2"], "--row and --rows are both given"),
        (["--json", "--svg", "x.svg"], "--json and --svg are both given"),
        (["--sequence", "1"], "--sequence: found 1: expected 0 to 0, those of row 0"),
        (["--sequence=-1"], "--sequence: found -1: expected 0 or more"),
        (["--eval"], "data.eval: the recipe has no data.eval"),
    ],
)
def test_nonsense_is_one_message(sftui: Any, asked: list[str], said: str) -> None:
    done = sftui("preview", write(PLAIN), *asked)
    assert done.code == 2
    assert done.out == ""
    assert done.err.startswith(f"sftui: {said}")
    assert len(done.err.splitlines()) == 1


def test_a_row_that_cannot_be_read_is_shown_with_its_error(sftui: Any) -> None:
    recipe = write([PLAIN[0], "{nonsense", PLAIN[1]])
    first, broken, last = map(
        json.loads, sftui("preview", recipe, "--rows", "0:3", "--json").out.splitlines()
    )
    assert "train.jsonl:2" in broken["error"]
    assert (broken["tokens"], broken["total"], broken["trained"]) == ([], 0, 0)
    assert broken["findings"][0].startswith("unreadable-row: ")
    assert first["total"] == last["total"] > 0
    done = sftui("preview", recipe, "--row", "1")
    assert done.code == 0
    assert "train.jsonl:2" in done.out


def test_held_out_rows_and_sequences_of_a_row_can_be_asked_for(sftui: Any) -> None:
    talk = {"messages": [user("a"), assistant("b"), user("c"), assistant("d")]}
    Path("eval.jsonl").write_text(json.dumps(talk) + "\n")
    recipe = write(PLAIN, eval="eval.jsonl", sequence_per="turn")
    for number, answer in enumerate("bd"):
        found = json.loads(sftui("preview", recipe, "--eval", "--sequence", str(number), "--json").out)
        assert (found["sequence"], found["sequences"]) == (number, 2)
        trained = "".join(token["text"] for token in found["tokens"] if token["trained"])
        assert trained == f"{answer}<|im_end|>"


def whys(found: dict[str, Any]) -> dict[str, str]:
    return {token["text"]: token["why"] for token in found["tokens"]}


def test_every_token_says_why(sftui: Any) -> None:
    row = {
        "messages": [
            user("U"),
            assistant("A"),
            user("V"),
            {**assistant("B"), "weight": 0},
            user("W"),
            assistant("C"),
        ]
    }
    found = json.loads(sftui("preview", write([row]), "--json").out)
    why = whys(found)
    assert found["tokens"][0]["why"] == "first token: nothing predicts it"
    assert why["U"] == "user: not trained"
    assert why["A"] == "trained: assistant, message 1 (train_on: assistant)"
    assert why["B"] == "assistant: the row says not to train it"
    named = [(token["text"], token["why"]) for token in found["tokens"]]
    at = named.index(("A", why["A"]))
    assert named[at - 1][1] == "template: the prompt, given to the model"
    assert named[at + 1] == ("<|im_end|>", why["A"])
    assert named[at + 2] == ("\n", "template: after the end of the turn")
    last = whys(json.loads(sftui("preview", "recipe.yaml", "data.train_on=last_assistant", "--json").out))
    assert last["A"] == "assistant: not selected by train_on: last_assistant"
    assert last["C"] == "trained: assistant, message 5 (train_on: last_assistant)"
    every = whys(json.loads(sftui("preview", "recipe.yaml", "data.train_on=everything", "--json").out))
    assert every["U"] == "trained: user, message 0 (train_on: everything)"


def test_weights_are_told_and_explained(sftui: Any) -> None:
    row = {"messages": [user("U"), {**assistant("A"), "weight": 0.5}, user("V"), assistant("B")]}
    tokens = json.loads(sftui("preview", write([row]), "--json").out)["tokens"]
    [half] = [token for token in tokens if token["text"] == "A"]
    assert half["weight"] == 0.5
    assert half["why"] == "trained: assistant, message 1 (the row says so)"
    assert all("weight" not in token for token in tokens if token["text"] in ("B", "U"))


def test_a_template_that_marks_its_answers_decides(sftui: Any) -> None:
    (Path("model") / "chat_template.jinja").write_text(MARKED)
    found = json.loads(sftui("preview", write(PLAIN), "--json").out)
    assert "".join(token["text"] for token in found["tokens"] if token["trained"]) == "a0<|im_end|>"


@pytest.mark.parametrize(
    ("options", "fate", "first_kept"),
    [
        (["data.overlength=drop"], "dropped: longer than max_length 12", None),
        (["data.overlength=error"], "refused: longer than max_length 12", None),
        (["data.overlength=truncate"], "left out: no trained tokens remain", 0),
        (
            ["data.overlength=truncate", "data.truncation_side=left"],
            "truncated to 12 tokens (left end cut)",
            -12,
        ),
    ],
)
def test_tokens_that_max_length_cuts_are_marked(
    sftui: Any, options: list[str], fate: str, first_kept: int | None
) -> None:
    recipe = write([{"question": "a long question", "answer": "yes"}], max_length=12)
    found = json.loads(sftui("preview", recipe, *options, "--json").out)
    cut = [bool(token.get("cut")) for token in found["tokens"]]
    assert found["fate"] == fate
    assert found["truncated"] == sum(cut)
    assert sum(not each for each in cut) == (0 if first_kept is None else 12)
    assert not any(token["trained"] for token in found["tokens"] if token.get("cut"))
    if first_kept is not None:
        assert not found["tokens"][first_kept]["trained"]
        words = {token["why"] for token in found["tokens"] if token.get("cut")}
        assert words == {"cut: beyond max_length 12"}


def test_the_first_token_that_a_cut_leaves_is_not_trained(sftui: Any) -> None:
    recipe = write([{"question": "a long question", "answer": "yes"}])
    cut = ["data.max_length=3", "data.overlength=truncate", "data.truncation_side=left"]
    *_, first, end, last = json.loads(sftui("preview", recipe, *cut, "--json").out)["tokens"]
    assert (first["why"], first["trained"]) == ("first token: nothing predicts it", False)
    assert (end["text"], end["trained"], last["trained"]) == ("<|im_end|>", True, False)


def test_characters_of_several_tokens_have_their_bytes(sftui: Any) -> None:
    text = "é 😀 漢字 \u0300x👩\u200d👩\u200d👧"
    found = json.loads(sftui("preview", write([{"question": text, "answer": text}]), "--json").out)
    parts = [
        bytes.fromhex(token["bytes"]) if "bytes" in token else token["text"].encode()
        for token in found["tokens"]
    ]
    whole = f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n{text}<|im_end|>\n"
    assert b"".join(parts).decode() == whole
    assert "".join(token["text"] for token in found["tokens"]) == whole
    assert any(len(token.get("bytes", "")) == 2 for token in found["tokens"])


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(texts=st.tuples(*[st.text(st.characters(exclude_categories=["Cs"]), max_size=20)] * 2))
def test_bytes_and_texts_add_up_to_the_row(here: Path, texts: tuple[str, str]) -> None:
    tokenizer = load_tokenizer("model")
    Path("any.jsonl").write_text(json.dumps({"question": texts[0], "answer": texts[1]}) + "\n")
    data = DataSection(train=["any.jsonl"])
    view = row_view(Corpus(data.train), 0, tokenizer, data)
    if view.error is None:
        assert b"".join(token.bytes for token in view.tokens) == view.text.encode()
        assert "".join(token.text for token in view.tokens) == view.text
        assert [token.id for token in view.tokens] == tokenizer.encode(view.text)
        assert view.turns[-1].last == len(view.tokens)


# -- for people


def test_without_colours_what_is_trained_stands_in_brackets(sftui: Any) -> None:
    done = sftui("preview", write(PLAIN), "--row", "2")
    assert done.code == 0
    assert "train.jsonl:3  question_answer  " in done.out
    assert "⟦a2<|im_end|>⟧" in done.out
    assert "── assistant ── 3 trained" in done.out


def test_a_picture_shows_the_mask(sftui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    done = sftui("preview", write([{"question": EVIL + "<&>", "answer": "yes"}]), "--svg", "mask.svg")
    assert (done.code, done.out) == (0, "")
    picture = Path("mask.svg").read_text()
    ET.fromstring(picture)
    assert not UNSAFE.search(picture.replace("\t", ""))
    assert "underline" in picture
    assert len(set(re.findall(r"fill: (#\w+)", picture))) >= 3
    failed = sftui("preview", "recipe.yaml", "--svg", "nowhere/mask.svg")
    assert failed.code == 2
    assert failed.err == "sftui: nowhere/mask.svg: cannot be written: No such file or directory\n"


@pytest.mark.parametrize("command", [["preview"], ["preview", "--json"], ["check"], ["check", "--json"]])
def test_hostile_text_never_drives_the_terminal(
    sftui: Any, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "")
    name = f"evil{ESC}[2J.jsonl"
    rows: list[Any] = [
        {"question": EVIL, "answer": EVIL, f"column{ESC}[2J": EVIL},
        {"messages": [user(EVIL), {"role": EVIL, "content": EVIL}]},
        f'{{"{EVIL[:-2]}',
        *PLAIN,
    ]
    recipe = write(rows, name)
    more = ["--rows", "0:3"] if command[0] == "preview" else []
    shown = sftui(command[0], recipe, *command[1:], *more)
    assert not UNSAFE.search(shown.out + shown.err)
    evil = "{{ raise_exception(messages[0].content + '\x1b[2J\x9b') }}"
    (Path("model") / "chat_template.jinja").write_text(evil)
    failed = sftui(command[0], recipe, *command[1:], *more)
    assert not UNSAFE.search(failed.out + failed.err)
    refused = sftui(command[0], recipe, f"data.train=none{ESC}[2J.jsonl", *command[1:])
    assert refused.code == 2
    assert not UNSAFE.search(refused.out + refused.err)


def test_json_is_the_same_value_to_whoever_parses_it() -> None:
    value = {"text": EVIL + "é漢😀\ud83d\u2028\xad", "n": [1, 2.5, None, True]}
    assert json.loads(json_text(value)) == value
    assert json.loads(json_text(value, indent=2)) == value
    assert not UNSAFE.search(json_text(value))
    assert "é漢😀" in json_text(value)
    assert len(json_text(value).splitlines()) == 1


# -- check


def test_check_has_its_shape_and_counts_what_preview_shows(sftui: Any) -> None:
    recipe = write(PLAIN)
    done = sftui("check", recipe, "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert {"rows", "tokens", "trained_tokens", "findings"} <= set(found)
    views = [json.loads(line) for line in sftui("preview", recipe, "--rows", "0:", "--json").out.splitlines()]
    assert found["rows"] == len(views)
    assert found["tokens"] == sum(view["total"] for view in views)
    assert found["trained_tokens"] == sum(view["trained"] for view in views)
    said = sftui("check", recipe).out
    tokens, trained = f"{found['tokens']:,} tokens", f"{found['trained_tokens']:,} trained"
    assert f"5 rows (question_answer), 5 sequences, {tokens}, {trained}" in said
    assert found["used"] == {
        "rows": 5,
        "sequences": 5,
        "tokens": found["tokens"],
        "trained_tokens": found["trained_tokens"],
    }


def test_check_says_no_where_something_is_wrong(sftui: Any) -> None:
    done = sftui("check", write([*PLAIN, {"messages": [user("a")]}, "{nonsense"]), "--json")
    assert done.code == 1
    findings = {finding["code"]: finding for finding in json.loads(done.out)["findings"]}
    for code, row in (("no-trained-tokens", 5), ("unreadable-row", 6)):
        finding = findings[code]
        assert {"code", "severity", "count", "rows", "message", "why", "remedy"} <= set(finding)
        assert (finding["severity"], finding["count"], finding["rows"]) == ("error", 1, [row])
    shown = sftui("check", "recipe.yaml")
    assert shown.code == 1
    assert "[unreadable-row]" in shown.out
    assert "train.jsonl:7" in shown.out


def test_check_of_rows_that_are_all_bad_still_answers(sftui: Any) -> None:
    done = sftui("check", write(["{nonsense"] * 700), "--json")
    assert done.code == 1
    found = json.loads(done.out)
    assert (found["rows"], found["tokens"], found["percentiles"]) == (700, 0, None)
    assert found["findings"][0]["count"] == 700
    assert sftui("check", "recipe.yaml").code == 1


@pytest.mark.parametrize("command", ["preview", "check"])
@pytest.mark.parametrize(
    "override", ["data.train=none.jsonl", "model.name_or_path=./none", "data.chat_template=none.jinja"]
)
def test_unusable_input_is_a_message(sftui: Any, command: str, override: str) -> None:
    done = sftui(command, write(PLAIN), override)
    assert (done.code, done.out) == (2, "")
    assert "none" in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize("command", ["preview", "check"])
def test_a_ready_recipe_without_its_data_is_a_message(sftui: Any, command: str) -> None:
    done = sftui(command, "qlora-smollm2", "model.name_or_path=model")
    assert (done.code, done.out) == (2, "")
    assert "train.jsonl" in done.err
    assert "Traceback" not in done.err


def test_an_empty_file_is_a_message(sftui: Any) -> None:
    for command in ("preview", "check"):
        done = sftui(command, write([]))
        assert done.code == 2
        assert "has no rows" in done.err
    shutil.rmtree("model")
