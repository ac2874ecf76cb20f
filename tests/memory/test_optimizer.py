from __future__ import annotations

import pytest

from sftui.memory.optimizer import optimizer_bytes
from sftui.memory.weights import Trained

MATRIX = Trained(1024, 512, 2, count=3)
VECTOR = Trained(1024, 0, 2, count=2)
ELEMENTS = 1024 * 512


def test_adamw_holds_two_moments_and_while_it_steps_the_roots_of_one() -> None:
    found = optimizer_bytes("adamw_torch", (MATRIX, VECTOR))
    assert found.states == 2 * (3 * 2 * ELEMENTS + 2 * 2048)
    assert found.transient == 3 * 2 * ELEMENTS, "norms and biases step apart"


def test_the_fused_one_counts_its_steps_on_the_device_and_takes_nothing_more() -> None:
    found = optimizer_bytes("adamw_torch_fused", (MATRIX, VECTOR))
    assert found.states == 2 * (3 * 2 * ELEMENTS + 2 * 2048) + 512 * 5
    assert found.transient == 0


def test_eight_bits_are_kept_from_small_tensors_and_embeddings() -> None:
    matrix = Trained(1024, 512, 2)
    tables = 2 * 1024
    assert (
        optimizer_bytes("adamw_bnb_8bit", (matrix,)).states == 2 * (ELEMENTS + 4 * ELEMENTS // 256) + tables
    )
    embedding = Trained(1024, 512, 2, embedding=True)
    assert optimizer_bytes("adamw_bnb_8bit", (embedding,)).states == 8 * ELEMENTS
    assert optimizer_bytes("lion_8bit", (Trained(1024, 2, 2),)).states == 4 * 2048


def test_paged_states_of_large_tensors_are_not_on_the_device() -> None:
    small, large = Trained(100, 100, 4), Trained(1000, 1000, 4)
    assert optimizer_bytes("paged_adamw_32bit", (large,)).states == 0
    assert optimizer_bytes("paged_adamw_32bit", (small,)).states == 2 * 40_448
    eight = optimizer_bytes("paged_adamw_8bit", (large,)).states
    assert eight == 2 * 15_872 + 2 * 1024, "scales and tables stay"


def test_adafactor_has_a_row_and_a_column() -> None:
    found = optimizer_bytes("adafactor", (Trained(1024, 512, 2),))
    assert found.states == 4 * 1024 + 4 * 512 + 512
    assert found.transient == 4 * 4 * ELEMENTS


@pytest.mark.parametrize(("optimizer", "states"), [("sgd", 0), ("lion_32bit", 4 * ELEMENTS)])
def test_others(optimizer: str, states: int) -> None:
    found = optimizer_bytes(optimizer, (Trained(1024, 512, 2),))  # type: ignore[arg-type]
    assert (found.states, found.transient) == (states, 0)
