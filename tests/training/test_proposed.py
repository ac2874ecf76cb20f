"""A proposed recipe trains as it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftui.memory.gpus import device_of
from sftui.proposal import propose

from .conftest import losses_of, train_here


@pytest.mark.parametrize("gpu", [None, "4090"])
def test_what_is_proposed_for_a_dataset_trains_on_it(
    gpu: str | None, tiny_model: Path, rows: Path, tmp_path: Path
) -> None:
    made = propose(
        rows,
        model=str(tiny_model),
        device=None if gpu is None else device_of(gpu),
        overrides=["training.max_steps=4", "training.learning_rate=1e-2", f"output_dir={tmp_path}"],
    )
    losses = losses_of(train_here(made.recipe))
    assert len(losses) == 4 and losses[-1] < losses[0]
