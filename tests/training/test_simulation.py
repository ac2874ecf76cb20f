"""The simulated step: what it counts, and that leaving out layers changes nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
import transformers

from sftui.errors import InputError
from sftui.memory.estimate import COMPONENTS, Estimate
from sftui.memory.step import AdapterSpec, EvaluationSpec, StepSpec
from sftui.training.fp8 import Fp8Linear
from sftui.training.model import quantization_config
from sftui.training.simulation import autocast, kernels, loading, skeleton, targets
from sftui.training.simulation.counting import LiveBytes
from sftui.training.simulation.simulate import recipe_of, simulate

HIDDEN, INNER, HEADS, KEYS, SIZE, WORDS = 256, 512, 8, 2, 32, 4096
PLAIN = StepSpec(rows=2, length=512)
LORA = replace(PLAIN, adapter=AdapterSpec(r=8, dtype="bfloat16"))
QLORA = replace(PLAIN, adapter=AdapterSpec(r=8), quantization="nf4", autocast="bfloat16")


def llama(layers: int = 9, **settings: Any) -> Any:
    return transformers.LlamaConfig(
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KEYS,
        vocab_size=WORDS,
        **settings,
    )


def mixture(layers: int) -> Any:
    return transformers.Qwen3MoeConfig(
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        moe_intermediate_size=128,
        num_experts=4,
        num_experts_per_tok=2,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KEYS,
        head_dim=SIZE,
        vocab_size=WORDS,
        decoder_sparse_step=2,
        mlp_only_layers=[],
    )


def windows(layers: int) -> Any:
    return transformers.Gemma3TextConfig(
        hidden_size=HIDDEN,
        intermediate_size=INNER,
        num_hidden_layers=layers,
        num_attention_heads=HEADS,
        num_key_value_heads=KEYS,
        head_dim=SIZE,
        vocab_size=WORDS,
        sliding_window=64,
        layer_types=(["sliding_attention", "full_attention"] * layers)[:layers],
    )


def bytes_of(estimate: Estimate) -> dict[str, int]:
    return {moment: estimate.at(moment) for moment in estimate.moments}


@pytest.fixture
def counter() -> LiveBytes:
    counter = LiveBytes("meta")
    counter.enter(("forward", 0))
    return counter


def test_a_storage_counts_once_rounded_up_until_its_last_reference_goes(counter: LiveBytes) -> None:
    with counter:
        tensor = torch.empty(100, dtype=torch.uint8, device="meta")
        assert counter.total == 512
        view = tensor[10:20]
        assert counter.total == 512
        more = torch.empty(513, dtype=torch.uint8, device="meta")
        assert counter.total == 512 + 1024
        del tensor, more
        assert counter.total == 512
        del view
        assert counter.total == 0
    assert counter.windows["forward", 0].total == 512 + 1024


def test_a_kernel_takes_its_workspace_only_while_it_runs() -> None:
    counter = LiveBytes("meta", {"neg.default": lambda args, kwargs, result: (4096, "workspace")})
    counter.enter(("forward", 0))
    with counter:
        kept = torch.empty(512, dtype=torch.uint8, device="meta").neg()
        assert counter.total == 512
    assert kept.shape == (512,)
    peak = counter.windows["forward", 0]
    assert peak.total == 2 * 512 + 4096
    assert dict(zip(COMPONENTS, peak.parts, strict=True))["workspace"] == 4096


def test_what_is_saved_for_backward_stays_alive(counter: LiveBytes) -> None:
    with counter:
        weight = torch.empty(64, 64, device="meta", requires_grad=True)
        inputs = torch.empty(8, 64, device="meta")
        output = (inputs @ weight).sum()
        del inputs
        before = counter.total
        output.backward()
        assert weight.grad is not None
        weight.grad = None
        del output
        assert counter.total == before - 8 * 64 * 4 - 512 == 64 * 64 * 4


STEPS = {
    "full": replace(PLAIN, evaluation=EvaluationSpec(2, 256)),
    "full, kept, foreach": replace(PLAIN, checkpointing=0, optimizer="adamw_torch", accumulation=3),
    "full, float16": replace(PLAIN, dtype="float16", master_float32=True, autocast="float16"),
    "lora, padded": replace(LORA, layout="padded", attention="efficient"),
    "qlora, dropout": replace(QLORA, adapter=AdapterSpec(r=8, dropout=0.1), checkpointing=0),
    "dora, head": replace(QLORA, adapter=AdapterSpec(r=8, use_dora=True, modules_to_save=("lm_head",))),
    "int8": replace(QLORA, quantization="int8"),
    "flat": replace(LORA, layout="flat", windows=True),
    "packed_dense": replace(LORA, layout="packed_dense", attention="efficient"),
    "eager": replace(PLAIN, layout="padded", attention="eager"),
    "8 bit": replace(PLAIN, optimizer="adamw_bnb_8bit"),
    "adafactor": replace(PLAIN, optimizer="adafactor"),
    "chunked": replace(PLAIN, loss="chunked", loss_chunk=100, evaluation=EvaluationSpec(2, 256)),
    "chunked, qlora": replace(QLORA, loss="chunked", checkpointing=2),
    "fp8": replace(QLORA, quantization="fp8"),
}


def assert_same(config: Any, step: StepSpec) -> None:
    few, every = simulate(config, step), simulate(config, step, every_layer=True)
    assert few.parameters == every.parameters
    assert few.peak_moment == every.peak_moment
    differences = {
        moment: every.at(moment) - size for moment, size in bytes_of(few).items() if every.at(moment) != size
    }
    # Gradients are clipped by a vector of their norms, whose size is rounded.
    assert abs(differences.pop("optimizer_step", 0)) <= 4096
    assert differences == {}
    assert few.components == every.components or few.peak_moment == "optimizer_step"


@pytest.mark.parametrize("name", STEPS)
def test_layers_that_repeat_can_be_left_out(name: str) -> None:
    assert_same(llama(), STEPS[name])


@pytest.mark.parametrize(
    ("layers", "step"),
    [
        # Copies that autocast keeps of all weights grow beyond the logits.
        (16, replace(STEPS["full, float16"], evaluation=EvaluationSpec(2, 256))),
        # Factors that are cast grow beyond the norm of one weight.
        (12, replace(QLORA, adapter=AdapterSpec(r=32, use_dora=True, targets=("q_proj", "v_proj")))),
    ],
)
def test_so_can_layers_of_a_deep_model_that_is_highest_where_a_shallow_one_is_not(
    layers: int, step: StepSpec
) -> None:
    assert_same(llama(layers), step)


@pytest.mark.parametrize("every", [2, 3])
def test_so_can_layers_where_every_second_or_third_is_run_again(every: int) -> None:
    config, step = llama(12 * every), replace(PLAIN, checkpointing=every)
    whole, _ = skeleton.build(config, recipe_of(step).model, step, "eager")
    cut = skeleton.cut_of(whole, every)
    assert cut is not None
    assert cut.period == every
    assert_same(config, step)


@pytest.mark.parametrize("make", [mixture, windows])
def test_so_can_periods_of_layers(make: Any) -> None:
    if make is mixture and not hasattr(torch, "_grouped_mm"):
        pytest.skip("experts are called one by one, as many as a router chose: not without values")
    assert_same(make(15), replace(LORA, checkpointing=0, length=128))


@pytest.mark.parametrize(
    "adapter",
    [
        AdapterSpec(64, targets=r".*layers\.[0-3]\..*proj"),
        AdapterSpec(64, targets=r".*layers\.(7|8)\..*proj"),  # no number that a shortened model has
        AdapterSpec(64, targets=("model.layers.5.self_attn.q_proj",)),
        AdapterSpec(8, targets=("q_proj",), modules_to_save=("8.mlp.up_proj",)),
    ],
)
def test_layers_that_an_adapter_tells_apart_are_not_left_out(adapter: AdapterSpec) -> None:
    assert_same(llama(), replace(LORA, adapter=adapter))


def test_layers_that_a_pattern_does_not_tell_apart_are_left_out() -> None:
    section = recipe_of(replace(LORA, adapter=AdapterSpec(8, targets=r".*layers\.\d+\..*proj"))).adapter
    whole, _ = skeleton.build(llama(), recipe_of(LORA).model, LORA, "eager")
    assert skeleton.cut_of(whole, 1, targets.marks_of(whole, section)) == skeleton.cut_of(whole)


def test_a_layer_saves_what_was_counted_by_hand() -> None:
    """MEMORY.md: 8I + 16h + 4q + 4k + 4Hq + 8 bytes a token, all weights trained, without checkpointing."""
    step = replace(PLAIN, checkpointing=0)
    tokens = step.tokens
    nine, ten = (simulate(llama(layers), step).at("loss") for layers in (9, 10))
    query, key = HEADS * SIZE, KEYS * SIZE
    saved = (8 * INNER + 16 * HIDDEN + 4 * query + 4 * key + 4 * HEADS + 8) * tokens
    weights = 2 * (2 * HIDDEN * query + 2 * HIDDEN * key + 3 * HIDDEN * INNER + 2 * HIDDEN)
    # Weights and two states of their size. Each of the nine tensors has its number of steps, in 512 bytes.
    assert ten - nine == saved + 3 * weights + 9 * 512 + rng_bytes()


def rng_bytes() -> int:
    """The two numbers that flash attention keeps of the random generator, and one it does not use."""
    return 2 * 512


def test_the_head_and_the_loss_take_14_bytes_a_logit_at_most() -> None:
    """MEMORY.md: 10 in the forward pass and 12 in the backward pass."""
    estimate = simulate(llama(), PLAIN)
    logits = WORDS * PLAIN.tokens
    assert 12 * logits <= estimate.components["logits"] < 12 * logits + 2**20
    assert estimate.peak_moment == "loss"


def test_nf4_weights_take_what_bitsandbytes_packs_them_in() -> None:
    """MEMORY.md: half a byte, a byte for 64, four for 16,384, and 2,048 of tables; one more table for all."""
    config = llama(2)
    query, key = HEADS * SIZE, KEYS * SIZE
    shapes = 2 * [HIDDEN * query, HIDDEN * query, HIDDEN * key, HIDDEN * key, *3 * [HIDDEN * INNER]]
    packed = sum(
        up(count // 2) + up(count // 64) + up(4 * (-(-count // 64 // 256))) + 2048 for count in shapes
    )
    embeddings, norms, rotary = 2 * WORDS * HIDDEN * 2, 5 * up(2 * HIDDEN), 2 * 512
    expected = packed + 1024 + embeddings + norms + rotary
    assert simulate(config, QLORA).moments["save"]["weights"] == expected


def up(size: int) -> int:
    return -(-size // 512) * 512


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_4_bit_weights_are_dequantised_to_the_model_s_type_as_after_a_real_load(
    dtype: Any, tmp_path: Any
) -> None:
    step = replace(QLORA, dtype=dtype)
    section = recipe_of(step).model
    transformers.LlamaForCausalLM(llama(1)).to(getattr(torch, dtype)).save_pretrained(tmp_path)
    real = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path,
        dtype=getattr(torch, dtype),
        quantization_config=quantization_config(section),
        device_map={"": "cpu"},
    )
    simulated, quantizer = skeleton.build(llama(1), section, step, None)
    before = torch.get_default_dtype()
    with LiveBytes("meta") as counter:
        loading.load(simulated, quantizer, counter)
    kinds = {name: each.quant_state.dtype for name, each in quantised(simulated)}
    assert len(kinds) == 7
    assert kinds == {name: each.quant_state.dtype for name, each in quantised(real)}
    assert torch.get_default_dtype() == before


def quantised(model: Any) -> list[tuple[str, Any]]:
    return [(name, each) for name, each in model.named_parameters() if hasattr(each, "quant_state")]


@pytest.mark.parametrize("double", [True, False])
def test_many_rows_are_multiplied_by_a_dequantised_weight_with_its_scales(double: bool) -> None:
    """backends/cuda/ops.py of bitsandbytes: two tensors of scales in float32 where they are quantised too."""
    import bitsandbytes

    counter = LiveBytes("meta", kernels.WORKSPACES)
    layer = bitsandbytes.nn.Linear4bit(
        512, 1024, bias=False, quant_type="nf4", compress_statistics=double, device="meta"
    )
    weight = torch.empty(1024, 512, dtype=torch.bfloat16, device="meta")
    packed = bitsandbytes.nn.Params4bit(
        weight, requires_grad=False, quant_type="nf4", compress_statistics=double, module=layer
    )
    layer.weight = packed._quantize(torch.device("meta"))
    inputs = torch.empty(256, 512, dtype=torch.bfloat16, device="meta")
    counter.enter(("forward", 0))
    with counter, torch.no_grad():
        layer(inputs)
    peak = counter.windows["forward", 0]
    scales = 2 * 4 * 512 * 1024 // 64 if double else 0
    assert dict(zip(COMPONENTS, peak.parts, strict=True))["dequantization"] == 2 * 512 * 1024 + scales


def test_autocast_sums_in_float32_without_a_copy(counter: LiveBytes) -> None:
    size = 2 * 1024 * 1024
    with autocast.meta_autocast(used=True) as mode, counter, mode.region(dtype=torch.bfloat16):
        inputs = torch.empty(1024, 1024, dtype=torch.bfloat16, device="meta")
        found = [inputs.sum(), torch.sum(inputs, -1), inputs.prod(), inputs.norm(dim=-1)]
        integers = torch.ones(3, dtype=torch.long, device="meta").sum()
        half = inputs.sum(dtype=torch.bfloat16)
    assert {each.dtype for each in found} == {torch.float32}
    assert integers.dtype == torch.long
    assert half.dtype == torch.bfloat16
    assert counter.windows["forward", 0].total < size + 2**15


def test_a_chunked_loss_takes_ten_bytes_a_logit_of_a_chunk() -> None:
    """The logits in half precision, in float32, and the logarithms of their probabilities."""
    step = replace(LORA, loss="chunked", loss_chunk=256)
    estimate = simulate(llama(), step)
    size = estimate.moments["loss"]["logits"]
    gradient = 2 * HIDDEN * step.tokens
    assert 10 * WORDS * 256 + gradient <= size < 10 * WORDS * 256 + gradient + 2**19
    stock = simulate(llama(), replace(step, loss="stock"))
    assert stock.moments["loss"]["logits"] > 4 * size


def test_fp8_weights_take_a_byte_each_and_a_scale_a_row() -> None:
    config = llama(2)
    query, key = HEADS * SIZE, KEYS * SIZE
    shapes = 2 * [
        (query, HIDDEN), (HIDDEN, query), (key, HIDDEN), (key, HIDDEN),
        (INNER, HIDDEN), (INNER, HIDDEN), (HIDDEN, INNER),
    ]  # fmt: skip
    packed = sum(up(rows * columns) + up(4 * rows) for rows, columns in shapes)
    embeddings, norms, rotary = 2 * WORDS * HIDDEN * 2, 5 * up(2 * HIDDEN), 2 * 512
    found = simulate(config, replace(QLORA, quantization="fp8", checkpointing=0))
    assert found.moments["save"]["weights"] == packed + embeddings + norms + rotary


def test_an_fp8_weight_is_there_in_the_model_s_type_while_it_multiplies(counter: LiveBytes) -> None:
    with counter:
        layer = Fp8Linear(256, 1024, False, torch.bfloat16).to("meta")
        layer.weight = torch.nn.Parameter(layer.weight.to(torch.uint8), requires_grad=False)
        inputs = torch.empty(4, 256, dtype=torch.bfloat16, device="meta", requires_grad=True)
        before = counter.total
        counter.enter(("forward", 1))
        output = layer(inputs)
        assert counter.total == before + 2 * 4 * 1024
        counter.enter(("forward", 2))
        output.backward(torch.empty_like(output))
        assert inputs.grad is not None
        del output, inputs
        assert counter.total < before
    for number in (1, 2):
        peak = counter.windows["forward", number]
        assert peak.parts[COMPONENTS.index("dequantization")] == 2 * 256 * 1024


def test_gradients_lie_there_in_the_forward_pass_from_the_second_micro_batch_on() -> None:
    one, two = (simulate(llama(), replace(PLAIN, accumulation=count)) for count in (1, 2))
    assert one.moments["forward"]["gradients"] == 0
    assert two.moments["forward"]["gradients"] == 2 * two.parameters.trainable


def test_optimizers_keep_what_they_keep() -> None:
    def states(optimizer: Any) -> float:
        found = simulate(llama(), replace(PLAIN, optimizer=optimizer))
        return found.moments["save"]["optimizer"] / found.parameters.trainable

    assert states("sgd") == 0
    assert states("lion_32bit") == pytest.approx(4, rel=0.01)  # float32, whatever the weights are
    assert states("adamw_torch_fused") == pytest.approx(4, rel=0.01)
    paged = simulate(llama(), replace(PLAIN, optimizer="paged_adamw_32bit")).moments["save"]["optimizer"]
    query, key = HIDDEN * HEADS * SIZE, HIDDEN * KEYS * SIZE  # less than 100,000 values are not paged
    assert paged == 9 * 8 * (2 * query + 2 * key) + 19 * 2 * up(4 * HIDDEN)
    layers = simulate(llama(), replace(PLAIN, optimizer="adamw_bnb_8bit")).moments["save"]["optimizer"]
    embedded = 8 * WORDS * HIDDEN  # transformers keeps embeddings in 32 bits
    rest = simulate(llama(), PLAIN).parameters.trainable - WORDS * HIDDEN
    assert layers - embedded == pytest.approx(2 * (1 + 4 / 256) * rest, rel=0.02)


def test_a_foreach_optimizer_takes_a_copy_of_the_weights_while_it_steps() -> None:
    fused, each = (
        simulate(llama(), replace(PLAIN, optimizer=name)) for name in ("adamw_torch_fused", "adamw_torch")
    )
    copies = each.moments["optimizer_step"]["optimizer"] - fused.moments["optimizer_step"]["optimizer"]
    assert copies == pytest.approx(2 * each.parameters.trainable, rel=0.02)


def test_float32_with_shared_keys_grows_with_the_square_of_the_length() -> None:
    """Neither fused kernel takes it: matrix products with all scores."""
    step = replace(PLAIN, dtype="float32", checkpointing=0, rows=1)
    short, long = (simulate(llama(2), replace(step, length=length)) for length in (256, 512))
    scores = 4 * HEADS * 512 * 512
    assert long.moments["forward"]["activations"] > 2 * scores
    ratio = long.moments["forward"]["activations"] / short.moments["forward"]["activations"]
    assert ratio > 2.3


def test_padding_keeps_an_added_mask_in_each_layer() -> None:
    """MEMORY.md: 2S bytes a token."""
    step = replace(LORA, checkpointing=0, attention="efficient")
    plain = [simulate(llama(count), replace(step, attention="flash")).at("forward") for count in (9, 10)]
    padded = [simulate(llama(count), replace(step, layout="padded")).at("forward") for count in (9, 10)]
    more = (padded[1] - padded[0]) - (plain[1] - plain[0])
    query, key = HEADS * SIZE, KEYS * SIZE
    assert more == pytest.approx((4 * (query - key) + 2 * step.length) * step.tokens, rel=0.01)


def test_what_cannot_be_simulated_is_said() -> None:
    with pytest.raises(InputError, match="FSDP"):
        simulate(llama(), replace(PLAIN, shard=True))
    with pytest.raises(InputError, match="padding decides"):
        simulate(llama(), replace(PLAIN, layout="padded", windows=True))
    with pytest.raises(InputError, match="falcon cannot be simulated"):
        simulate(transformers.FalconConfig(num_hidden_layers=2), replace(PLAIN, layout="flat"))


def test_cublas_takes_more_on_hopper() -> None:
    one, other = (simulate(llama(2), replace(PLAIN, capability=version)) for version in ((8, 0), (9, 0)))
    assert other.peak_bytes - one.peak_bytes == 2 * (32 * 2**20 - 8_519_680)
