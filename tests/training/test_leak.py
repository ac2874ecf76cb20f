"""The leak test: it passes where sequences of a bin stay apart, and fails where they do not."""

from __future__ import annotations

import json
import subprocess
import sys
from array import array
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.runs.directory import create_run
from sftui.training import leak_test as leaks
from sftui.training import varlen
from sftui.training.attention import Attention, choose_attention
from sftui.training.bins import BinCollator
from sftui.training.leak_check import ROWS, few_rows
from sftui.training.leak_test import LeakTest, leak_test

from .conftest import MakeRecipe, events_of, train_here
from .test_attention import model_of, sequences, use

PACKED = ("data.packing=best_fit", "data.max_length=64", "training.max_steps=1")


def tried(make_recipe: MakeRecipe, model: Any, name: str, *overrides: str) -> LeakTest:
    flat = use(model, name)
    return leak_test(model, make_recipe(*PACKED, *overrides), Attention(name, "", flat), sequences(), 0)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("name", ["sdpa", "eager", "varlen"])
def test_it_passes_where_sequences_stay_apart(make_recipe: MakeRecipe, name: str, batch: int) -> None:
    model = model_of("Llama").train()
    state = torch.random.get_rng_state()
    found = tried(make_recipe, model, name, f"training.per_device_train_batch_size={batch}")
    assert found.passed and found.reason is None
    assert (found.attention, found.sequences, found.tokens) == (name, 4, 7 + 19 + 1 + 33)
    assert found.largest_difference is not None and found.tolerance is not None
    assert found.largest_difference < 1e-4 < found.tolerance
    assert model.training
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["sdpa", "auto"])
def test_rounding_and_quantisation_are_no_leaks(
    make_recipe: MakeRecipe, quantization: str, dtype: str, name: str
) -> None:
    run = train_here(
        make_recipe(
            *PACKED,
            f"model.quantization={quantization}",
            f"model.dtype={dtype}",
            f"model.attn_implementation={name}",
        )
    )
    event = events_of(run, "leak_test")[0]
    assert event["passed"] and "reason" not in event
    assert event["largest_difference"] <= event["tolerance"]


def collate_wrongly(monkeypatch: pytest.MonkeyPatch, change: Any) -> None:
    collate = BinCollator.__call__

    def wrong(self: BinCollator, bins: Any) -> dict[str, Any]:
        batch = collate(self, bins)
        change(batch)
        return batch

    monkeypatch.setattr(BinCollator, "__call__", wrong)


def let_positions_run_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(batch: dict[str, Any]) -> None:
        shape = batch["position_ids"].shape
        batch["position_ids"] = torch.arange(shape[1]).expand(shape)

    collate_wrongly(monkeypatch, change)


def pass_a_mask(monkeypatch: pytest.MonkeyPatch) -> None:
    collate_wrongly(
        monkeypatch, lambda batch: batch.update(attention_mask=torch.ones_like(batch["input_ids"]))
    )


def keep_a_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "logits_of", lambda model, inputs: model(**inputs, use_cache=True).logits)


def forget_the_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(batch: dict[str, Any]) -> None:
        ends = batch["cu_seq_lens_q"]
        batch["cu_seq_lens_q"] = batch["cu_seq_lens_k"] = ends[[0, -1]]
        batch["max_length_q"] = batch["max_length_k"] = int(ends[-1])

    collate_wrongly(monkeypatch, change)


@pytest.mark.parametrize(
    ("sabotage", "attention"),
    [
        (let_positions_run_on, "sdpa"),
        (let_positions_run_on, "eager"),
        (pass_a_mask, "sdpa"),
        (pass_a_mask, "eager"),
        (keep_a_cache, "sdpa"),
        (keep_a_cache, "eager"),
        (forget_the_ends, "varlen"),
    ],
)
def test_a_run_whose_sequences_are_not_kept_apart_ends_before_its_first_step(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, sabotage: Any, attention: str
) -> None:
    recipe = make_recipe(*PACKED, f"model.attn_implementation={attention}")
    run = create_run(Path(recipe.output_dir), recipe)
    sabotage(monkeypatch)
    with pytest.raises(InputError, match="sequences of a bin see each other") as error:
        train_here(recipe, run)
    assert error.value.key == "data.packing"
    assert error.value.hint is not None and "packing: none" in error.value.hint
    event = events_of(run, "leak_test")[0]
    assert not event["passed"] and event["attention"] == attention
    assert event["largest_difference"] > 10 * event["tolerance"]
    assert events_of(run, "step") == []


def test_positions_that_do_not_begin_anew_are_found_where_nothing_else_is_mixed_up(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    let_positions_run_on(monkeypatch)
    found = tried(make_recipe, model_of("GPT2", n_embd=32, n_layer=2, n_head=4), "varlen")
    assert not found.passed
    assert found.reason is not None and "not read as by itself" in found.reason


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("GptOss", {"num_local_experts": 2, "num_experts_per_tok": 1}),  # makes its masks without positions
        ("Lfm2", {"layer_types": ["conv", "full_attention"]}),
        ("Bloom", {"n_layer": 2, "n_head": 4}),
    ],
)
def test_a_model_that_mixes_sequences_up_is_found_without_being_known(
    make_recipe: MakeRecipe, kind: str, settings: dict[str, Any]
) -> None:
    found = tried(make_recipe, model_of(kind, **settings), "eager")
    assert not found.passed
    assert found.reason is not None and "see each other" in found.reason


def test_a_model_that_does_not_take_packed_input_is_told_from_one_that_leaks(
    make_recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise ValueError("expected one sequence a row")

    monkeypatch.setattr(varlen, "_one_by_one", refuse)
    found = tried(make_recipe, model_of("Llama"), "varlen")
    assert not found.passed and found.largest_difference is None
    assert found.reason is not None and "does not take sequences in bins" in found.reason
    assert "expected one sequence a row" in found.reason


def test_weights_that_are_not_finite_are_named_as_such(make_recipe: MakeRecipe) -> None:
    model = model_of("Llama")
    model.lm_head.weight.data.fill_(torch.nan)
    found = tried(make_recipe, model, "varlen")
    assert not found.passed and found.reason is not None and "not finite" in found.reason


def test_a_model_that_is_broken_by_itself_is_not_blamed_on_packing(
    make_recipe: MakeRecipe, nan_model: Path
) -> None:
    with pytest.raises(InputError) as error:
        train_here(make_recipe(*PACKED, f"model.name_or_path={nan_model}"))
    assert error.value.key == "model.name_or_path"
    assert "packing" not in str(error.value)


def test_data_of_a_single_sequence_can_be_tested(make_recipe: MakeRecipe) -> None:
    model = model_of("Llama")
    use(model, "varlen")
    recipe = make_recipe(*PACKED)
    assert leak_test(model, recipe, Attention("varlen", "", flat=True), sequences()[:1], 0).passed


def test_data_of_a_single_token_can_be_tested(make_recipe: MakeRecipe) -> None:
    model = model_of("Llama")
    use(model, "varlen")
    same = [replace(one, input_ids=array("i", [5] * len(one))) for one in sequences()]
    assert leak_test(model, make_recipe(*PACKED), Attention("varlen", "", flat=True), same, 0).passed


def test_the_result_comes_before_the_first_step(make_recipe: MakeRecipe) -> None:
    from sftui.runs.events import read_events

    run = train_here(make_recipe(*PACKED))
    kinds = [event["type"] for event in read_events(run.events_file) if event["type"] != "memory"]
    assert kinds[:3] == ["start", "leak_test", "step"]
    event = events_of(run, "leak_test")[0]
    assert event.keys() == {
        *("type", "time", "passed", "attention", "sequences", "tokens"),
        *("largest_difference", "tolerance", "seconds"),
    }


def test_a_model_with_recurrent_layers_is_refused_before_it_is_loaded(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "mamba"}))
    from sftui.training.model import load_model

    recipe = make_recipe(*PACKED, f"model.name_or_path={tmp_path}")
    with pytest.raises(InputError, match="recurrent layers") as error:
        load_model(recipe, torch.device("cpu"))
    assert error.value.key == "data.packing"


# The test by itself


def check(recipe: Recipe | str) -> tuple[dict[str, Any], int]:
    text = recipe if isinstance(recipe, str) else recipe.model_dump_json()
    done = subprocess.run(
        [sys.executable, "-m", "sftui.training.leak_check"],
        input=text,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert "Traceback" not in done.stderr
    return json.loads(done.stdout), done.returncode


@pytest.mark.slow
def test_the_check_by_itself_prints_the_event(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(*PACKED)
    found, code = check(recipe)
    expected = events_of(train_here(recipe), "leak_test")[0]
    assert code == 0
    assert {**found, "seconds": 0, "time": 0} == {**expected, "seconds": 0, "time": 0}


@pytest.mark.slow
def test_the_check_says_why_it_could_not_be_done(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    for recipe, said in (
        ("{}", "model"),
        (make_recipe(), "nothing is packed"),
        (make_recipe(*PACKED, f"data.train={tmp_path / 'none.jsonl'}"), "none.jsonl"),
        (make_recipe(*PACKED, f"model.name_or_path={tmp_path / 'none'}"), "none"),
    ):
        found, code = check(recipe)
        assert code == 2
        assert found["passed"] is None and said in found["error"]


def test_the_check_reads_a_few_rows_and_refuses_none(make_recipe: MakeRecipe) -> None:
    recipe = make_recipe(*PACKED, "data.eval_fraction=0.5", "data.overlength=error", "data.max_length=8")
    few = few_rows(recipe)
    assert [source.limit for source in few.data.train] == [ROWS]
    assert (few.data.eval_fraction, few.data.overlength, few.data.bad_rows) == (0, "truncate", "drop")
    assert few.model == recipe.model
    assert choose_attention(few, model_of("Llama"), torch.device("cpu")).name == "varlen"
