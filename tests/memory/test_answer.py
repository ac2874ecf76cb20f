from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sftui.errors import InputError
from sftui.memory import answer as module
from sftui.memory.answer import Answer, answer, answer_at_hand, known_shape, simulated_answer
from sftui.memory.band import LEAST_CONTEXT
from sftui.memory.closed_form import estimate
from sftui.memory.device import Device
from sftui.memory.estimate import Estimate
from sftui.memory.measured import Measured, keep, measured_on
from sftui.memory.shape import ModelShape
from sftui.memory.step import step_of
from sftui.recipe import Recipe
from sftui.recipe_file import parse_recipe
from tests.memory.test_measured import ONE

GIB = 2**30
LLAMA = {
    "model_type": "llama",
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128_256,
    "tie_word_embeddings": True,
}


@pytest.fixture(autouse=True)
def nothing_known() -> None:
    module.known_shape.cache_clear()
    module.config_digest.cache_clear()


@pytest.fixture
def recipe(tmp_path: Path) -> Recipe:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    return recipe_in(tmp_path)


def recipe_in(folder: Path) -> Recipe:
    return parse_recipe(
        f"model: {{name_or_path: {folder}}}\n"
        "data: {train: rows.jsonl, max_length: 1024}\n"
        "training: {per_device_train_batch_size: 2}\n"
    )


def shape_in(recipe: Recipe) -> ModelShape:
    found = known_shape(recipe.model.name_or_path)
    assert isinstance(found, ModelShape)
    return found


def measured_like(found: Answer) -> Measured:
    assert found.step is not None
    config = module.config_digest(found.recipe.model.name_or_path)
    # As it comes back from the file.
    return replace(ONE, config=config, step=json.loads(json.dumps(asdict(found.step))))


def test_the_closed_form_answers_with_band_and_verdict(recipe: Recipe) -> None:
    device = Device("NVIDIA A100", total_bytes=80 * GIB)
    found = answer(recipe, shape_in(recipe), device)
    assert found.source == "closed form"
    assert found.step == step_of(recipe, shape_in(recipe))
    assert found.estimate == estimate(shape_in(recipe), step_of(recipe, shape_in(recipe)))
    assert found.band.low == found.estimate.peak_bytes + LEAST_CONTEXT
    assert found.verdict == "fits"


def test_without_a_device_there_is_no_verdict(recipe: Recipe) -> None:
    found = answer(recipe, shape_in(recipe), None)
    assert (found.device, found.verdict, found.same) == (None, None, ())


def test_on_a_full_device_nothing_fits(recipe: Recipe) -> None:
    full = Device("NVIDIA A100", total_bytes=80 * GIB, used_bytes=80 * GIB)
    assert answer(recipe, shape_in(recipe), full).verdict == "no"


def test_the_longest_sequence_of_the_data_counts_where_it_is_shorter(recipe: Recipe) -> None:
    whole, short = (answer(recipe, shape_in(recipe), None, longest=size) for size in (None, 200))
    assert short.step is not None and short.step.length == 200
    assert short.estimate.peak_bytes < whole.estimate.peak_bytes


def test_a_run_of_the_same_step_is_shown_beside_as_it_comes_from_the_file(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTUI_STATE", str(tmp_path / "state"))
    shape = shape_in(recipe)
    like = measured_like(answer(recipe, shape, None))
    keep(like)
    keep(replace(like, config="of another model"))
    keep(replace(like, step={**like.step, "rows": 7}))
    found = answer(recipe, shape, None, history=measured_on(ONE.device))
    assert [one.step["rows"] for one in found.same] == [2]


def test_a_run_of_another_length_is_shown_after_those_of_this_one(recipe: Recipe) -> None:
    shape = shape_in(recipe)
    like = measured_like(answer(recipe, shape, None))
    shorter = replace(like, time=2.0, step={**like.step, "length": 700, "capability": [9, 0]})
    older = replace(like, time=0.5, step={name: like.step[name] for name in ("rows", "length", "loss")})
    found = answer(recipe, shape, None, history=(shorter, like, older))
    assert found.same == (like, older, shorter)
    assert answer(recipe, shape, None, longest=700, history=(shorter, like, older)).same[0] == shorter


def test_it_says_whether_the_data_is_known_or_rows_are_taken_to_be_of_max_length(recipe: Recipe) -> None:
    def of(one: Recipe, longest: int | None) -> tuple[int, str]:
        found = answer(one, shape_in(recipe), None, longest=longest)
        return found.length, found.length_from

    packed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"packing": "best_fit"})})
    assert of(recipe, None) == (1024, "max_length")
    assert of(recipe, 300) == (300, "data") and of(recipe, 5000) == (1024, "data")
    assert of(packed, 300) == (1024, "max_length")


def test_rows_that_are_held_out_are_as_long_as_they_are(recipe: Recipe) -> None:
    def evaluated(eval_: Any, **lengths: Any) -> int:
        tree = recipe.model_dump()
        tree["data"] |= eval_
        found = answer(Recipe.model_validate(tree), shape_in(recipe), None, **lengths)
        assert found.step is not None and found.step.evaluation is not None
        return found.step.evaluation.length

    files, part = {"eval": ["other.jsonl"]}, {"eval_fraction": 0.1}
    assert evaluated(files, longest=300) == 1024, "other files have rows of their own"
    assert evaluated(part, longest=300) == 300
    assert evaluated(files, longest=300, longest_held_out=200) == 200


def test_the_step_is_that_of_the_device(recipe: Recipe) -> None:
    found = answer(recipe, shape_in(recipe), Device("NVIDIA H100", 80 * GIB, capability=(9, 0)))
    assert found.step is not None and found.step.capability == (9, 0)


def test_an_answer_takes_milliseconds(recipe: Recipe) -> None:
    shape = shape_in(recipe)
    history = (measured_like(answer(recipe, shape, None)),) * 1000
    times = []
    for _ in range(5):
        began = time.perf_counter()
        answer(recipe, shape, None, history=history)
        times.append(time.perf_counter() - began)
    assert min(times) < 0.02


def test_a_model_that_the_closed_form_does_not_know_is_answered_by_an_earlier_simulation(
    recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = answer(recipe, shape_in(recipe), None).estimate
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text(json.dumps({**LLAMA, "model_type": "something_new"}))
    unknown = recipe_in(tmp_path / "other")
    asked: list[dict[str, Any]] = []

    def cached(recipe: Recipe, step: dict[str, int]) -> Estimate | None:
        asked.append(step)
        return found if step == {"length": 300} else None

    monkeypatch.setattr(module, "cached", cached)
    assert answer_at_hand(unknown, None) is None
    simulated = answer_at_hand(unknown, None, longest=300)
    assert simulated is not None
    assert (simulated.source, simulated.shape, simulated.step) == ("simulation", None, None)
    assert simulated.estimate == found
    assert asked == [{}, {"length": 300}]


def test_a_known_model_is_answered_without_asking_for_simulations(
    recipe: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(module, "cached")
    found = answer_at_hand(recipe, None, longest=300)
    assert found == answer(recipe, shape_in(recipe), None, longest=300)


def test_a_simulation_is_asked_for_the_same_step(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = answer(recipe, shape_in(recipe), None)
    asked: list[dict[str, Any]] = []

    def simulated(recipe: Recipe, step: dict[str, Any], *, cancelled: object) -> Estimate:
        asked.append(step)
        return ours.estimate

    monkeypatch.setattr(module, "simulated", simulated)
    found = simulated_answer(recipe, None, longest=5000)
    assert asked == [{"length": 1024}], "no row is longer than max_length"
    assert replace(found, source="closed form", known=ours.known) == ours
    packed = recipe.model_copy(update={"data": recipe.data.model_copy(update={"packing": "best_fit"})})
    simulated_answer(packed, None, longest=300)
    assert asked[1] == {}, "bins are as long as max_length"
    held = recipe.model_copy(update={"data": recipe.data.model_copy(update={"eval_fraction": 0.1})})
    hopper = Device("NVIDIA H200", 140 * 2**30, capability=(9, 0))
    simulated_answer(held, hopper, longest=300, longest_held_out=200)
    assert asked[2] == {"length": 300, "evaluation_length": 200, "capability": [9, 0]}


def test_without_a_model_there_is_an_error_in_words(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"config\.json|directory|model"):
        answer_at_hand(recipe_in(tmp_path / "nowhere"), None)


_VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.sampled_from([10**400, 2**62, 2**33, -1, 0, 1, 1e308, float("nan"), float("inf"), "none", ""]),
        st.integers(),
    ),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["torch", "driver", "loss", "length", "evaluation"]), inner)
    ),
    max_leaves=4,
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(change=st.dictionaries(st.sampled_from(sorted(asdict(ONE))), _VALUES, max_size=3))
def test_no_line_among_measured_runs_breaks_an_answer(
    change: dict[str, Any], recipe: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SFTUI_STATE", str(tmp_path))
    sizes = dict.fromkeys(("predicted_bytes", "allocated_bytes", "reserved_bytes"), 2**33)
    line = asdict(ONE) | {"step": asdict(answer(recipe, shape_in(recipe), None).step)} | sizes | change
    (tmp_path / "measured.jsonl").write_text(json.dumps(line) + "\n")
    found = answer(recipe, shape_in(recipe), None, history=measured_on(ONE.device))
    peak = found.estimate.peak_bytes
    assert peak < found.band.low <= found.band.typical <= found.band.high < 20 * peak + 2**36
