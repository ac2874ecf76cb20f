"""The text of a recipe behind a form and a YAML view: edits, their agreement, problems and undo."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.tokens import AliasToken, AnchorToken

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.recipe_document import Document, default_of
from sftui.recipe_file import dump_recipe, load_recipe, parse_recipe
from sftui.recipe_history import History
from sftui.recipe_override import parse_key, put
from sftui.recipe_tree import expand_sources, plain, same

TEXT = """\
# my recipe

model:
    name_or_path: "owner/x"   # the model
    quantization: none
adapter:  # how
    # rank
    r: 8
    target_modules: [q_proj, v_proj]
    # after
data:
    # rows
    train:
        - path: a.jsonl   # first
          # of the first
          limit: 5
        # between
        - {path: b.jsonl}
        - c.jsonl   # short
    max_length: 512    # short

    train_on: 'assistant'
training:
  learning_rate: 2.0e-4
  seed: 0x10


# the end
"""
FLOW = """\
# flow
{model: {name_or_path: x, quantization: none}, data: {
  train: [{path: a.jsonl}, b.jsonl],  # rows
  # before
  max_length: 512,  # tokens
  train_on: assistant  # turns
}, adapter: {r: 8}}
# end
"""
SHORT = "# short\nmodel: {name_or_path: x, quantization: none}\ndata:\n  train: a.jsonl # rows\n"
ANCHORS = """\
# anchors
model: {name_or_path: x, quantization: none}
adapter: &half {r: 8, lora_alpha: 16} # low
data:
  # rows
  train: &rows [{path: a.jsonl}]
  eval: *rows # the same
  max_length: &n 512 # tokens
training:
  # seed
  seed: *n
"""
SHARED = """\
# shared
small: &small {r: &r 8, lora_alpha: *r}
model: &model
  name_or_path: x
  quantization: none
adapter: &ad # low
  # as small
  <<: *small
  lora_dropout: 0.1
data:
  # rows
  train: &rows
    - path: a.jsonl
      limit: &few 5
    - {path: b.jsonl, limit: *few}
  eval: *rows # the same
  max_length: &n 512 # tokens
training: &tr {seed: *n, max_steps: *few}
"""
TEXTS = [
    TEXT,
    FLOW,
    SHORT,
    ANCHORS,
    SHARED,
    TEXT.replace("\n", "\r\n"),
    "\ufeff" + TEXT,
    TEXT.replace("\n\n", "\r\n\r\n"),
]
SHIPPED = sorted(Path(__file__).parent.parent.glob("recipes/*.yaml"))


def whole_line_comments(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.lstrip().startswith("#")]


SOURCE = st.fixed_dictionaries(
    {"path": st.sampled_from(["d.jsonl", "e f.json", "g:h, i"])},
    optional={"limit": st.integers(1, 9), "columns": st.just({"prompt": "q: 1"})},
)
ADAPTER = st.fixed_dictionaries({}, optional={"r": st.integers(1, 9), "use_dora": st.booleans()})
TEXTUAL = st.text(st.characters(exclude_characters="\0", codec="utf-8"), min_size=1, max_size=12)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "model.name_or_path": TEXTUAL.map("x/{}".format),
    "adapter": st.none()
    | st.fixed_dictionaries({}, optional={"r": st.integers(1, 9), "use_dora": st.booleans()}),
    "adapter.r": st.integers(1, 64),
    "adapter.target_modules": st.just("all-linear") | st.lists(st.sampled_from(["q", "k: v"]), min_size=1),
    "data.train": st.lists(SOURCE, min_size=1, max_size=4) | st.just("z.jsonl"),
    "data.train.0.path": TEXTUAL,
    "data.train.0.limit": st.none() | st.integers(1, 9),
    "data.train.1": SOURCE,
    "data.eval": st.lists(SOURCE, max_size=2),
    "data.max_length": st.integers(2, 9999),
    "data.chat_template": st.none() | TEXTUAL,
    "training.learning_rate": st.floats(1e-9, 1.0),
    "training.seed": st.integers(0, 99),
    "output_dir": TEXTUAL,
}
REMOVABLE = [
    "adapter",
    "adapter.r",
    "data.eval",
    "data.train.1",
    "data.max_length",
    "training",
    "training.seed",
]
EDIT = st.sampled_from(sorted(VALUES)).flatmap(lambda key: st.tuples(st.just(key), VALUES[key]))
EDITS = st.lists(EDIT | st.sampled_from(REMOVABLE).map(lambda key: (key, ...)), max_size=6)


def put_in(values: dict[str, Any], key: str, value: Any) -> None:
    """What an edit should do, on plain trees."""
    parts = parse_key(key)
    if value is not ...:
        put(values, parts, copy.deepcopy(value))
    else:
        parent: Any = values
        for part in parts[:-1]:
            parent = parent.get(part) if isinstance(parent, dict) else parent[part]
            if parent is None:
                return
        if isinstance(parent, list):
            del parent[int(parts[-1]) : int(parts[-1]) + 1]
        else:
            parent.pop(parts[-1], None)
    expand_sources(values)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TEXTS), EDITS)
def test_the_text_says_what_was_put_in_and_no_comment_line_is_lost(
    text: str, edits: list[tuple[str, Any]]
) -> None:
    document = Document(text)
    values, history = document.values, History(document)
    for time, (key, value) in enumerate(edits):
        try:
            put_in(values, key, value)
        except InputError:
            with pytest.raises(InputError):
                document.with_value(key, value)
            return
        document = document.without_value(key) if value is ... else document.with_value(key, value)
        if value is ... and key == "adapter.r" and document.is_written(key):
            put_in(values, key, default_of(key))  # a merge key gives it another value
        history.put(document, time * 10.0, key)
        assert document.values == values
        assert set(whole_line_comments(text)) <= set(whole_line_comments(document.text))
        assert document.text.startswith("\ufeff") == text.startswith("\ufeff")
        if "\n" not in text.replace("\r\n", ""):
            assert "\n" not in document.text.replace("\r\n", "")
        try:
            by_values = Recipe.model_validate(values)
        except ValidationError:
            assert document.recipe is None and document.problems
        else:
            assert document.recipe == by_values and not document.problems
    last = history.document.text
    while history.can_undo:
        history.undo()
    assert history.document.text == text
    while history.can_redo:
        history.redo()
    assert history.document.text == last


def marks(text: str) -> list[tuple[str, str]]:
    """Anchors and aliases in their order."""
    tokens = YAML(typ="rt").scan(text)
    return [(type(one).__name__, one.value) for one in tokens if isinstance(one, AnchorToken | AliasToken)]


BESIDE = ("model.name_or_path", "adapter.r", "data.chat_template", "training.learning_rate", "output_dir")


@settings(max_examples=15, deadline=None)
@given(st.lists(EDIT.filter(lambda edit: edit[0] in BESIDE), max_size=3))
def test_an_edit_of_what_nobody_shares_leaves_all_anchors_and_aliases(edits: list[tuple[str, Any]]) -> None:
    document = Document(SHARED)
    for key, value in edits:
        document = document.with_value(key, value)
    assert marks(document.text) == marks(SHARED)


@pytest.mark.parametrize(
    ("key", "value", "gone", "come"),
    [
        ("training.seed", 7, "{seed: *n,", "{seed: 7,"),
        ("data.max_length", 64, "max_length: &n 512", "max_length: 64"),
        ("data.max_length", 64, "{seed: *n,", "{seed: &n 512,"),
        ("adapter.lora_alpha", 9, "", "lora_alpha: 9"),
        ("small.lora_alpha", 9, "<<: *small", "<<: &small {r: 8, lora_alpha: 8}"),
        ("data.eval.0.path", "z", "*rows", "[{path: z, limit: 5}, {path: b.jsonl, limit: 5}]"),
        ("data.train.1.limit", 9, "eval: *rows", "eval: &rows [{path: a"),
        ("data.train.0.limit", ..., "b.jsonl, limit: *few", "b.jsonl, limit: &few 5"),
    ],
)
def test_an_edit_of_a_shared_value_changes_its_own_place_alone(
    key: str, value: Any, gone: str, come: str
) -> None:
    before = Document(SHARED)
    after = before.without_value(key) if value is ... else before.with_value(key, value)
    assert gone in before.text and come in after.text
    assert not gone or gone not in after.text
    values = before.values
    put_in(values, key, value)
    assert after.values == values
    assert {name for _, name in marks(before.text)} - {name for _, name in marks(after.text)} <= {"rows", "r"}


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(TEXTS), EDIT, st.text(st.characters(codec="utf-8"), max_size=5), st.integers(0, 400))
def test_whatever_is_typed_in_the_text_the_form_goes_on_or_says_why(
    text: str, edit: tuple[str, Any], typed: str, at: int
) -> None:
    document = Document(text)
    view = document.view
    document = document.with_text(view[:at] + typed + view[at:])
    assert (document.recipe is None) == bool(document.problems)
    values, (key, value) = document.values, edit
    try:
        edited = document.with_value(key, value)
    except InputError:
        return
    put(values, parse_key(key), plain(value))
    expand_sources(values)
    assert same(edited.values, values)
    assert edited.with_text(document.view).view == document.view


@pytest.mark.parametrize("file", SHIPPED, ids=lambda file: file.stem)
def test_ready_recipes_take_every_edit_with_all_their_comments(file: Path) -> None:
    document = Document(file.read_text())
    for key, value in (("adapter.lora_dropout", 0.1), ("data.train.0.limit", 7), ("training.seed", 1)):
        edited = document.with_value(key, value)
        assert edited.value(key) == value and edited.recipe is not None
        assert whole_line_comments(edited.text) == whole_line_comments(document.text)
        assert edited.with_text(document.view).text == document.text
    everything = Document(dump_recipe(load_recipe(file)))
    changed = everything.with_value("training.seed", 7).text.splitlines()
    assert len([line for line in changed if line not in everything.text.splitlines()]) == 1


@pytest.mark.parametrize(
    ("key", "value", "gone", "come"),
    [
        ("data.max_length", 64, ["    max_length: 512    # short"], ["    max_length: 64    # short"]),
        ("adapter.lora_alpha", 16, [], ["    lora_alpha: 16"]),
        (
            "adapter",
            None,
            ["adapter:  # how", "    r: 8", "    target_modules: [q_proj, v_proj]"],
            ["adapter: null  # how"],
        ),
        ("adapter", {"r": 4, "target_modules": ["q_proj", "v_proj"]}, ["    r: 8"], ["    r: 4"]),
        ("data.train.0.split", "test", [], ["          split: test"]),
        ("data.train.1.limit", 2, ["        - {path: b.jsonl}"], ["        - {path: b.jsonl, limit: 2}"]),
        ("data.train.2.path", "d", ["        - c.jsonl   # short"], ["        - d   # short"]),
        (
            "data.train.2.limit",
            2,
            ["        - c.jsonl   # short"],
            ["        - {path: c.jsonl, limit: 2}   # short"],
        ),
        ("data.train.3", {"path": "d", "limit": 1}, [], ["        - path: d", "          limit: 1"]),
        ("data.train", [{"path": "a.jsonl", "limit": 5}, "c.jsonl"], ["        - {path: b.jsonl}"], []),
        ("data.eval.0.path", "e.jsonl", [], ["    eval: [{path: e.jsonl}]"]),
        ("output_dir", "out", [], ["output_dir: out"]),
        ("training.seed", 16, [], []),
    ],
)
def test_an_edit_changes_its_own_lines(key: str, value: Any, gone: list[str], come: list[str]) -> None:
    before, after = TEXT.splitlines(), Document(TEXT).with_value(key, value).text.splitlines()
    assert [line for line in before if line not in after] == gone
    assert [line for line in after if line not in before] == come


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        (TEXT, "data.max_length", TEXT.replace("    max_length: 512    # short\n", "")),
        (TEXT, "data.train.1", TEXT.replace("        - {path: b.jsonl}\n", "")),
        (TEXT, "data.train.7", TEXT),
        (TEXT, "adapter.use_dora", TEXT),
        ("adapter:  # how\n  # rank\n  r: 8\n", "adapter.r", "adapter: {}  # how\n  # rank\n"),
        ("data: {train: a, max_length: 5} # x\n", "data.max_length", "data: {train: a} # x\n"),
        ("data: {train: a, max_length: 5} # x\n", "data.train", "data: {max_length: 5} # x\n"),
        ("data:\n  eval:\n  - a\n", "data.eval.0", "data:\n  eval: []\n"),
        ("a: &x {r: 4}\nadapter:\n  <<: *x\n", "adapter.r", "a: &x {r: 4}\nadapter:\n  <<: *x\n  r: 16\n"),
    ],
)
def test_back_to_the_default_the_line_goes(text: str, key: str, expected: str) -> None:
    assert Document(text).without_value(key).text == expected


@pytest.mark.parametrize(
    "text",
    [
        "model: {name_or_path: x}\ndata: {train: a.jsonl, max_length: 5}  # flow\n",
        "model: {name_or_path: x}\ndata:\n  train: a.jsonl\n  max_length: &a 5\ntraining:\n  seed: *a\n",
        "model: {name_or_path: x}\ndata:\n  train: a.jsonl\n  chat_template:\n  max_length: 3",
        "model: {name_or_path: x}\ndata:\n  max_length:\n    5\n  train:\n  - a\n# end\n",
        "model: {name_or_path: x}\ndata:\n  train:\n  - a\n  - b\n# c\ntraining: {}\n",
        'model: {name_or_path: x}\ndata:\n    train: [a]   # x\n    "max_length": 7\n',
    ],
)
def test_every_way_to_write_a_section_takes_a_change(text: str) -> None:
    changed = Document(text).with_values({"data.max_length": 1024, "data.chat_template": "a: b #c"})
    assert changed.recipe is not None
    assert (changed.recipe.data.max_length, changed.recipe.data.chat_template) == (1024, "a: b #c")
    assert all(comment in changed.text for comment in ("# flow", "# end", "# c", "# x") if comment in text)


@pytest.mark.parametrize(
    ("before", "changes", "after"),
    [
        (
            "data: {train: [{path: a.jsonl}],  max_length: 5}   # short\n",
            {"data.max_length": 1024},
            "data: {train: [{path: a.jsonl}],  max_length: 1024}   # short\n",
        ),
        (
            "data: {train: a.jsonl, chat_template: chatml, max_length: 5}\n",
            {"data.chat_template": "a, {b}.jinja"},
            "data: {train: a.jsonl, chat_template: 'a, {b}.jinja', max_length: 5}\n",
        ),
        (
            "data: {\n  train: [{path: a}],  # rows\n  max_length: 5,  # tokens\n}\n",
            {"data.overlength": "truncate", "data.max_length": 6},
            "data: {\n  train: [{path: a}],  # rows\n  max_length: 6, overlength: truncate,  # tokens\n}\n",
        ),
    ],
)
def test_within_braces_only_the_value_changes(before: str, changes: dict[str, Any], after: str) -> None:
    model = "model: {name_or_path: x}  # m\n"
    assert Document(model + before).with_values(changes).text == model + after


@pytest.mark.parametrize(
    "text", ["", "# mine", "# mine\n", "---\n# mine\n", "\ufeff# mine\r\n", "# mine\nmodel:\n"]
)
def test_an_empty_text_takes_values(text: str) -> None:
    document = Document(text).with_values(
        {"model.name_or_path": "x", "data.train.0.path": "a", "adapter.r": 3}
    )
    assert document.recipe is not None and document.recipe.adapter is not None
    assert document.recipe.adapter.r == 3 and document.values["data"] == {"train": [{"path": "a"}]}
    assert whole_line_comments(document.text.lstrip("\ufeff")) == whole_line_comments(text.lstrip("\ufeff"))


def test_the_method_is_switched_and_back() -> None:
    full = Document(TEXT).with_value("adapter", None)
    assert full.recipe is not None and full.recipe.adapter is None
    lora = full.with_value("adapter", {"r": 4, "target_modules": ["q"]})
    assert lora.recipe is not None and lora.recipe.adapter is not None and lora.recipe.adapter.r == 4
    for comment in ("# how", "# rank", "# after"):
        assert comment in full.text and comment in lora.text


def test_mixed_line_ends_stay_line_by_line() -> None:
    text = "model: {name_or_path: x}\r\ndata:\n  train: a # x\r\n  max_length: 5\n"
    edited = Document(text).with_values({"data.max_length": 6, "data.overlength": "error"})
    assert edited.text == text.replace("5", "6") + "  overlength: error\n"


def test_what_the_fields_show() -> None:
    document = Document(TEXT.replace("r: 8", "r: eight"), base=Path("/data"))
    assert document.value("adapter.r") == "eight" and document.is_written("adapter.r")
    assert document.value("adapter.lora_alpha") == 32 and not document.is_written("adapter.lora_alpha")
    assert document.value("data.train.2.path") == "c.jsonl" and document.value("data.train.0.weight") == 1.0
    assert document.value("model.revision") is None and document.value("data.train.0.path") == "a.jsonl"
    assert document.line("data.train.2") == 19 and document.line("data.train.2.path") == 19
    assert document.line("output_dir") is None and default_of("adapter")["r"] == 16
    assert Document(TEXT, base=Path("/data")).recipe == parse_recipe(TEXT, base=Path("/data"))


def places(text: str) -> list[tuple[int | None, str | None]]:
    document = Document(text)
    assert document.recipe is None
    return [(one.line, one.key) for one in document.problems]


def test_all_mistakes_are_told_each_beside_its_field() -> None:
    text = """\
model: {name_or_path: m, quantisation: int4}
adapter:
data:
  train:
  - {path: a, limit: 0}
  - {pth: b}
  eval: e
  eval_fraction: 0.1
  packing: bestfit
  repack_each_epoch: true
training:
  max_steps: 0
"""
    assert places(text) == [
        (1, "model.quantisation"),
        (2, "adapter"),  # null, and the quantization that was meant is not yet known
        (5, "data.train.0.limit"),
        (6, "data.train.1.path"),
        (6, "data.train.1.pth"),
        (7, "data.eval"),
        (9, "data.packing"),
        (12, "training.max_steps"),
    ]
    assert places("model: {name_or_path: m}\ndata: {train: a, repack_each_epoch: true}\n") == [
        (2, "data.repack_each_epoch")
    ]
    assert places("data: {eval_fraction: 0.1,\n  eval: [a]}\n") == [
        (None, "model"),
        (1, "data.train"),
        (2, "data.eval"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "is empty"),
        ("# only\n", None, "is empty"),
        ("model:\n\tname_or_path: x\n", 2, "spaces, not with tabs"),
        ("model: {}\nmodel: {}\n", 2, "each key once"),
        ("model: a: b\n", 1, "needs quotes"),
        ("- a\n", 1, "found a list"),
        ("&a {model: *a, data: *a}\n", None, "holds itself"),
        ("a: !!bool maybe\n", None, "not valid YAML"),
    ],
)
def test_what_is_not_yaml_is_told_with_its_line(text: str, line: int | None, words: str) -> None:
    (problem,) = Document(text).problems
    assert problem.line == line and words in f"{problem.message} {problem.hint}"
    if line is not None:
        with pytest.raises(InputError):
            Document(text).with_value("training.seed", 1)


def test_keys_that_cannot_be_are_refused() -> None:
    for key in ("data.train.9.path", "data.max_length.x", "data.train.x"):
        with pytest.raises(InputError):
            Document(TEXT).with_value(key, 1)


def test_edits_of_one_key_in_a_short_time_are_one_step() -> None:
    start = Document(TEXT)
    history = History(start, limit=3)
    for i in range(5):
        history.put(history.document.with_value("training.seed", i), i * 0.5, "training.seed")
    assert history.undo() == start and not history.can_undo
    assert history.redo().value("training.seed") == 4
    history.put(history.document.with_value("training.seed", 9), 2.6, "training.seed")
    assert history.undo().value("training.seed") == 4  # not joined to what was redone
    history.put(start.with_value("data.max_length", 3), 3.0)
    assert history.redo().value("data.max_length") == 3  # nothing to make again


def test_of_many_steps_the_last_can_be_undone() -> None:
    start = Document(TEXT)
    history = History(start, limit=3)
    for i in range(10, 20):
        history.put(start.with_value("training.seed", i), 3.0)
    steps = 0
    while history.can_undo:
        history.undo()
        steps += 1
    assert steps == 3 and history.document.value("training.seed") == 16
    assert history.undo() is history.document
