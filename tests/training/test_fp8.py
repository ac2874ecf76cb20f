"""Weights stored as 8-bit floats: how exact they are, what is trained over them, what they take."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers

from sftui.recipe import AdapterSection, ModelSection
from sftui.training.fp8 import Fp8Linear, quantised
from sftui.training.model import attach_adapter, count_parameters, quantization_config

from .conftest import MakeRecipe, events_of, largest_difference, losses_of, train_here, weights_of


def test_a_stored_weight_differs_by_a_sixteenth_of_itself_at_most() -> None:
    """Three bits of mantissa; below 2 ** -6 of the unit, the step is 2 ** -9 of it (e4m3)."""
    torch.manual_seed(0)
    weight = torch.randn(64, 128) * torch.logspace(-4, 2, 64)[:, None]
    weight[3] = 0
    codes, scale = quantised(weight)
    assert codes.dtype == torch.uint8
    assert scale.shape == (64,)
    found = codes.view(torch.float8_e4m3fn).float() * scale[:, None]
    assert torch.equal(found[3], weight[3])
    error = (found - weight).abs()
    assert (error <= torch.maximum(weight.abs() / 16, scale[:, None] * 2**-10) * (1 + 1e-6)).all()
    largest = weight.abs().amax(1)
    assert torch.allclose(found.abs().amax(1), largest)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("bias", [True, False])
def test_the_layer_multiplies_by_the_weight_it_stands_for(dtype: torch.dtype, bias: bool) -> None:
    torch.manual_seed(0)
    plain = torch.nn.Linear(32, 48, bias=bias, dtype=dtype)
    layer = Fp8Linear(32, 48, bias, dtype)
    codes, scale = quantised(plain.weight.detach())
    layer.weight, layer.scale = torch.nn.Parameter(codes, requires_grad=False), scale
    plain.weight.data = layer.dequantize()
    if bias:
        layer.bias.data.copy_(plain.bias.detach())
    one, other = (torch.ones(2, 5, 32, dtype=dtype, requires_grad=True) for _ in range(2))
    for each, model in ((one, plain), (other, layer)):
        model(each).square().sum().backward()
    assert torch.equal(plain(one), layer(other))
    assert torch.equal(one.grad, other.grad)  # type: ignore[arg-type]
    assert layer(other.float()).dtype == torch.float32


def load(folder: Path, dtype: torch.dtype) -> Any:
    section = ModelSection(name_or_path=str(folder), quantization="fp8")
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, quantization_config=quantization_config(section), device_map={"": "cpu"}
    )


def layers_of(model: Any) -> dict[str, Fp8Linear]:
    return {name: each for name, each in model.named_modules() if isinstance(each, Fp8Linear)}


def test_linear_layers_but_the_head_are_stored_so_while_they_are_loaded(tiny_model: Path) -> None:
    model = load(tiny_model, torch.bfloat16)
    plain = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    layers = layers_of(model)
    assert len(layers) == 2 * 7
    assert not any("lm_head" in name or "embed" in name for name in layers)
    for name, layer in layers.items():
        codes, scale = quantised(plain.get_submodule(name).weight)
        assert torch.equal(layer.weight, codes), name
        assert torch.equal(layer.scale, scale), name
        assert not layer.weight.requires_grad
    assert count_parameters(model)[0] == count_parameters(plain)[0]


@pytest.mark.parametrize("adapter", ["bfloat16", "float32"])
@pytest.mark.parametrize("dora", [False, True])
def test_adapters_have_the_gradients_that_they_have_over_the_weights_held_in_bfloat16(
    tiny_model: Path, adapter: Any, dora: bool
) -> None:
    stored = load(tiny_model, torch.bfloat16)
    held = transformers.AutoModelForCausalLM.from_pretrained(tiny_model, dtype=torch.bfloat16)
    for name, layer in layers_of(stored).items():
        held.get_submodule(name).weight.data = layer.dequantize()
    section = AdapterSection(r=4, dtype=adapter, use_dora=dora)
    models = [attach_adapter(model, section) for model in (held, stored)]
    trained = [
        {name: each for name, each in model.named_parameters() if each.requires_grad} for model in models
    ]
    assert trained[0].keys() == trained[1].keys()
    found = []
    for model, parameters in zip(models, trained, strict=True):
        lots = torch.Generator().manual_seed(0)
        for name, each in parameters.items():
            # Magnitudes too: PEFT makes them of factors in the base's type.
            first = trained[0][name].data
            each.data = first if "magnitude" in name else first.normal_(std=0.1, generator=lots).clone()
        ids = torch.arange(40).reshape(2, 20)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=adapter == "float32"):
            loss = model(input_ids=ids, labels=ids).loss
        loss.backward()
        found.append(loss.detach())
    assert torch.equal(*found)
    for name, each in trained[0].items():
        assert each.grad is not None
        assert torch.equal(each.grad, trained[1][name].grad), name  # type: ignore[arg-type]


def test_nothing_of_a_weight_is_kept_for_the_backward_pass() -> None:
    layer = Fp8Linear(32, 48, False, torch.float32)
    codes, scale = quantised(torch.randn(48, 32))
    layer.weight, layer.scale = torch.nn.Parameter(codes, requires_grad=False), scale
    kept: list[Any] = []
    with torch.autograd.graph.saved_tensors_hooks(kept.append, lambda each: each):
        output = layer(torch.ones(4, 32, requires_grad=True))
    assert kept == []
    assert output.requires_grad


def test_a_run_over_such_weights_trains_evaluates_and_saves_its_adapter_alone(
    make_recipe: MakeRecipe, rows: Path
) -> None:
    run = train_here(make_recipe("model.quantization=fp8", f"data.eval=[{{path: {rows}, limit: 3}}]"))
    assert events_of(run, "warning") == []
    weights = weights_of(run.adapter)
    assert all("lora_" in name for name in weights)
    assert all(value.any() for name, value in weights.items() if "lora_B" in name)
    evaluations = [event["loss"] for event in events_of(run, "eval")]
    assert evaluations[-1] < evaluations[0]
    assert (
        largest_difference(weights, weights_of(train_here(make_recipe("model.quantization=fp8")).adapter))
        == 0
    )


def test_such_a_run_is_resumed_from_its_checkpoint(make_recipe: MakeRecipe) -> None:
    saving = ("model.quantization=fp8", "training.save_strategy=steps", "training.save_steps=3")
    run = train_here(make_recipe(*saving))
    whole, losses = weights_of(run.adapter), losses_of(run)
    shutil.rmtree(run.checkpoint(6))
    shutil.rmtree(run.adapter)
    train_here(make_recipe(*saving), run)
    assert len(events_of(run, "resume")) == 1
    assert losses_of(run) == losses
    assert largest_difference(weights_of(run.adapter), whole) == 0
