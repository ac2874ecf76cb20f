"""What a model and its optimizer hold on a device, tensor by tensor."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import torch

from sftui.memory.optimizer import optimizer_bytes
from sftui.memory.weights import Trained
from sftui.recipe import Optimizer
from sftui.training.simulation.counting import rounded


def bytes_of(tensors: Iterable[torch.Tensor], where: torch.device) -> int:
    """Bytes of their storages on this device, each once and rounded up as the allocator does."""
    sizes = {
        storage._cdata: storage.nbytes()
        for storage in (each.untyped_storage() for each in tensors if each.device.type == where.type)
    }
    return sum(map(rounded, sizes.values()))


def model_bytes(model: Any, where: torch.device, *, adapted: bool) -> tuple[int, int]:
    """(weights, adapter): with an adapter, what is trained is the adapter, else it belongs to the weights."""
    adapter = [each for each in model.parameters() if each.requires_grad] if adapted else []
    whole = bytes_of(chain(weight_tensors(model), table_tensors()), where)
    of_adapter = bytes_of(adapter, where)
    return whole - of_adapter, of_adapter


def weight_tensors(model: Any) -> Iterator[torch.Tensor]:
    """Parameters and buffers, and what belongs to quantised ones: scales, tables."""
    for parameter in model.parameters():
        yield parameter
        yield from _tensors_in(vars(parameter).values())
    yield from model.buffers()
    for module in model.modules():
        state = getattr(module, "state", None)
        if type(state).__name__ == "MatmulLtState":  # of 8-bit layers that have run once
            yield from _tensors_in(vars(state).values())


def table_tensors() -> Iterator[torch.Tensor]:
    """The tables that bitsandbytes keeps for all weights."""
    functional = sys.modules.get("bitsandbytes.functional")
    return _tensors_in(getattr(functional, "name2qmap", {}).values())


def gradient_bytes(model: Any, where: torch.device) -> int:
    """Bytes of the gradients that are there."""
    return bytes_of((each.grad for each in model.parameters() if each.grad is not None), where)


def optimizer_state_bytes(optimizer: Any, where: torch.device) -> int:
    """Bytes of the optimizer's states; those in host memory are not the device's."""
    if optimizer is None:
        return 0
    return bytes_of(_tensors_in(optimizer.state.values()), where)


def states_to_come(model: Any, optimizer: Optimizer) -> int:
    """Bytes that this optimizer's states will take between steps, by the rules of the estimate."""
    embeddings = {id(module.weight) for module in model.modules() if isinstance(module, torch.nn.Embedding)}
    trained = tuple(
        _trained(each, embedding=id(each) in embeddings) for each in model.parameters() if each.requires_grad
    )
    return optimizer_bytes(optimizer, trained).states


def _trained(parameter: torch.Tensor, *, embedding: bool) -> Trained:
    *stacked, rows, columns = (1, *parameter.shape, 0) if parameter.dim() < 2 else (1, *parameter.shape)
    count = 1
    for each in stacked:
        count *= each
    return Trained(rows * count, columns, parameter.element_size(), embedding=embedding, stacked=count)


def _tensors_in(values: Iterable[Any]) -> Iterator[torch.Tensor]:
    """The tensors among these, and in dictionaries and quantisation states among these."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, dict):
            yield from _tensors_in(value.values())
        elif type(value).__name__ == "QuantState":
            yield from _tensors_in(vars(value).values())
