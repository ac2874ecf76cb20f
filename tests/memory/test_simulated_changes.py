"""Methods and changes of a model that only the simulation knows."""

from __future__ import annotations

from typing import Any

import pytest

from sftui.errors import InputError
from sftui.known_models import known_model
from sftui.memory import simulated_changes as module
from sftui.memory.answer import Answer, answer
from sftui.memory.simulated_changes import simulated_methods
from sftui.memory.step import AdapterSpec
from sftui.recipe import Recipe
from tests.memory.test_notes import recipe_of


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> Answer:
    """An answer of a small model; in place of the simulation the closed form answers, but not of fp4."""
    known = known_model("Qwen/Qwen3-0.6B")
    assert known is not None

    def ask(recipe: Recipe, device: Any, **around: Any) -> Answer:
        if recipe.adapter is None:
            raise InputError("cannot be simulated: a kernel\nand more")
        return answer(recipe, known.shape, device, **around)

    monkeypatch.setattr(module, "simulated_answer", ask)
    return answer(recipe_of("none", AdapterSpec(16)), known.shape, None)


def test_each_method_has_an_answer_or_the_reason_why_not(found: Answer) -> None:
    full, lora, qlora = simulated_methods(found)
    assert (full.name, full.answer, full.problem) == ("full", None, "cannot be simulated: a kernel")
    assert lora.answer is not None and qlora.answer is not None
    assert qlora.answer.estimate.peak_bytes < lora.answer.estimate.peak_bytes


def test_changes_lower_the_peak_the_most_first(found: Answer) -> None:
    changed = module.simulated_changes(found)
    peaks = [one.answer.estimate.peak_bytes for one in changed if one.answer is not None]
    assert len(peaks) == len(changed) == 3
    assert peaks == sorted(peaks) and peaks[-1] < found.estimate.peak_bytes
    assert {"quantization: nf4", "max_length: 1024"} <= {one.name for one in changed}
