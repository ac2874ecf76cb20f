"""Files of recipes: their paths, and those that cannot be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sftui import recipe_file
from sftui.errors import InputError
from sftui.recipe_file import load_recipe, parse_recipe
from tests.recipe_texts import SMALL


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
