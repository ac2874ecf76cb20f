"""Where autograd writes in place unless a dispatch mode watches it, and then would not."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import torch
from torch.autograd.graph import _engine_run_backward
from torch.utils._python_dispatch import TorchDispatchMode

Arguments = tuple[Any, ...]

_ADD = "add.Tensor"
# Formulas that put a gradient into zeros of their own (FunctionsManual.cpp and derivatives.yaml, by
# areAnyTensorSubclassLike).
_INTO_ZEROS: dict[str, Callable[..., torch.Tensor]] = {
    "index_put.default": torch.Tensor.index_put_,
    "index_add.default": torch.Tensor.index_add_,
    "scatter_add.default": torch.Tensor.scatter_add_,
    "scatter.src": torch.Tensor.scatter_,
    "masked_scatter.default": torch.Tensor.masked_scatter_,
}


def backward(loss: torch.Tensor) -> None:
    """`loss.backward()`, but for a function mode: that is switched off within functions, and this is one."""
    engine = torch.autograd.Variable._execution_engine
    engine.run_backward(
        (loss,), (torch.ones_like(loss),), False, False, (), allow_unreachable=True, accumulate_grad=True
    )


_ENGINE = (backward.__code__, _engine_run_backward.__code__)
# What newer versions put around __torch_dispatch__.
_WRAPPERS = ("torch._compile", "torch._dynamo.eval_frame")


def in_place(name: str, args: Arguments, kwargs: dict[str, Any]) -> torch.Tensor | None:
    """The result of an operator that a mode was asked for, written into its first argument; None where
    autograd itself would not do so.

    To be called by `__torch_dispatch__` itself. Gradients that meet are added in place where the buffer of
    the engine holds the last reference to the first and it is dense (`can_accumulate_inplace`,
    input_buffer.cpp). A formula in C++ that adds two tensors of its own and holds the first alone cannot be
    told from the engine.
    """
    known = name == _ADD or name in _INTO_ZEROS
    if not known or torch.is_grad_enabled() or not _from_engine(sys._getframe(2)):
        return None
    if name in _INTO_ZEROS:
        # That of index_put itself puts zeros into a gradient that others may hold.
        node = torch._C._current_autograd_node()
        theirs = node is not None and node.name().startswith("IndexPut")
        return None if theirs else _INTO_ZEROS[name](*args, **kwargs)
    if not _alike(args[0], args[1]) or not _dense(args[0]):
        return None
    if any(map(int.__gt__, _references(args), references_of_engine())):
        return None
    found: torch.Tensor = args[0].add_(args[1], **kwargs)
    return found


def _from_engine(frame: FrameType | None) -> bool:
    """Whether the operator was asked for by the engine or one of its formulas, not by Python."""
    while frame is not None and frame.f_globals.get("__name__") in _WRAPPERS:
        frame = frame.f_back
    return frame is not None and frame.f_code in _ENGINE


def _references(args: Arguments) -> tuple[int, int, int]:
    """Numbers of references to the first argument: of the tensor, its storage and its Python object."""
    storage = args[0].untyped_storage()
    return args[0]._use_count(), torch._C._storage_Use_Count(storage._cdata), sys.getrefcount(args[0])


def _alike(tensor: torch.Tensor, other: Any) -> bool:
    """Whether the second can be a gradient of what the first is one of."""
    return isinstance(other, torch.Tensor) and tensor.shape == other.shape and tensor.dtype == other.dtype


def _dense(tensor: torch.Tensor) -> bool:
    """Whether the elements fill their storage's part in some order of the dimensions."""
    expected = 1
    for stride, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size == 1:
            continue
        if stride != expected:
            return False
        expected *= size
    return True


class _Probe(TorchDispatchMode):  # type: ignore[no-untyped-call]
    found: tuple[int, int, int] = (0, 0, 0)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Arguments = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.__name__ == _ADD:
            self.found = _references(args)
        return func(*args, **kwargs)


@functools.cache
def references_of_engine() -> tuple[int, int, int]:
    """The numbers of `_references` where the engine alone holds a gradient, by the version of torch.

    Asked for first where no operator is being dispatched: it runs a backward pass.
    """
    with torch.enable_grad():
        inputs = torch.zeros(2, requires_grad=True, device="cpu") * 1
        loss = (inputs * 2 + inputs * 3).sum()
    with (probe := _Probe()):  # type: ignore[no-untyped-call]
        backward(loss)
    return probe.found
