"""What the Memory screen finds out in threads, and what it says where that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from sftui.data.overview import Overview
from sftui.memory.device import Device
from sftui.recipe_file import parse_recipe
from sftui.screens.memory_answers import Answers
from sftui.screens.memory_facts import Facts
from sftui.screens.memory_lengths import Lengths


def ignored(_work: object, _group: str) -> None:
    """Starts nothing."""


async def test_a_look_at_this_machine_that_fails_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers: list[Any] = [RuntimeError("no driver"), "a machine"]

    def look(_folder: str) -> Any:
        found = answers[0] if len(answers) == 1 else answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("sftui.devices.look", look)
    monkeypatch.setattr("sftui.screens.memory_facts.MACHINE_SECONDS", 0)
    seen: list[tuple[Any, str | None]] = []
    facts = Facts(ignored, lambda: seen.append((facts.machine, facts.unseen)))
    watching = asyncio.create_task(facts.watch("runs"))
    async with asyncio.timeout(5):
        while len(seen) < 2:
            await asyncio.sleep(0)
    watching.cancel()
    assert seen == [(None, "RuntimeError: no driver"), ("a machine", None)]


async def test_measured_runs_that_cannot_be_read_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_device: str) -> Any:
        raise MemoryError

    monkeypatch.setattr("sftui.memory.measured.measured_on", fail)
    started: list[Callable[[], Awaitable[None]]] = []
    facts = Facts(lambda work, _group: started.append(work), lambda: None)
    facts.want_history(Device("GPU", total_bytes=1))
    await started.pop()()
    assert facts.unseen == "MemoryError" and facts.history == ()


def test_the_lengths_are_those_of_sides_whose_rows_are_all_analysed() -> None:
    longest = {"train": 300, "eval": 700}
    analysed = {"train": 2, "eval": 2}

    def overview(side: Any) -> Overview:
        return Overview(side, rows=2, analysed=analysed[side], length_counts={1: 1, longest[side]: 1})

    desk = SimpleNamespace(sides=("train", "eval"), overview=overview)
    app: Any = SimpleNamespace(dataset=SimpleNamespace(desk=desk))
    answers = Answers(app, Facts(ignored, lambda: None))
    assert answers.lengths == Lengths(), "nothing is tried"
    answers.adopt(parse_recipe("{model: {name_or_path: a/b}, data: {train: a/rows, max_length: 1024}}"))
    assert answers.lengths == Lengths(300, 700)
    analysed["eval"] = 1
    assert answers.lengths == Lengths(300, None)
    desk.sides = ("train",)
    assert answers.lengths == Lengths(300, None)
    app.dataset.desk = None
    assert answers.lengths == Lengths()
