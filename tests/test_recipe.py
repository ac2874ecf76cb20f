"""Recipes: what is written is read back, and what is wrong is said with file, line and key."""

from __future__ import annotations

import inspect
import json
import sys
import types
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from sftui import demo, recipe_file
from sftui.errors import InputError, shorten
from sftui.recipe import AdapterSection, DataSection, Recipe, TrainingSection
from sftui.recipe_errors import known_keys
from sftui.recipe_file import dump_recipe, load_recipe, parse_recipe

SMALL = """\
model:
  name_or_path: owner/model
data:
  train: [{path: train.jsonl}]
"""

# The page that the house is built to, with the packing that is the default.
DESIGN = """\
model:
  name_or_path: HuggingFaceTB/SmolLM2-135M-Instruct   # Hub id or directory
  quantization: nf4            # none | nf4 | fp4 | int8 | fp8
  double_quant: true
  dtype: bfloat16              # float32 | bfloat16 | float16
  attn_implementation: auto
  trust_remote_code: false
adapter:                       # null: train all weights
  r: 16
  lora_alpha: 32
  lora_dropout: 0.0
  dtype: float32               # of the adapter; compute follows model.dtype
  target_modules: all-linear
data:
  train: [{path: train.jsonl}]   # path (file, glob, folder, Hub id), split, format, columns, limit, weight
  eval: []                       # the same; or eval_fraction: 0.02
  train_on: assistant            # assistant | last_assistant | completion | everything
  max_length: 2048
  overlength: drop               # drop | truncate | error
  packing: none                  # none | next_fit | best_fit | wrapped
training:                      # names of transformers.TrainingArguments
  per_device_train_batch_size: 1
  gradient_accumulation_steps: 8
  num_train_epochs: 1
  max_steps: -1
  learning_rate: 2.0e-4
  lr_scheduler_type: cosine
  warmup_steps: 0.03             # below 1: a share of all steps, as in transformers 5
  optim: adamw_torch_fused
  gradient_checkpointing: true   # passed on under the name the installed transformers uses
  seed: 42
output_dir: runs
"""


def refused(text: str, *overrides: str, base: Path | None = None) -> str:
    """The message with which a recipe is refused."""
    with pytest.raises(InputError) as caught:
        parse_recipe(text, overrides, file="my.yaml", base=base)
    return str(caught.value)


# Any recipe that the typed model can hold


def values(annotation: Any, metadata: list[Any]) -> st.SearchStrategy[Any]:
    """Everything that a field of this type may hold."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, types.UnionType):
        return st.one_of([values(argument, metadata) for argument in arguments])
    if annotation is type(None):
        return st.none()
    if annotation is bool:
        return st.booleans()
    bounds = {
        name: getattr(item, name)
        for item in metadata
        for name in ("ge", "gt", "le", "lt", "min_length")
        if hasattr(item, name)
    }
    most = next((item.most for item in metadata if getattr(item, "most", None) is not None), None)
    if most is not None:
        bounds["le"] = most
    if annotation is int:
        lowest, highest = (
            bounds.get("ge", bounds.get("gt", -1) + 1),
            bounds.get("le", bounds.get("lt", 10**12)),
        )
        return st.integers(lowest, highest - ("lt" in bounds))
    if annotation is float:
        return st.floats(
            bounds.get("ge", bounds.get("gt")),
            bounds.get("le", bounds.get("lt")),
            exclude_min="gt" in bounds,
            exclude_max="lt" in bounds,
            allow_nan=False,
            allow_infinity=False,
        )
    text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
    if annotation is str:
        awkward = [
            "null",
            "true",
            "2e-4",
            "~",
            "- a",
            "a: b",
            "#",
            "'",
            '"',
            " x ",
            "\n",
            "é\u2028\x85",
            "*a",
            "=",
            "<<",
        ]
        return st.one_of(
            text.filter(lambda one: len(one) >= bounds.get("min_length", 0)), st.sampled_from(awkward)
        )
    if origin is list:
        return st.lists(values(arguments[0], []), min_size=bounds.get("min_length", 0), max_size=3)
    if origin is dict:
        return st.dictionaries(text, text, max_size=3)
    assert issubclass(annotation, BaseModel), f"this test does not know {annotation}"
    fields = annotation.model_fields.items()
    return st.fixed_dictionaries({name: values(field.annotation, field.metadata) for name, field in fields})


def made_consistent(tree: dict[str, Any]) -> Recipe:
    """A recipe from values that are each possible by themselves."""
    if tree["adapter"] is None:
        tree["model"]["quantization"] = "none"
    elif tree["adapter"]["dtype"] == "float16":
        tree["adapter"]["dtype"] = "bfloat16"
    if tree["data"]["eval"]:
        tree["data"]["eval_fraction"] = 0.0
    if tree["data"]["packing"] != "best_fit":
        tree["data"]["repack_each_epoch"] = False
    tree["training"]["max_steps"] = tree["training"]["max_steps"] or -1
    return Recipe.model_validate(tree)


recipes = values(Recipe, []).map(made_consistent)


@given(recipes, st.sampled_from(["", "one line", "two\n\nlines: [with] # signs\n"]))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_written_recipe_is_read_back_with_every_field(recipe: Recipe, comment: str) -> None:
    text = dump_recipe(recipe, comment)
    assert parse_recipe(text) == recipe
    for section, model in Recipe.model_fields.items():
        assert f"{section}:" in text, model


@given(recipes)
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_summary_is_one_line_for_any_recipe(recipe: Recipe) -> None:
    assert f"length {recipe.data.max_length}" in recipe.summary()


def test_the_frozen_recipe_of_a_run_is_the_one_it_was_made_from(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SMALL + "output_dir: out\n")
    loaded = load_recipe(tmp_path / "a.yaml")
    frozen = tmp_path / "runs" / "one" / "recipe.yaml"
    frozen.parent.mkdir(parents=True)
    frozen.write_text(dump_recipe(loaded, "the recipe of run one"))
    assert load_recipe(frozen) == loaded


def test_the_example_of_the_design_is_a_recipe() -> None:
    recipe = parse_recipe(DESIGN)
    assert recipe == Recipe.model_validate(
        {
            "model": {"name_or_path": "HuggingFaceTB/SmolLM2-135M-Instruct"},
            "data": {"train": [{"path": "train.jsonl"}]},
        }
    ), "the example spells the defaults out"
    assert recipe.training.learning_rate == 2e-4


def test_the_shipped_recipes_are_recipes_and_say_what_for() -> None:
    for file in [demo.RECIPE, *recipe_file.ready_recipes().glob("*.yaml")]:
        assert file.read_text().startswith("#"), f"{file} does not open with what it is for"
        assert load_recipe(file).data.train


@pytest.mark.parametrize("written", ["2e-4", "2.0e-4", "0.0002", "2E-4", "2e-04"])
def test_a_learning_rate_is_a_number_however_it_is_written(written: str) -> None:
    assert parse_recipe(f"{SMALL}training: {{learning_rate: {written}}}\n").training.learning_rate == 2e-4
    assert parse_recipe(SMALL, [f"training.learning_rate={written}"]).training.learning_rate == 2e-4


def test_data_may_be_given_in_short() -> None:
    full = [{"path": "a.jsonl"}, {"path": "b.jsonl"}]
    for short in ("[a.jsonl, b.jsonl]", "[a.jsonl, {path: b.jsonl}]"):
        data = parse_recipe(f"model: {{name_or_path: m}}\ndata: {{train: {short}, eval: e.jsonl}}\n").data
        assert [source.model_dump(exclude_defaults=True) for source in data.train] == full
        assert [source.path for source in data.eval] == ["e.jsonl"]


def test_a_byte_order_mark_is_no_part_of_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(SMALL, encoding="utf-8-sig")
    assert load_recipe(tmp_path / "a.yaml").model.name_or_path == "owner/model"


def test_anchors_and_merges_are_written_out() -> None:
    text = (
        "model: {name_or_path: m}\ndata: {train: [&a {path: t.jsonl, limit: 3}, {<<: *a, path: u.jsonl}]}\n"
    )
    assert [(source.path, source.limit) for source in parse_recipe(text).data.train] == [
        ("t.jsonl", 3),
        ("u.jsonl", 3),
    ]


# Mistakes


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


# Files


def test_paths_in_a_file_are_relative_to_it_and_in_an_override_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here / "mine", there / "model"):
        folder.mkdir(parents=True)
    (there / "a.yaml").write_text(
        "model: {name_or_path: model}\ndata: {train: [t.jsonl, ../u.jsonl, /abs.jsonl], eval: e.jsonl}\n"
    )
    monkeypatch.chdir(here)
    recipe = load_recipe("../there/a.yaml")
    assert recipe.model.name_or_path == str(there / "model")
    paths = [Path(source.path) for source in recipe.data.train]
    assert [path.resolve() for path in paths] == [there / "t.jsonl", tmp_path / "u.jsonl", Path("/abs.jsonl")]
    assert all(path.is_absolute() for path in paths)
    assert Path(recipe.output_dir).resolve() == there / "runs"

    overrides = ["data.train.0=mine.jsonl", "data.eval=[{path: x.jsonl, limit: 2}]", "output_dir=out"]
    recipe = load_recipe("../there/a.yaml", [*overrides, "model.name_or_path=mine"])
    assert recipe.model.name_or_path == str(here / "mine")
    assert recipe.data.train[0].path == str(here / "mine.jsonl")
    assert Path(recipe.data.train[1].path).resolve() == tmp_path / "u.jsonl"
    assert (recipe.data.eval[0].path, recipe.data.eval[0].limit) == (str(here / "x.jsonl"), 2)
    assert recipe.output_dir == str(here / "out")


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("owner/model", "owner/model"),
        ("gpt2", "gpt2"),
        ("./model", "{base}/model"),
        ("../model", "{above}/model"),
        ("model", "{base}/model"),
        ("missing", "missing"),
        ("x" * 300, "x" * 300),
        ("/abs/model", "/abs/model"),
        ("~/model", "{home}/model"),
        ("~nobody-has-this-name/m", "{base}/~nobody-has-this-name/m"),
    ],
)
def test_a_model_is_a_directory_where_there_is_one_or_the_name_can_only_be_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, expected: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    (tmp_path / "b" / "model").mkdir(parents=True)
    text = f"model: {{name_or_path: '{name}'}}\ndata: {{train: t}}\n"
    found = parse_recipe(text, base=tmp_path / "b").model.name_or_path
    assert found == expected.format(base=tmp_path / "b", above=tmp_path, home="/home/me")


def test_a_tilde_is_the_home_directory_unless_it_names_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    text = "model: {name_or_path: m}\ndata: {train: [~/t.jsonl, ~backup.jsonl]}\n"
    paths = [source.path for source in parse_recipe(text, base=tmp_path).data.train]
    assert paths == ["/home/me/t.jsonl", f"{tmp_path}/~backup.jsonl"]
    with pytest.raises(InputError, match="no such recipe"):
        load_recipe("~nobody-has-this-name/a.yaml")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder", "folder: is a directory: expected a recipe file"),
        ("binary.yaml", "binary.yaml: is not UTF-8 text (byte 4): expected a recipe in YAML"),
        (
            "qlora.yml",
            "qlora.yml: no such recipe: expected a file, or the name of a ready recipe\n"
            "  did you mean qlora.yaml?",
        ),
        ("nowhere/at-all.yaml", "nowhere/at-all.yaml: no such recipe"),
        ("qlora.yaml/x", "qlora.yaml/x: no such recipe"),
        ("x" * 300, "cannot be read: File name too long"),
        ("a\0b", "no such recipe"),
        ("", "is a directory"),
    ],
)
def test_a_file_that_cannot_be_a_recipe_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "folder").mkdir()
    (tmp_path / "binary.yaml").write_bytes(b"PK\x03\x04\xff\xfe\x00")
    (tmp_path / "qlora.yaml").write_text(SMALL)
    with pytest.raises(InputError) as caught:
        load_recipe(name)
    assert message in str(caught.value)


def test_a_file_that_may_not_be_read_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.yaml").write_text(SMALL)

    def forbidden(*_: Any, **__: Any) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", forbidden)
    with pytest.raises(InputError, match=r"a.yaml: cannot be read: Permission denied"):
        load_recipe(tmp_path / "a.yaml")


def test_a_mistake_in_a_file_is_named_with_the_file_as_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("sub").mkdir()
    Path("sub/a.yaml").write_text(SMALL + "sead: 3\n")
    with pytest.raises(InputError, match=r"^sub/a.yaml:5: sead: unknown key"):
        load_recipe("sub/a.yaml")


def test_a_ready_recipe_is_found_by_name_and_takes_paths_from_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = tmp_path / "ready"
    ready.mkdir()
    (ready / "qlora-small.yaml").write_text(SMALL)
    monkeypatch.setattr(recipe_file, "ready_recipes", lambda: ready)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    recipe = load_recipe("qlora-small", ["training.seed=7"])
    assert recipe.data.train[0].path == str(tmp_path / "work" / "train.jsonl")
    assert recipe.output_dir == str(tmp_path / "work" / "runs")
    assert recipe.training.seed == 7
    with pytest.raises(InputError, match=r"qlora_small: no such recipe(.|\n)*did you mean qlora-small\?"):
        load_recipe("qlora_small")
    with pytest.raises(InputError, match=r"ready recipes: qlora-small"):
        load_recipe("zzzzzz")
    # A file here of that name is meant rather than the ready one.
    Path("qlora-small").write_text(SMALL.replace("owner/model", "own/own"))
    assert load_recipe("qlora-small").model.name_or_path == "own/own"


# Overrides


def overridden(*overrides: str, text: str = SMALL) -> Recipe:
    return parse_recipe(text, overrides)


def test_an_override_reaches_any_field() -> None:
    recipe = overridden(
        "training.learning_rate=1e-3",
        "adapter.target_modules=[q_proj, v_proj]",
        "data.train.0.columns={prompt: question}",
        "data.train.1=more.jsonl",
        "data.train.1.limit=5",
        "data.eval=held.jsonl",
        "model.revision=v1.0",
        "training.max_steps=-1",
    )
    assert recipe.training.learning_rate == 1e-3
    assert recipe.adapter is not None
    assert recipe.adapter.target_modules == ["q_proj", "v_proj"]
    assert recipe.data.train[0].columns == {"prompt": "question"}
    assert Path(recipe.data.train[1].path).name == "more.jsonl"
    assert recipe.data.train[1].limit == 5
    assert [Path(source.path).name for source in recipe.data.eval] == ["held.jsonl"]
    assert recipe.model.revision == "v1.0"


def test_null_takes_a_section_or_a_value_away_and_a_key_below_brings_it_back() -> None:
    assert overridden("adapter=null", "model.quantization=none").adapter is None
    assert (
        overridden(
            "model.revision=null", text=SMALL.replace("model\n", "model\n  revision: v1\n")
        ).model.revision
        is None
    )
    full = SMALL + "adapter: null\n"
    assert overridden("adapter.r=4", text=full).adapter == AdapterSection(r=4)


def test_the_last_of_several_overrides_of_a_field_counts() -> None:
    assert overridden("training.seed=1", "training={seed: 2, max_steps: 9}", "training.seed=3").training == (
        TrainingSection(seed=3, max_steps=9)
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        (
            "training.learning_rate",
            "found 'training.learning_rate': expected key=value, e.g. training.learning_rate=1e-4",
        ),
        ("=3", "found '=3': expected key=value"),
        ("a..b=3", "found 'a..b=3': expected key=value"),
        (".=3", "expected key=value"),
        ("training.sead=3", "in training.sead=3: training.sead: unknown key; did you mean seed?"),
        ("trainig.seed=3", "in trainig.seed=3: trainig: unknown key; did you mean training?"),
        ("learning_rate=3", "in learning_rate=3: learning_rate: unknown key; expected one of model, "),
        ("training.seed=x", "in training.seed=x: training.seed: found 'x', expected a whole number"),
        ("training.seed=", "in training.seed=: training.seed: found None, expected a whole number"),
        ("training=3", "in training=3: training: found 3, expected a section with the keys per_device"),
        ("training={1: 2}", "in training={1: 2}: training.1: unknown key"),
        ("training.max_steps=0", "in training.max_steps=0: training.max_steps: found 0, expected -1"),
        ("training.seed=[1", "training.seed: the value '[1' is not YAML"),
        ("training.seed=" + "9" * 5000, "training.seed: the value '9999"),
        ("model.revision=2026-13-45", "model.revision: the value '2026-13-45' is not YAML"),
        (
            "model.name_or_path.x=3",
            "model.name_or_path.x: model.name_or_path is 'owner/model', not a section",
        ),
        ("model.0=3", "in model.0=3: model.0: unknown key"),
        ("data.train=[]", "in data.train=[]: data.train: found [], expected at least one item"),
        (
            "data.train.path=x",
            "data.train.path: found 'path' in a list of 1 item: expected its number, 0 to 1",
        ),
        ("data.train.5=x", "data.train.5: found 5 in a list of 1 item: expected its number, 0 to 1"),
        ("data.train.-1=x", "data.train.-1: found '-1' in a list of 1 item"),
        ("data.train.²=x", "data.train.²: found '²' in a list of 1 item"),
        ("data.train." + "9" * 5000 + "=x", "in a list of 1 item"),
        (
            "data.train.0.limit=0",
            "in data.train.0.limit=0: data.train.0.limit: found 0, "
            "expected a number greater than or equal to 1",
        ),
        ("output_dir=caf\udce9", "output_dir: the value 'caf\\udce9' is not YAML"),
    ],
)
def test_a_wrong_override_is_named_with_what_was_expected(override: str, message: str) -> None:
    assert message in refused(SMALL, override)


def test_a_mistake_of_the_file_is_not_blamed_on_an_override_beside_it() -> None:
    text = SMALL + "training:\n  seed: x\n"
    assert refused(text, "training.max_steps=5", "data.max_length=9").startswith("my.yaml:6: training.seed: ")


TEXTS = {"name_or_path", "revision"}


@given(recipes)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_field_can_be_overridden_on_the_command_line(recipe: Recipe) -> None:
    training = recipe.training.model_dump(mode="json")
    overrides = [f"training.{name}={json.dumps(value)}" for name, value in training.items()]
    assert parse_recipe(SMALL, overrides).training == recipe.training
    overrides = [f"model.{name}={json.dumps(value)}" for name, value in recipe.model if name not in TEXTS]
    assert parse_recipe(SMALL, [*overrides, "adapter.r=1"]).model.model_dump(exclude=TEXTS) == (
        recipe.model.model_dump(exclude=TEXTS)
    )


# The model


def test_an_assignment_is_checked_like_a_file() -> None:
    section = TrainingSection()
    for name, value in (
        ("seed", "x"),
        ("seed", True),
        ("learning_rate", -1),
        ("optim", "sgdd"),
        ("max_steps", 0),
    ):
        with pytest.raises(ValidationError):
            setattr(section, name, value)
    with pytest.raises(ValidationError):
        DataSection(train=["t"], eval=["e"], eval_fraction=0.1)
    section.seed = 3
    assert section.seed == 3


def leaves(model: type[BaseModel], key: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    """The dotted keys of all fields that hold a value."""
    found = []
    for name, field in model.model_fields.items():
        parts = [field.annotation, *get_args(field.annotation)]
        below = next((one for one in parts if isinstance(one, type) and issubclass(one, BaseModel)), None)
        found += leaves(below, (*key, name)) if below else [(*key, name)]
    return found


def field_of(key: tuple[str, ...]) -> Any:
    model: Any = Recipe
    for part in key[:-1]:
        parts = [model.model_fields[part].annotation, *get_args(model.model_fields[part].annotation)]
        model = next(one for one in parts if isinstance(one, type) and issubclass(one, BaseModel))
    return model.model_fields[key[-1]]


@pytest.mark.parametrize("key", leaves(Recipe), ids=".".join)
def test_every_field_says_what_it_is_for(key: tuple[str, ...]) -> None:
    assert field_of(key).description
    assert key[-1] in known_keys(key[:-1])


# Messages


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
