"""Weights come to the device: what transformers 5 allocates while it loads them."""

from __future__ import annotations

import re
from typing import Any

import torch

from sftui.training.fp8 import Fp8Linear
from sftui.training.simulation.counting import LiveBytes, Window, rounded
from sftui.training.simulation.skeleton import decoder_layers

HELD: Window = ("load", "held")  # all weights, and nothing that loading takes beside them


def load(model: Any, quantizer: Any, counter: LiveBytes) -> None:
    """Give a model on the meta device its weights, one after the other, and count them.

    transformers 5 first allocates all the bytes that it expects, in one piece, and frees them
    (`warm_up_bytes`). Then, in the order of the names (`convert_and_load_state_dict_in_model`), each
    weight is put on the device, quantised there where it is to be, and what it was made of is freed. Experts
    that a checkpoint holds apart are all there when they are stacked, and gate and up projections
    once more when they are joined. Without quantisation four threads read ahead: all weights of the model and
    the copies of one layer's experts are the most there can be.
    """
    with counter.making("weights"):
        layers = _layer_numbers(model)
        for name, parameter in sorted(model.named_parameters(), key=lambda found: _natural(found[0])):
            counter.enter(("load", layers.get(id(parameter), "weights")))
            _materialise(model, quantizer, name, parameter)
        for name, buffer in list(model.named_buffers()):
            module, key = _place(model, name)
            module._buffers[key] = torch.empty_like(buffer, device="meta")
        if quantizer is not None:
            quantizer.postprocess_model(model)
        counter.enter(HELD)


def _layer_numbers(model: Any) -> dict[int, int]:
    """The number of the layer that a parameter is in, by the parameter's id."""
    layers = decoder_layers(model) or ()
    return {id(each): number for number, layer in enumerate(layers) for each in layer.parameters()}


def expert_copies(model: Any) -> int:
    """Bytes of the copies that loading makes of one layer's experts, 0 without any.

    They are stacked, and gate and up projections, stacked each, are joined.
    """
    largest = 0
    for module in model.modules():
        weights = [
            parameter
            for parameter in module._parameters.values()
            if parameter is not None and parameter.dim() == 3
        ]
        for weight in weights:
            size = weight.numel() * weight.element_size()
            largest = max(largest, 2 * size if len(weights) > 1 and weight is weights[0] else size)
    return rounded(largest)


def warm_up_bytes(model: Any, quantizer: Any) -> int:
    """What `caching_allocator_warmup` of transformers allocates and frees before any weight is there."""
    total = 0.0
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        known = quantizer is not None
        total += tensor.numel() * (
            quantizer.param_element_size(model, name, tensor) if known else tensor.element_size()
        )
    return rounded(int(total))


def _materialise(model: Any, quantizer: Any, name: str, parameter: torch.nn.Parameter) -> None:
    value = torch.empty_like(parameter, device="meta")
    if quantizer is None or not quantizer.param_needs_quantization(model, name):
        parameter.data = value
        return
    import bitsandbytes

    module, key = _place(model, name)
    if isinstance(module, Fp8Linear):
        for made, tensor in quantizer.get_quantize_ops().convert({name: value}).items():
            setattr(*_place(model, made), tensor)
        return
    kind: Any = type(parameter)
    if kind is bitsandbytes.nn.Params4bit:
        quantised = kind(value, requires_grad=False, **parameter.__dict__)._quantize(torch.device("meta"))
    else:
        settings = {key: each for key, each in parameter.__dict__.items() if key != "SCB"}
        quantised = kind(value, requires_grad=False, **settings)._quantize(torch.device("meta"))
    module._parameters[key] = quantised


def _place(model: Any, name: str) -> tuple[torch.nn.Module, str]:
    owner, _, key = name.rpartition(".")
    return model.get_submodule(owner), key


def _natural(name: str) -> list[tuple[int, int | str]]:
    return [(0, int(part)) if part.isdigit() else (1, part) for part in re.split(r"\.", name)]
