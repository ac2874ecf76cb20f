"""Attention of packed sequences without a mask: each sequence by itself, in one call where a kernel can.

Registered with transformers as `sftui_varlen`. For input that is not packed (padded batches, generation)
it is transformers' own sdpa, masks and all.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, NamedTuple

import torch
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

NAME = "sftui_varlen"

HALF = (torch.float16, torch.bfloat16)
LARGEST_HEAD = 256  # of the flash attention kernels that torch brings

_packed: ContextVar[bool] = ContextVar("packed", default=False)


@contextmanager
def packed_input() -> Iterator[None]:
    """While the model reads packed input: no mask is made for it, the ends of its sequences are enough."""
    token = _packed.set(True)
    try:
        yield
    finally:
        _packed.reset(token)


def register() -> None:
    """Make `sftui_varlen` known to transformers."""
    AttentionInterface.register(NAME, _attention)
    AttentionMaskInterface.register(NAME, _mask)


def has_kernel(where: torch.device, dtype: torch.dtype, head_dim: int, *, windows: bool) -> bool:
    """Whether the installed torch has a kernel for all sequences at once, with sliding windows if asked."""
    kernel = _kernel()
    return (
        where.type == "cuda"
        and dtype in HALF
        and head_dim <= LARGEST_HEAD
        and head_dim % 8 == 0
        and torch.cuda.get_device_capability(where) >= (8, 0)
        and torch.backends.cuda.is_flash_attention_available()
        and kernel is not None
        and (kernel.windows or not windows)
    )


def _mask(*arguments: Any, **options: Any) -> torch.Tensor | None:
    """The mask that sdpa would get, but for packed input."""
    if _packed.get():
        return None
    mask: torch.Tensor | None = sdpa_mask(*arguments, **options)
    return mask


def _attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention; query (batch, heads, tokens, size) to (batch, tokens, heads, size).

    Packed input is one row with `cu_seq_lens_q`, where its sequences begin and the number of its tokens,
    int32. Raises ValueError for what this attention does not do.
    """
    if attention_mask is not None or cu_seq_lens_q is None:
        if attention_mask is None and _packed.get():
            raise ValueError("the model does not tell its attention where packed sequences end")
        output, _ = sdpa_attention_forward(
            module,
            query,
            key,
            value,
            attention_mask,
            dropout,
            scaling,
            sliding_window=sliding_window,
            **options,
        )
        return output, None
    for name in ("softcap", "s_aux", "position_bias"):
        if options.get(name) is not None:
            raise ValueError(f"this attention has no {name}")
    if not options.get("is_causal", getattr(module, "is_causal", True)):
        raise ValueError("this attention is causal only")
    if query.shape[0] != 1:
        raise ValueError(f"found {query.shape[0]} rows of packed sequences, expected them in one")
    where = query.device.type
    if torch.is_autocast_enabled(where):  # sdpa follows it by itself, the kernel does not
        dtype = torch.get_autocast_dtype(where)
        query, key, value = query.to(dtype), key.to(dtype), value.to(dtype)
    longest = max_length_q or int(cu_seq_lens_q.diff().max())
    window = None if sliding_window is None or sliding_window >= longest else sliding_window
    fits = not dropout and key.shape[-1] >= value.shape[-1]
    if fits and has_kernel(query.device, query.dtype, query.shape[-1], windows=window is not None):
        return _at_once(query, key, value, cu_seq_lens_q, longest, scaling, window), None
    return _one_by_one(query, key, value, cu_seq_lens_q.diff().tolist(), dropout, scaling, window), None


class _Kernel(NamedTuple):
    """`torch.nn.attention.varlen.varlen_attn` and the options that it has in this version of torch."""

    call: Callable[..., Any]
    windows: bool
    scale: bool
    groups: bool


@cache
def _kernel() -> _Kernel | None:
    """None before torch 2.10."""
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    return _Kernel(varlen_attn, "window_size" in known, "scale" in known, "enable_gqa" in known)


def _at_once(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    ends: torch.Tensor,
    longest: int,
    scale: float | None,
    window: int | None,
) -> torch.Tensor:
    kernel = _kernel()
    assert kernel is not None
    options: dict[str, Any] = {}
    if kernel.windows:
        options["window_size"] = (-1 if window is None else window - 1, 0)
    else:
        options["is_causal"] = True
    if kernel.groups:
        options["enable_gqa"] = query.shape[1] != key.shape[1]
    if kernel.scale:
        options["scale"] = scale
    elif scale is not None:
        # The kernel divides by the root of the size of a head.
        query = query * (scale * math.sqrt(query.shape[-1]))
    size = value.shape[-1]
    if size != key.shape[-1]:
        value = torch.nn.functional.pad(value, (0, key.shape[-1] - size))
    flat = (each[0].transpose(0, 1) for each in (query, key, value))
    output: torch.Tensor = kernel.call(*flat, ends, ends, longest, longest, **options)
    return output[None, ..., :size]


def _one_by_one(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    lengths: list[int],
    dropout: float,
    scale: float | None,
    window: int | None,
) -> torch.Tensor:
    """Work that grows with the sum of the squares of the lengths, not with the square of their sum."""
    groups = query.shape[1] // key.shape[1]
    if groups > 1:
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    outputs = []
    # One split a tensor: the backward of as many slices would fill a tensor of full size for each.
    parts = (torch.split(each, lengths, dim=2) for each in (query, key, value))
    for q, k, v in zip(*parts, strict=True):
        mask = None
        if window is not None and q.shape[2] > window:
            mask = _band(q.shape[2], window, q.device)
        outputs.append(
            torch.nn.functional.scaled_dot_product_attention(
                q, k, v, attn_mask=mask, dropout_p=dropout, is_causal=mask is None, scale=scale
            )
        )
    return torch.cat(outputs, dim=2).transpose(1, 2).contiguous()


def _band(length: int, window: int, device: torch.device) -> torch.Tensor:
    """(length, length), True where a token sees another: itself and the `window` - 1 before it."""
    place = torch.arange(length, device=device)
    ahead = place[:, None] - place[None, :]
    return (ahead >= 0) & (ahead < window)
