from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from sftui.memory.closed_form import estimate
from sftui.memory.config_file import shape_of
from sftui.memory.shape import ModelShape
from sftui.memory.step import AdapterSpec, StepSpec
from sftui.memory.weights import quantised_bytes
from sftui.memory.work import relative_time, seconds, work
from tests.memory.recipe_fixtures import LLAMA_8B, known

FULL = StepSpec(8, 128, checkpointing=0)
LORA = StepSpec(8, 128, checkpointing=0, adapter=AdapterSpec(16), autocast="bfloat16")
QLORA = StepSpec(4, 2048, quantization="nf4", adapter=AdapterSpec(16), autocast="bfloat16", accumulation=4)

MISTRAL = LLAMA_8B | {"model_type": "mistral", "vocab_size": 32000, "sliding_window": 4096}
MIXTRAL = {"model_type": "mixtral", "num_local_experts": 8}
LLAMA_70B = LLAMA_8B | {
    "hidden_size": 8192,
    "intermediate_size": 28672,
    "num_hidden_layers": 80,
    "num_attention_heads": 64,
    "vocab_size": 32000,
}
QWEN3_30B_A3B = {
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
    "num_hidden_layers": 48,
    "num_attention_heads": 32,
    "num_key_value_heads": 4,
    "head_dim": 128,
    "num_experts": 128,
    "num_experts_per_tok": 8,
    "vocab_size": 151936,
}


@pytest.fixture(scope="module")
def llama() -> ModelShape:
    return known(LLAMA_8B)


def of_a_token(shape: ModelShape, step: StepSpec) -> float:
    return work(shape, step).flops / step.tokens


def multiplied(shape: ModelShape, step: StepSpec) -> tuple[int, int]:
    """Parameters that every token is multiplied by, without adapters and adapters alone."""
    found = estimate(shape, step).parameters
    adapter = found.kinds["adapter"]
    return found.total - adapter - shape.vocab * shape.hidden, adapter


def test_full_training_is_six_flops_a_parameter_and_token_and_checkpointing_two_more(
    llama: ModelShape,
) -> None:
    parameters, _ = multiplied(llama, FULL)
    assert of_a_token(llama, FULL) == pytest.approx(6 * parameters, rel=0.02)
    again = replace(FULL, checkpointing=1)
    assert of_a_token(llama, again) == pytest.approx(8 * parameters, rel=0.02)
    half = replace(FULL, checkpointing=2)
    expected = (of_a_token(llama, FULL) + of_a_token(llama, again)) / 2
    assert of_a_token(llama, half) == pytest.approx(expected)


def test_an_adapter_needs_no_gradients_of_the_weights_under_it(llama: ModelShape) -> None:
    parameters, adapter = multiplied(llama, LORA)
    assert of_a_token(llama, LORA) == pytest.approx(4 * parameters + 6 * adapter, rel=0.02)
    again = of_a_token(llama, replace(LORA, checkpointing=1))
    assert again == pytest.approx(6 * parameters + 8 * adapter, rel=0.025)


def test_layers_before_the_first_that_is_trained_have_no_backward(llama: ModelShape) -> None:
    last = replace(LORA, adapter=AdapterSpec(16, targets=r"model\.layers\.31\.self_attn\.q_proj"))
    parameters, _ = multiplied(llama, last)
    head = llama.vocab * llama.hidden
    layer = (parameters - head) / 32
    assert of_a_token(llama, last) == pytest.approx(2 * parameters + 2 * head + 2 * layer, rel=0.02)


def test_of_experts_those_count_that_a_token_is_sent_to() -> None:
    shape = known(QWEN3_30B_A3B)
    # The paper's 3.3 billion active parameters, less the embedding.
    assert of_a_token(shape, FULL) == pytest.approx(6 * (3.35e9 - 151936 * 2048), rel=0.02)
    assert estimate(shape, FULL).parameters.total == pytest.approx(30.5e9, rel=0.01)


def test_adapters_of_experts_make_the_weights_of_all_of_them_anew() -> None:
    shape = known(QWEN3_30B_A3B)
    attention = replace(LORA, adapter=AdapterSpec(16, targets=("q_proj",)))
    assert work(shape, LORA).moved > work(shape, attention).moved + 48 * 128 * 3 * 768 * 2048 * 8
    assert relative_time(shape, attention, LORA) > 2


def test_attention_counts_pairs_of_tokens(llama: ModelShape) -> None:
    def scores(step: StepSpec, shape: ModelShape = llama, sequence: int | None = None) -> float:
        short = replace(step, rows=step.tokens // 16, length=16, layout="plain")
        return work(shape, step, sequence).flops - work(shape, short).flops

    plain = StepSpec(1, 8192, checkpointing=0)
    assert scores(plain) == pytest.approx(3.5 * 4 * 4096 * 32 * 8192 * 8192 / 2, rel=0.01)
    masked = replace(plain, layout="padded", attention="efficient")
    assert scores(masked) == pytest.approx(2 * scores(plain), rel=0.01)
    packed = replace(plain, layout="flat", windows=True)
    assert scores(packed) == pytest.approx(scores(plain))
    assert scores(packed, sequence=512) == pytest.approx(scores(plain) / 16, rel=0.05)
    sliding = known(MISTRAL | {"sliding_window": 1024})
    windows = scores(packed, sliding)
    assert scores(packed, sliding, 512) < windows < scores(packed, known(MISTRAL)) / 2


def test_quantised_weights_are_dequantised_in_each_pass(llama: ModelShape) -> None:
    whole = sum(
        quantised_bytes(out, into, "nf4", double=True) + 2 * out * into
        for out, into in [(4096, 4096)] * 2 + [(1024, 4096)] * 2 + [(14336, 4096)] * 2 + [(4096, 14336)]
    )
    plain = replace(QLORA, quantization="none")
    extra = work(llama, QLORA).moved - work(llama, plain).moved
    assert extra == 4 * 3 * 32 * whole
    twice = work(llama, replace(QLORA, checkpointing=0)).moved
    assert twice == pytest.approx(work(llama, QLORA).moved - 4 * 32 * whole)


def test_half_the_micro_batch_and_twice_the_accumulation_compute_the_same(llama: ModelShape) -> None:
    half = replace(QLORA, rows=2, accumulation=8)
    before, after = work(llama, QLORA), work(llama, half)
    assert after.flops == before.flops and after.read == 2 * before.read
    assert before.moved < after.moved <= 2 * before.moved
    assert 1 < relative_time(llama, QLORA, half) < 1.05


@pytest.mark.parametrize(
    ("changes", "least", "most"),
    [
        ({"checkpointing": 0}, 0.65, 0.72),
        ({"checkpointing": 2}, 0.82, 0.87),
        ({"loss": "chunked"}, 1.0, 1.005),
        ({"quantization": "none"}, 0.97, 1.0),
        ({"quantization": "int8"}, 1.05, 1.3),
        ({"quantization": "fp8"}, 0.99, 1.01),
        ({"attention": "eager"}, 1.2, 2.0),
        ({"optimizer": "paged_adamw_8bit"}, 1.0, 1.01),
        ({"adapter": AdapterSpec(16, use_dora=True)}, 1.02, 1.3),
        ({"adapter": AdapterSpec(16, use_dora=True, dropout=0.1)}, 1.5, 2.1),
    ],
)
def test_what_a_change_costs(llama: ModelShape, changes: dict[str, Any], least: float, most: float) -> None:
    assert least <= relative_time(llama, QLORA, replace(QLORA, **changes)) <= most


def test_optimizers_of_full_training_cost_what_they_move(llama: ModelShape) -> None:
    step = StepSpec(4, 2048, accumulation=4)
    eight = relative_time(llama, step, replace(step, optimizer="adamw_bnb_8bit"))
    paged = relative_time(llama, step, replace(step, optimizer="paged_adamw_8bit"))
    wide = relative_time(llama, step, replace(step, optimizer="paged_adamw_32bit"))
    assert 0.99 < eight < 1.01 < paged < 1.2 < wide < 1.7
    states = work(llama, replace(step, optimizer="paged_adamw_32bit")).paged
    assert states == pytest.approx(2 * 8 * 8.03e9, rel=0.01)
    assert work(llama, step).paged == 0


def test_a_step_takes_between_a_time_at_best_and_one_at_worst(llama: ModelShape) -> None:
    found = work(llama, QLORA)
    fast, slow = seconds(found, 312e12, 2.04e12)
    assert found.flops / 312e12 < fast < slow < 5 * fast
    assert seconds(found, 990e12, 3.35e12)[0] < fast


def test_few_tokens_wait_for_the_weights_to_be_read(llama: ModelShape) -> None:
    found = work(llama, StepSpec(1, 16, checkpointing=0))
    fast, _ = seconds(found, 312e12, 2.04e12)
    assert fast > 2 * 15e9 / 2.04e12 > 5 * found.flops / 312e12


@pytest.mark.parametrize(
    ("config", "method", "rows", "tokens_a_second"),
    [
        (MISTRAL, "full", 4, 2775.2),
        (MISTRAL, "full", 8, 3048.6),
        (MISTRAL, "lora", 4, 3597.6),
        (MISTRAL, "lora", 8, 3632.4),
        (MISTRAL, "qlora", 4, 3428.6),
        (MISTRAL, "qlora", 8, 3514.4),
        (MIXTRAL, "qlora", 4, 1764.3),
        (LLAMA_70B, "qlora", 4, 457.1),
    ],
)
def test_published_times_lie_in_the_range(
    config: dict[str, Any], method: str, rows: int, tokens_a_second: float
) -> None:
    """foundation-model-stack/fms-acceleration, scripts/benchmarks/refs/a100_80gb.csv: rows of 4,096."""
    step = StepSpec(rows, 4096, layout="flat", windows=True, optimizer="adamw_torch")
    if method != "full":
        adapter = AdapterSpec(16, targets=("q_proj", "k_proj", "v_proj", "o_proj"))
        stored = "nf4" if method == "qlora" else "none"
        step = replace(step, adapter=adapter, autocast="bfloat16", quantization=stored)
    fast, slow = seconds(work(known(config), step), 312e12, 2.04e12)
    assert fast < step.tokens / tokens_a_second < slow


def test_no_step_is_faster_than_its_kernels_are_launched() -> None:
    shape = shape_of(
        {
            "model_type": "llama",
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "vocab_size": 49152,
        }
    )
    assert isinstance(shape, ModelShape)
    small = StepSpec(1, 256, adapter=AdapterSpec(16), autocast="bfloat16", accumulation=4)
    fast, slow = seconds(work(shape, small), 165e12, 1e12)
    assert 4 * 0.03 < fast < slow < 4 * 0.3
