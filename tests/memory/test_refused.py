"""What ends a run however much memory there is."""

from __future__ import annotations

from typing import Any

import pytest

from sftui.errors import InputError
from sftui.known_models import known_model
from sftui.memory.answer import answer
from sftui.memory.device import Device
from sftui.memory.refused import refusals
from sftui.memory.shape import ModelShape
from sftui.memory.step import AdapterSpec
from tests.memory.test_notes import recipe_of

OLD = Device("GPU", 2**34, capability=(7, 5))


@pytest.fixture(scope="module")
def shape() -> ModelShape:
    known = known_model("Qwen/Qwen3-0.6B")
    assert known is not None
    return known.shape


@pytest.mark.parametrize(
    ("targets", "said"),
    [
        ("nothing", "matches no module that LoRA can adapt"),
        (("nothing", "q_prj"), "matches no module that LoRA can adapt"),
        (".*(", "no regular expression"),
    ],
    ids=str,
)
def test_an_adapter_that_finds_nothing_has_no_answer(shape: ModelShape, targets: Any, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        answer(recipe_of("nf4", AdapterSpec(8, targets=targets)), shape, None)
    assert caught.value.key == "adapter.target_modules"


@pytest.mark.parametrize(
    "targets", ["all-linear", r".*\.q_proj", ("q_proj", "nothing"), ("lm_head",)], ids=str
)
def test_an_adapter_that_finds_something_has_one(shape: ModelShape, targets: Any) -> None:
    assert answer(recipe_of("nf4", AdapterSpec(8, targets=targets)), shape, None).estimate.peak_bytes


def test_a_head_in_another_type_than_a_float32_model_is_refused(shape: ModelShape) -> None:
    mixed = AdapterSpec(8, dtype="bfloat16", modules_to_save=("lm_head",))
    (line,) = refusals(recipe_of("none", mixed, "float32"), shape, None)
    assert "lm_head" in line and "adapter.dtype=float32" in line
    assert refusals(recipe_of("none", mixed, "float32"), None, None) == [line]
    assert refusals(recipe_of("none", mixed, "bfloat16"), shape, None) == []
    kept = AdapterSpec(8, dtype="bfloat16", modules_to_save=("embed_tokens",))
    assert refusals(recipe_of("none", kept, "float32"), shape, None) == []


def test_flash_attention_needs_half_types_and_ampere(shape: ModelShape) -> None:
    def said(dtype: Any, device: Device | None, attention: str) -> list[str]:
        recipe = recipe_of("none", AdapterSpec(8), dtype, attn_implementation=attention)
        return refusals(recipe, shape, device)

    (line,) = said("float32", None, "flash_attention_2")
    assert "float32" in line
    (line,) = said("float16", OLD, "flash_attention_2")
    assert "Ampere" in line
    assert said("float32", OLD, "sdpa") == said("bfloat16", None, "flash_attention_2") == []
