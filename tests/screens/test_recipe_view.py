"""What the Recipe screen says and offers: lines of the form, completions, recipes to open, words."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftui.checks.finding import found
from sftui.errors import InputError
from sftui.forecast import Forecast
from sftui.recipe_fields import FIELDS, field_at
from sftui.runs.directory import RunDirectory
from sftui.screens.open_recipe import OpenRecipe
from sftui.screens.recipe_choices import suggested
from sftui.screens.recipe_completion import completions
from sftui.screens.recipe_offers import Offer, offers, opened
from sftui.screens.recipe_rows import Row, place_of, row_line, rows_of, signs_of
from sftui.screens.recipe_search import found_keys
from sftui.screens.recipe_view import bounds, field_words, meaning, meaning_in_short, typing_words

from .conftest import Runs
from .memory_screen_fixtures import GPU, answer_to, model
from .recipe_screen_fixtures import text


@pytest.fixture
def made(tmp_path: Path) -> OpenRecipe:
    file = tmp_path / "my.yaml"
    file.write_text(text(model(tmp_path)))
    return OpenRecipe.of_file(str(file))


def forecast(made: OpenRecipe, **values: object) -> Forecast:
    known = {
        "steps": 742,
        "sequences": 5936,
        "tokens": 1_490_000,
        "trained_tokens": 760_000,
        "trained_share": 0.51,
        "exact": True,
        "seconds": (2280.0, 2760.0),
        "basis": "measured on this device",
        "no_time": None,
        "memory": answer_to(made.recipe, GPU),
        "disk": None,
        "findings": (),
        "looking": None,
    }
    return Forecast(**{**known, **values})  # type: ignore[arg-type]


# -- what it means


def test_the_meaning_has_memory_steps_tokens_time_and_findings(made: OpenRecipe) -> None:
    said = str(meaning(forecast(made), "", 56, old=False))
    for expected in (
        "GiB",
        "✓ fits",
        "RTX 4090",
        "742",
        "1.49 M",
        "51.0% trained",
        "38 to 46 min",
        "nothing",
    ):
        assert expected in said
    assert "about 1.49 M" in str(meaning(forecast(made, exact=False), "", 56, old=False))


def test_in_two_lines_what_matters_least_gives_way_whole(made: OpenRecipe) -> None:
    wide, narrow = (
        str(meaning_in_short(forecast(made), "", width, old=False)).split("\n")[0] for width in (100, 58)
    )
    assert "38 to 46 min" in wide and "51.0% trained" in wide and "1.49 M tokens" in wide
    assert len(narrow) <= 58 and "742 steps" in narrow and "✓ fits" in narrow and "trained" not in narrow


def test_times_of_several_units_are_said_in_full(made: OpenRecipe) -> None:
    said = str(meaning(forecast(made, seconds=(34.0, 100.0)), "", 56, old=False))
    assert "34 s to 1 min 40 s" in said


def test_what_is_not_known_says_why(made: OpenRecipe) -> None:
    why = "no run of this model and method with 2 steps or more has ended on this CPU"
    said = meaning(
        forecast(made, steps=None, tokens=None, seconds=None, basis=None, no_time=why, memory=None),
        "config.json is not here",
        56,
        old=False,
    )
    lines = str(said).split("\n")
    assert "config.json is not here" in lines[0] and " ".join(str(said).split()).count(why) == 1
    assert all(len(line) <= 56 for line in lines)
    assert "reading" in str(meaning(None, "reading config.json…", 56, old=False))


def test_a_time_that_is_not_known_is_said_to_be_so_in_short_too(made: OpenRecipe) -> None:
    unknown = forecast(made, seconds=None, basis=None, no_time="nobody knows")
    assert "time ?" in str(meaning_in_short(unknown, "", 78, old=False)).split("\n")[0]


def test_nothing_is_said_to_be_fine_of_a_text_with_a_mistake(made: OpenRecipe) -> None:
    for words in (meaning, meaning_in_short):
        said = words(forecast(made), "", 78, old=True)
        assert "✗ the text has a mistake" in str(said) and "nothing found" not in str(said)


def test_default_and_bounds_stand_before_what_is_cut_first(made: OpenRecipe) -> None:
    row = next(row for row in rows_of(made) if row.key == "training.learning_rate")
    lines = str(field_words(row, (), (), default="2.0e-4")).split("\n")
    assert lines[1].startswith("default  2.0e-4   ") and lines[2].startswith("usual")


def test_findings_are_counted_and_the_gravest_is_named(made: OpenRecipe) -> None:
    findings = (
        found("data-missing", "data.train.0.path", "there is no such file"),
        found("learning-rate-high", "training.learning_rate", "is high"),
    )
    said = str(meaning(forecast(made, findings=findings), "", 80, old=False))
    assert "✗ 1  ~ 1  path: there is no such file" in said


def test_nothing_is_said_to_be_found_before_all_rows_are_looked_at(made: OpenRecipe) -> None:
    said = str(meaning(forecast(made, looking=(1000, 25_000)), "", 80, old=False))
    assert "1,000 of 25,000 rows looked at" in said and "nothing found" not in said
    assert "no row looked at yet" in str(meaning(forecast(made, looking=(0, 0)), "", 80, old=False))
    one = (found("learning-rate-high", "training.learning_rate", "is high"),)
    short = str(meaning(forecast(made, looking=(5, 9), findings=one), "", 80, old=False, named=False))
    assert "~ 1  5 of 9 rows looked at" in short


# -- the form


def test_a_line_shows_the_end_of_a_path_and_the_beginning_of_a_list(made: OpenRecipe) -> None:
    path = Row("field", "model.name_or_path", "name_or_path", field=field_at("model.name_or_path"))
    line = "".join(part for part, _ in row_line(path, "/a/long/way/to/the/model", 50, here=False, sign=None))
    assert line.rstrip().endswith("he/model") and "…" in line and len(line.rstrip()) <= 50
    items = Row(
        "field", "adapter.modules_to_save", "modules_to_save", field=field_at("adapter.modules_to_save")
    )
    line = "".join(part for part, _ in row_line(items, "embed_tokens, lm_head", 50, here=True, sign="error"))
    assert line.startswith("✗") and "embed_" in line and "…" in line


def test_what_is_said_of_a_hidden_field_stands_at_the_nearest_line_above(made: OpenRecipe) -> None:
    rows = rows_of(made)
    hidden = place_of("data.train.0.limit", rows)
    assert hidden is not None and rows[hidden].key == "data.train.0.path"
    unknown = place_of("training.no_such_field", rows)
    assert unknown is not None and rows[unknown].key == "training"
    signs = signs_of({"data.train": "warning", "data.train.0.limit": "error"}, rows)
    assert signs == {hidden: "error"}
    assert place_of("adapter.r", ()) is None


def test_a_wrong_value_is_shown_as_it_is_written(made: OpenRecipe) -> None:
    for key, value in (
        ("adapter.r", "many"),
        ("data.train", 5),
        ("data.eval", {"path": 1}),
        ("model.dtype", [1]),
        ("training.seed", None),
        ("adapter.modules_to_save", "one"),
        ("data.train.0.columns", [1]),
    ):
        made.edit(key, value)
        made.settle()
        rows = rows_of(made, unfolded={"data.train.0"})
        for row in rows:
            row_line(row, "", 60, here=True, sign=None)
        assert made.problems
        made.undo()
    assert not made.problems


def test_help_has_what_when_usual_default_and_bounds() -> None:
    for field in FIELDS:
        row = Row("field", field.key, field.name, field=field)
        said = str(field_words(row, (), (), default="the default"))
        assert field.what in said and field.usual in said
        assert ("it is required" if field.required else "the default") in said
        assert bounds(field) in said
    assert bounds(field_at("adapter.r")) == "1 to 4096"
    assert bounds(field_at("training.seed")).endswith("below 4294967296")
    assert bounds(field_at("training.learning_rate")) == "above 0"
    assert bounds(field_at("data.train.0.limit")) == "at least 1 or null"


def test_while_a_value_is_typed_its_fault_comes_first() -> None:
    field = field_at("model.dtype")
    offered = ["float16", "float32"]
    said = str(typing_words(field, "found 'x', expected one of", offered, "float16", before="bfloat16"))
    assert said.startswith("✗ found 'x'") and "Tab  float32" in said
    assert said.splitlines()[0].endswith("; dtype stays bfloat16")


# -- completion


def test_paths_are_completed_with_data_first_and_hidden_files_left_out(tmp_path: Path) -> None:
    for name in ("a.txt", "rows.jsonl", ".hidden", "readme"):
        (tmp_path / name).touch()
    (tmp_path / "runs").mkdir()
    field = field_at("data.train.0.path")
    assert completions(field, "r", tmp_path) == ["rows.jsonl", "runs/", "readme"]
    assert ".hidden" not in completions(field, "", tmp_path)
    assert completions(field, ".h", tmp_path) == [".hidden"]
    assert completions(field, f"{tmp_path}/ro", Path("/")) == [f"{tmp_path}/rows.jsonl"]
    assert completions(field, "none/", tmp_path) == completions(field, "\0/", tmp_path) == []


def test_models_are_completed_from_the_hub_cache_and_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("models--Qwen--Qwen3-4B", "models--HuggingFaceTB--SmolLM2-135M", "datasets--a--b"):
        (tmp_path / "hub" / name / "snapshots" / "1a2b").mkdir(parents=True)
    (tmp_path / "hub" / "models--Qwen--Qwen3-8B" / "refs").mkdir(parents=True)  # its download failed
    (tmp_path / "here" / "qmodel").mkdir(parents=True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    field = field_at("model.name_or_path")
    assert completions(field, "q", tmp_path / "here") == ["Qwen/Qwen3-4B", "./qmodel/"]
    assert completions(field, "./q", tmp_path / "here") == ["./qmodel/"]
    assert completions(field_at("model.dtype"), "float", tmp_path) == ["float32", "float16"]


# -- recipes to open


def test_recipes_here_ready_ones_and_those_of_runs_are_offered(tmp_path: Path, runs: Runs) -> None:
    runs.make("one", "finished")
    (tmp_path / "mine.yaml").write_text(text(model(tmp_path)))
    (tmp_path / "other.yaml").write_text("services: {}\n")
    listed = offers(tmp_path, runs.folder)
    values = {(offer.kind, offer.label) for offer in listed}
    assert {("file", "mine.yaml"), ("ready", "qlora-8gb"), ("run", "one"), ("demo", "demo")} <= values
    assert ("file", "other.yaml") not in values and listed[1].kind == "new"


def test_a_runs_recipe_is_opened_in_no_file_so_that_it_stays_as_it_was(runs: Runs) -> None:
    run = runs.make("one", "finished")
    before = run.recipe_file.read_text()
    made = opened(Offer("run", "one", "", str(run.path)))
    made.change({"training.seed": 7})
    with pytest.raises(InputError, match="no file yet"):
        made.save()
    assert run.recipe_file.read_text() == before and made.is_lost_on_leaving
    with pytest.raises(InputError, match="cannot be read"):
        opened(Offer("run", "gone", "", str(RunDirectory(runs.folder / "gone").path)))


def test_the_demos_runs_are_not_made_where_sftui_is_installed(tmp_path: Path) -> None:
    made = opened(Offer("demo", "demo", "", str(tmp_path / "runs")))
    assert made.recipe.output_dir == str(tmp_path / "runs")
    assert Path(made.recipe.model.name_or_path).is_dir() and not made.is_lost_on_leaving


def test_a_free_name_is_suggested_for_what_has_no_file_of_its_own(tmp_path: Path, made: OpenRecipe) -> None:
    ready = OpenRecipe.of_file("cpu-smoke")
    assert suggested(ready, tmp_path) == "cpu-smoke.yaml"
    (tmp_path / "cpu-smoke.yaml").touch()
    assert suggested(ready, tmp_path) == "cpu-smoke-2.yaml"
    assert suggested(made, tmp_path) == made.name


def test_a_search_finds_names_first_and_then_words_of_the_help(tmp_path: Path) -> None:
    made = OpenRecipe.of_text("my.yaml", text(model(tmp_path)), tmp_path)
    assert found_keys(made, "train_on").named == ("data.train_on",)
    named, helped = found_keys(made, "learning rate")
    assert named == ("training.learning_rate",) and "training.optim" in helped
    assert "training.learning_rate" in found_keys(made, "lr").named
    assert "adapter.r" in found_keys(made, "rank").helped
    assert found_keys(made, "xyzzy") == ((), ())
