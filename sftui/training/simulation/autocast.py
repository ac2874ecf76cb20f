"""Autocast for meta tensors, which torch's own leaves alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F  # noqa: N812
from torch.overrides import TorchFunctionMode

META = "meta"
_CUDA = ("cuda", META)


def _named(*names: str) -> set[Any]:
    places = (torch, torch.Tensor, F, torch._C._nn)
    return {getattr(place, name) for place in places for name in names if hasattr(place, name)}


# aten/src/ATen/autocast_mode.h: AT_FORALL_LOWER_PRECISION_FP, AT_FORALL_FP32 and _FP32_SET_OPT_DTYPE, as far
# as decoders use them.
_LOWER = _named(
    "linear", "matmul", "__matmul__", "__rmatmul__", "mm", "bmm", "mv", "addmm", "addbmm", "baddbmm",
    "einsum", "conv1d", "conv2d", "conv3d", "chain_matmul", "prelu",
)  # fmt: skip
_FLOAT32 = _named(
    "exp", "expm1", "log", "log10", "log2", "log1p", "reciprocal", "rsqrt", "pow", "__pow__", "__rpow__",
    "softplus", "layer_norm", "group_norm", "logsumexp", "cosine_similarity", "nll_loss", "mse_loss", "dist",
    "softmax", "log_softmax", "cumsum", "cumprod",
)  # fmt: skip
# Of _FP32_SET_OPT_DTYPE: CUDA kernels that read half types and add up in float32, without a copy. Softmax and
# cumulative sums cast their input themselves, as do those above (SoftMax.cpp, ReduceOps.cpp).
_IN_FLOAT32 = _named("sum", "prod", "norm")


class MetaAutocast(TorchFunctionMode):
    """Casts the arguments of functions by the rules of CUDA autocast, and keeps copies of weights as it does.

    `enabled` and `dtype` are its state; copies of float32 leaves live until the outermost region ends, and
    `released` is called then.
    """

    def __init__(self) -> None:
        super().__init__()
        self.enabled = False
        self.dtype = torch.float16
        self.released: Callable[[], None] = lambda: None
        self._nested = 0
        self._copies: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}

    @contextmanager
    def region(
        self, device_type: str = META, dtype: torch.dtype | None = None, enabled: bool = True, **_: Any
    ) -> Iterator[None]:
        """What `torch.autocast` is."""
        before = self.enabled, self.dtype
        self.enabled, self.dtype = enabled, dtype or self.dtype
        self._nested += 1
        try:
            yield
        finally:
            self.enabled, self.dtype = before
            self._nested -= 1
            if not self._nested:
                self._copies.clear()
                self.released()

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Run the function on what autocast makes of its arguments."""
        kwargs = kwargs or {}
        if self.enabled and func in _IN_FLOAT32:
            if kwargs.get("dtype") is None and _eligible(args[0]):
                kwargs = kwargs | {"dtype": torch.float32}
        elif self.enabled and (func in _LOWER or func in _FLOAT32):
            if func in _LOWER:
                cast: Callable[[Any], Any] = self._lower
            elif kwargs.get("dtype") is not None:
                return func(*args, **kwargs)
            else:
                cast = _float32
            args = tuple(map(cast, args))
            kwargs = {name: cast(value) for name, value in kwargs.items()}
        return func(*args, **kwargs)

    def _lower(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return type(value)(map(self._lower, value))
        if not _eligible(value) or value.dtype == self.dtype:
            return value
        if value.dtype != torch.float32 or not (value.requires_grad and value.is_leaf) or value._is_view():
            return value.to(self.dtype)
        kept = self._copies.get(id(value))
        if kept is None:
            kept = self._copies[id(value)] = (value, value.to(self.dtype))
        return kept[1]


def _eligible(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.device.type == META
        and value.is_floating_point()
        and value.dtype != torch.float64
    )


def _float32(value: Any) -> Any:
    return value.float() if _eligible(value) and value.dtype != torch.float32 else value


@contextmanager
def meta_autocast(*, used: bool) -> Iterator[MetaAutocast]:
    """Within, `torch.autocast` and what asks about it know the meta device, and take it for the CUDA one.

    Functions are watched only where it is `used`: that takes time.
    """
    mode = MetaAutocast()
    is_enabled, dtype_of = torch.is_autocast_enabled, torch.get_autocast_dtype
    available, real = torch.amp.is_autocast_available, torch.autocast

    def autocast(device_type: str, *args: Any, **kwargs: Any) -> AbstractContextManager[Any]:
        return (
            mode.region(device_type, *args, **kwargs)
            if device_type in _CUDA
            else real(device_type, *args, **kwargs)
        )

    with ExitStack() as stack:

        def put(place: Any, name: str, value: Any) -> None:
            stack.enter_context(mock.patch.object(place, name, value))

        put(torch, "autocast", autocast)
        put(torch.amp, "autocast", autocast)
        put(torch.amp, "is_autocast_available", lambda kind: kind in _CUDA or available(kind))
        put(
            torch,
            "is_autocast_enabled",
            lambda kind="cuda": mode.enabled if kind in _CUDA else is_enabled(kind),
        )
        put(torch, "get_autocast_dtype", lambda kind: mode.dtype if kind in _CUDA else dtype_of(kind))
        if used:
            stack.enter_context(mode)
        yield mode


def prepare(model: torch.nn.Module, dtype: torch.dtype, mode: MetaAutocast) -> None:
    """Let the model compute under autocast, as accelerate prepares it: its outputs come back as float32.

    Rotary positions are computed outside of it: transformers switches it off for them, but not on meta.
    """
    from accelerate.utils import convert_outputs_to_fp32

    inner = model.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        with mode.region(dtype=dtype):
            return inner(*args, **kwargs)

    model.forward = convert_outputs_to_fp32(forward)
    for module in model.modules():
        if type(module).__name__.endswith("RotaryEmbedding"):
            _without(module, mode)


def _without(module: torch.nn.Module, mode: MetaAutocast) -> None:
    inner = module.forward

    def forward(*args: Any, **kwargs: Any) -> Any:
        with mode.region(enabled=False) if mode.enabled else nullcontext():
            return inner(*args, **kwargs)

    module.forward = forward
