"""What the ready recipes say of themselves is what the estimator says."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sftui.cli import main
from sftui.devices import Machine
from sftui.known_models import MODELS, known_model
from sftui.packing_support import refusal
from sftui.recipe import Recipe
from sftui.recipe_checks import check
from sftui.recipe_file import load_recipe, ready_recipes
from sftui.recipes_text import WIDTH, list_ready
from tests.recipe_headers import answer_of, gpu_of, memory_of, minutes_of

READY = {one.name: one for one in list_ready()}
ON_GPU = [name for name, one in READY.items() if gpu_of(one) is not None]

# Values that a reader must see although they are the defaults.
MUST_SEE = {
    "model.quantization",
    "adapter.r",
    "adapter.lora_alpha",
    "data.max_length",
    "data.train_on",
    "training.per_device_train_batch_size",
    "training.gradient_accumulation_steps",
    "training.num_train_epochs",
    "training.learning_rate",
}


def recipe_of(name: str) -> Recipe:
    return load_recipe(ready_recipes() / f"{name}.yaml")


def test_there_is_a_recipe_for_each_size_of_gpu_method_and_task() -> None:
    assert {f"qlora-{gb}gb" for gb in (8, 16, 24, 48, 80)} <= READY.keys()
    assert {"completion-only", "tool-calling", "reasoning", "long-context", "cpu-smoke"} <= READY.keys()
    assert {one.method for one in READY.values()} == {"full", "LoRA", "QLoRA"}
    owners = {one.model.partition("/")[0] for one in READY.values()}
    assert {"Qwen", "meta-llama", "google", "mistralai", "HuggingFaceTB"} <= owners


@pytest.mark.parametrize("name", READY)
def test_a_ready_recipe_says_what_for_where_how_long_and_how(name: str) -> None:
    one = READY[name]
    assert one.title and one.what_for and one.time
    assert one.command == f"sftui train {name} data.train=my.jsonl"
    words = next(iter(one.command.split("&&"))).split()
    assert load_recipe(words[2], words[3:]).data.train[0].path == str(Path.cwd() / "my.jsonl")


@pytest.mark.parametrize("name", ON_GPU)
def test_a_ready_recipe_fits_the_gpu_that_it_names_band_and_all(name: str) -> None:
    found = answer_of(READY[name])
    assert found.verdict == "fits"
    written = re.search(r"\((\d+) GB\)", READY[name].gpu)
    assert written is not None and found.device is not None
    assert round(found.device.total_bytes / 2**30) == pytest.approx(int(written[1]), rel=0.07)


@pytest.mark.parametrize("name", READY)
def test_the_memory_in_a_ready_recipe_is_the_estimators(name: str) -> None:
    assert READY[name].memory == memory_of(READY[name]), "python -m tests.recipe_headers writes it anew"


@pytest.mark.parametrize("name", ON_GPU)
def test_the_time_in_a_ready_recipe_follows_from_the_gpus_speed(name: str) -> None:
    one = READY[name]
    fast, slow = minutes_of(one)
    written = re.fullmatch(r"(\d+) to (\d+) minutes a million tokens", one.time)
    assert written is not None, one.time
    assert int(written[1]) == pytest.approx(fast, abs=1, rel=0.1)
    assert int(written[2]) == pytest.approx(slow, abs=1, rel=0.1)


@pytest.mark.parametrize("name", READY)
def test_a_ready_recipe_repeats_no_default_but_what_a_reader_must_see(name: str) -> None:
    recipe = recipe_of(name)
    tree = recipe.model_dump(exclude_unset=True)
    for section, values in tree.items():
        if not isinstance(values, dict):
            continue
        defaults = type(getattr(recipe, section)).model_fields
        for field, value in values.items():
            key = f"{section}.{field}"
            assert key in MUST_SEE or value != defaults[field].get_default(), f"{key} repeats its default"


@pytest.mark.parametrize("name", READY)
def test_a_ready_recipe_asks_nothing_of_its_model_that_the_model_cannot_do(name: str) -> None:
    recipe = recipe_of(name)
    model = known_model(recipe.model.name_or_path)
    assert model is not None
    assert recipe.data.max_length <= model.config["max_position_embeddings"]
    if recipe.data.packing != "none":
        assert refusal(model.config) is None
    says = "gated" in READY[name].what_for
    assert says == model.gated, "a model that needs a licence says so"


@pytest.mark.parametrize("name", READY)
def test_on_its_gpu_nothing_is_wrong_with_a_ready_recipe_but_that_its_data_is_not_here(
    name: str, tmp_path: Path
) -> None:
    found = answer_of(READY[name])
    devices = () if found.device is None else (replace(found.device, uuid="GPU-1", index=0),)
    machine = Machine(devices, ((),) * len(devices), None, 0, 2**40, tmp_path, 2**40, tmp_path, 2**42)
    recipe = recipe_of(name)
    recipe.output_dir = str(tmp_path)
    said = {one.code for one in check(recipe, machine, answer=found, steps=100) if one.severity != "info"}
    # Whether a package is installed is of this machine, not of the recipe.
    assert said - {"bitsandbytes-missing"} == {"data-missing"}


def test_known_models_are_sorted_by_size_and_have_the_parameters_of_their_names() -> None:
    from sftui.proposal.models import named_model, parameters

    sizes = [parameters(named_model(model.name)) for model in MODELS]
    assert sizes == sorted(sizes)
    for model, found in zip(MODELS, sizes, strict=True):
        named = re.search(r"-(\d+(?:\.\d+)?)([BMm])\b", model.name, re.IGNORECASE)
        assert named is not None
        expected = float(named[1]) * (1e9 if named[2] in "Bb" else 1e6)
        # Llama 3.2 counts generously: 1.24 and 3.2 billion are called 1B and 3B.
        assert found == pytest.approx(expected, rel=0.25)


# The commands


def test_recipes_lists_all_within_80_columns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= WIDTH
    for one in READY.values():
        (line,) = [line for line in lines if line.split()[:1] == [one.name]]
        assert one.method in line and one.memory.partition(",")[0] in line


def test_sizes_are_listed_by_their_number(capsys: pytest.CaptureFixture[str]) -> None:
    names = [one.name for one in list_ready() if re.fullmatch(r"qlora-\d+gb", one.name)]
    assert names == [f"qlora-{gb}gb" for gb in (8, 16, 24, 48, 80)]


def test_recipes_json_has_what_the_list_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--json"]) == 0
    listed: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == list(READY)
    assert all(Path(one["path"]).is_file() for one in listed)


def test_recipes_show_without_a_name_lists_the_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "show"]) == 2
    said = capsys.readouterr().err
    assert all(f" {one.name}" in said for one in list_ready()) and "sftui recipes show NAME" in said


def test_recipes_show_prints_the_file_itself(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "show", "qlora-24gb"]) == 0
    assert capsys.readouterr().out == (ready_recipes() / "qlora-24gb.yaml").read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["show", "qlora-24"], "qlora-24gb"),
        (["show", "smollm2"], "qlora-smollm2"),
        (["show", "zzz"], "sftui recipes"),
        (["show"], "show NAME"),
        (["shw", "qlora-24gb"], "show NAME"),
        (["show", "qlora-24gb", "--json"], "YAML"),
    ],
)
def test_what_cannot_be_shown_is_one_message_and_exit_code_2(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipes", *words]) == 2
    out, err = capsys.readouterr()
    assert out == "" and told in err and "Traceback" not in err
