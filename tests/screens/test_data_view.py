"""What the Data screen says, as text: it fits, it says what holds, it cannot be driven by data."""

from __future__ import annotations

from array import array
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.data.overview import Loss, OverlengthCost, Overview
from sftui.recipe_file import parse_recipe
from sftui.screens import data_view as view
from sftui.screens import statistics_view
from sftui.screens.widgets.histogram import axis_for, count_lengths, heights, histogram

from .desk_fixtures import CHAT, HOSTILE, row_view

LENGTHS = st.dictionaries(st.integers(1, 10**7), st.integers(1, 10**6), max_size=30)
RECIPE = parse_recipe(
    "model: {name_or_path: owner/tiny-model}\n"
    "data: {train: a.jsonl, max_length: 2048, overlength: truncate}\n"
)


@given(LENGTHS, st.integers(2, 10**7), st.integers(10, 200), st.integers(2, 12))
def test_a_histogram_fills_its_place_and_marks_the_longest_sequence(
    counts: dict[int, int], max_length: int, width: int, height: int
) -> None:
    lines = histogram(counts, max_length, width, height).plain.split("\n")
    if not counts:
        assert lines == ["lengths appear here as they become known"]
        return
    assert len(lines) == height and all(len(line) == width for line in lines)
    assert f"{max_length:,}" in lines[-1]


@given(LENGTHS.filter(bool), st.integers(2, 10**7), st.integers(10, 200))
def test_every_length_has_a_bar_in_the_order_of_lengths(
    counts: dict[int, int], max_length: int, width: int
) -> None:
    axis = axis_for(counts, max_length, width)
    cells = [axis.cell(length) for length in sorted(counts)]
    assert cells == sorted(cells) and cells[0] >= 0 and cells[-1] < width
    bars = heights(counts, axis, 4)
    assert all(bars[cell] > 0 for cell in cells) and max(bars) == 32


@given(st.lists(st.integers(0, 100_000), max_size=300))
def test_lengths_are_counted_without_those_that_are_not_known(lengths: list[int]) -> None:
    counts = count_lengths(array("I", lengths))
    assert sum(counts.values()) == sum(length > 0 for length in lengths) and 0 not in counts
    short = Counter(length for length in lengths if 0 < length <= 64)
    assert {length: count for length, count in counts.items() if length <= 64} == dict(short)
    assert all(min(abs(length - known) for known in lengths) <= length * 0.02 for length in counts)


@given(
    st.integers(60, 250),
    st.sampled_from(["opening", "indexing", "analysing", "done", "failed"]),
    st.floats(0, 1),
)
def test_the_subject_is_one_line_of_the_width_asked_for(width: int, state: str, share: float) -> None:
    overview = Overview("train", state, None, 1_234_567, True, share=share, formats=(("messages", 3),))  # type: ignore[arg-type]
    line = view.subject(RECIPE, overview, width)
    assert line.cell_length == width and "a.jsonl" in line.plain
    assert (f"{share:.1%}" in line.plain or f"{int(share * 100)}%" in line.plain) == (
        state not in ("done", "failed")
    )


@pytest.mark.parametrize("messages", [CHAT, HOSTILE], ids=["chat", "hostile"])
@pytest.mark.parametrize("name", view.VIEWS)
def test_no_view_of_a_row_has_a_character_that_acts_in_its_headings(
    messages: list[tuple[str, str]], name: view.ViewName
) -> None:
    row = row_view(3, "a\x1b[31m.jsonl:4", messages, RECIPE)
    items = list(view.document(row, name, 2048).items())
    headings = [item for item in items if not isinstance(item, str)]
    assert all(f"{heading.left}{heading.right}".isprintable() for heading in headings)
    assert items


@given(st.integers(0, 60), st.integers(10, 120))
def test_the_title_of_a_row_fits(at: int, width: int) -> None:
    row = row_view(at, "a.jsonl:1", CHAT, RECIPE)
    assert len(view.row_title(row, width)) <= max(width - 4, 0)


def test_what_each_choice_costs_stands_with_the_recipes_own_marked() -> None:
    cost = OverlengthCost(
        2048, 12, Loss(12, 31_201, 15_000, 0), Loss(2, 6_201, 3_100, 2), Loss(0, 6_201, 10, 0)
    )
    lines = [line.plain for line in statistics_view.cost_lines(cost, RECIPE)]
    assert lines[0] == "12 sequences longer than 2,048; what is lost:"
    assert lines[2].startswith("▸ truncate right") and lines[2].endswith("3,100 trained, 2 emptied")
    assert lines[1].startswith("  drop") and "15,000 trained" in lines[1]
    none = OverlengthCost(2048, 0, Loss(0, 0, 0, 0), Loss(0, 0, 0, 0), Loss(0, 0, 0, 0))
    assert [line.plain for line in statistics_view.cost_lines(none, RECIPE)] == ["none longer than 2,048"]


def test_the_token_panel_says_label_role_and_why_and_weights_only_where_they_count() -> None:
    row = row_view(0, "a.jsonl:1", CHAT, RECIPE)
    at = next(number for number, token in enumerate(row.tokens) if token.trained)
    said = view.token_panel(row, at).plain
    assert f"label {row.tokens[at].label}" in said and "trained: assistant, message 2" in said
    assert "weight" not in said and "label -100" in view.token_panel(row, 0).plain
