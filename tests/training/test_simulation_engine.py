"""What a counted step does in place is what autograd does in place when nothing watches it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from sftui.training.simulation.counting import LiveBytes

Wires = Callable[[torch.Tensor, list[torch.Tensor]], torch.Tensor]


class Fresh(torch.autograd.Function):
    """The identity; its gradient is a tensor of its own."""

    @staticmethod
    def forward(ctx: Any, inputs: torch.Tensor, made: list[int], kept: list[torch.Tensor] | None) -> Any:
        ctx.made, ctx.kept = made, kept
        return inputs.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
        found = gradients[0] * 2
        ctx.made.append(found.data_ptr())
        if ctx.kept is not None:
            ctx.kept.append(found)
        return found, None, None


def fresh(inputs: torch.Tensor, made: list[int], kept: list[torch.Tensor] | None) -> torch.Tensor:
    found: torch.Tensor = Fresh.apply(inputs, made, kept)  # type: ignore[no-untyped-call]
    return found


def alone(inputs: torch.Tensor, made: list[int], kept: list[torch.Tensor]) -> torch.Tensor:
    return (fresh(inputs, made, None) + fresh(inputs, made, None)).sum()


def held(inputs: torch.Tensor, made: list[int], kept: list[torch.Tensor]) -> torch.Tensor:
    return (fresh(inputs, made, kept) + fresh(inputs, made, kept)).sum()


def viewed(inputs: torch.Tensor, made: list[int], kept: list[torch.Tensor]) -> torch.Tensor:
    other = fresh(inputs.view(-1).view(8, 8), made, kept)
    return (other + fresh(inputs, made, kept)).sum()


def passed_on(inputs: torch.Tensor, made: list[int], kept: list[torch.Tensor]) -> torch.Tensor:
    """A residual: the gradient of the sum goes to both, and meets that of the branch."""
    return ((inputs + fresh(inputs * 3, made, None)) * inputs.detach()).sum()


def transposed(inputs: torch.Tensor, made: list[int], kept: list[torch.Tensor]) -> torch.Tensor:
    first = fresh(inputs.t(), made, None)
    return (first + fresh(inputs.t(), made, None)).sum()


def three(inputs: torch.Tensor, made: list[int], kept: list[torch.Tensor]) -> torch.Tensor:
    parts = [fresh(inputs, made, None) for _ in range(3)]
    return sum(parts[1:], parts[0]).sum()


WIRES = {each.__name__: each for each in (alone, held, viewed, passed_on, transposed, three)}


def where_they_meet(wires: Any, mode: Any) -> list[int]:
    """Which of the gradients made in Python the sum is written into."""
    leaf = torch.ones(8, 8, requires_grad=True)
    inputs = leaf * 1
    made: list[int] = []
    kept: list[torch.Tensor] = []
    met: list[int] = []
    inputs.register_hook(lambda gradient: met.append(gradient.data_ptr()))
    with mode:
        wires(inputs, made, kept).backward()
    return [number for number, pointer in enumerate(made) if pointer == met[0]]


@pytest.mark.parametrize("name", WIRES)
def test_gradients_meet_in_place_where_they_do_without_a_count(name: str) -> None:
    assert where_they_meet(WIRES[name], LiveBytes("cpu")) == where_they_meet(WIRES[name], nullcontext())


def test_both_happen() -> None:
    assert where_they_meet(alone, nullcontext()) == [0]
    assert where_they_meet(held, nullcontext()) == []


def test_the_gradients_of_tied_weights_meet_in_a_third_tensor_as_they_do_without_a_count() -> None:
    """That of the head is a transposed view, and its base holds the storage too."""
    ids = torch.zeros(1, 5, dtype=torch.long)

    def loss_of(weight: torch.Tensor) -> torch.Tensor:
        states = torch.nn.functional.embedding(ids, weight)
        return torch.nn.functional.linear(states * 2, weight).logsumexp(-1).sum()

    loss = loss_of(torch.randn(4096, 64, requires_grad=True))
    with torch.profiler.profile() as profiler:
        loss.backward()
    names = {event.name for event in profiler.events() or ()}
    assert "aten::add" in names
    assert "aten::add_" not in names
    counter = LiveBytes("cpu")
    loss = loss_of(torch.randn(4096, 64, requires_grad=True))
    counter.enter(("backward", 0))
    with counter:
        loss.backward()
    whole = 4 * 4096 * 64  # of the weight, of both gradients and of their sum
    assert 4 * whole <= counter.windows["backward", 0].total < 4.2 * whole


def test_sums_are_right() -> None:
    for wires in WIRES.values():
        found = []
        for mode in (nullcontext(), LiveBytes("cpu")):
            leaf = torch.arange(64.0).view(8, 8).requires_grad_()
            with mode:
                wires(leaf * 1, [], []).backward()
            found.append(leaf.grad)
        torch.testing.assert_close(*found)


PLACES = torch.zeros(4, dtype=torch.long)


@pytest.mark.parametrize(
    "pick",
    [
        lambda inputs: inputs[PLACES],
        lambda inputs: inputs.gather(0, PLACES.view(1, 4)),
        lambda inputs: inputs.index_select(0, PLACES),
        lambda inputs: inputs.topk(4, dim=-1).values,
        lambda inputs: inputs.max(dim=-1).values,
    ],
)
def test_a_part_s_gradient_is_put_into_zeros_of_the_whole(pick: Any) -> None:
    """One tensor of the whole's size, not a second one beside the zeros."""
    counter = LiveBytes("cpu")
    leaf = torch.randn(1024, 1024, requires_grad=True)
    loss = pick(leaf).sum()
    counter.enter(("backward", 0))
    with counter:
        loss.backward()
    whole = 4 * leaf.numel()
    assert whole <= counter.windows["backward", 0].total < 1.5 * whole
    expected = torch.autograd.grad(pick(leaf).sum(), leaf)[0]
    assert leaf.grad is not None
    torch.testing.assert_close(leaf.grad, expected)


def test_a_gradient_that_others_hold_is_not_written_into() -> None:
    def gradient(mode: Any) -> torch.Tensor | None:
        leaf = torch.ones(16, 8, requires_grad=True)
        inputs = leaf * 1
        weights = torch.arange(128.0).view(16, 8)
        put = inputs.index_put((torch.arange(4),), torch.ones(4, 8))
        with mode:
            ((put + inputs) * weights).sum().backward()
        return leaf.grad

    torch.testing.assert_close(gradient(LiveBytes("cpu")), gradient(nullcontext()))


def test_additions_outside_the_engine_make_a_tensor() -> None:
    counter = LiveBytes("cpu")

    class Adds(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, inputs: torch.Tensor) -> Any:
            return inputs.clone()

        @staticmethod
        def backward(ctx: Any, *gradients: torch.Tensor) -> Any:
            counter.enter(("backward", 1))
            before = counter.total
            found = torch.zeros(8, 8) + gradients[0]
            made = counter.windows["backward", 1].total - before
            assert made == 2 * 512
            return found

    leaf = torch.ones(8, 8, requires_grad=True)
    counter.enter(("backward", 0))
    with counter:
        Adds.apply(leaf).sum().backward()
    assert ("backward", 1) in counter.windows
