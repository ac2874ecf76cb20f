"""Checkpoints that are stored quantised: trained as they are, or refused with what to do."""

from __future__ import annotations

from typing import Any

import pytest

from sftui.errors import InputError
from sftui.memory.stored import refusal_of_stored, require_as_stored, stored_values
from sftui.recipe import ModelSection

NF4 = {
    "quant_method": "bitsandbytes",
    "load_in_4bit": True,
    "load_in_8bit": False,
    "bnb_4bit_quant_type": "nf4",
    "bnb_4bit_use_double_quant": True,
    "bnb_4bit_compute_dtype": "bfloat16",
}


def config(settings: object) -> dict[str, Any]:
    return {"model_type": "llama", "quantization_config": settings}


def section(**settings: Any) -> ModelSection:
    return ModelSection.model_validate({"name_or_path": "owner/model"} | settings)


@pytest.mark.parametrize(
    ("settings", "fitting"),
    [
        (None, {"quantization": "none"}),
        (None, {"quantization": "nf4"}),
        (NF4, {"quantization": "nf4"}),
        (
            NF4 | {"bnb_4bit_quant_type": "fp4", "bnb_4bit_use_double_quant": False},
            {"quantization": "fp4", "double_quant": False},
        ),
        (NF4 | {"bnb_4bit_compute_dtype": "float16"}, {"quantization": "nf4", "dtype": "float16"}),
        ({"load_in_8bit": True}, {"quantization": "int8"}),
    ],
)
def test_what_is_stored_as_the_recipe_says_is_taken(settings: object, fitting: dict[str, Any]) -> None:
    assert refusal_of_stored(config(settings), section(**fitting)) is None
    require_as_stored({"model_type": "llama"}, section(**fitting))


@pytest.mark.parametrize(
    ("settings", "said", "problem"),
    [
        (NF4, {"quantization": "none"}, "says quantization: none"),
        (NF4, {"quantization": "nf4", "double_quant": False}, "says double_quant: false"),
        (NF4, {"quantization": "nf4", "dtype": "float16"}, "says dtype: float16"),
        ({"load_in_8bit": True}, {"quantization": "nf4"}, "stored quantised (quantization: int8)"),
        # What BitsAndBytesConfig takes where nothing is said.
        ({"load_in_4bit": True}, {}, "(quantization: fp4, double_quant: false, dtype: float32)"),
    ],
)
def test_a_recipe_that_says_otherwise_is_told_what_is_stored(
    settings: object, said: dict[str, Any], problem: str
) -> None:
    error = refusal_of_stored(config(settings), section(**said))
    assert error is not None and problem in error.problem and error.key == "model.quantization"
    values = stored_values(config(settings))
    assert values
    mended = section(**said | {key.removeprefix("model."): value for key, value in values.items()})
    assert refusal_of_stored(config(settings), mended) is None


@pytest.mark.parametrize(
    "settings",
    [
        {"quant_method": "compressed-tensors"},
        {"quant_method": "gptq", "bits": 4},
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
        {"quant_method": "bitsandbytes"},
        NF4 | {"bnb_4bit_quant_type": "af4"},
        {},
        {"quant_method": None},
    ],
)
@pytest.mark.parametrize("quantization", ["none", "nf4", "fp8"])
def test_other_ways_to_store_are_refused_by_name(settings: dict[str, Any], quantization: str) -> None:
    with pytest.raises(InputError) as caught:
        require_as_stored(config(settings), section(quantization=quantization))
    assert (settings.get("quant_method") or "not named") in caught.value.problem
    assert caught.value.hint is not None and "not quantised" in caught.value.hint


def test_settings_that_are_none_are_refused() -> None:
    with pytest.raises(InputError, match="expected settings in braces"):
        require_as_stored(config(3), section())
