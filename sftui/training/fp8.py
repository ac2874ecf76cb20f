"""Frozen weights as 8-bit floats (e4m3, Micikevicius et al. 2022): a byte a weight, a float32 scale a row.

They become the model's type again for each multiplication, forward and backward; no copy is kept. Weights are
quantised one by one while transformers loads them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from transformers.core_model_loading import ConversionOps
from transformers.quantizers import HfQuantizer, register_quantization_config, register_quantizer
from transformers.quantizers.quantizers_utils import get_module_from_name, should_convert_module
from transformers.utils.quantization_config import QuantizationConfigMixin

NAME = "sftui-fp8"
KIND = torch.float8_e4m3fn
_LARGEST = torch.finfo(KIND).max


def quantised(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(codes, scales) of a weight (rows, columns): uint8 of its shape, float32 (rows).

    The scale is what makes the largest of a row 448, the largest there is in 8 bits.
    """
    largest = torch.maximum(weight.amax(1), -weight.amin(1)).float()
    scale = (largest / _LARGEST).clamp_min(torch.finfo(torch.float32).tiny)
    return (weight / scale[:, None]).to(KIND).view(torch.uint8), scale


class Fp8Linear(torch.nn.Linear):
    """A linear layer whose weight is stored in 8 bits; `dtype` is what it computes in.

    The weight is uint8 to others: PEFT makes adapters of the type of a floating-point base.
    """

    scale: torch.Tensor

    def __init__(self, inputs: int, outputs: int, bias: bool, dtype: torch.dtype) -> None:
        super().__init__(inputs, outputs, bias, dtype=dtype)
        self.dtype = dtype
        self.register_buffer("scale", torch.empty(outputs, dtype=torch.float32))
        self.requires_grad_(False)

    @property
    def W_q(self) -> torch.Tensor:  # noqa: N802
        """By this name PEFT knows layers that have `dequantize`, as DoRA needs it."""
        return self.weight

    def dequantize(self) -> torch.Tensor:
        """The weight in the type that the layer computes in."""
        return self.weight.view(KIND).to(self.dtype).mul_(self.scale[:, None])

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """As of `torch.nn.Linear`, whatever type the input has."""
        output: torch.Tensor = _Product.apply(input.to(self.dtype), self)  # type: ignore[no-untyped-call]
        return output.to(input.dtype)


class _Product(torch.autograd.Function):
    """input @ weight.T + bias, which keeps nothing."""

    @staticmethod
    def forward(ctx: Any, input: torch.Tensor, layer: Fp8Linear) -> torch.Tensor:
        ctx.layer = layer
        return F.linear(input, layer.dequantize(), layer.bias)

    @staticmethod
    def backward(ctx: Any, *outer: torch.Tensor) -> tuple[torch.Tensor, None]:
        return outer[0] @ ctx.layer.dequantize(), None


@register_quantization_config(NAME)
class Fp8Config(QuantizationConfigMixin):
    """What transformers is told to quantise by."""

    def __init__(self, **_: Any) -> None:
        self.quant_method = NAME


class _Quantise(ConversionOps):
    def convert(self, input_dict: dict[str, Any], *, model: Any = None, **_: Any) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = {}
        for name, given in input_dict.items():
            codes, scale = quantised(given[0] if isinstance(given, list) else given)
            found[name] = torch.nn.Parameter(codes, requires_grad=False)
            found[name.removesuffix("weight") + "scale"] = scale
        return found


@register_quantizer(NAME)
class Fp8Quantizer(HfQuantizer):
    """Makes linear layers but the output head `Fp8Linear`."""

    def _process_model_before_weight_loading(self, model: Any, **_: Any) -> None:
        kept = self.get_modules_to_not_convert(model, None, model._keep_in_fp32_modules)
        for name, module in list(model.named_modules()):
            if type(module) is not torch.nn.Linear or not should_convert_module(name, kept):
                continue
            with torch.device("meta"):
                made = Fp8Linear(
                    module.in_features, module.out_features, module.bias is not None, module.weight.dtype
                )
            model.set_submodule(name, made)

    def param_needs_quantization(self, model: Any, param_name: str, **_: Any) -> bool:
        """Whether this is the weight of such a layer."""
        module, name = get_module_from_name(model, param_name)
        return isinstance(module, Fp8Linear) and name == "weight"

    def param_element_size(self, model: Any, param_name: str, param: torch.Tensor) -> float:
        """Bytes, once it is loaded."""
        return 1 if self.param_needs_quantization(model, param_name) else float(param.element_size())

    def get_quantize_ops(self) -> ConversionOps:
        """What makes stored tensors of a weight."""
        return _Quantise()

    def is_serializable(self) -> bool:
        """The base is not saved: its quantised weights are made anew at each load."""
        return False

    @property
    def is_trainable(self) -> bool:
        """With an adapter."""
        return True
