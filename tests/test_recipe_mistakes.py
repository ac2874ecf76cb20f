"""What is wrong in a recipe is said with file, line and key."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftui.errors import InputError, shorten
from sftui.recipe_file import parse_recipe
from tests.recipe_texts import SMALL, refused


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            SMALL + "training:\n  learning_rat: 1\n",
            "my.yaml:6: training.learning_rat: unknown key; did you mean learning_rate?",
        ),
        (
            SMALL + "zzz: 1\n",
            "my.yaml:5: zzz: unknown key; expected one of model, adapter, data, training, output_dir",
        ),
        (SMALL + "training:\n  seed: x\n", "my.yaml:6: training.seed: found 'x', expected a whole number"),
        (SMALL + "training:\n  seed: 1.5\n", "my.yaml:6: training.seed: found 1.5, expected a whole number"),
        (
            SMALL + "training:\n  seed: -1\n",
            "my.yaml:6: training.seed: found -1, expected a number greater than or equal to 0",
        ),
        (
            SMALL + "training:\n  learning_rate: .nan\n",
            "my.yaml:6: training.learning_rate: found nan, expected a finite number",
        ),
        (
            SMALL + "training:\n  learning_rate: fast\n",
            "my.yaml:6: training.learning_rate: found 'fast', expected a number",
        ),
        (
            SMALL + "training:\n  learning_rate: true\n",
            "my.yaml:6: training.learning_rate: found True, expected a number",
        ),
        (
            SMALL + "training:\n  save_total_limit: true\n",
            "my.yaml:6: training.save_total_limit: found True, expected a whole number",
        ),
        (
            SMALL + "training:\n  gradient_checkpointing: maybe\n",
            "my.yaml:6: training.gradient_checkpointing: found 'maybe', expected true or false",
        ),
        (
            SMALL + "training:\n  optim: adamw\n",
            "my.yaml:6: training.optim: found 'adamw', expected one of adamw_torch, ",
        ),
        (SMALL + "training:\n  optim: adamw_torhc\n", "; did you mean adamw_torch?"),
        (
            SMALL + "training:\n  max_steps: 0\n",
            "my.yaml:6: training.max_steps: found 0, expected -1 (whole epochs) or at least 1",
        ),
        (
            SMALL + "training: 3\n",
            "my.yaml:5: training: found 3, expected a section with the keys per_device_train_batch_size, ",
        ),
        (SMALL + "output_dir: 7\n", "my.yaml:5: output_dir: found 7, expected a text"),
        (
            SMALL + "output_dir: 2026-01-01\n",
            "my.yaml:5: output_dir: found datetime.date(2026, 1, 1), expected a text",
        ),
        (
            SMALL + 'output_dir: "a\\0b"\n',
            "my.yaml:5: output_dir: found 'a\\x00b', expected a text without NUL",
        ),
        (
            SMALL + "adapter:\n  target_modules: 3\n",
            "my.yaml:6: adapter.target_modules: found 3, expected a text or a list",
        ),
        (
            SMALL + "adapter:\n  target_modules:\n  - q_proj\n  - 3\n",
            "my.yaml:8: adapter.target_modules.1: found 3, expected a text",
        ),
        (
            SMALL + "adapter: {dtype: float16}\n",
            "my.yaml: adapter.dtype is float16: small updates are lost; expected float32 or bfloat16",
        ),
        (SMALL + "adapter:\n", "my.yaml: adapter is null and model.quantization is nf4: quantised weights"),
        (
            "model: {}\n" + SMALL[SMALL.index("data") :],
            "my.yaml:1: model.name_or_path: is missing; expected Hub id (owner/name) or a local directory",
        ),
        ("model: {name_or_path: m}\n", "my.yaml: data: is missing; expected a value"),
        (
            "model: {name_or_path: ''}\n" + SMALL[SMALL.index("data") :],
            "my.yaml:1: model.name_or_path: found '', expected Hub id",
        ),
        (
            "model: {name_or_path: m}\ndata:\n  train: []\n",
            "my.yaml:3: data.train: found [], expected at least one item",
        ),
        ("model: {name_or_path: m}\ndata:\n  train: 3\n", "my.yaml:3: data.train: found 3, expected a list"),
        (
            "model: {name_or_path: m}\ndata:\n  train:\n  - a\n  - pth: b\n    path: c\n",
            "my.yaml:5: data.train.1.pth: unknown key; did you mean path?",
        ),
        (
            "model: {name_or_path: m}\ndata:\n  train: t\n  eval: e\n  eval_fraction: 0.1\n",
            "my.yaml:2: data: eval and eval_fraction are both set: expected one of them",
        ),
        (
            "model: {name_or_path: m}\ndata:\n  train: t\n  packing: wrapped\n  repack_each_epoch: true\n",
            "my.yaml:2: data: repack_each_epoch is true and packing is wrapped: only best_fit",
        ),
    ],
)
def test_a_mistake_is_named_with_file_line_key_and_what_was_expected(text: str, message: str) -> None:
    assert message in refused(text)


def test_several_mistakes_are_all_named_each_with_its_place() -> None:
    text = SMALL.replace("name_or_path", "name_or_pth") + "training:\n  seed: x\n  bf16: true\n"
    first, *lines = refused(text, "training.max_steps=often", "data.max_length=1").splitlines()
    assert first == "my.yaml: 6 mistakes"
    assert len(lines) == 6
    found = "\n".join(lines)
    for expected in (
        "  my.yaml:1: model.name_or_path: is missing",
        "  my.yaml:2: model.name_or_pth: unknown key; did you mean name_or_path?",
        "  my.yaml:6: training.seed: found 'x', expected a whole number",
        "  my.yaml:7: training.bf16: unknown key",
        "  in training.max_steps=often: training.max_steps: found 'often', expected a whole number",
        "  in data.max_length=1: data.max_length: found 1, expected a number greater than or equal to 2",
    ):
        assert expected in found


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "my.yaml: is empty: expected the sections model, data, adapter, training"),
        ("# only words\n", "my.yaml: is empty"),
        ("- model\n- data\n", "my.yaml:1: found a list: expected the sections"),
        ("hello\n", "my.yaml:1: found 'hello': expected the sections"),
        (
            "model:\n\tname_or_path: m\n",
            "my.yaml:2: is not valid YAML: found character '\\t' that cannot start any token",
        ),
        (SMALL + "data: 3\n", 'my.yaml:5: is not valid YAML: found duplicate key "data"'),
        ("model: {a: 1, a: 2}\n", 'my.yaml:1: is not valid YAML: found duplicate key "a"'),
        ("model: {name_or_path: m\ndata: 3\n", "my.yaml:2: is not valid YAML: "),
        ("model: 'open\n", "is not valid YAML: found unexpected end of stream"),
        (SMALL + "---\n" + SMALL, "my.yaml:5: is not valid YAML: "),
        (SMALL + "output_dir: *nowhere\n", "my.yaml:5: is not valid YAML: found undefined alias"),
        ("a: \0\n", "my.yaml: is not valid YAML: unacceptable character"),
        (SMALL + "output_dir: !!bool maybe\n", "my.yaml: is not valid YAML: "),
        ("!!set", "my.yaml: is not valid YAML: "),
        (SMALL + "output_dir: 2026-13-45\n", "my.yaml: is not valid YAML: month must be in 1..12"),
        ("&a {model: *a, data: *a}\n", "my.yaml: is nested too deeply, or holds itself"),
    ],
)
def test_text_that_is_no_recipe_is_refused_with_its_line(text: str, message: str) -> None:
    assert message in refused(text)


def test_brackets_without_end_are_refused_where_the_parser_gives_up() -> None:
    text, limit = "[" * 300, sys.getrecursionlimit()
    # The parser is slow: it gives up earlier than at Python's own limit here.
    sys.setrecursionlimit(len(inspect.stack()) + 250)
    try:
        assert "my.yaml: is nested too deeply" in refused(SMALL + "x: " + text)
        assert "training.seed: the value '[[[[" in refused(SMALL, f"training.seed={text}")
    finally:
        sys.setrecursionlimit(limit)


PIECES = [
    *"\n :-[]{},&*!|>'\"#%@`?",
    "- ",
    "a: ",
    "*a",
    "&a ",
    "!!int ",
    "!!set",
    "!!binary ",
    "!x ",
    "<<: ",
    "model",
    "data",
    "train",
    "name_or_path",
    "null",
    "1",
    "2e-4",
    ".inf",
    "2026-99-99",
    "é",
    "\t",
    "---\n",
]


@pytest.mark.filterwarnings("ignore::Warning:ruamel")
@given(st.lists(st.sampled_from(PIECES), max_size=12).map("".join))
@settings(max_examples=150, deadline=None)
def test_no_text_at_all_ends_in_anything_but_a_recipe_or_a_message(text: str) -> None:
    for recipe, overrides in (
        (text, []),
        (SMALL + text, []),
        (SMALL, [text]),
        (SMALL, [f"training={text}", f"data.train={text}", f"model.name_or_path={text}"]),
    ):
        try:
            assert parse_recipe(recipe, overrides, base=Path("/nowhere")).data.train
        except InputError as error:
            assert str(error)


def test_a_message_leaves_out_what_is_not_known() -> None:
    assert str(InputError("is wrong")) == "is wrong"
    assert (
        str(InputError("is wrong", file="a", line=3, key="b.c", hint="mend it"))
        == "a:3: b.c: is wrong\n  mend it"
    )
    assert str(InputError("is wrong", line=3)) == "line 3: is wrong"
    assert str(InputError("is wrong", file=Path("x/y"))) == "x/y: is wrong"


@given(st.text(), st.integers(8, 100))
def test_a_value_in_a_message_is_never_longer_than_said_and_holds_no_control_characters(
    text: str, limit: int
) -> None:
    shown = shorten(text, limit)
    assert len(shown) <= limit
    assert shown.isprintable()
