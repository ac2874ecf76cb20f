"""The Memory screen: what is tried on it, and what becomes of that."""

from __future__ import annotations

from pathlib import Path

import pytest

from sftui.recipe_file import load_recipe

from .memory_screen_fixtures import (
    GIB,
    answer_to,
    at_field,
    gib,
    memory,
    on,
    opened,
    tried,
    unsaved,
    when,
    words,
)
from .workbench_fixtures import screen_text, until

pytestmark = pytest.mark.usefixtures("no_gpu_here")


async def test_a_value_is_followed_at_once_escape_puts_it_back_and_enter_applies_it(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        before = await memory(made, pilot)
        await at_field(made, pilot, "rank")
        await pilot.press("right", "right", "escape")
        assert tried(made) == made.app.recipe and made.app.unsaved == []
        assert "tried: Enter" not in screen_text(made.app) and "tried: Enter" not in before
        await at_field(made, pilot, "max_length")
        await pilot.press("plus")
        assert tried(made).data.max_length == 4096
        shown = screen_text(made.app)
        found = answer_to(tried(made)).estimate
        assert (
            f"{found.peak_bytes / GIB:.2f}" in shown
            and f"{found.components['activations'] / GIB:.2f}" in shown
        )
        assert "4,096 › • was 2,048" in shown and "1 tried: Enter applies" in shown
        assert made.app.recipe.data.max_length == 2048 and made.app.unsaved == []
        assert "S saves" not in shown
        await pilot.press("enter")
        await until(pilot, "applied: S saves it")
        await unsaved(made, pilot, 1)
        assert made.app.unsaved == ["data.max_length=4096"]
        await pilot.press("S")
        await until(pilot, "saved into")
        assert "max_length: 4096" in made.file.read_text()


async def test_beside_a_field_stands_what_its_other_values_would_take(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await at_field(made, pilot, "loss")
        stock = made.app.recipe.model_copy(deep=True)
        stock.training.loss = "stock"
        expected = f"→ stock  {answer_to(stock).estimate.peak_bytes / GIB:.1f} GiB"
        assert expected in screen_text(made.app)
        await at_field(made, pilot, "checkpointing")
        await when(made, pilot, lambda screen: screen._facts.every)
        every = on(made)._facts.every
        assert [line.every for line in every] == [0, 8, 4, 3, 2, 1]
        assert every[-1].peak == answer_to(made.app.recipe).estimate.peak_bytes
        assert every[0].peak > every[-1].peak and every[0].time == 1 < every[-1].time
        said = words(made, "field-words")
        assert f"off {gib(every[0].peak)} GiB," in said
        assert f" 1: {gib(every[-1].peak)} {every[-1].time - 1:+.0%}" in said


async def test_what_breaks_in_a_comparison_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("sftui.screens.memory_facts.compare", fail)
    made = opened(folder)
    async with made.run_test() as pilot:
        await pilot.press("3")
        await when(made, pilot, lambda screen: screen._facts.comparison_problem is not None)
        assert "OSError: [Errno 5]" in words(made, "line-words") and "fits: " in screen_text(made.app)


async def test_a_config_that_cannot_be_read_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("sftui.memory.answer.known_shape", fail)
    made = opened(folder)
    async with made.run_test() as pilot:
        await pilot.press("3")
        await until(pilot, "PermissionError: [Errno 13]")


async def test_full_is_saved_and_the_adapter_comes_back_as_it_was(folder: Path) -> None:
    made = opened(folder, "adapter: {r: 8}   # small\n")
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.press("home", "right", "enter")
        await until(pilot, "full bfloat16")
        assert made.app.recipe.adapter is None and made.app.recipe.model.quantization == "none"
        await pilot.press("S")
        await until(pilot, "saved into")
        assert load_recipe(made.file).adapter is None
        await pilot.press("left", "enter")
        await until(pilot, "QLoRA nf4 r8")
        await at_field(made, pilot, "rank")
        await pilot.press("right", "enter")
        await until(pilot, "QLoRA nf4 r16")
        await pilot.press("S")
        await when(made, pilot, lambda screen: not screen.app.unsaved)
        written = load_recipe(made.file)
        assert written.adapter is not None and written.adapter.r == 16
        assert written == made.app.recipe


async def test_an_adapter_that_comes_back_is_the_one_that_was_there(folder: Path) -> None:
    made = opened(folder, "adapter: {r: 8, lora_dropout: 0.05}\n")
    before = made.app.recipe
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.press("right", "enter")
        await until(pilot, "full bfloat16")
        await pilot.press("left", "enter")
        await until(pilot, "QLoRA nf4 r8")
        assert made.app.recipe == before


async def test_an_adapter_that_goes_takes_what_was_changed_of_it_along(folder: Path) -> None:
    made = opened(folder, "adapter: null\n", overrides=("model.quantization=none",))
    before = made.app.recipe
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.press("right", "enter")
        await until(pilot, "LoRA r16")
        await at_field(made, pilot, "rank")
        await pilot.press("right", "enter")
        await until(pilot, "LoRA r32")
        await pilot.press("home", "left", "enter")
        await until(pilot, "full bfloat16")
        assert made.app.recipe == before


async def test_another_micro_batch_keeps_the_effective_batch_unless_it_is_freed(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await at_field(made, pilot, "micro-batch")
        await pilot.press("right")
        training = tried(made).training
        assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (2, 4)
        await pilot.press("right", "right", "right")
        training = tried(made).training
        assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (8, 1)
        assert "there is no further value" in words(made, "field-words")
        await pilot.press("down", "down", "right")
        assert "8 free" in screen_text(made.app)
        await pilot.press("up", "up", "right")
        training = tried(made).training
        assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (10, 1)


async def test_values_that_do_not_fit_the_rest_are_refused_in_words(folder: Path) -> None:
    made = opened(folder, "adapter: null\n", overrides=("model.quantization=none",))
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await at_field(made, pilot, "quantization")
        await pilot.press("right")
        refusal = words(made, "field-words")
        assert "quantised weights cannot be trained" in refusal and "quantization stays none" in refusal
        assert tried(made) == made.app.recipe
        await at_field(made, pilot, "rank")
        await pilot.press("right")
        assert "there is no adapter" in words(made, "field-words")


async def test_a_change_on_another_screen_is_taken_up_and_what_is_tried_stays(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await at_field(made, pilot, "rank")
        await pilot.press("right", "1")
        made.app.change({"data.max_length": 1024})
        await pilot.press("3")
        await until(pilot, "1 × 1,024")
        adapter = tried(made).adapter
        assert adapter is not None and adapter.r == 32 and tried(made).data.max_length == 1024
        await pilot.press("enter")
        await unsaved(made, pilot, 2)
        assert sorted(made.app.unsaved) == ["adapter.r=32", "data.max_length=1024"]


async def test_an_exact_length_is_typed_as_on_the_other_screens(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.press("x")
        await until(pilot, "max_length: longest sequence")
        await pilot.press(*["backspace"] * 4, *"1500", "enter")
        await until(pilot, "1 × 1,500")


async def test_padded_batches_are_as_long_as_the_longest_sequence_once_that_is_known(folder: Path) -> None:
    made = opened(folder, seconds=0.8, rows=40, overrides=("data.packing=none",))
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await when(made, pilot, lambda screen: screen._answers.longest)
        longest = max(made.desk.overview("train").lengths)
        await until(pilot, f"1 × {longest:,}")
        size = answer_to(made.app.recipe, longest=longest).estimate.peak_bytes
        assert f"fits: {gib(size)} of" in screen_text(made.app)
