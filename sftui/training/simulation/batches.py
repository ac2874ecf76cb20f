"""Micro-batches as the trainer's collators make them, without values."""

from __future__ import annotations

from typing import Any

import torch

from sftui.memory.step import Layout


def micro_batch(
    layout: Layout, rows: int, length: int, *, weighted: bool, device: str = "meta", kernel: bool = True
) -> dict[str, Any]:
    """`rows` sequences of `length` tokens. `kernel`: one kernel takes flat rows whole."""
    shape = (1, rows * length) if layout == "flat" else (rows, length)
    batch: dict[str, Any] = {
        "input_ids": torch.zeros(shape, dtype=torch.long, device=device),
        "labels": torch.zeros(shape, dtype=torch.long, device=device),
        "rows": tuple(range(rows)),
        "counts": (rows * length, rows * length),
    }
    if layout == "padded":
        batch["attention_mask"] = torch.zeros(shape, dtype=torch.long, device=device)
    if layout in ("flat", "packed_dense"):
        batch["position_ids"] = torch.zeros(shape, dtype=torch.long, device=device)
    if layout == "flat":
        where = device if kernel else "cpu"
        ends = torch.arange(0, (rows + 1) * length, length, dtype=torch.int32, device=where)
        batch |= {
            "cu_seq_lens_q": ends,
            "cu_seq_lens_k": ends,
            "max_length_q": length,
            "max_length_k": length,
        }
    if weighted:
        batch["weights"] = torch.zeros(shape, dtype=torch.float32, device=device)
    return batch
