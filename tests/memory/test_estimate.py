"""What must hold of any estimate, and how long one takes."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from sftui.memory import modules, passes
from sftui.memory.closed_form import estimate
from sftui.memory.config_file import shape_of
from sftui.memory.shape import ModelShape
from sftui.memory.step import AdapterSpec, EvaluationSpec, StepSpec

LLAMA_8B = {
    "model_type": "llama",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
}
QLORA = StepSpec(1, 2048, quantization="nf4", adapter=AdapterSpec(16), autocast="bfloat16")
FULL = StepSpec(1, 2048)


@pytest.fixture(scope="module")
def llama() -> ModelShape:
    found = shape_of(LLAMA_8B)
    assert isinstance(found, ModelShape)
    return found


@pytest.mark.parametrize(
    "step", [QLORA, FULL, replace(FULL, checkpointing=0), replace(QLORA, rows=4, layout="padded")]
)
def test_components_add_up_to_the_largest_moment(llama: ModelShape, step: StepSpec) -> None:
    found = estimate(llama, step)
    assert found.peak_bytes == sum(found.components.values()) == max(map(found.at, found.moments))
    assert all(value >= 0 for parts in found.moments.values() for value in parts.values())


@pytest.mark.parametrize(
    ("more", "less"),
    [
        (replace(QLORA, length=4096), QLORA),
        (replace(QLORA, rows=2), QLORA),
        (replace(QLORA, checkpointing=0), QLORA),
        (replace(QLORA, quantization="int8"), QLORA),
        (replace(QLORA, double_quant=False), QLORA),
        (replace(QLORA, adapter=AdapterSpec(64)), QLORA),
        (replace(QLORA, attention="eager"), QLORA),
        (QLORA, replace(QLORA, loss="chunked")),
        (FULL, replace(FULL, optimizer="adamw_bnb_8bit")),
        (replace(FULL, optimizer="adamw_torch"), FULL),
        (replace(FULL, processes=2), FULL),
        (FULL, replace(FULL, processes=4, shard=True)),
    ],
)
def test_what_takes_more_is_estimated_at_more(llama: ModelShape, more: StepSpec, less: StepSpec) -> None:
    assert estimate(llama, more).peak_bytes > estimate(llama, less).peak_bytes


def test_gradients_are_there_in_the_forward_pass_from_the_second_micro_batch_on(llama: ModelShape) -> None:
    once, twice = estimate(llama, FULL), estimate(llama, replace(FULL, accumulation=2))
    assert once.moments["forward"]["gradients"] == 0
    assert twice.moments["forward"]["gradients"] == twice.moments["optimizer_step"]["gradients"] > 16e9


def test_the_loss_takes_twelve_bytes_a_logit(llama: ModelShape) -> None:
    logits = estimate(llama, QLORA).moments["loss"]["logits"]
    assert logits == pytest.approx(12 * 128256 * 2048, rel=0.01)


def test_experts_that_an_adapter_is_put_on_are_computed_anew_in_each_layer() -> None:
    config = LLAMA_8B | {"model_type": "qwen3_moe", "num_hidden_layers": 4, "num_experts": 128}
    shape = shape_of(config)
    assert isinstance(shape, ModelShape)
    everything = estimate(shape, replace(QLORA, checkpointing=0))
    attention = estimate(shape, replace(QLORA, checkpointing=0, adapter=AdapterSpec(16, targets=("q_proj",))))
    copies = 4 * 128 * 3 * 768 * 4096 * 2
    assert everything.peak_bytes - attention.peak_bytes > copies


def test_an_estimate_takes_less_than_two_milliseconds(llama: ModelShape) -> None:
    step = replace(QLORA, evaluation=EvaluationSpec(1, 2048))
    times = []
    for _ in range(9):
        for remembered in (passes.layer_pass, passes.head_pass, modules.plan):
            remembered.cache_clear()
        began = time.process_time()
        estimate(llama, step)
        times.append(time.process_time() - began)
    assert min(times) < 0.002
