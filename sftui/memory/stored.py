"""Checkpoints whose weights are stored quantised: which of them a recipe can train, and why not the others.

transformers loads such weights as they are stored, whatever the recipe says
(`AutoHfQuantizer.merge_quantization_configs`): a recipe must say the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sftui.errors import InputError, shorten
from sftui.recipe import ModelSection

_KEY = "quantization_config"
_PLAIN = "a checkpoint whose weights are not quantised"


def stored_values(config: Mapping[str, Any]) -> dict[str, Any] | None:
    """What a recipe must say of a model with this config.json, by dotted key; nothing where its weights are
    not quantised, None where they are stored in no way that can be trained here.

    Raises InputError where the settings are none. Missing ones are those of `BitsAndBytesConfig`.
    """
    settings = config.get(_KEY)
    if settings is None:
        return {}
    if not isinstance(settings, Mapping):
        raise InputError(f"found {shorten(settings)}, expected settings in braces", key=_KEY)
    four, eight = settings.get("load_in_4bit") is True, settings.get("load_in_8bit") is True
    if settings.get("quant_method", "bitsandbytes") != "bitsandbytes" or four == eight:
        return None
    if eight:
        return {"model.quantization": "int8"}
    dtype = str(settings.get("bnb_4bit_compute_dtype") or "float32").removeprefix("torch.")
    kind = settings.get("bnb_4bit_quant_type", "fp4")
    if kind not in ("nf4", "fp4") or dtype not in ("bfloat16", "float16", "float32"):
        return None
    double = settings.get("bnb_4bit_use_double_quant") is True
    return {"model.quantization": kind, "model.double_quant": double, "model.dtype": dtype}


def refusal_of_stored(config: Mapping[str, Any], section: ModelSection) -> InputError | None:
    """Why a recipe's model section does not suit weights as they are stored; None where it does."""
    try:
        wanted = stored_values(config)
    except InputError as error:
        return error
    if wanted is None:
        settings = config[_KEY]
        method = settings.get("quant_method") or "a way that is not named"
        return InputError(
            f"its weights are stored quantised ({method}), which cannot be trained here",
            key="model.name_or_path",
            hint=f"expected {_PLAIN}: model.quantization quantises it while it is loaded",
        )
    said = {key: getattr(section, key.removeprefix("model.")) for key in wanted}
    values = {key: value for key, value in said.items() if value != wanted[key]}
    if not values:
        return None
    return InputError(
        f"its weights are stored quantised ({_said(wanted)}), and the recipe says {_said(values)}",
        key="model.quantization",
        hint=f"expected what is stored, or {_PLAIN}",
    )


def require_as_stored(config: Mapping[str, Any], section: ModelSection) -> None:
    """Raise `refusal_of_stored`, if any."""
    error = refusal_of_stored(config, section)
    if error is not None:
        raise error


def _said(values: Mapping[str, Any]) -> str:
    """`quantization: nf4, double_quant: true, dtype: bfloat16`."""
    return ", ".join(
        f"{key.removeprefix('model.')}: {str(value).lower() if isinstance(value, bool) else value}"
        for key, value in values.items()
    )
