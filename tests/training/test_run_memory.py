"""What a run says of its memory before it begins, and keeps of it when it ends."""

from __future__ import annotations

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import torch

from sftui.memory.answer import answer_at_hand
from sftui.memory.device import Device
from sftui.memory.measured import measured_file, measured_on
from sftui.recipe import Recipe
from sftui.runs.directory import RunDirectory, create_run
from sftui.training import run_memory
from sftui.training.callback import StepCallback
from sftui.training.failure import NonFiniteError, ShortOfMemoryError, explain
from sftui.training.outlook import outlook
from sftui.training.run_memory import RunMemory
from tests.memory.recipe_fixtures import LLAMA_8B
from tests.training.conftest import MakeRecipe, events_of, train_here
from tests.training.counted_meter import CountedMeter, count_runs

CPU, GPU = torch.device("cpu"), torch.device("cuda", 0)
CARD = Device("NVIDIA RTX 4090", total_bytes=24 * 2**30, used_bytes=2**30, uuid="GPU-1")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SFTUI_STATE", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def meter(state: Path, monkeypatch: pytest.MonkeyPatch) -> CountedMeter:
    """Runs are measured as on a GPU."""
    monkeypatch.setattr(run_memory, "device_before", lambda recipe: CARD)
    monkeypatch.setattr(run_memory, "context_bytes", lambda where, before: 400 * 2**20)
    from sftui.training import session

    monkeypatch.setattr(session, "device_before", lambda recipe: CARD)
    return count_runs(monkeypatch)


def test_what_a_run_took_is_kept_and_found_beside_the_next_prediction(
    make_recipe: MakeRecipe, meter: CountedMeter
) -> None:
    recipe = make_recipe()
    with meter:
        run = train_here(recipe)
    (kept,) = measured_on(CARD.name)
    assert kept.run == run.id
    peaks = [event["peak_bytes"] for event in events_of(run, "step_memory")]
    assert kept.allocated_bytes == max(peaks) == kept.reserved_bytes
    predicted = events_of(run, "start")[0]["memory"]["predicted"]
    assert kept.predicted_bytes == predicted["peak_bytes"]
    assert kept.context_bytes == 400 * 2**20
    assert kept.versions["torch"] and set(kept.versions) >= {"transformers", "peft", "bitsandbytes", "driver"}
    longest = events_of(run, "trial")[0]["length"]
    found = answer_at_hand(recipe, CARD, longest=longest, history=measured_on(CARD.name))
    assert found is not None
    assert found.same == (kept,)
    assert found.band.context == 400 * 2**20


def test_telemetry_has_the_highest_of_the_run(make_recipe: MakeRecipe, meter: CountedMeter) -> None:
    recipe = make_recipe()
    seen: list[dict[str, int]] = []
    end = StepCallback.on_step_end

    def on_step_end(self: StepCallback, *arguments: Any, **options: Any) -> None:
        end(self, *arguments, **options)
        assert self.journal is not None
        seen.append(self.journal.device_memory())

    with meter, pytest.MonkeyPatch.context() as patch:
        patch.setattr(StepCallback, "on_step_end", on_step_end)
        run = train_here(recipe)
    peaks = [event["peak_bytes"] for event in events_of(run, "step_memory")]
    assert seen[-1]["peak_bytes"] >= max(peaks)
    assert seen[-1]["allocated_bytes"] < max(peaks)
    assert [each["peak_bytes"] for each in seen] == sorted(each["peak_bytes"] for each in seen)


def test_a_home_that_cannot_be_written_is_no_failure(
    make_recipe: MakeRecipe, meter: CountedMeter, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state.write_text("a file")
    with meter, caplog.at_level(logging.WARNING, "sftui"):
        run = train_here(make_recipe("training.max_steps=1"))
    assert events_of(run, "end")[0]["state"] == "finished"
    assert "what this run took is not kept" in caplog.text


def fail_at(step: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs fail after the backward pass of this step."""
    original = StepCallback.on_pre_optimizer_step

    def failing(self: StepCallback, args: Any, state: Any, *rest: Any, **options: Any) -> None:
        if state.global_step + 1 == step:
            raise error
        original(self, args, state, *rest, **options)

    monkeypatch.setattr(StepCallback, "on_pre_optimizer_step", failing)


def test_a_run_that_failed_is_kept_if_it_had_steps_and_memory_enough(
    make_recipe: MakeRecipe, meter: CountedMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    for step, error, kept in (
        (1, NonFiniteError("loss", float("nan"), 1, []), 0),
        (3, torch.OutOfMemoryError("CUDA out of memory."), 0),
        (3, NonFiniteError("loss", float("nan"), 3, []), 1),
    ):
        with monkeypatch.context() as patch, meter:
            fail_at(step, error, patch)
            with pytest.raises((NonFiniteError, ShortOfMemoryError)):
                train_here(make_recipe())
        assert len(measured_on(CARD.name)) == kept


def test_on_the_cpu_nothing_is_kept(make_recipe: MakeRecipe, state: Path) -> None:
    train_here(make_recipe("training.max_steps=1"))
    assert not measured_file().exists()


def memory_of(recipe: Recipe, where: torch.device, device: Device | None, tmp_path: Path) -> RunMemory:
    run: RunDirectory = create_run(tmp_path / "runs", recipe)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run_memory, "meter_for", lambda where: None)
        return RunMemory(run, recipe, None, where, device, 4096)


def short_of_memory(memory: RunMemory) -> ShortOfMemoryError:
    with pytest.raises(ShortOfMemoryError) as caught, memory.followed():
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
    return caught.value


@pytest.fixture
def large(make_recipe: MakeRecipe, tmp_path: Path) -> Recipe:
    """QLoRA of a model of 8 billion parameters, of which only config.json is there."""
    (tmp_path / "large").mkdir()
    (tmp_path / "large" / "config.json").write_text(json.dumps(LLAMA_8B))
    return make_recipe(
        f"model.name_or_path={tmp_path / 'large'}", "model.quantization=nf4", "model.dtype=bfloat16",
        "data.max_length=2048", "data.packing=best_fit", "training.gradient_checkpointing=true",
        "training.loss=stock", "training.per_device_train_batch_size=4",
    )  # fmt: skip


def test_out_of_memory_names_moment_component_and_remedies(large: Recipe, tmp_path: Path) -> None:
    memory = memory_of(large, GPU, CARD, tmp_path)
    memory.moments._now = "loss"
    failure = explain(short_of_memory(memory), large, "at step 3")
    assert failure.kind == "memory" and not failure.resumable
    assert re.fullmatch(
        r"out of memory at the loss \(step 3\): "
        r"logits take \d+\.\d GiB and weights \d\.\d GiB of \d\d\.\d GiB",
        failure.cause,
    )
    assert re.fullmatch(
        r"start anew with training\.loss=chunked \(-\d+\.\d GiB\), "
        r"or training\.per_device_train_batch_size=2 training\.gradient_accumulation_steps=4 \(-\d\.\d GiB\)",
        failure.advice,
    )


def test_remedies_are_those_of_the_moment_that_ran_out(large: Recipe) -> None:
    found = outlook(large, CARD, None)
    assert found is not None
    assert found.remedies(["loss"])[0].startswith("training.loss=chunked")
    update = found.remedies(["optimizer_step"])
    assert update[0].startswith("training.optim=") and not any("loss" in one for one in update)
    assert found.remedies(["load"]) == ["a smaller model", "a GPU with more memory"]
    plain = large.model_copy(update={"model": large.model.model_copy(update={"quantization": "none"})})
    loading = outlook(plain, CARD, None)
    assert loading is not None
    assert re.fullmatch(r"model\.quantization=nf4 \(-9\.\d GiB\)|.*nf4.*", loading.remedies(["load"])[0])
    whole = outlook(plain.model_copy(update={"adapter": None}), CARD, None)
    assert whole is not None
    assert whole.remedies(["load"])[0].startswith("an adapter and model.quantization=nf4 (-9.")


def test_of_one_setting_one_value_is_named(large: Recipe) -> None:
    slow = large.training.model_copy(update={"gradient_checkpointing": False, "loss": "chunked"})
    found = outlook(large.model_copy(update={"training": slow}), CARD, None)
    assert found is not None
    keys = [one.split("=")[0] for one in found.remedies(["forward"])]
    assert set(keys) == {"training.gradient_checkpointing", "training.per_device_train_batch_size"}
    assert len(keys) == 2


def test_what_no_change_makes_fit_is_said_to_be_so(large: Recipe) -> None:
    found = outlook(large, Device("GPU", total_bytes=3 * 2**30), None)
    assert found is not None and found.too_large
    assert "no change of this recipe makes it fit with certainty; what helps most is " in found.warning()


def test_in_a_step_that_is_not_measured_the_moment_is_told_as_far_as_it_is_known(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    memory = memory_of(make_recipe(), GPU, CARD, tmp_path)
    memory.moments.forward_begins()
    assert str(short_of_memory(memory)) == "out of memory in the forward pass or at the loss"
    memory.moments.backward_begins()
    assert str(short_of_memory(memory)) == "out of memory in the backward pass"


def test_out_of_memory_on_the_cpu_says_nothing_of_a_gpus_bytes(
    make_recipe: MakeRecipe, tmp_path: Path
) -> None:
    memory = memory_of(make_recipe(), CPU, None, tmp_path)
    memory.moments.forward_begins()
    assert short_of_memory(memory).takes == ""


def test_out_of_memory_is_told_where_nothing_is_known_of_the_model(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe("model.name_or_path=nobody/nothing")
    memory = memory_of(recipe, GPU, CARD, tmp_path)
    assert memory.outlook is None
    failure = explain(short_of_memory(memory), recipe, "loading the model")
    assert failure.cause == "out of memory while loading the model (loading the model)"
    assert "per_device_train_batch_size=1" in failure.advice


def test_a_mistake_in_the_explanation_hides_nothing(
    make_recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe()
    memory = memory_of(recipe, GPU, CARD, tmp_path)
    monkeypatch.setattr("sftui.training.outlook.changes", lambda *_: 1 // 0)
    failure = explain(short_of_memory(memory), recipe, "at step 3")
    assert failure.kind == "memory" and failure.advice


def test_other_errors_pass_as_they_are(make_recipe: MakeRecipe, tmp_path: Path) -> None:
    memory = memory_of(make_recipe(), GPU, CARD, tmp_path)
    with pytest.raises(KeyError, match="surprise"), memory.followed():
        raise KeyError("surprise")


def test_what_does_not_fit_is_warned_of_before_it_is_tried(
    make_recipe: MakeRecipe, meter: CountedMeter, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sftui.training import session

    small = Device("NVIDIA RTX 4090", total_bytes=18 * 2**20, uuid="GPU-1")
    monkeypatch.setattr(session, "device_before", lambda recipe: small)
    with meter:
        run = train_here(make_recipe("training.loss=stock", "training.max_steps=1", "adapter=null"))
    (said,) = [e["message"] for e in events_of(run, "warning") if "memory" in e["message"]]
    assert "18.0 MiB are free on NVIDIA RTX 4090" in said
    assert "what helps most is " in said and "=" in said
    assert events_of(run, "end")[0]["state"] == "finished", "the estimate may be wrong: it goes on"


def test_the_warning_names_the_cheapest_changes_that_fit(large: Recipe) -> None:
    small = Device("NVIDIA GeForce RTX 3080", total_bytes=12 * 2**30, used_bytes=2**30)
    found = outlook(large, small, None)
    assert found is not None and found.too_large
    assert re.fullmatch(
        r"this needs \d\d\.\d GiB of memory or more \(at the loss\), 11\.0 GiB are free on "
        r"NVIDIA GeForce RTX 3080; it would fit with training\.\S+=.*",
        found.warning(),
    )


def test_the_log_says_what_is_predicted(
    make_recipe: MakeRecipe, meter: CountedMeter, caplog: pytest.LogCaptureFixture
) -> None:
    with meter, caplog.at_level(logging.INFO, "sftui"):
        train_here(make_recipe("training.max_steps=1"))
    line = next(text for text in caplog.messages if text.startswith("memory: "))
    assert line.endswith("23.0 GiB free on NVIDIA RTX 4090") and "predicted at the loss" in line
    assert any(text.startswith("tried the largest batch: 2 x ") for text in caplog.messages)
