"""Laying tokens out: whatever their texts are, none is lost, no line is too wide, nothing acts."""

from __future__ import annotations

import time
import unicodedata

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from sftui.screens.widgets.token_layout import (
    CARRIER,
    LEAST_WIDTH,
    Heading,
    Layout,
    Piece,
    as_bytes,
    layout,
    visible,
)

TEXTS = st.lists(
    st.one_of(
        st.text(max_size=12),
        st.text("ab \n\t\r\u0301\u200b\u202e日👍", max_size=8),
        st.sampled_from([" word", "\n", "<|im_end|>", "", "x" * 50, "日本語" * 9, "\u0301", "‹e2›"]),
    ),
    max_size=40,
)
WIDTHS = st.integers(1, 60)


def pieces(made: Layout) -> list[Piece]:
    return [piece for line in made.lines if not isinstance(line, Heading) for piece in line]


@given(TEXTS, WIDTHS, st.booleans())
def test_every_token_stands_once_and_in_order_whatever_it_is(
    texts: list[str], width: int, spaces: bool
) -> None:
    made = layout(texts, width, spaces=spaces)
    shown: dict[int, str] = {}
    last = -1
    for token, text, _ in pieces(made):
        assert token in (last, last + 1), "tokens stand in order and in one piece"
        shown[token] = shown.get(token, "") + text
        last = token
    assert made.complete and made.tokens == len(texts) == len(shown)
    for token, text in enumerate(texts):
        expected = "⏎".join(visible(part, spaces=spaces) if part else "" for part in text.split("\n"))
        assert shown[token] == expected


@given(TEXTS, WIDTHS)
def test_no_line_is_wider_than_asked_and_widths_are_those_of_the_terminal(
    texts: list[str], width: int
) -> None:
    for line in layout(texts, width).lines:
        assert not isinstance(line, Heading)
        assert sum(piece.width for piece in line) <= max(width, LEAST_WIDTH)
        assert all(piece.width == cell_len(piece.text) for piece in line)
        assert cell_len("".join(piece.text for piece in line)) == sum(piece.width for piece in line)


@given(st.text(max_size=40))
def test_nothing_that_is_shown_acts_or_hides(text: str) -> None:
    for part in text.split("\n"):
        if not part:
            continue
        shown = visible(part)
        assert shown.isprintable()
        assert not any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") for char in shown)
        # A mark that combines never joins what is before it.
        assert cell_len(shown[0]) > 0


@given(TEXTS, WIDTHS)
def test_a_token_is_found_again_where_it_stands(texts: list[str], width: int) -> None:
    made = layout(texts, width)
    for token, text in enumerate(texts):
        line = made.line_of(token)
        begins = made.lines[line]
        assert not isinstance(begins, Heading) and any(piece.token == token for piece in begins)
        assert made.last_line_of(token) >= line
        if visible(text.partition("\n")[0]) if text.partition("\n")[0] else "\n" in text:
            assert made.token_at(line, made.column_of(token)) == token


@given(TEXTS, WIDTHS, st.integers(1, 7))
def test_a_layout_in_slices_is_the_layout_at_once(texts: list[str], width: int, size: int) -> None:
    made = Layout(texts, width)
    while not made.complete:
        made.extend(size)
    assert made.lines == layout(texts, width).lines


def test_headings_stand_on_lines_of_their_own_and_count_as_no_token() -> None:
    made = layout([Heading("user"), "Hello", Heading("assistant", "2 trained"), "Hi", " there"], 40)
    assert [isinstance(line, Heading) for line in made.lines] == [True, False, True, False]
    assert made.tokens == 3 and made.line_of(1) == 3 and made.token_at(0, 0) is None


def test_lines_break_before_a_word_and_after_a_line_break() -> None:
    made = layout(["The", " ba", "by", "sit", "ter", "\n", "came"], 12)
    assert ["".join(piece.text for piece in line) for line in made.lines] == ["The", " babysitter⏎", "came"]


def test_a_mark_that_combines_gets_a_carrier_and_part_of_a_character_its_bytes() -> None:
    assert visible("\u0301x") == f"{CARRIER}\u0301x"
    assert as_bytes(b"\xe2\x82") == "‹e2›‹82›"
    assert visible("a\u200bb\x1b[31m\u202e") == "a‹U+200B›b␛[31m‹U+202E›"
    assert visible(" a b", spaces=True) == "·a·b"


def test_a_very_long_row_is_laid_out_in_slices_none_of_which_holds_up_a_key() -> None:
    made = Layout((" word" if at % 9 else "\n" for at in range(100_000)), 80)
    slices = []
    while not made.complete:
        began = time.process_time()
        made.extend(4000)
        slices.append(time.process_time() - began)
    assert made.tokens == 100_000
    # Of a test's many objects the garbage is collected meanwhile: the middle one tells.
    assert sorted(slices)[len(slices) // 2] < 0.05
