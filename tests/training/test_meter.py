"""Moments measured in real runs, by a meter that counts live bytes on the CPU."""

from __future__ import annotations

import gc
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sftui.memory.estimate import MOMENTS
from sftui.training import meter as module
from sftui.training.meter import CudaMeter, context_bytes
from sftui.training.moments import FIRST_STEPS, Moments
from tests.training.conftest import MakeRecipe, events_of, train_here
from tests.training.counted_meter import CountedMeter, count_runs

# Sums, divisors, the running loss and what they are copied to: numbers in 512 bytes each.
SCALARS = 8 * 512
METHODS: dict[str, list[str]] = {
    "full": ["adapter=null"],
    "lora": [],
    "lora, all parts": ["adapter.use_dora=true", "adapter.modules_to_save=[lm_head]"],
    "nf4, checkpointing": ["model.quantization=nf4", "training.gradient_checkpointing=true"],
}
STEP = {"forward", "loss", "backward_last", "backward_first", "optimizer_step"}


@pytest.fixture
def meter(monkeypatch: pytest.MonkeyPatch) -> CountedMeter:
    gc.collect()
    return count_runs(monkeypatch)


def same_rows(folder: Path) -> str:
    """Rows of 32 tokens each, as the data of a recipe."""
    rows = folder / "same.jsonl"
    row = {"question": "stone river light", "answer": "green seven window music garden"}
    rows.write_text((json.dumps(row) + "\n") * 24)
    return f"data.train=[{{path: {rows}}}]"


@pytest.mark.parametrize("method", METHODS)
def test_the_first_steps_are_measured_and_are_those_of_the_estimate(
    method: str, make_recipe: MakeRecipe, meter: CountedMeter, tmp_path: Path
) -> None:
    recipe = make_recipe(same_rows(tmp_path), "training.loss=stock", *METHODS[method])
    with meter:
        run = train_here(recipe)
    memory = events_of(run, "start")[0]["memory"]
    assert memory["source"] == "closed form"
    predicted = memory["predicted"]
    load, trial, *steps = events_of(run, "step_memory")
    assert [set(load["moments"]), set(trial["moments"])] == [{"load"}, STEP - {"optimizer_step"}]
    assert [event["step"] for event in (load, trial, *steps)] == [0, 0, 1, 2, 3]
    assert all(set(event["moments"]) == STEP for event in steps)

    still = predicted["moments"]["save"]
    for event in steps[1:]:  # the first has no states of the optimizer but in its last moment
        found = event["components"]
        for component in ("weights", "adapter", "optimizer"):
            assert found[component] == still[component], component
        assert sum(found.values()) == event["peak_bytes"]
        assert found["gradients"] == predicted["moments"]["optimizer_step"]["gradients"]
        for moment, parts in predicted["moments"].items():
            if moment not in STEP:
                continue
            # The CPU has no workspaces, another kernel for attention, and norms of gradients one by one.
            expected = sum(parts.values()) - parts["workspace"]
            norms = 512 * 60 if moment == "optimizer_step" else 0
            measured = event["moments"][moment]["peak_bytes"]
            assert measured == pytest.approx(expected, rel=0.05, abs=SCALARS + norms), moment


def test_gradients_are_those_of_the_moment(
    make_recipe: MakeRecipe, meter: CountedMeter, tmp_path: Path
) -> None:
    options = ("adapter=null", "training.loss=stock", "training.gradient_accumulation_steps=1")
    with meter:
        run = train_here(make_recipe(same_rows(tmp_path), *options))
    event = events_of(run, "step_memory")[-1]
    predicted = events_of(run, "start")[0]["memory"]["predicted"]
    assert max(STEP, key=lambda moment: event["moments"][moment]["peak_bytes"]) == predicted["peak_moment"]
    assert event["components"]["gradients"] < predicted["components"]["weights"], "they are not all there yet"


def test_an_evaluation_and_a_checkpoint_are_measured_once(
    make_recipe: MakeRecipe, meter: CountedMeter, rows: Path
) -> None:
    recipe = make_recipe(
        f"data.eval=[{{path: {rows}, limit: 3}}]", "training.eval_strategy=steps", "training.eval_steps=2",
        "training.save_strategy=steps", "training.save_steps=2", "training.eval_on_start=false",
    )  # fmt: skip
    with meter:
        run = train_here(recipe)
    assert len(events_of(run, "eval")) == len(events_of(run, "checkpoint")) == 3
    for moment in ("evaluation", "save"):
        steps = [event["step"] for event in events_of(run, "step_memory") if moment in event["moments"]]
        assert steps == ([0] if moment == "evaluation" else [2])


def test_without_a_meter_there_are_no_measured_moments(make_recipe: MakeRecipe) -> None:
    run = train_here(make_recipe("training.max_steps=1"))
    assert events_of(run, "step_memory") == events_of(run, "trial") == []
    assert events_of(run, "start")[0]["memory"]["predicted"]["peak_bytes"] > 0


def hooks(model: Any) -> int:
    return sum(len(each._forward_pre_hooks) + len(each._forward_hooks) for each in model.modules())


@pytest.fixture
def moments(tiny_model: Path) -> Moments:
    from transformers import AutoModelForCausalLM

    made = Moments(CountedMeter(), None, torch.device("cpu"))
    made.loaded(AutoModelForCausalLM.from_pretrained(tiny_model), adapted=False)
    return made


def test_hooks_are_on_the_model_only_while_a_step_is_measured(moments: Moments) -> None:
    model = moments._model
    before = hooks(model)
    for number in range(FIRST_STEPS):
        moments.step_begins(100)
        assert hooks(model) > before
        moments.step_ends(number + 1, None)
        assert hooks(model) == before
    moments.step_begins(100)
    assert hooks(model) == before
    moments.step_ends(4, None)
    moments.step_begins(101)
    assert hooks(model) > before, "a larger micro-batch than any before"


def test_it_is_known_what_runs_whether_it_is_measured_or_not(moments: Moments) -> None:
    assert moments.running == ()
    moments.step_begins(8)
    moments.forward_begins()
    assert moments.running == ("forward",)
    moments._model(torch.zeros((1, 8), dtype=torch.long))
    assert moments.running == ("loss",)
    moments.backward_begins()
    moments.update_begins()
    assert moments.running == ("optimizer_step",)
    moments.step_ends(1, None)
    assert moments.running == ()
    moments.steps = FIRST_STEPS
    moments.step_begins(8)
    moments.forward_begins()
    assert moments.running == ("forward", "loss")
    moments.backward_begins()
    assert moments.running == ("backward_last", "backward_first")
    moments.evaluation_begins()
    assert moments.running == ("evaluation",)


class Allocator:
    """What torch tells of a device, and forgets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.allocated = self.reserved = self.allocated_peak = self.reserved_peak = 0
        monkeypatch.setattr(torch.cuda, "init", lambda: None)
        monkeypatch.setattr(torch.cuda, "memory_stats_as_nested_dict", lambda _: self.stats())
        monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda _: self.forget())
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: self.reserved)

    def stats(self) -> dict[str, Any]:
        allocated = {"all": {"current": self.allocated, "peak": self.allocated_peak}}
        reserved = {"all": {"current": self.reserved, "peak": self.reserved_peak}}
        return {"allocated_bytes": allocated, "reserved_bytes": reserved}

    def forget(self) -> None:
        self.allocated_peak, self.reserved_peak = self.allocated, self.reserved

    def take(self, size: int) -> None:
        self.allocated += size
        self.reserved = max(self.reserved, self.allocated)
        self.allocated_peak = max(self.allocated_peak, self.allocated)
        self.reserved_peak = max(self.reserved_peak, self.reserved)


def test_the_meter_of_a_gpu_has_the_peak_of_each_window(monkeypatch: pytest.MonkeyPatch) -> None:
    allocator = Allocator(monkeypatch)
    meter = CudaMeter(torch.device("cuda", 0))
    meter.enter(("forward", 0))
    allocator.take(100)
    allocator.take(-60)
    meter.enter(("loss", "forward"))
    allocator.take(10)
    meter.enter(("forward", 0))
    allocator.take(5)
    meter.enter(("between", "steps"))
    found = meter.readings()
    assert (found["forward", 0].peak, found["forward", 0].allocated) == (100, 55)
    assert (found["loss", "forward"].peak, found["loss", "forward"].reserved) == (50, 100)
    assert set(meter.readings()) == {("between", "steps")}, "others have been told"


def test_the_highest_of_a_run_outlives_what_torch_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    allocator = Allocator(monkeypatch)
    meter = CudaMeter(torch.device("cuda", 0))
    allocator.take(100)
    allocator.take(-90)
    meter.enter(("forward", 0))
    meter.enter(("loss", "forward"))
    assert torch.cuda.memory_stats_as_nested_dict(0)["allocated_bytes"]["all"]["peak"] == 10
    assert meter.now().peak == 100
    assert meter.now().allocated == 10
    allocator.take(200)
    assert meter.now().peak == 210, "the running window counts"


class Driver:
    """What NVML tells of one GPU."""

    visible = ("GPU-1",)
    driver_version = "580.1"

    def __init__(self, own: int | None, used: int) -> None:
        self.own, self.used = own, used

    def __call__(self) -> Driver:
        return self

    def processes(self, uuid: str) -> tuple[Any, ...]:
        import os

        from sftui.telemetry import GpuProcess

        known = () if self.own is None else (GpuProcess(os.getpid(), self.own),)
        return (GpuProcess(1, 99), *known)

    def read(self) -> tuple[Any, ...]:
        from types import SimpleNamespace

        return (SimpleNamespace(uuid="GPU-1", used_bytes=self.used),)

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("own", "used", "before", "expected"),
    [
        (1500, 9999, 300, 500),  # the driver names this process
        (None, 1900, 300, 600),  # it does not: what is in use beyond what was
        (None, 1900, None, None),
        (900, 1900, 300, None),  # less than torch has reserved cannot be
    ],
)
def test_the_context_is_what_the_driver_counts_beside_what_torch_has_reserved(
    own: int | None, used: int, before: int | None, expected: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sftui.memory.device import Device

    Allocator(monkeypatch).reserved = 0
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda _: 1000)
    monkeypatch.setattr(module, "Nvml", Driver(own, used))
    device = None if before is None else Device("GPU", 80_000, used_bytes=before, uuid="GPU-1")
    assert context_bytes(torch.device("cuda", 0), device) == expected


def test_moments_of_events_are_those_of_the_estimate() -> None:
    assert STEP | {"load", "evaluation", "save"} == set(MOMENTS)
