"""A model's classes and shapes, without any memory: whole, or with some of its layers."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import transformers
from huggingface_hub.errors import StrictDataclassError

from sftui.errors import InputError
from sftui.memory.config_file import config_file
from sftui.memory.step import StepSpec
from sftui.memory.stored import require_as_stored
from sftui.recipe import ModelSection
from sftui.training.attention import DTYPES
from sftui.training.model import quantization_config, require_causal

Layers = tuple[int, ...]

_SMALL, _LARGE = 3, 4  # periods that are simulated where the others follow from them


@dataclass(frozen=True, slots=True)
class Cut:
    """Layers to simulate in place of all: those before `start` and from `end` on are not repeated."""

    start: int
    period: int
    repeats: int
    total: int

    def layers(self, repeats: int) -> Layers:
        """Numbers of the layers of a model with so many periods."""
        head = self.start + self.period * repeats
        return (*range(head), *range(self.start + self.period * self.repeats, self.total))


def configuration(name_or_path: str, revision: str | None, trust_remote_code: bool) -> Any:
    """The configuration of a model by Hub id or directory. Raises InputError where there is none."""
    if trust_remote_code:
        where, at = name_or_path, revision
    else:
        where, at = str(config_file(name_or_path, revision).parent), None
    try:
        return transformers.AutoConfig.from_pretrained(
            where, revision=at, trust_remote_code=trust_remote_code
        )
    except (OSError, ValueError, KeyError, TypeError, StrictDataclassError) as error:
        raise InputError(reason(error), file=f"{where}/config.json", key="model.name_or_path") from error


def reason(error: Exception) -> str:
    """What a library says is wrong, in one line: of a validation that failed, what it found."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if not lines:
        return type(error).__name__
    if len(lines) > 1 and lines[0].endswith(":"):
        return lines[1].removeprefix("ValueError: ").removeprefix("TypeError: ")
    return f"nothing is known as {lines[0]}" if isinstance(error, KeyError) else lines[0]


def build(config: Any, section: ModelSection, step: StepSpec, attention: str | None) -> tuple[Any, Any]:
    """The model of a configuration on the meta device, its linear layers replaced where quantised, and the
    quantiser of transformers that did so, or None.

    Raises InputError for a model that does not continue text, and for weights stored otherwise than the
    recipe says.
    """
    config = copy.deepcopy(config)
    require_causal(config)
    require_as_stored(config.to_dict(), section)
    config._attn_implementation = attention
    dtype = DTYPES[step.weight_dtype]
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = transformers.AutoModelForCausalLM.from_config(
            config, dtype=dtype, trust_remote_code=section.trust_remote_code
        )
    model.config.use_cache = False
    settings = _quantisation(config, section)
    if settings is None:
        return model, None
    quantizer = transformers.quantizers.AutoHfQuantizer.from_config(settings, pre_quantized=False)
    with _default(dtype):  # of the weights that are quantised, and so of what they are dequantised to
        quantizer.preprocess_model(model=model, device_map={"": "meta"}, dtype=dtype)
    return model, quantizer


def _quantisation(config: Any, section: ModelSection) -> Any:
    """Settings of the checkpoint, with the modules that it leaves out, where it is stored quantised."""
    stored = getattr(config, "quantization_config", None)
    if stored is None:
        return quantization_config(section)
    settings = transformers.BitsAndBytesConfig.from_dict(stored)
    settings.bnb_4bit_quant_storage = torch.uint8  # the same bytes, and what the simulated weights are
    return settings


@contextmanager
def _default(dtype: torch.dtype) -> Iterator[None]:
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def decoder_layers(model: Any) -> torch.nn.ModuleList | None:
    """The list of decoder layers, None where there is none that can be told."""
    count = getattr(model.config.get_text_config(), "num_hidden_layers", None)
    lists = [
        (name, module)
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == count
    ]
    for name, module in lists:
        if not any(part in name for part in ("vision", "visual", "audio", "encoder")):
            return module
    return None


def cut_of(model: Any, every: int = 1, marks: tuple[frozenset[str], ...] = ()) -> Cut | None:
    """How to leave layers out, None where it would not save anything or the layers do not repeat.

    `every`: only so many-th layers are checkpointed, so that periods are multiples of it. `marks`: what else
    tells layers apart.
    """
    layers = decoder_layers(model)
    if layers is None:
        return None
    marks = marks or (frozenset(),) * len(layers)
    kinds = [(number % every, _kind(layer), marks[number]) for number, layer in enumerate(layers)]
    total = len(kinds)
    best: Cut | None = None
    for start in range(min(4, total)):
        for period in range(1, 9):
            end = start
            while end < total and kinds[end] == kinds[start + (end - start) % period]:
                end += 1
            repeats = (end - start) // period
            cut = Cut(start, period, repeats, total)
            kept = total - period * repeats
            small = 2 * kept + period * (_SMALL + _LARGE)
            if repeats > _LARGE and small < total and (best is None or small < _cost(best)):
                best = cut
    return best


def _cost(cut: Cut) -> int:
    return 2 * (cut.total - cut.period * cut.repeats) + cut.period * (_SMALL + _LARGE)


def repeats(cut: Cut) -> tuple[int, int]:
    """The two numbers of periods to simulate."""
    return _SMALL, min(_LARGE, cut.repeats)


def shortened(config: Any, layers: Layers) -> Any:
    """The configuration with these layers only."""
    config = copy.deepcopy(config)
    text = config.get_text_config()
    total = text.num_hidden_layers
    for name, value in list(vars(text).items()):
        if isinstance(value, list | tuple) and len(value) == total:
            setattr(text, name, type(value)(value[number] for number in layers))
    text.num_hidden_layers = len(layers)
    return config


def _kind(layer: torch.nn.Module) -> tuple[Any, ...]:
    """What a layer's memory follows from: its classes, shapes and the settings that differ between layers."""
    parts: list[Any] = []
    for name, module in layer.named_modules():
        settings = tuple(
            (key, value)
            for key, value in sorted(vars(module).items())
            if key in ("attention_type", "layer_type", "sliding_window", "is_sliding", "use_rope", "is_local")
            and isinstance(value, str | int | bool | None)
        )
        shapes = tuple(
            (key, tuple(value.shape)) for key, value in module._parameters.items() if value is not None
        )
        parts.append((name, type(module), settings, shapes))
    return tuple(parts)


def same_layers(model: Any, whole: Any, layers: Layers) -> bool:
    """Whether a shortened model has the layers of the whole one that it is meant to have."""
    mine, all_of_them = decoder_layers(model), decoder_layers(whole)
    if mine is None or all_of_them is None or len(mine) != len(layers):
        return False
    return all(_kind(mine[at]) == _kind(all_of_them[number]) for at, number in enumerate(layers))
