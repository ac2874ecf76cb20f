"""The Memory screen where a simulation answers: for models of an unknown family, and on demand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from sftui.errors import InputError
from sftui.memory.estimate import Estimate
from sftui.memory.simulated import CancelledError
from sftui.recipe import Recipe
from sftui.screens.memory import MemoryScreen

from .memory_screen_fixtures import (
    LLAMA,
    answer_to,
    at_field,
    gib,
    machine,
    memory,
    model,
    on,
    opened,
    peak,
    recipe_text,
    tried,
    when,
    words,
)
from .workbench_fixtures import screen_text, until


class Simulator:
    """In place of the process: answers with `made`, once `free` is set."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.free.set()
        self.asked: list[Recipe] = []
        self.ended: list[Recipe] = []
        self.problem: str | None = None
        self.made: Callable[[Recipe], Estimate]

    def peak(self) -> str:
        """Of what was asked first."""
        return gib(self.made(self.asked[0]).peak_bytes)

    def __call__(
        self, recipe: Recipe, step: Any = None, *, cancelled: Callable[[], bool] = lambda: False
    ) -> Estimate:
        self.asked.append(recipe)
        while not self.free.wait(0.02):
            if cancelled():
                self.ended.append(recipe)
                raise CancelledError
        if self.problem is not None:
            raise InputError(self.problem)
        return self.made(recipe)


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Simulator:
    made = Simulator()
    monkeypatch.setattr("sftui.memory.answer.simulated", made)
    monkeypatch.setattr("sftui.devices.look", lambda folder: machine())
    monkeypatch.setenv("SFTUI_STATE", str(folder / "state"))
    known = model(folder)

    def off_by(share: float) -> Callable[[Recipe], Estimate]:
        def estimate(recipe: Recipe) -> Estimate:
            section = recipe.model.model_copy(update={"name_or_path": str(known)})
            found = answer_to(recipe.model_copy(update={"model": section})).estimate
            moments = {
                name: {part: round(size * (1 + share)) for part, size in parts.items()}
                for name, parts in found.moments.items()
            }
            return replace(found, moments=moments)

        return estimate

    made.off_by = off_by  # type: ignore[attr-defined]
    made.made = off_by(0.0)
    return made


UNKNOWN = LLAMA | {"model_type": "unheard_of"}


async def test_an_unknown_architecture_is_simulated_and_says_so(folder: Path, simulator: Simulator) -> None:
    simulator.free.clear()
    made = opened(folder, text=recipe_text(model(folder, UNKNOWN, "unheard")))
    async with made.run_test() as pilot:
        await pilot.press("3")
        await until(pilot, "simulating…")
        simulator.free.set()
        shown = await until(pilot, "simulated  ✓ fits")
        assert f"fits: {simulator.peak()} of 24 GiB" in shown
        await until(pilot, "W weights")
        await until(pilot, "run writes")
        assert "no family that the closed form knows: simulated" in words(made, "line-words")
        assert "counted by a simulation" in words(made, "why")
        await pilot.press("y")
        await until(pilot, "Esc closes")


async def test_another_value_ends_the_simulation_before(folder: Path, simulator: Simulator) -> None:
    made = opened(folder, text=recipe_text(model(folder, UNKNOWN, "unheard")))
    async with made.run_test() as pilot:
        await pilot.press("3")
        await until(pilot, "simulated  ✓ fits")
        simulator.free.clear()
        await at_field(made, pilot, "max_length")
        await pilot.press("plus")
        shown = await until(pilot, "simulating…")
        assert "fits:" not in shown.splitlines()[1] and on(made).has_class("-stale")
        await when(made, pilot, lambda screen: len(simulator.asked) == 2)
        await pilot.press("plus")
        await when(made, pilot, lambda screen: simulator.ended)
        assert simulator.ended[0].data.max_length == 4096
        simulator.free.set()
        await until(pilot, "1 × 8,192")
        await until(pilot, "simulated  ")
        assert tried(made).data.max_length == 8192 and not on(made).has_class("-stale")
        await pilot.press("escape")
        await until(pilot, f"simulated  ✓ fits: {simulator.peak()} of")
        assert len(simulator.asked) == 3, "what was simulated before is known"


async def test_it_ends_with_the_app(folder: Path, simulator: Simulator) -> None:
    simulator.free.clear()
    made = opened(folder, text=recipe_text(model(folder, UNKNOWN, "unheard")))
    async with made.run_test() as pilot:
        await pilot.press("3")
        await when(made, pilot, lambda screen: simulator.asked)
    for _ in range(100):
        if simulator.ended:
            break
        threading.Event().wait(0.02)
    assert simulator.ended


async def test_why_a_model_cannot_be_simulated_is_told(folder: Path, simulator: Simulator) -> None:
    simulator.problem = "the model brings [b]code of its own"
    made = opened(folder, text=recipe_text(model(folder, UNKNOWN, "unheard")))
    async with made.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        shown = await until(pilot, "[b]code of its own")
        assert "v simulates again" in shown and "rank" in shown and "⏎" not in shown
        await pilot.press("tab", "y", "r", "escape")
        assert isinstance(made.app.screen, MemoryScreen)
        assert on(made).has_class("-at-change"), "what is not displayed takes no keys"


def asked_more(simulator: Simulator, before: int, screen: MemoryScreen) -> bool:
    return len(simulator.asked) > before and not screen._facts.simulating


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (70, 20)])
async def test_a_simulation_that_fails_can_be_tried_again_and_with_another_value(
    folder: Path, simulator: Simulator, size: tuple[int, int]
) -> None:
    simulator.problem = "no memory\n  for it"
    made = opened(folder, text=recipe_text(model(folder, UNKNOWN, "unheard")))
    async with made.run_test(size=size) as pilot:
        await pilot.press("3")
        assert "no memory" in await until(pilot, "for it")
        for key in ("enter", "v"):
            before = len(simulator.asked)
            await pilot.press(key)
            await when(made, pilot, partial(asked_more, simulator, before))
            await until(pilot, "for it")
        await at_field(made, pilot, "max_length")
        simulator.problem = None
        await pilot.press("plus")
        shown = await when(made, pilot, lambda screen: not screen._answers.failed and screen._answers.found)
        assert "for it" not in shown and "simulated  ✓ fits" in shown
        assert tried(made).data.max_length == 4096
        assert on(made)._panels["problem"].display is False


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("odd")])
async def test_any_error_of_a_simulation_is_told(
    folder: Path, simulator: Simulator, error: Exception
) -> None:
    def fail(recipe: Recipe) -> Estimate:
        raise error

    simulator.made = fail
    made = opened(folder, text=recipe_text(model(folder, UNKNOWN, "unheard")))
    async with made.run_test() as pilot:
        await pilot.press("3")
        await until(pilot, f"{type(error).__name__}: {error}")


async def test_numbers_of_the_recipe_before_say_so(folder: Path, simulator: Simulator) -> None:
    made = opened(folder, text=recipe_text(model(folder, UNKNOWN, "unheard")))
    async with made.run_test() as pilot:
        await pilot.press("3")
        shown = await until(pilot, "simulated  ✓ fits")
        assert "of the recipe before" not in shown
        simulator.free.clear()
        await at_field(made, pilot, "max_length")
        await pilot.press("plus")
        await until(pilot, "simulating…")
        shown = await until(pilot, "of the recipe before")
        assert shown.count("of the recipe before") == 2
        simulator.free.set()
        shown = await when(made, pilot, lambda screen: screen._answers.found)
        assert "of the recipe before" not in shown and "─ components ─" in shown


async def test_verifying_agrees_with_the_closed_form_and_says_by_how_much(
    folder: Path, simulator: Simulator
) -> None:
    simulator.made = simulator.off_by(0.002)  # type: ignore[attr-defined]
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        assert simulator.asked == []
        await pilot.press("v")
        shown = await until(pilot, "simulated: +0.2%")
        assert f"fits: {peak(made)} of" in shown and "6,979,321,856 parameters" in words(made, "why")
        await at_field(made, pilot, "rank")
        await pilot.press("right")
        assert "simulat" not in screen_text(made.app).splitlines()[1]
        await pilot.press("left")
        await until(pilot, "simulated: +0.2%")


async def test_where_they_differ_the_simulation_is_shown(folder: Path, simulator: Simulator) -> None:
    simulator.made = simulator.off_by(0.05)  # type: ignore[attr-defined]
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.press("v")
        shown = await until(pilot, "simulated: +5.0%")
        assert f"fits: {peak(made, 1.05)} of" in shown
        assert "counted by a simulation" in words(made, "why")
        made.app.memory_device = None
        on(made)._renew()
        await until(pilot, "of RAM, no GPU here")


async def test_a_simulation_that_fails_leaves_the_closed_form_and_is_told(
    folder: Path, simulator: Simulator
) -> None:
    simulator.problem = "is torch installed here?"
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.press("v")
        shown = await until(pilot, "is torch installed here?")
        assert f"fits: {peak(made)} of" in shown and "simulating" not in shown


async def test_verifying_can_be_ended(folder: Path, simulator: Simulator) -> None:
    simulator.free.clear()
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.press("v")
        await until(pilot, "simulating…")
        await when(made, pilot, lambda screen: simulator.asked)
        await pilot.press("v")
        await when(made, pilot, lambda screen: simulator.ended)
        assert "simulating" not in screen_text(made.app)
