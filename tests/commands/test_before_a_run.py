"""What is refused before a run is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sftui import preflight
from sftui.errors import InputError
from sftui.recipe_file import load_recipe, parse_recipe


def model(folder: Path, *files: str) -> str:
    folder.mkdir()
    for name in files:
        (folder / name).write_text("{}")
    return f"model: {{name_or_path: {folder}}}\ndata: {{train: train.jsonl}}\n"


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "model: model.name_or_path: has no config.json: expected a model in Hugging Face layout"),
        (["config.json"], "model: model.name_or_path: has no weights (*.safetensors or *.bin)"),
        (["config.json", "model.safetensors"], "tokenizer.json"),
    ],
)
def test_a_folder_that_is_no_model_is_refused_before_a_run_is_made(files: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        preflight.check(parse_recipe(model(Path("model").absolute(), *files), base=Path.cwd()))
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("modle", "there is no such directory\n  did you mean model?"),
        (
            "/nowhere/at/all",
            "there is no such directory\n  expected a model directory or a Hub id (owner/name)",
        ),
        ("x" * 300, "there is no such directory"),
    ],
)
def test_a_model_folder_that_is_not_there_is_refused_with_the_nearest(path: str, said: str) -> None:
    text = model(Path("model").absolute()).replace("/model}", f"/{path}}}")
    with pytest.raises(InputError) as caught:
        preflight.check(parse_recipe(text, base=Path.cwd()))
    assert said in str(caught.value)


def test_a_model_on_the_hub_is_not_asked_for_before_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked(*_: Any) -> None:
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr(preflight, "load_tokenizer", asked)
    preflight.check(load_recipe("my.yaml"))
    with pytest.raises(InputError, match="no such file"):
        preflight.check(load_recipe("my.yaml", ["data.eval=held.jsonl"]))
