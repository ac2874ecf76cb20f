"""What the Packing screen says and draws, without a screen."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.data.packing.bins import BinPiece, BinView
from sftui.data.packing.summary import Summary
from sftui.recipe_file import parse_recipe
from sftui.screens import length_view
from sftui.screens.bin_cuts import Cuts, cuts_of
from sftui.screens.bin_view import bin_line, bin_table, bin_text, bin_title
from sftui.screens.figures import brief
from sftui.screens.leak_check import LeakState
from sftui.screens.leak_view import leak_words
from sftui.screens.packing_choices import Target, target_of
from sftui.screens.packing_pictures import (
    BEGIN,
    PLAIN,
    ROOM,
    SEVERAL,
    TRAINED,
    attended,
    attention,
    bin_cells,
    fills,
    slider,
)
from sftui.screens.packing_view import (
    fill_and_padding,
    lost_figure,
    percent,
    sequences_a_step,
    strategy_heading,
    strategy_line,
    strategy_words,
    subject,
)

from .packing_fixtures import fake_plan

RECIPE = parse_recipe("model: {name_or_path: a/b}\ndata: {train: rows.jsonl, packing: best_fit}\n")
LENGTHS = st.lists(st.integers(1, 400), min_size=1, max_size=60)


def view_of(*lengths: int, max_length: int = 100, trained: float = 0.5) -> BinView:
    """A bin whose sequences are trained in their last part."""
    pieces = tuple(
        BinPiece(number, 0, 0, length, ((length - int(length * trained), length),) if trained else ())
        for number, length in enumerate(lengths)
    )
    taught = sum(end - first for piece in pieces for first, end in piece.trained)
    return BinView(7, sum(lengths), taught, max_length, pieces)


def drawn(view: BinView, width: int) -> str:
    return "".join(text for text, _ in bin_cells(view, width))


# -- bins


def test_a_bin_is_drawn_to_scale_with_its_trained_part_and_its_room() -> None:
    assert (
        drawn(view_of(40, 20, 30), 10)
        == f"{BEGIN}{PLAIN}{TRAINED}{TRAINED}{BEGIN}{TRAINED}{BEGIN}{PLAIN}{TRAINED}{ROOM}"
    )


def test_neighbours_differ_in_shade_and_the_trained_part_has_its_own() -> None:
    styles = [style for _, style in bin_cells(view_of(40, 40), 10)]
    assert styles == ["even", "even-trained", "odd", "odd-trained", "room"]


def test_tiny_sequences_do_not_vanish_and_do_not_shift_the_rest() -> None:
    whole = drawn(view_of(50, 50), 10)
    assert drawn(view_of(49, 1, 50), 10)[6:] == whole[6:]
    crowded = drawn(view_of(49, *[1] * 6, 45), 10)
    assert crowded[5] in (SEVERAL, BEGIN) and SEVERAL in crowded
    assert drawn(view_of(99, 1), 10)[-1] == BEGIN


def test_a_sequence_as_long_as_the_bin_leaves_no_room() -> None:
    assert drawn(view_of(100), 10) == BEGIN + PLAIN * 4 + TRAINED * 5


@given(LENGTHS, st.integers(1, 200))
def test_a_bin_always_has_the_width_of_its_room_and_every_sequence_a_begin(
    lengths: list[int], width: int
) -> None:
    view = view_of(*lengths, max_length=sum(lengths) + 37)
    text = drawn(view, width)
    assert len(text) == width
    begins = text.count(BEGIN) + text.count(SEVERAL)
    assert begins >= 1 and (len(lengths) <= begins or SEVERAL in text)
    assert ROOM not in text.rstrip(ROOM)


def test_only_trained_tokens_shine() -> None:
    assert TRAINED not in drawn(view_of(60, 30, trained=0), 20)
    scattered = BinPiece(0, 0, 0, 100, ((10, 20), (50, 60)))
    assert (
        drawn(BinView(0, 100, 20, 100, (scattered,)), 10)
        == f"{BEGIN}{TRAINED}{PLAIN * 3}{TRAINED}{PLAIN * 4}"
    )


def test_a_cut_is_marked_at_both_ends_also_where_one_sequence_fills_the_bin() -> None:
    view = view_of(40, 60)
    cut = "".join(text for text, _ in bin_cells(view, 10, Cuts(6, 8)))
    assert cut[0] == "◂" and cut[-1] == "▸" and cut[1:-1] == drawn(view, 10)[1:-1]
    one = "".join(text for text, _ in bin_cells(view_of(100), 10, Cuts(6, 8)))
    assert one[0] == "◂" and one[-1] == "▸"
    half = "".join(text for text, _ in bin_cells(view_of(50), 10, Cuts(None, 8)))
    assert half[4] == "▸" and half[5:] == ROOM * 5


def test_a_sequence_goes_on_where_the_next_bin_begins_with_its_rest() -> None:
    first = BinView(3, 90, 0, 100, (BinPiece(1, 0, 0, 30, ()), BinPiece(2, 1, 0, 60, ())))
    rest = BinView(4, 20, 0, 100, (BinPiece(2, 1, 60, 80, ()),))
    assert cuts_of(first, rest) == Cuts(None, 4) and cuts_of(rest, None) == Cuts(3, None)
    for other in (BinPiece(2, 0, 60, 80, ()), BinPiece(3, 1, 60, 80, ()), BinPiece(2, 1, 0, 20, ())):
        assert cuts_of(first, replace(rest, pieces=(other,))).on is None


# -- attention


@pytest.mark.parametrize("glyphs", ["braille", "block"])
def test_attention_is_a_triangle_a_sequence_and_nothing_between(glyphs: str) -> None:
    lines = attention(view_of(50, 50), 8, glyphs)  # type: ignore[arg-type]
    assert len(lines) == 8 and all(len(line) == 16 for line in lines)
    assert all(line[8:].strip() == "" for line in lines[:4]), "the first sees nothing of the second"
    assert all(line[:8].strip() == "" for line in lines[4:]), "nor the other way round"
    assert lines[3][:8].strip() and lines[3][0] != " " and lines[0][7] == " "
    assert [line[8:] for line in lines[4:]] == [line[:8] for line in lines[:4]]


def test_room_that_is_left_attends_to_nothing() -> None:
    lines = attention(view_of(50), 8, "braille")
    assert all(line.strip() == "" for line in lines[4:])


def test_the_share_of_attention_is_that_of_the_triangles() -> None:
    assert attended(view_of(100)) == 1
    assert attended(view_of(2, 2)) == pytest.approx((3 + 3) / 10)


# -- words


def test_only_what_is_whole_is_all_of_it() -> None:
    assert [percent(share) for share in (1.0, 0.9999, 0.994, 0.0)] == ["100%", "99.9%", "99.4%", "0.0%"]


@pytest.mark.parametrize("width", [58, 78, 118, 248])
def test_the_subject_keeps_strategy_and_fill_at_every_width(width: int) -> None:
    plan = fake_plan([150, 300, 900] * 40, 120, 120, RECIPE, 2048)
    text = str(subject(RECIPE, plan, None, width))
    assert len(text) <= width and text.startswith("best_fit  ") and "fill 94.1%" in text and "bins" in text


def test_a_loss_stays_longer_than_the_fill() -> None:
    wrapped = RECIPE.model_copy(update={"data": RECIPE.data.model_copy(update={"packing": "wrapped"})})
    plan = fake_plan([150, 300, 900] * 40_000, 120_000, 120_000, wrapped, 2048)
    text = str(subject(wrapped, plan, None, 50))
    assert "lost ≤" in text and "fill" not in text
    assert "lost 12" in str(subject(wrapped, plan, None, 58, 12)) and len(text) <= 50


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_fill_and_padding_add_up_and_only_what_is_full_is_100(tokens: int, padding: int) -> None:
    summary = Summary("best_fit", 100, 1, tokens, 1, 1, tokens + padding, 0, True)
    fill, rest = (Decimal(text.removesuffix("%")) for text in fill_and_padding(summary))
    assert fill + rest == 100 and (fill == 100) == (padding == 0)


def test_what_is_to_be_expected_of_drawn_batches_is_marked() -> None:
    plan = fake_plan([150, 300, 900] * 40, 120, 120, RECIPE, 2048)
    none = replace(plan.of("none"), exact=False)
    plan = replace(plan, summaries=(none, *plan.summaries[1:]), step_batches=8)
    lines = {
        each: "".join(text for text, _ in strategy_line(plan, each, "best_fit", 62))
        for each in ("none", "best_fit", "wrapped")
    }
    assert lines["none"].count("~") == 2 and lines["best_fit"].count("~") == 1
    assert lines["none"].split()[-2] == "8" and "1.00×" in lines["none"]
    assert strategy_heading(62).split()[-2:] == ["seq/step", "speed"]
    bins = plan.of("best_fit").bins
    assert sequences_a_step(plan, "best_fit") == f"{120 * 8 / bins:.0f}"
    assert str(strategy_words(plan, "none")).splitlines()[1].startswith("~")


def test_the_most_that_cuts_lose_is_marked_until_it_is_known() -> None:
    plan = fake_plan([150, 300, 900] * 40, 120, 120, RECIPE, 2048)
    wrapped = plan.of("wrapped")
    assert lost_figure(plan, wrapped, None) == (f"≤{wrapped.cut}", True)
    assert lost_figure(plan, wrapped, 7) == ("7", True) and lost_figure(plan, wrapped, 0) == ("0", False)
    assert lost_figure(plan, plan.of("best_fit"), 7) == ("0", False)


@given(st.integers(0, 10**12))
def test_a_brief_figure_is_never_less_and_leaves_room_for_a_sign(value: int) -> None:
    text = brief(value)
    number, _, unit = text.replace(",", "").partition(" ")
    assert len(text) <= 6 and float(number) * {"": 1, "k": 1e3, "M": 1e6, "B": 1e9}[unit] >= value * (
        1 - 1e-9
    )


def test_an_estimate_says_of_how_much_it_is() -> None:
    plan = fake_plan([150, 300] * 31, 100, 62, RECIPE, 2048)
    assert str(subject(RECIPE, plan, None, 118)).endswith("estimated from 62% of rows")


@pytest.mark.parametrize("width", [45, 53, 57, 76])
def test_columns_keep_their_gap_with_huge_counts(width: int) -> None:
    plan = fake_plan([1999] * 3000, 3000, 3000, RECIPE, 2048)
    summaries = tuple(replace(each, bins=123_456_789, cut=99_999, sequences=10**9) for each in plan.summaries)
    plan = replace(plan, summaries=summaries, step_batches=1)
    heading = strategy_heading(width)
    for strategy in ("none", "next_fit", "best_fit", "wrapped"):
        line = "".join(text for text, _ in strategy_line(plan, strategy, "best_fit", width))  # type: ignore[arg-type]
        assert len(line) == len(heading) <= width
        assert (
            len(line.replace(" M", "M").replace(" k", "k").replace("t ◂", "t◂").split())
            == len(heading.split()) + 1
        )


def test_a_bins_line_says_rows_and_restarting_positions_as_far_as_there_is_room() -> None:
    view = view_of(20, 30, 40)
    assert str(bin_line(view, 118)) == "bin 7: 3 sequences, rows 0 1 2  positions 0‥19 | 0‥29 | 0‥39"
    many = view_of(*[10] * 60, max_length=700)
    for width in (40, 60, 78, 118):
        assert len(str(bin_line(many, width))) <= width and "…" in str(bin_line(many, width))
    assert str(bin_title(view, 80)) == "bin 7  3 sequences  90 of 100 tokens  45 trained (50%)"


def test_a_bins_table_says_how_many_more_there_are() -> None:
    lines = str(bin_table(view_of(*[5] * 20), 8, 44)).splitlines()
    assert len(lines) == 8 and lines[-1].strip() == "… 14 more; Enter shows all"


def test_rows_on_their_way_are_told() -> None:
    text = bin_text(view_of(20, 30), {})
    assert text.tokens == () and "2 sequences on the way" in str(text.items[0])
    assert text.place(0) is None


# -- fill and slider


def test_the_fill_has_a_bar_a_class_and_a_scale() -> None:
    lines = str(fills((*[0] * 18, 3, 700), 50, 6)).splitlines()
    assert len(lines) == 6 and lines[-1].split() == ["0%", "25%", "50%", "75%", "100%"]
    assert lines[0].rstrip().endswith("█") and lines[4].rstrip().endswith("▁ █")
    assert str(fills((0,) * 20, 50, 6)) == ""


def test_the_slider_shows_where_it_is_and_what_the_recipe_has() -> None:
    text = str(slider(64, 64, 8192, 2048, 29))
    assert len(text) == 29 and text[0] == "●" and text[20] == "┼"
    assert str(slider(8192, 64, 8192, 2048, 29))[-1] == "●"
    assert str(slider(2048, 64, 8192, 2048, 29))[20] == "●"


@given(st.integers(32, 2**20))
def test_steps_of_the_slider_lead_there_and_back_and_never_stand_still(length: int) -> None:
    up, down = length_view.stepped(length, 1), length_view.stepped(length, -1)
    assert down < length or length == length_view.LEAST
    assert length < up <= length * 17 // 16 + 16 or length == length_view.MOST
    assert length_view.stepped(up, -1) <= length or length == length_view.MOST
    assert length_view.doubled(length, 1) > length or length == length_view.MOST
    assert length_view.doubled(length, -1) < length or length == length_view.LEAST


def test_powers_of_two_are_stops_of_the_slider() -> None:
    assert length_view.stepped(2048, 1) == 2176 and length_view.stepped(2048, -1) == 1984
    assert length_view.stepped(2000, 1) == 2048 and length_view.stepped(2100, -1) == 2048
    assert length_view.doubled(2000, 1) == 2048 and length_view.doubled(2048, 1) == 4096
    assert length_view.doubled(2049, -1) == 2048 and length_view.doubled(2048, -1) == 1024
    assert length_view.stepped(2, -1) == 2 and length_view.doubled(3, -1) == 3


@given(st.integers(2, 10**7), st.integers(0, 12))
def test_the_recipes_own_length_is_in_the_table(own: int, room: int) -> None:
    lengths = length_view.table_lengths(own, room)
    assert len(lengths) <= room and lengths == sorted(set(lengths)) and (own in lengths or not room)


# -- going to a bin, the leak test


@pytest.mark.parametrize(
    ("text", "target"),
    [
        ("17", Target("bin", 17)),
        ("1,204", Target("bin", 1204)),
        ("row 1204", Target("row", 1204)),
        ("r12", Target("row", 12)),
        ("", None),
        ("row", None),
    ],
)
def test_a_number_is_a_bin_and_row_with_a_number_is_a_row(text: str, target: Target | None) -> None:
    assert target_of(text) == target


def test_the_leak_test_says_how_it_stands() -> None:
    assert "k to run now" in str(leak_words(LeakState(), None))
    assert str(leak_words(LeakState("running", 12.0), None)).startswith("● running 12 s ")
    result = {
        "passed": True,
        "attention": "sdpa",
        "sequences": 2,
        "tokens": 128,
        "largest_difference": 0.0,
        "tolerance": 1e-4,
        "seconds": 3.2,
        "error": None,
    }
    passed = str(leak_words(LeakState("done", 3.2, result), None))
    assert passed.startswith("✓ passed") and "sdpa  2 sequences  128 tokens" in passed and "3.2 s" in passed
    failed = str(
        leak_words(LeakState("done", 3.2, {**result, "passed": False, "largest_difference": 12.5}), None)
    )
    told = {**result, "passed": False, "reason": "it is not \x1b[1mread"}
    assert str(leak_words(LeakState("done", 3.2, told), None)).startswith(
        "✗ failed: it is not ␛[1mread  sdpa"
    )
    assert failed.startswith("✗ failed  ") and "1.2e+01 (at most 1e-04)" in failed
    broken = str(leak_words(LeakState("done", 3.2, {"error": "\x1b[31mno [b]room"}), None))
    assert "no result: ␛[31mno [b]room" in broken
    assert "cannot be packed: recurrent" in str(leak_words(LeakState(), "recurrent"))
