"""The trainer refuses by the rules that a recipe is checked by, with what torch says of the device."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sftui.errors import InputError
from sftui.recipe import Recipe
from sftui.recipe_file import parse_recipe
from sftui.training.model import check_device

FLASH = "model.attn_implementation=flash_attention_2"


def recipe(*overrides: str) -> Recipe:
    return parse_recipe("{model: {name_or_path: m}, data: {train: r.jsonl}}", overrides, base=Path("/"))


def cuda(monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int]) -> torch.device:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: capability >= (8, 0))
    return torch.device("cuda", 0)


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("model.dtype=float16", "model.dtype"),
        (FLASH, "model.attn_implementation"),
        ("model.attn_implementation=flex_attention", "model.attn_implementation"),
    ],
)
def test_the_cpu_refuses_what_needs_a_gpu(override: str, key: str) -> None:
    check_device(recipe(), torch.device("cpu"))
    with pytest.raises(InputError) as caught:
        check_device(recipe(override), torch.device("cpu"))
    assert caught.value.key == key


@pytest.mark.parametrize("overrides", [(), ("model.dtype=float16", FLASH)])
def test_an_old_gpu_refuses_what_a_newer_one_does(
    monkeypatch: pytest.MonkeyPatch, overrides: tuple[str, ...]
) -> None:
    with pytest.raises(InputError, match="Tesla T4"):
        check_device(recipe(*overrides), cuda(monkeypatch, (7, 5)))
    check_device(recipe(*overrides), cuda(monkeypatch, (8, 0)))
