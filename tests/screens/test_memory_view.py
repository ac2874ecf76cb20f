"""What the Memory screen says and draws, as text."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.color import Color

from sftui.errors import InputError
from sftui.memory.answer import Answer
from sftui.memory.band import Band
from sftui.memory.device import Device
from sftui.memory.moment_words import NAMES
from sftui.memory.why import Reason, why
from sftui.recipe import Recipe
from sftui.screens import memory_pictures as pictures
from sftui.screens import memory_view as view
from sftui.screens.memory_fields import EFFECTIVE, FIELDS, NONE, Field
from sftui.screens.memory_trial import differences, rebased, trial_of, tried
from sftui.screens.themes import DARK, DARK_16, LIGHT, LIGHT_16

from .memory_screen_fixtures import GIB, LLAMA, answer_to, model

GB_24 = Device("a GPU", 24 * GIB, used_bytes=GIB)


def length(cells: pictures.Cells) -> int:
    return sum(len(text) for text, _ in cells)


def text(cells: pictures.Cells) -> str:
    return "".join(text for text, _ in cells)


# -- the bar


@given(
    sizes=st.lists(st.integers(0, 20 * GIB), min_size=8, max_size=8),
    beside=st.tuples(st.integers(0, 4 * GIB), st.integers(0, 4 * GIB), st.integers(0, 4 * GIB)),
    total=st.integers(GIB, 200 * GIB),
    used=st.integers(0, GIB),
    width=st.integers(20, 240),
    device=st.booleans(),
)
def test_a_bar_is_as_wide_as_it_should_be_and_to_scale(
    sizes: list[int], beside: tuple[int, int, int], total: int, used: int, width: int, device: bool
) -> None:
    parts = dict(zip(pictures.LETTERS, sizes, strict=False))
    allocated = sum(sizes)
    low = allocated + beside[0]
    band = Band(low, low + beside[1], low + beside[1] + beside[2], None, 0)
    gpu = Device("a GPU", total, used_bytes=used) if device else None
    extent = pictures.extent_of(band, gpu)
    cells = pictures.bar(parts, band, gpu, extent, width)
    assert length(cells) == (width if extent else length(cells)) <= width
    if gpu is None or total >= used + band.high:
        drawn = sum(
            len(part) for part, name in cells if name.removesuffix(pictures.LETTER) in pictures.LETTERS
        )
        assert abs(drawn - allocated / max(extent, 1) * width) <= 1
        assert "┃" not in text(cells)
    else:
        assert abs(text(cells).index("┃") + 1 - total / extent * width) <= 1
    assert length(pictures.without_letters(cells)) == length(cells)


def test_what_is_beyond_the_devices_end_is_told_as_too_much() -> None:
    parts = {"weights": 20 * GIB, "logits": 20 * GIB}
    band = Band(40 * GIB, 42 * GIB, 44 * GIB, None, 0)
    cells = pictures.bar(parts, band, GB_24, pictures.extent_of(band, GB_24), 90)
    at = text(cells).index("┃")
    beyond = 0
    for part, name in cells:
        beyond += len(part) * name.startswith("over")
    assert beyond == 90 - at - 1 and text(cells).startswith("╱╱W█") and "L▓" in text(cells)


def test_each_component_has_a_letter_of_its_own_and_a_neighbour_of_another_look() -> None:
    assert len(set(pictures.LETTERS.values())) == len(pictures.LETTERS)
    names = list(pictures.LETTERS)
    for one, other in pairwise(names):
        looks = (
            (pictures.GLYPHS[one], pictures.COLOURS[one]),
            (pictures.GLYPHS[other], pictures.COLOURS[other]),
        )
        assert looks[0] != looks[1]


@pytest.mark.parametrize("theme", [DARK, LIGHT, DARK_16, LIGHT_16], ids=lambda theme: theme.name)
def test_colours_of_the_bar_stand_out_from_the_background(theme: object) -> None:
    variables = theme.to_color_system().generate()  # type: ignore[attr-defined]
    back = Color.parse(variables["background"])
    for name in pictures.LETTERS:
        colour, _, share = pictures.COLOURS[name].partition(" ")
        shown = back.blend(Color.parse(variables[colour[1:]]), float(share.rstrip("%") or 100) / 100)
        assert abs(shown.brightness - back.brightness) > 0.2, name


@pytest.mark.parametrize(
    ("extent", "unit", "width"), [(24, 1, 116), (139, 1, 76), (8, 1, 56), (900, 100, 76)]
)
def test_the_scale_has_round_numbers_at_their_places(extent: int, unit: int, width: int) -> None:
    line = pictures.scale(extent * GIB, width, unit * GIB)
    labels = line.split()
    assert len(line) == width and 3 <= len(labels) <= 12 and labels[0] == "0"
    steps = {round(float(b) - float(a), 6) for a, b in pairwise(labels)}
    assert len(steps) == 1
    place = round(float(labels[2]) * unit / extent * width)
    assert line[place:].startswith(labels[2])


# -- words


def test_a_subject_keeps_method_and_verdict_where_it_is_narrow(tmp_path: Path) -> None:
    recipe = recipe_of(tmp_path)
    found = answer_to(recipe)
    for width in (58, 78, 118, 248):
        shown = str(view.subject(recipe, found, "", width))
        assert len(shown) == width and "QLoRA nf4 r16" in shown and "fits: " in shown
    assert "chunked loss" in shown and "all-linear" in shown
    full = recipe_of(tmp_path, adapter=None, model={"quantization": "none"})
    assert "full bfloat16" in str(view.subject(full, None, "reading", 58))


def test_experts_that_quantisation_leaves_out_are_told(tmp_path: Path) -> None:
    config = LLAMA | {"model_type": "qwen3_moe", "head_dim": 128, "num_experts": 8, "num_experts_per_tok": 2}
    own = {"name_or_path": str(model(tmp_path, config | {"moe_intermediate_size": 1024}, "moe"))}
    recipe = recipe_of(tmp_path, model=own)
    found = answer_to(recipe)
    assert "experts stay bfloat16" in str(view.subject(recipe, found, "", 118))
    assert "experts stay bfloat16" in str(view.why_words(found, "weights", reasons(found)))
    lora = recipe_of(tmp_path, model=own | {"quantization": "none"})
    assert "experts" not in str(view.subject(lora, answer_to(lora), "", 248))
    assert "experts" not in str(view.subject(recipe_of(tmp_path), answer_to(recipe_of(tmp_path)), "", 248))


def reasons(found: Answer) -> dict[str, Reason]:
    assert found.shape is not None and found.step is not None
    return {str(name): one for name, one in why(found.shape, found.step, found.estimate, ()).items()}


def test_sizes_are_short_and_numbers_of_a_column_have_the_same_digits() -> None:
    assert [view.brief(size) for size in (24 * GIB, 9 * GIB + GIB // 2, 512 * 2**20, 0)] == [
        "24 GiB",
        "9.5 GiB",
        "512 MiB",
        "0 MiB",
    ]
    assert view.amount(GIB, view.GIB) == "1.00" and view.amount(1536, view.MIB) == "0.0"
    assert view.unit_of(GIB) == view.GIB and view.unit_of(GIB // 2) == view.MIB


def test_the_table_has_every_component_of_any_moment_and_they_add_up(tmp_path: Path) -> None:
    found = answer_to(recipe_of(tmp_path))
    names = view.component_names(found)
    assert names[-2:] == (view.ALLOCATED, view.RESERVED)
    for moment, parts in found.estimate.moments.items():
        shown = {name: text(view.component_line(found, name, moment, 40)).split()[2] for name in names[:-2]}
        assert sum(map(float, shown.values())) == pytest.approx(found.estimate.at(moment) / GIB, abs=0.05)
        assert {name for name, size in parts.items() if size} <= set(names)
    for width in (22, 24, 34, 60):
        assert all(len(text(view.component_line(found, name, "loss", width))) <= width for name in names)
        assert all(
            len(text(view.moment_line(found, name, width + 8))) <= width + 8
            for name in NAMES
            if name in found.estimate.moments
        )


# -- fields


def recipe_of(folder: Path, **sections: object) -> Recipe:
    values: dict[str, object] = {"data": {"train": "rows.jsonl", "packing": "best_fit"}}
    values |= sections
    own = values.pop("model", {})
    assert isinstance(own, dict)
    name = own.get("name_or_path") or str(model(folder))
    return Recipe.model_validate({"model": {**own, "name_or_path": name}, **values})


@pytest.mark.parametrize(
    "field", [field for field in FIELDS if field is not EFFECTIVE], ids=lambda field: field.name
)
def test_every_field_leads_to_other_values_that_the_engine_answers(field: Field, tmp_path: Path) -> None:
    trial = trial_of(recipe_of(tmp_path))
    seen = {field.show(trial.recipe)}
    for direction in (1, -1):
        at = trial
        for _ in range(12):
            try:
                recipe = tried(field, at, direction)
            except InputError:
                break
            changed = differences(trial.base, recipe)
            assert not changed or any(key in field.keys for key in changed)
            assert answer_to(recipe).estimate.peak_bytes > 0
            seen.add(field.show(recipe))
            at = rebased(at, at.base)
            at = type(at)(at.base, recipe, at.keep, 32, at.adapted)
    assert len(seen) >= 2 and NONE not in seen


@pytest.mark.parametrize(
    "name", ["max_length", "rank", "micro-batch", "accumulation", "eval batch", "checkpointing"]
)
def test_numbers_go_up_and_come_back_down(name: str, tmp_path: Path) -> None:
    (field,) = (field for field in FIELDS if field.name == name)
    trial = trial_of(recipe_of(tmp_path))
    trial = type(trial)(trial.base, trial.recipe, True, 32, trial.adapted)
    higher = tried(field, trial, 1)
    assert answer_to(higher).estimate.peak_bytes >= answer_to(trial.base).estimate.peak_bytes
    back = tried(field, type(trial)(trial.base, higher, True, 32, trial.adapted), -1)
    assert back == trial.base


def test_far_steps_double_and_halve(tmp_path: Path) -> None:
    fields = {field.name: field for field in FIELDS}
    trial = trial_of(recipe_of(tmp_path))
    assert tried(fields["max_length"], trial, 1, far=True).data.max_length == 4096
    adapter = tried(fields["rank"], trial, -1, far=True).adapter
    assert adapter is not None and adapter.r == 8
    training = tried(fields["micro-batch"], trial, 1, far=True).training
    assert (training.per_device_train_batch_size, training.gradient_accumulation_steps) == (2, 4)


def test_differences_make_one_recipe_of_the_other(tmp_path: Path) -> None:
    from sftui.recipe_save import with_changes

    one = recipe_of(tmp_path)
    full = recipe_of(tmp_path, adapter=None, model={"quantization": "none"})
    for before, after in ((one, full), (full, one), (one, one)):
        assert with_changes(before, differences(before, after)) == after
    assert differences(one, one) == {}


def test_what_was_tried_is_tried_of_another_recipe_where_it_fits(tmp_path: Path) -> None:
    fields = {field.name: field for field in FIELDS}
    trial = trial_of(recipe_of(tmp_path))
    trial = type(trial)(trial.base, tried(fields["rank"], trial, 1), adapted=trial.adapted)
    longer = recipe_of(tmp_path, data={"train": "rows.jsonl", "max_length": 64})
    moved = rebased(trial, longer)
    assert moved.recipe.adapter is not None and moved.recipe.adapter.r == 32
    assert moved.recipe.data.max_length == 64
    full = recipe_of(tmp_path, adapter=None, model={"quantization": "none"})
    method = tried(fields["quantization"], trial, 1)
    assert rebased(type(trial)(trial.base, method), full).recipe == full
