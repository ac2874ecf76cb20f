"""Parameters and bytes of weights against models that transformers, PEFT and bitsandbytes make."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from sftui.memory.config_file import shape_of
from sftui.memory.modules import plan
from sftui.memory.shape import ModelShape
from sftui.memory.step import AdapterSpec, StepSpec
from sftui.memory.weights import held, quantised_bytes

FAMILIES: dict[str, dict[str, Any]] = {
    "llama": {"attention_bias": True, "mlp_bias": True},
    "mistral": {"head_dim": 32},
    "qwen2": {"tie_word_embeddings": True},
    "qwen3": {"head_dim": 32},
    "gemma2": {"head_dim": 32},
    "gemma3_text": {"head_dim": 32},
    "phi": {"qk_layernorm": True},
    "phi3": {"partial_rotary_factor": 0.5},
    "smollm3": {},
    "mixtral": {"num_local_experts": 4},
    "qwen2_moe": {
        "num_experts": 4,
        "moe_intermediate_size": 48,
        "shared_expert_intermediate_size": 96,
        "decoder_sparse_step": 2,
    },
    "qwen3_moe": {
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 48,
        "mlp_only_layers": [1],
    },
}
SMALL = {
    "hidden_size": 128,
    "intermediate_size": 256,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 320,
    "pad_token_id": 0,
}


def configuration(family: str) -> tuple[Any, ModelShape]:
    import transformers

    values = SMALL | FAMILIES[family]
    shape = shape_of({"model_type": family} | values)
    assert isinstance(shape, ModelShape)
    return transformers.AutoConfig.for_model(family, **values), shape


def model_of(config: Any) -> Any:
    import torch
    import transformers

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)


def size_of(tensors: Any) -> int:
    return sum(-(-each.numel() * each.element_size() // 512) * 512 for each in tensors)


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_are_those_that_torch_counts(family: str) -> None:
    config, shape = configuration(family)
    model = model_of(config)
    found = held(shape, StepSpec(1, 64), plan(shape, None))
    assert found.parameters.total == sum(each.numel() for each in model.parameters())
    assert found.parameters.trainable == found.parameters.total
    assert found.weights == size_of([*model.parameters(), *model.buffers()])
    assert found.gradients == size_of(model.parameters())


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "targets",
    [
        "all-linear",
        ("q_proj", "o_proj"),
        ("layers.1.self_attn.o_proj", "dense"),
        r"(.*\.)?layers\.[02]\..*(dense|o_proj|down_proj)",
        ("gate_proj", "up_proj", "down_proj", "o_proj", "fc2", "w1", "w2", "w3"),
    ],
)
def test_adapters_are_those_that_peft_makes(family: str, targets: Any) -> None:
    import peft

    config, shape = configuration(family)
    model = model_of(config)
    given = targets if isinstance(targets, str) else list(targets)
    lora = peft.LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=given)
    adapted = peft.get_peft_model(model, lora, autocast_adapter_dtype=False)
    adapter = AdapterSpec(4, targets=targets)
    found = held(shape, StepSpec(1, 64, adapter=adapter), plan(shape, adapter))
    trained = [each for each in adapted.parameters() if each.requires_grad]
    assert found.parameters.trainable == sum(each.numel() for each in trained)
    assert found.adapter == size_of(each.float() for each in trained)


def test_dora_and_saved_modules_are_those_that_peft_makes() -> None:
    import peft

    config, shape = configuration("llama")
    lora = peft.LoraConfig(
        task_type="CAUSAL_LM", r=4, target_modules="all-linear", use_dora=True, modules_to_save=["lm_head"]
    )
    adapted = peft.get_peft_model(model_of(config), lora, autocast_adapter_dtype=False)
    adapter = AdapterSpec(4, use_dora=True, modules_to_save=("lm_head",))
    found = held(shape, StepSpec(1, 64, adapter=adapter), plan(shape, adapter))
    assert found.parameters.trainable == sum(e.numel() for e in adapted.parameters() if e.requires_grad)


@pytest.mark.parametrize("family", ["llama", "phi3", "mixtral", "qwen2_moe"])
def test_what_is_quantised_is_what_bitsandbytes_replaces(family: str) -> None:
    import torch
    import transformers

    config, shape = configuration(family)
    model = model_of(config)
    settings = transformers.BitsAndBytesConfig(load_in_4bit=True)
    quantizer = transformers.quantizers.AutoHfQuantizer.from_config(settings, pre_quantized=False)
    quantizer.preprocess_model(model=model, device_map={"": "meta"}, dtype=torch.bfloat16)
    replaced = {
        name: module.in_features * module.out_features
        for name, module in model.named_modules()
        if type(module).__name__ == "Linear4bit"
    }
    parts = plan(shape, None).layers
    ours = {
        f"model.layers.{number}.{part.name}": part.inputs * part.outputs
        for number, layer in enumerate(parts)
        for part in layer.projections
    }
    assert ours == replaced


@pytest.mark.parametrize(("rows", "columns"), [(96, 64), (50, 30), (1, 128), (1024, 513)])
@pytest.mark.parametrize("double", [True, False])
def test_four_bits_take_what_bitsandbytes_allocates(rows: int, columns: int, double: bool) -> None:
    import torch
    from bitsandbytes.functional import quantize_4bit

    packed, state = quantize_4bit(
        torch.ones(rows, columns, dtype=torch.bfloat16), quant_type="nf4", compress_statistics=double
    )
    tensors = [packed, state.absmax, state.code]
    if double:
        tensors += [state.state2.absmax, state.state2.code, state.offset]
    assert quantised_bytes(rows, columns, "nf4", double=double) == size_of(tensors)


def test_eight_bits_take_a_byte_a_weight_and_scales() -> None:
    assert quantised_bytes(1024, 1024, "int8", double=False) == 1024 * 1024 + 4 * 1024
    assert quantised_bytes(1024, 1024, "fp8", double=False) == 1024 * 1024 + 4 * 1024
