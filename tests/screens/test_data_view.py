"""What the Data screen says, as text: it fits, it says what holds, it cannot be driven by data."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.data.overview import Loss, OverlengthCost, Overview
from sftui.data.views import RowView
from sftui.recipe_file import parse_recipe
from sftui.screens import data_view as view
from sftui.screens import findings_view, statistics_view
from sftui.screens.figures import WIDTH, figure
from sftui.screens.widgets.histogram import axis_for, heights, histogram
from sftui.screens.widgets.statistics import WORDS
from sftui.screens.widgets.token_layout import Heading

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


@pytest.mark.parametrize(
    ("fate", "said", "unsaid"),
    [
        ("left out: cannot be used", "this row is left out", "does not start"),
        ("refused: cannot be used", "a run does not start with this row", "left out"),
        ("used", "this row cannot be shown", "does not start"),
    ],
)
def test_what_becomes_of_an_unusable_row_is_what_the_recipe_says(fate: str, said: str, unsaid: str) -> None:
    row = RowView(5, "a.jsonl:6", "{", fate=fate, error="is not JSON")
    shown = "".join(f"{item}" for item in view.document(row, "tokens", 400).items())
    for words in (shown, findings_view.row_findings(row).plain):
        assert said in words and unsaid not in words and "is not JSON" in words
        assert ("data.bad_rows: drop" in words) == fate.startswith("refused")


@pytest.mark.parametrize("name", ["tokens", "template"])
def test_of_a_capped_row_the_rest_is_counted_at_the_end(name: view.ViewName) -> None:
    whole = row_view(0, "a.jsonl:1", CHAT, RECIPE)
    row = replace(whole, tokens=whole.tokens[:20], more=len(whole.tokens) - 20)
    document = view.document(row, name, 2048)
    *_, last = document.items()
    assert isinstance(last, Heading) and last.left == f"… {row.more:,} more tokens"
    assert all(turn < 20 for turn in document.turns)
    assert not any(
        isinstance(item, Heading) and "more" in item.left for item in view.document(whole, name, 2048).items()
    )
    assert view.token_title(row, 19) == f"token 20 of {len(whole.tokens)}"


@given(st.integers(0, 2**32))
def test_a_figure_fits_and_says_what_it_counts_to_three_digits(value: int) -> None:
    text = figure(value)
    number, _, unit = text.partition(" ")
    said = float(number.replace(",", "")) * {"": 1, "k": 1e3, "M": 1e6, "B": 1e9}[unit]
    assert len(text) <= WIDTH and abs(said - value) <= value * 0.005


@pytest.mark.parametrize("value", [99_999, 100_000, 999_499, 999_500, 1_600_034, 9_996_000, 99_960_000])
def test_figures_keep_three_digits(value: int) -> None:
    digits = figure(value).replace(",", "").replace(".", "").partition(" ")[0]
    assert len(digits) == (5 if value < 100_000 else 3)


@pytest.mark.parametrize("emptied", [0, 1, 99_999])
def test_what_is_lost_is_said_in_full_at_the_width_there_is(emptied: int) -> None:
    loss = Loss(12_345, 1_234_567_890, 987_654_321, emptied)
    overview = Overview(
        "train",
        tokens=9_999_999_999,
        percentiles=(1, 100_000, 200_000, 1_000_000, 1_600_034),
        cost=OverlengthCost(1_000_000, 1_234_567, loss, loss, loss),
    )
    for width in (WORDS, 69):  # beside the picture at 120 cells, in the box at 80
        assert "…" not in statistics_view.statistics(overview, RECIPE, width).plain
