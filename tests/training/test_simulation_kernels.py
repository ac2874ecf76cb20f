"""Which kernels the simulation takes attention for."""

from __future__ import annotations

from typing import Any

import torch

from sftui.training.simulation.cuda import kernel_of


def tensor(heads: int = 8, size: int = 64, dtype: torch.dtype = torch.bfloat16) -> torch.Tensor:
    return torch.empty(1, heads, 16, size, dtype=dtype, device="meta")


def test_the_kernel_of_attention_is_the_one_that_cuda_takes() -> None:
    mask = torch.empty(1, 1, 16, 16, dtype=torch.bool, device="meta")

    def found(query: torch.Tensor, key: torch.Tensor, mask: Any = None, *, grouped: bool = False) -> str:
        return kernel_of(query, key, mask, grouped=grouped, wanted="flash")

    assert found(tensor(), tensor()) == "flash"
    assert found(tensor(), tensor(2), grouped=True) == "flash"
    assert found(tensor(), tensor(), mask) == "efficient"
    assert kernel_of(tensor(), tensor(), None, grouped=False, wanted="efficient") == "flash"
    assert kernel_of(tensor(), tensor(2), None, grouped=True, wanted="efficient") == "flash"
    assert kernel_of(tensor(), tensor(), mask, grouped=False, wanted="efficient") == "efficient"
    assert kernel_of(tensor(), tensor(), None, grouped=False, wanted="math") == "math"
    assert found(tensor(size=512), tensor(size=512)) == "efficient"
    single = tensor(dtype=torch.float32)
    assert found(single, single) == "efficient"
    assert found(single, tensor(2, dtype=torch.float32), grouped=True) == "math"


def test_before_ampere_there_is_no_flash_attention() -> None:
    mask = torch.empty(1, 1, 16, 16, dtype=torch.bool, device="meta")
    whole, shared = tensor(dtype=torch.float16), tensor(2, dtype=torch.float16)

    def found(key: torch.Tensor, mask: Any = None, *, grouped: bool = False) -> str:
        return kernel_of(whole, key, mask, grouped=grouped, wanted="efficient", flash=False)

    assert found(whole) == "efficient"
    assert found(shared, grouped=True) == "math"
    assert found(whole, mask) == "efficient"
