"""The Memory screen: what stands on it, what is tried on it, and what becomes of that."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from textual.widgets import Input

from sftui.recipe_file import load_recipe
from sftui.screens.app import Workbench
from sftui.screens.help import bindings_of
from sftui.screens.memory import MemoryScreen

from .conftest import Runs
from .data_screen_fixtures import RECIPE, SIZES
from .memory_screen_fixtures import (
    GIB,
    GPU,
    HERE,
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
from .test_workbench import screen_text, until


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "runs"


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No GPU and nothing measured, whatever the machine has on which the tests run."""
    monkeypatch.setattr("sftui.devices.look", lambda folder: machine())
    monkeypatch.setenv("SFTUI_STATE", str(tmp_path / "state"))


# -- what stands on the screen


@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_bar_verdict_and_table_stand_at_every_size(folder: Path, size: tuple[int, int]) -> None:
    made = opened(folder)
    async with made.run_test(size=size) as pilot:
        shown = await memory(made, pilot)
        found = answer_to(made.app.recipe)
        assert max(len(line) for line in shown.splitlines()) <= size[0]
        assert f"✓ fits: {gib(found.estimate.peak_bytes)} of 24 GiB (RTX 4090)" in shown
        assert re.search(r"W█+.*X█*.*[▒░]+·+", shown)
        for name, parts in found.estimate.components.items():
            if parts > 0.005 * GIB:
                letter = {"activations": "X", "workspace": "K"}.get(name, name[0].upper())
                line = next(line for line in shown.splitlines() if f"{letter} {name}  " in line)
                assert f" {parts / GIB:.2f}" in line
        assert f" {found.estimate.peak_bytes / GIB:.2f}" in shown and "QLoRA nf4 r16" in shown
        if size[1] >= 24:
            assert "peak" in shown and "typically" in shown
        if size[0] >= 100 and size[1] >= 34:
            for expected in (
                "driver" if GPU.used_bytes else "reserved beside",
                "6,979,321,856 parameters",
                "optimizer step",
                "◂",
                "saves most",
                "fits up to",
                "measured: none on this box",
                "RAM 60 GiB free of 64 GiB",
                "no NVIDIA driver",
            ):
                assert expected in shown, f"{expected!r} is missing:\n{shown}"


@pytest.mark.parametrize(("size", "held"), [(7, "✗ does not fit: "), (8, "~ tight: ")])
async def test_what_does_not_fit_says_so_and_what_would_make_it_fit(
    folder: Path, size: int, held: str
) -> None:
    from sftui.memory.device import Device

    device = Device(f"a GPU of {size} GiB", size * GIB)
    made = opened(folder, device=device)
    async with made.run_test() as pilot:
        shown = await memory(made, pilot)
        assert held in shown and "┃" in shown and "makes it fit" in shown
        lines = on(made)._lines
        await pilot.press("tab", "end", "enter")
        await pilot.pause()
        assert answer_to(tried(made), device).verdict == "fits"
        assert "✓ fits: " in screen_text(made.app) and lines.count
        assert made.app.unsaved == []


async def test_without_a_recipe_it_says_what_to_do(runs: Runs) -> None:
    async with Workbench(runs.folder).run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        shown = await until(pilot, "No recipe is open")
        assert "sftui RECIPE" in shown and "d device" not in shown
        await pilot.press("enter", "d", "y", "r", "v", "x", "right", "plus", "tab", "escape", "j", "end")
        assert isinstance(pilot.app.screen, MemoryScreen)


async def test_a_model_without_config_is_one_sentence_and_looked_for_again(folder: Path) -> None:
    made = opened(folder, text=recipe_text(folder / "nowhere"))
    async with made.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        shown = await until(pilot, "is not known")
        assert "neither a directory nor a Hub id" in shown and "Enter looks again" in shown
        await pilot.press("y", "r", "v", "right", "tab", "down", "escape")
        model(folder, name="nowhere")
        await pilot.press("enter")
        assert "fits: " in await when(made, pilot, lambda screen: screen._facts.comparison is not None)


async def test_a_config_that_no_model_can_have_is_refused(folder: Path) -> None:
    made = opened(folder)
    (folder / "Llama-3.1-8B" / "config.json").write_text('{"model_type": "llama", "hidden_size": -3}')
    async with made.run_test(size=(80, 24)) as pilot:
        await pilot.press("3")
        assert "hidden_size" in await until(pilot, "is not known")


async def test_without_a_gpu_the_bar_ends_with_the_band_and_one_can_be_named(folder: Path) -> None:
    made = opened(folder, device=None)
    async with made.run_test() as pilot:
        shown = await memory(made, pilot)
        assert "no GPU here: d names one" in shown and "┃" not in shown and "·" not in bar_of(shown)
        await pilot.press("d")
        await until(pilot, "the GPU to fit into")
        await pilot.press(*"4090")
        await pilot.pause()
        await pilot.press("enter")
        shown = await until(pilot, f"fits: {peak(made)} of 24 GiB (RTX 4090)")
        assert "driver 0.4" in shown and made.app.memory_device is not None


def bar_of(shown: str) -> str:
    return next(line for line in shown.splitlines() if "W█" in line)


# -- trying


async def test_a_value_is_followed_at_once_and_enter_applies_it(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
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
        await until(pilot, "1 unsaved: S saves")
        assert made.app.unsaved == ["data.max_length=4096"]
        await pilot.press("S")
        await until(pilot, "saved into")
        assert "max_length: 4096" in made.file.read_text()


async def test_escape_puts_the_recipe_back(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        before = await memory(made, pilot)
        await at_field(made, pilot, "rank")
        await pilot.press("right", "right", "escape")
        assert tried(made) == made.app.recipe and made.app.unsaved == []
        assert "tried: Enter" not in screen_text(made.app) and "tried: Enter" not in before


async def test_the_values_beside_tell_what_they_would_take(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await at_field(made, pilot, "loss")
        shown = screen_text(made.app)
        stock = made.app.recipe.model_copy(deep=True)
        stock.training.loss = "stock"
        assert f"→ stock  {answer_to(stock).estimate.peak_bytes / GIB:.1f} GiB" in shown


async def test_every_nth_layer_is_told_with_bytes_and_time(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
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
        assert "quantised weights cannot be trained" in words(made, "field-words")
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
        await until(pilot, "2 unsaved: S saves")
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


# -- comparisons


async def test_methods_stand_side_by_side_and_enter_tries_one(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        shown = await memory(made, pilot)
        assert re.search(r"full +\d\d\.\d\d ✗ no", shown) and re.search(r"LoRA +\d\d\.\d\d ✓ fits", shown)
        assert re.search(r"▌QLoRA +7\.\d\d ✓ fits +◂", shown)
        await pilot.press("tab", "up", "enter")
        await until(pilot, "LoRA r16")
        assert tried(made).model.quantization == "none" and made.app.unsaved == []
        await pilot.press("enter")
        await until(pilot, "1 unsaved: S saves")
        assert made.app.unsaved == ["model.quantization=none"]


async def test_the_largest_batch_and_the_longest_sequence_fit_and_a_step_more_does_not(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        lines = {line.text: line for line in on(made)._lines._lines}
        longest = lines["max_length"].recipe
        assert longest is not None and answer_to(longest).verdict == "fits"
        more = longest.model_copy(deep=True)
        more.data.max_length += 64
        assert answer_to(more).verdict != "fits"
        batch = lines["micro-batch"].recipe
        assert batch is not None and answer_to(batch).verdict == "fits"
        training = batch.training
        assert training.per_device_train_batch_size * training.gradient_accumulation_steps == 8


async def test_the_cursor_passes_over_headings(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.press("tab", "home")
        for _ in range(30):
            assert on(made)._lines.recipe is not None or on(made)._lines.cursor == 0
            await pilot.press("down")
        assert on(made)._lines.cursor == on(made)._lines.count - 1


async def test_the_rule_of_thumb_is_told_with_this_models_numbers(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.press("r")
        shown = await until(pilot, "rule of thumb")
        assert "16 GB" in shown and "Llama-3.1-8B" in shown
        assert re.search(r"to run +2 B a parameter +15\.0 GiB", shown)
        assert re.search(r"to train in full +8 B a parameter +59\.8 GiB", shown)
        await pilot.press("escape")
        assert isinstance(made.app.screen, MemoryScreen)


# -- components and moments


async def test_why_gives_every_formula_with_its_numbers(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test(size=(120, 50)) as pilot:
        await memory(made, pilot)
        await pilot.press("y")
        shown = await until(pilot, "Esc closes")
        for name, size in answer_to(made.app.recipe).estimate.components.items():
            assert not size or f" {name}  " in shown
        assert "6,979,321,856 parameters x 0.516 B (nf4)" in shown and "128,256" in shown


async def test_the_component_under_the_cursor_is_explained(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.press("tab", "tab", "end")
        assert "121 published runs" in words(made, "why")
        await pilot.press("home", "down")
        assert "41,943,040 parameters x 4 B (rank 16)" in words(made, "why")


async def test_the_table_follows_the_moment_under_the_cursor(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        load = answer_to(made.app.recipe).estimate.at("load")
        await pilot.press("shift+tab", "home")
        await pilot.pause()
        shown = screen_text(made.app)
        assert f"{load / GIB:.1f} GiB while loading the model; peak" in shown
        assert (
            next(line for line in shown.splitlines() if "allocated" in line).split()[2] == f"{load / GIB:.2f}"
        )
        await pilot.press("escape")
        moment = answer_to(made.app.recipe).estimate.peak_moment
        await when(made, pilot, lambda screen: screen._moments.moment == moment)


# -- the frame


async def test_panes_fold_where_it_is_narrow_and_tab_shows_the_next(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test(size=(80, 24)) as pilot:
        shown = await memory(made, pilot)
        assert "─ change ─" in shown and "─ compare ─" not in shown
        await pilot.press("tab")
        shown = await until(pilot, "─ compare ─")
        assert "─ change ─" not in shown and "W weights" in shown and "run writes" in shown
        await pilot.press("tab", "tab")
        shown = await until(pilot, "through the step")
        assert "W weights" in shown and "optimizer step" in shown
        await pilot.press("tab")
        await until(pilot, "─ change ─")


async def test_help_lists_every_key_no_two_share_one_and_the_footer_has_six(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test(size=(120, 60)) as pilot:
        await memory(made, pilot)
        bindings = bindings_of(made.app.screen)
        keys = [key for binding in bindings for key in binding.key.split(",")]
        assert sorted(keys) == sorted(set(keys)) and {"ctrl+c", "ctrl+a", "ctrl+b"}.isdisjoint(keys)
        assert sum(binding.show for binding in bindings) == 6
        footer = (await until(pilot, "q quit")).splitlines()[-1]
        for words in ("Enter apply", "d device", "y why", "r rule of thumb", "? help", "q quit"):
            assert words in footer
        await pilot.press("question_mark")
        shown = await until(pilot, "everywhere")
        for binding in bindings:
            assert binding.tooltip and binding.id and binding.tooltip[:30] in shown, binding


async def test_hostile_names_cannot_inject(folder: Path) -> None:
    name = "[red]a\x1b[31m\u202eb"
    directory = model(folder, name=name)
    escaped = json.dumps(str(directory))
    made = opened(folder, text=recipe_text(directory).replace(f"'{directory}'", escaped))
    async with made.run_test(size=(160, 50)) as pilot:
        shown = await memory(made, pilot)
        await pilot.press("r")
        shown += await until(pilot, "rule of thumb")
        assert "[red]a␛[31m" in shown
        for bad in "\x1b\u202e":
            assert bad not in shown


async def test_both_themes_show_the_same_words(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        before = await memory(made, pilot)
        await pilot.press("T")
        await pilot.pause(0.2)
        assert screen_text(made.app).splitlines()[1:] == before.splitlines()[1:]


async def test_clicks_choose_a_field_change_it_and_lead_to_panes(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.click("#fields", offset=(5, 4))
        assert on(made)._fields.field.name == "rank"
        await pilot.click("#fields", offset=(5, 4))
        adapter = tried(made).adapter
        assert adapter is not None and adapter.r == 32
        await pilot.click("#components", offset=(5, 2))
        assert on(made)._pane == "components"


def test_the_screen_is_imported_without_the_engine_of_memory() -> None:
    program = "import json, sys, sftui.screens.memory; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-P", "-c", program], capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout)
    assert "textual" in loaded and not [name for name in loaded if name.startswith("sftui.memory")]
    tops = {name.partition(".")[0] for name in loaded}
    assert tops.isdisjoint(("numpy", "torch", "transformers", "pydantic", "tokenizers", "pynvml"))


# -- devices


async def test_this_machines_gpu_is_taken_by_itself_with_who_holds_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sftui.devices.look", lambda folder: machine(HERE, free=GIB // 4))
    made = opened(folder, device=None)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        shown = await until(pilot, "of 139 GiB (H200)")
        assert "used by others 20.00" in shown and "GPU python 4711 holds 19 GiB" in shown
        assert bar_of(shown).startswith("│ ╱╱╱") and "disk 256 MiB free" in shown
        await pilot.press("d")
        shown = await until(pilot, "here, GPU 0")
        assert "20 GiB used" in shown


async def test_a_size_is_a_device_and_an_unknown_name_is_told(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test(size=(80, 24)) as pilot:
        await memory(made, pilot)
        await pilot.press("d", *"gtx 9")
        await until(pilot, "no GPU is known as")
        await pilot.press("enter")
        made.app.screen.query_one(Input).value = "6GB"
        await pilot.pause()
        await pilot.press("enter")
        await until(pilot, f"does not fit: {peak(made)} of 6 GiB")
        await pilot.press("1", "3")
        await until(pilot, f"does not fit: {peak(made)} of 6 GiB")


async def test_arrows_choose_from_the_list_of_gpus(folder: Path) -> None:
    made = opened(folder)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        await pilot.press("d", *"a100")
        await pilot.pause()
        await pilot.press("down", "down", "down", "up", "enter")
        await until(pilot, "(A100")
        await pilot.press("d", "escape")
        await pilot.pause()
        assert isinstance(made.app.screen, MemoryScreen) and made.app.memory_device is not None


async def test_measured_runs_of_the_same_step_stand_beside_the_prediction(folder: Path) -> None:
    from dataclasses import asdict

    from sftui.memory.answer import config_digest
    from sftui.memory.measured import Measured, keep

    made = opened(folder)
    found = answer_to(made.app.recipe)
    assert found.step is not None
    predicted = found.estimate.peak_bytes
    one = Measured(
        time=1.0,
        run="run",
        model="m",
        config=config_digest(made.app.recipe.model.name_or_path),
        device=GPU.name,
        versions={},
        step=json.loads(json.dumps(asdict(found.step))),
        predicted_bytes=predicted,
        allocated_bytes=round(predicted * 1.01),
        reserved_bytes=round(predicted * 1.1),
        context_bytes=300 * 2**20,
    )
    keep(one)
    async with made.run_test() as pilot:
        await memory(made, pilot)
        shown = await until(pilot, "(+1.0%)")
        assert f"measured {gib(one.allocated_bytes)} GiB" in shown
        await pilot.press("tab", "tab", "end")
        assert "1 run on this GPU" in words(made, "why")


async def test_the_data_screens_recipe_without_a_model_directory_does_not_stop_the_others(
    folder: Path,
) -> None:
    made = opened(folder, text=RECIPE.replace("owner/tiny-model", "/nowhere/at/all"))
    async with made.run_test() as pilot:
        await pilot.press("3")
        await until(pilot, "is not known")
        await pilot.press("2")
        await until(pilot, "strategies")


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (120, 40)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_the_chosen_gpu_is_in_view_where_the_list_opens(folder: Path, size: tuple[int, int]) -> None:
    from sftui.memory.gpus import device_of

    made = opened(folder, device=device_of("3060"))
    async with made.run_test(size=size) as pilot:
        await memory(made, pilot)
        await pilot.press("d")
        shown = await until(pilot, "RTX 3060 12GB")
        assert "Enter chooses, Esc leaves" in shown
