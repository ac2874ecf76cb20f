"""Meta tensors treated as torch would treat them on a CUDA device: kernels, dropout, optimizers, autocast."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F  # noqa: N812
from peft.tuners.lora.layer import LoraLayer, ParamWrapper
from peft.tuners.tuners_utils import BaseTunerLayer
from torch.utils import _foreach_utils

from sftui.memory.step import LARGEST_FLASH_HEAD, Kernel
from sftui.training import varlen
from sftui.training.simulation.counting import LiveBytes

META = "meta"
_ALIGNED = 16  # elements; the last dimension of a mask, for the memory-efficient kernel
_ORIGINAL = F.scaled_dot_product_attention


@contextmanager
def as_cuda(counter: LiveBytes, wanted: Kernel, *, flash: bool = True) -> Iterator[None]:
    """Within, what runs on meta tensors allocates what it would on a CUDA device.

    `flash`: it has torch's flash attention, as from capability 8.0 on.
    """
    with ExitStack() as stack:

        def put(place: Any, name: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(place, name, value))

        put(F, "scaled_dot_product_attention", _attention_of(wanted, flash=flash))
        put(F, "dropout", _dropout)
        for place in (sys.modules["torch.optim.optimizer"], _foreach_utils):
            for name in ("_get_foreach_kernels_supported_devices", "_get_fused_kernels_supported_devices"):
                put(place, name, _and_meta(getattr(place, name)))
        put(varlen, "has_kernel", _has_varlen_kernel if flash else lambda *_, **__: False)
        # PEFT makes factors in host memory, in float32.
        for owner, name in ((torch.nn.Linear, "__init__"), (LoraLayer, "reset_lora_parameters")):
            put(owner, name, _uncounted(getattr(owner, name), counter))
        for kind in (BaseTunerLayer, ParamWrapper):
            put(kind, "_move_adapter_to_device_of_base_layer", _arrival(counter))
        _put_bitsandbytes(put, counter)
        yield


def _and_meta(listed: Callable[[], list[str]]) -> Callable[[], list[str]]:
    return lambda: [*listed(), META]


def _uncounted(function: Callable[..., Any], counter: LiveBytes) -> Callable[..., Any]:
    """The same, of which nothing is on the device."""

    def run(*args: Any, **kwargs: Any) -> Any:
        with counter.paused():
            return function(*args, **kwargs)

    return run


def _arrival(counter: LiveBytes) -> Callable[..., None]:
    """An adapter comes to the device in the type of the layer that it stands beside: PEFT leaves that out for
    meta tensors.
    """

    def move(layer: Any, adapter_name: str, device: Any = None) -> None:
        base = layer.get_base_layer()
        weight = layer.get_param() if isinstance(layer, ParamWrapper) else getattr(base, "weight", None)
        dtype = getattr(base, "compute_dtype", None if weight is None else weight.dtype)  # that of 4 bits
        for name in (*layer.adapter_layer_names, *layer.other_param_names):
            parts = getattr(layer, name, None)
            if (
                not isinstance(parts, torch.nn.ModuleDict | torch.nn.ParameterDict)
                or adapter_name not in parts
            ):
                continue
            if dtype is not None and dtype.is_floating_point:
                parts[adapter_name] = parts[adapter_name].to(dtype=dtype)
            made = parts[adapter_name]
            tensors = made.parameters() if isinstance(made, torch.nn.Module) else (made,)
            counter.count(tensors, "adapter")

    return move


def _has_varlen_kernel(where: torch.device, dtype: torch.dtype, head_dim: int, *, windows: bool) -> bool:
    kernel = varlen._kernel()
    fits = dtype in varlen.HALF and head_dim <= varlen.LARGEST_HEAD and head_dim % 8 == 0
    return fits and kernel is not None and (kernel.windows or not windows)


def _put_bitsandbytes(put: Callable[[Any, str, Any], None], counter: LiveBytes) -> None:
    import bitsandbytes.functional as bnb
    from bitsandbytes.optim import optimizer

    def paged(*shape: int, dtype: torch.dtype = torch.float32, device: Any = None) -> torch.Tensor:
        """Managed memory: not torch's, and in host memory wherever the device is full."""
        with counter.paused():
            tensor = torch.empty(shape, dtype=dtype, device=META)
        counter.ignore(tensor)
        vars(tensor).update(is_paged=True, page_deviceid=0)
        return tensor

    # A table that bitsandbytes makes once in a process, on the device, is made in each simulation.
    put(bnb, "name2qmap", {})
    put(bnb, "get_paged", paged)
    put(bnb, "fill", lambda *_, **__: None)
    put(bnb, "prefetch_tensor", lambda *_, **__: None)
    if hasattr(optimizer, "sync_gpu"):
        put(optimizer, "sync_gpu", lambda _: None)
    else:
        put(torch.cuda, "synchronize", lambda *_: None)


def _dropout(
    input: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False
) -> torch.Tensor:
    """CUDA's fused dropout: keeps one byte an element."""
    if not training or p == 0.0:
        return input
    return torch.native_dropout(input, p, True)[0]


def kernel_of(
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    *,
    grouped: bool,
    wanted: Kernel,
    flash: bool = True,
) -> Kernel:
    """The kernel that scaled_dot_product_attention takes on CUDA (sdp_utils.cpp).

    Flash attention takes half types without a mask, also where `wanted` is the memory-efficient one, for
    other batches of the step have masks. That one takes no groups of heads that share keys. What is left,
    and what fits where `math` is wanted, is matrix products. `flash`: the device has flash attention.
    """
    shared = grouped and key.shape[1] != query.shape[1]
    if not flash:
        return "math" if shared else "efficient"
    fits = query.dtype in varlen.HALF and query.shape[-1] <= LARGEST_FLASH_HEAD
    if wanted in ("flash", "efficient") and fits and mask is None:
        return "flash"
    return "math" if shared or (wanted == "math" and fits) else "efficient"


def _attention_of(wanted: Kernel, *, flash: bool) -> Callable[..., torch.Tensor]:
    """`scaled_dot_product_attention` for meta tensors, (batch, heads, length, size)."""

    def attention(
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> torch.Tensor:
        if query.device.type != META:
            return _ORIGINAL(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        if torch.is_autocast_enabled(META):
            half = torch.get_autocast_dtype(META)
            query, key, value = query.to(half), key.to(half), value.to(half)
        kernel = kernel_of(query, key, attn_mask, grouped=enable_gqa, wanted=wanted, flash=flash)
        if kernel == "flash":
            size = query.shape[-1]
            scale = 1 / math.sqrt(size) if scale is None else scale
            padded = [
                F.pad(each, (0, -each.shape[-1] % 8)) if each.shape[-1] % 8 else each
                for each in (query, key, value)
            ]
            product = torch.ops.aten._scaled_dot_product_flash_attention.default
            output: torch.Tensor = product(*padded, dropout_p, is_causal, False, scale=scale)[0][
                ..., : value.shape[-1]
            ]
            return output
        if kernel == "math":
            return _ORIGINAL(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
            )
        needs = torch.is_grad_enabled() and any(each.requires_grad for each in (query, key, value))
        bias = None if attn_mask is None else _bias(attn_mask, query, key)
        efficient = torch.ops.aten._scaled_dot_product_efficient_attention.default
        found: torch.Tensor = efficient(query, key, value, bias, needs, dropout_p, is_causal, scale=scale)[0]
        return found

    return attention


def _bias(mask: torch.Tensor, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
    """A mask as the memory-efficient kernel wants it (attention.cpp): added, its last dimension aligned."""
    if mask.dtype == torch.bool:
        mask = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(mask.logical_not(), -math.inf)
    if mask.shape[-1] % _ALIGNED:
        length = mask.shape[-1]
        mask = F.pad(mask, (0, _ALIGNED - length % _ALIGNED))[..., :length]
    return mask.expand(query.shape[0], query.shape[1], query.shape[2], key.shape[2])
