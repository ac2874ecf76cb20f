"""What is wrong with model and rows is told beside its field, though no row is tokenised yet."""

from __future__ import annotations

from pathlib import Path

from sftui.data.overview import Overview
from sftui.errors import InputError
from sftui.recipe import Recipe
from tests.test_forecast import of, recipe_of


def test_a_tokenizer_that_cannot_be_fetched_is_an_error_of_the_model_alone() -> None:
    error = InputError("cannot be fetched: ConnectError", key="model.name_or_path", hint="hf download")
    codes = {one.code: one for one in of(recipe_of()).findings}
    assert codes["model-not-here"].severity == "info"
    failed = of(recipe_of(), overview=Overview("train", "failed", problem=str(error)))
    codes = {one.code: one for one in failed.findings}
    found = codes["model-not-read"]
    assert (found.severity, found.key) == ("error", "model.name_or_path")
    assert found.message == error.problem
    assert found.hint is not None and found.hint.startswith("hf download; once that is mended, r on the Data")
    assert not codes.keys() & {"model-not-here", "data-not-read"}
    missing = of(
        recipe_of("model.name_or_path=/no/model"), overview=Overview("train", "failed", problem=str(error))
    )
    assert [one.code for one in missing.findings if one.key == "model.name_or_path"] == ["model-missing"]


def test_a_format_that_is_not_recognised_is_told_before_rows_are_tokenised(tmp_path: Path) -> None:
    rows = tmp_path / "math.jsonl"
    rows.write_text('{"frage": "1 + 1", "antwort": "2"}\n')

    def formats(recipe: Recipe, **known: object) -> list[tuple[str, str]]:
        found = of(recipe, **known).findings  # type: ignore[arg-type]
        return [(one.severity, one.key) for one in found if one.code == "format-not-recognised"]

    recipe = recipe_of(f"data.train={rows}")
    assert formats(recipe) == [("error", "data.train")]
    failed = Overview("train", "failed", problem="model.name_or_path: is not here")
    assert formats(recipe, overview=failed) == [("error", "data.train")]
    assert formats(recipe, overview=Overview("train", "analysing", rows=1, analysed=1)) == []
    assert formats(recipe_of(f"data.train={rows}", "data.bad_rows=drop")) == []
    rows.write_text('{"question": "1 + 1", "answer": "2, of course"}\n')
    assert formats(recipe) == [], "a file that has changed is read again"
