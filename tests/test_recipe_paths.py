"""Which texts of a recipe are paths beside it, and which are names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sftui.data.sources import open_rows
from sftui.errors import InputError
from sftui.recipe import DataSection
from sftui.recipe_file import load_recipe, parse_recipe


def data(base: Path, **fields: Any) -> DataSection:
    lines = "".join(f"  {key}: {value!r}\n" for key, value in fields.items())
    return parse_recipe("model: {name_or_path: m/m}\ndata:\n" + lines, base=base).data


@pytest.mark.parametrize(
    "path",
    [
        "train.jsonl",
        "data/train.parquet",
        "owner/train.csv.gz",
        "data/*.jsonl",
        "data/**",
        "./owner",
        "../owner/name",
        "a/b/c",
        "notes.txt",
        "folder/",
    ],
)
def test_what_can_only_be_a_path_is_relative_to_the_recipe(tmp_path: Path, path: str) -> None:
    (source,) = data(tmp_path, train=[path]).train
    assert source.path == str(tmp_path / path)


def test_what_begins_with_a_folder_that_is_there_is_a_path_in_it(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.jsonl").write_text('{"text": "t"}')
    for path in ("src/name", "src/a.jsnl"):
        (source,) = data(tmp_path, train=[path]).train
        assert source.path == str(tmp_path / path)
        with pytest.raises(InputError, match="no such file"):
            open_rows(source)
    with pytest.raises(InputError, match=r"did you mean '.*/src/a\.jsonl'"):
        open_rows(source)
    assert data(tmp_path, train=["source/name", "src"]).train[0].path == "source/name"


@pytest.mark.parametrize("name", ["openai/gsm8k", "gsm8k", "teknium/OpenHermes-2.5"])
def test_a_name_of_the_hub_stays_unless_it_is_there(tmp_path: Path, name: str) -> None:
    section = data(tmp_path, train=[{"path": name, "name": "main"}], eval=[name])
    assert [source.path for source in (*section.train, *section.eval)] == [name, name]
    (tmp_path / name).mkdir(parents=True)
    assert data(tmp_path, train=[name]).train[0].path == str(tmp_path / name)


def test_a_link_that_leads_nowhere_is_still_a_path(tmp_path: Path) -> None:
    (tmp_path / "here").symlink_to(tmp_path / "gone")
    assert data(tmp_path, train=["here"]).train[0].path == str(tmp_path / "here")


@pytest.mark.parametrize("value", ["own.jinja", "templates/own.jinja", "templates/own", "./own.txt"])
def test_a_template_file_is_relative_to_the_recipe(tmp_path: Path, value: str) -> None:
    assert data(tmp_path, train=["a.jsonl"], chat_template=value).chat_template == str(tmp_path / value)


@pytest.mark.parametrize("value", ["chatml", "tool_use", None])
def test_a_named_template_stays(tmp_path: Path, value: str | None) -> None:
    text = "null" if value is None else value
    recipe = parse_recipe(
        f"model: {{name_or_path: m/m}}\ndata: {{train: [a.jsonl], chat_template: {text}}}\n", base=tmp_path
    )
    assert recipe.data.chat_template == value


def test_absolute_paths_and_home_stay_what_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    section = data(tmp_path, train=["/abs/name", "~/name"], chat_template="~/own.jinja")
    assert [source.path for source in section.train] == ["/abs/name", "/home/me/name"]
    assert section.chat_template == "/home/me/own.jinja"


def test_an_override_is_relative_to_the_current_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    recipe = tmp_path / "there" / "r.yaml"
    recipe.write_text("model: {name_or_path: m/m}\ndata: {train: [a.jsonl]}\n")
    monkeypatch.chdir(tmp_path)
    loaded = load_recipe(
        recipe, ["data.chat_template=own.jinja", "data.eval=[openai/gsm8k]", "data.train.0.path=b/*.csv"]
    )
    assert loaded.data.chat_template == str(tmp_path / "own.jinja")
    assert loaded.data.eval[0].path == "openai/gsm8k"
    assert loaded.data.train[0].path == str(tmp_path / "b/*.csv")
