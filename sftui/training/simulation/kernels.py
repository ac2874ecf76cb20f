"""What CUDA kernels take besides their outputs while they run, and operators that have no meta kernel.

Sizes in bytes, read from the sources named; checked on a GPU by tests/benchmarks/memory_gpu.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch

from sftui.memory.estimate import Component
from sftui.training.simulation.counting import Answer, Workspace, rounded

SORTED_EMBEDDING = 3072  # indices; more are sorted first (EmbeddingBackwardKernel.cu)
_ROWS_OF_A_WARP = 10
_ABSMAX_8BIT = 7  # place in the arguments of gemm_4bit, which a mode gets by place however they were given
FUSED_4BIT = 128  # rows; the fused 4-bit product of bitsandbytes is taken up to about so many (sm_80)

Arguments = tuple[Any, ...]
Options = dict[str, Any]


def _flash_backward(args: Arguments, kwargs: Options, result: Any) -> tuple[int, Component]:
    """Flash attention 2, `mha_bwd` in flash_api.cpp: query gradients summed in float32, the row sums of
    gradient times output, and gradients of keys and values for each query head where heads share them.
    """
    query, key = args[1], args[2]  # (batch, heads, length, size)
    return _flash(query.shape[0], query.shape[2], query.shape[1], query.shape[3], key), "workspace"


def _varlen_backward(args: Arguments, kwargs: Options, result: Any) -> tuple[int, Component]:
    """The same for sequences one after the other, (tokens, heads, size): each is padded to blocks of 128."""
    query, key, ends = args[1], args[2], args[6]
    tokens = query.shape[0] + 128 * (ends.shape[0] - 1)
    size = _head_rounded(query.shape[2])
    total = rounded(4 * tokens * query.shape[1]) + rounded(4 * tokens * query.shape[1] * size)
    if key.shape[1] != query.shape[1]:
        total += 2 * rounded(key.shape[0] * query.shape[1] * query.shape[2] * key.element_size())
    return total, "workspace"


def _flash(batch: int, length: int, heads: int, size: int, key: torch.Tensor) -> int:
    padded = -(-length // 128) * 128
    total = rounded(4 * batch * heads * padded)
    total += rounded(4 * batch * padded * heads * _head_rounded(size))
    if key.shape[1] != heads:
        total += 2 * rounded(batch * key.shape[2] * heads * size * key.element_size())
    return total


def _head_rounded(size: int) -> int:
    return -(-size // 32) * 32 if size <= 192 else 256


def _efficient_backward(args: Arguments, kwargs: Options, result: Any) -> tuple[int, Component]:
    """CUTLASS' memory-efficient attention, kernel_backward.h: for half types the query gradients are summed
    in float32, and those of keys and values too where a head is larger than a block (128).
    """
    query, key = args[1], args[2]
    batch, heads, length, size = query.shape
    total = rounded(4 * batch * heads * length)
    if query.dtype != torch.float32:
        padded = 32 * math.ceil(size / 32)
        total += rounded(4 * batch * heads * length * padded)
        if size > 128:
            total += 2 * rounded(4 * batch * heads * key.shape[2] * padded)
    return total, "workspace"


def _safe_softmax(args: Arguments, kwargs: Options, result: Any) -> tuple[int, Component]:
    """SoftMax.cpp: which scores are masked, and the softmax before rows of such alone are made zeros."""
    return rounded(result.numel()) + rounded(result.numel() * result.element_size()), "workspace"


def _embedding_backward(args: Arguments, kwargs: Options, result: Any) -> tuple[int, Component]:
    """EmbeddingBackwardKernel.cu: above 3072 indices, sums of a few rows each in float32, and six arrays
    of indices.
    """
    gradient, indices, vocabulary = args[0], args[1], args[2]
    count = indices.numel()
    if count <= SORTED_EMBEDDING:
        return 0, "workspace"
    segments = min(count, vocabulary)
    partial = count // _ROWS_OF_A_WARP + segments
    sums = rounded(4 * partial * gradient.shape[-1])
    return sums + 6 * rounded(8 * count), "workspace"


def _product_4bit(args: Arguments, kwargs: Options, result: Any) -> tuple[int, Component]:
    """backends/cuda/ops.py of bitsandbytes: many rows are multiplied by a dequantised copy of the weight."""
    inputs, shape = args[0], args[2]
    size = math.prod(shape)
    if inputs.numel() // inputs.shape[-1] <= FUSED_4BIT:
        return 0, "dequantization"
    total = rounded(size * inputs.element_size())
    scales = args[_ABSMAX_8BIT] if len(args) > _ABSMAX_8BIT else kwargs.get("absmax_8bit")
    if scales is not None:
        # Dequantised, then shifted into a second tensor.
        total += 2 * rounded(4 * scales.numel())
    return total, "dequantization"


def _int8_rows_copies(args: Arguments, kwargs: Options, result: Any) -> tuple[int, Component]:
    """backends/cuda/ops.py of bitsandbytes: outliers are looked for in a copy of absolute values."""
    if result[2] is None:
        return 0, "workspace"
    count = args[0].numel()
    return rounded(args[0].element_size() * count) + rounded(count), "workspace"


def _int8_product(args: Arguments, kwargs: Options, result: Any) -> tuple[int, Component]:
    """The same: int32 products and their float16 values, before those of the type that is wanted."""
    output = result[0] if isinstance(result, tuple) else result
    total = rounded(4 * output.numel())
    if output.dtype != torch.float16:
        total += rounded(2 * output.numel())
    return total, "workspace"


WORKSPACES: dict[str, Workspace] = {
    "_scaled_dot_product_flash_attention_backward.default": _flash_backward,
    "_flash_attention_backward.default": _varlen_backward,
    "_varlen_attn_backward.default": _varlen_backward,
    "_scaled_dot_product_efficient_attention_backward.default": _efficient_backward,
    "_safe_softmax.default": _safe_softmax,
    "embedding_dense_backward.default": _embedding_backward,
    "gemm_4bit.default": _product_4bit,
    "int8_vectorwise_quant.default": _int8_rows_copies,
    "int8_scaled_mm.default": _int8_product,
    "int8_mixed_scaled_mm.default": _int8_product,
}


def _nothing(args: Arguments, kwargs: Options) -> None:
    """An update in place."""


def _true_places(args: Arguments, kwargs: Options) -> torch.Tensor:
    """Where something is true, (number, dimensions): everywhere, the most there can be."""
    inputs = args[0]
    return torch.empty(inputs.numel(), inputs.dim(), dtype=torch.int64, device=inputs.device)


def _norms(args: Arguments, kwargs: Options) -> list[torch.Tensor]:
    """CUDA's `_foreach_norm` returns views of one tensor."""
    tensors = args[0]
    if not tensors:
        return []
    kind = kwargs.get("dtype") or tensors[0].dtype
    return list(torch.empty(len(tensors), dtype=kind, device=tensors[0].device).unbind())


def _int8_rows(args: Arguments, kwargs: Options) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
    """Quantised rows as bitsandbytes makes them of a tensor without outliers."""
    inputs = args[0]
    threshold = args[1] if len(args) > 1 else kwargs.get("threshold", 0.0)
    where = inputs.device
    rows = torch.empty(inputs.shape, dtype=torch.int8, device=where)
    scales = torch.empty(inputs.numel() // inputs.shape[-1], dtype=torch.float32, device=where)
    return rows, scales, torch.empty(0, dtype=torch.int64, device=where) if threshold else None


def _int8_mixed_product(args: Arguments, kwargs: Options) -> tuple[torch.Tensor, torch.Tensor]:
    """The product of such rows, and the outliers' part of the inputs: none."""
    inputs, weight = args[0], args[2]
    output = torch.empty(inputs.shape[0], weight.shape[0], dtype=inputs.dtype, device=inputs.device)
    return output, torch.empty(0, dtype=inputs.dtype, device=inputs.device)


ANSWERS: dict[str, Answer] = {
    "_fused_adamw_.default": _nothing,
    "_fused_adam_.default": _nothing,
    "_fused_sgd_.default": _nothing,
    "optimizer_update_32bit.default": _nothing,
    "optimizer_update_8bit.default": _nothing,
    "optimizer_update_8bit_blockwise.default": _nothing,
    "_foreach_norm.Scalar": _norms,
    "nonzero.default": _true_places,
    "int8_vectorwise_quant.default": _int8_rows,
    "int8_mixed_scaled_mm.default": _int8_mixed_product,
}


def answers(whole: Callable[[], bool]) -> dict[str, Answer]:
    """`ANSWERS`, and what is read off a tensor that has no values: 1 for a number, `whole` for a truth.

    The truths that transformers asks for are whether a mask masks nothing and whether a row is one sequence.
    """

    def scalar(args: Arguments, kwargs: Options) -> bool | int | float:
        kind = args[0].dtype
        if kind == torch.bool:
            return whole()
        return 1.0 if kind.is_floating_point else 1

    return ANSWERS | {"_local_scalar_dense.default": scalar}
