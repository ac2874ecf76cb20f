"""Equal and nearly equal rows are found among all, and unrelated ones are not."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from sftui.data.conversation import Conversation
from sftui.data.findings.duplicates import (
    NO_SKETCH,
    SKETCH_BYTES,
    duplicate_groups,
    duplicate_text,
    sketch,
)

WORDS = [f"word{number}" for number in range(3000)]


def text(draw: random.Random, words: int = 120) -> str:
    return " ".join(draw.choices(WORDS, k=words))


def changed(draw: random.Random, original: str, words: int) -> str:
    """`original` with so many words changed, next to each other so that few triples are."""
    parts = original.split()
    at = draw.randrange(1, len(parts) - words - 1)
    parts[at : at + words] = draw.choices(WORDS, k=words)
    return " ".join(parts)


def similarity(one: str, other: str) -> float:
    """The Jaccard similarity of the sets of word triples."""

    def triples(value: str) -> set[tuple[str, ...]]:
        words = value.split()
        return set(zip(words, words[1:], words[2:], strict=False))

    return len(triples(one) & triples(other)) / len(triples(one) | triples(other))


def report_of(train: list[str], held_out: list[str] | None = None):  # type: ignore[no-untyped-def]
    return duplicate_groups(b"".join(map(sketch, [*train, *(held_out or [])])), len(train))


def planted(words: int, length: int = 120, pairs: int = 300) -> tuple[list[str], float]:
    """Texts followed by a changed copy of each, and the mean similarity of the pairs."""
    draw = random.Random(words * 1000 + length)
    originals = [text(draw, length) for _ in range(pairs)]
    copies = [changed(draw, each, words) for each in originals]
    mean = sum(map(similarity, originals, copies)) / pairs
    return originals + copies, mean


@pytest.mark.parametrize(("words", "length"), [(1, 120), (3, 120), (1, 60), (8, 400), (20, 1500)])
def test_nearly_all_pairs_of_great_similarity_are_found(words: int, length: int) -> None:
    texts, mean = planted(words, length)
    assert mean >= 0.89
    near = report_of(texts).near
    right = [row for row, first in zip(near.rows, near.firsts, strict=True) if first == row - 300]
    assert len(right) >= 0.96 * 300
    assert len(near.rows) == len(right)


@pytest.mark.parametrize("words", [45, 60, 90])
def test_nearly_no_pair_of_little_similarity_is_found(words: int) -> None:
    texts, mean = planted(words)
    assert mean < 0.5
    assert len(report_of(texts).near.rows) <= 1


def test_short_texts_only_count_when_they_are_equal() -> None:
    report = report_of(
        ["one two three four five six", "one two three four five seven", "One two three  four five six"]
    )
    assert (list(report.near.rows), list(report.exact.rows), list(report.exact.firsts)) == ([], [2], [0])


def test_case_and_white_space_do_not_tell_rows_apart_but_a_word_does() -> None:
    draw = random.Random(3)
    original = text(draw)
    again = original.upper().replace(" ", "\n\t ")
    other = changed(draw, original, 1)
    report = report_of([original, again, other, text(draw)])
    assert (list(report.exact.rows), list(report.exact.firsts)) == ([1], [0])
    assert (list(report.near.rows), list(report.near.firsts)) == ([2], [0])


def test_every_copy_repeats_the_first_of_them() -> None:
    draw = random.Random(4)
    first, second = text(draw), text(draw)
    report = report_of([second, first, first, second, first])
    assert list(zip(report.exact.rows, report.exact.firsts, strict=True)) == [(2, 1), (3, 0), (4, 1)]
    assert not report.near.rows


def test_held_out_rows_that_are_trained_on_are_leaks() -> None:
    draw = random.Random(5)
    train = [text(draw) for _ in range(50)]
    held_out = [text(draw), train[7].title(), changed(draw, train[9], 1), text(draw)]
    held_out += [held_out[0], held_out[2]]
    report = report_of(train, held_out)
    assert list(zip(report.leaks.rows, report.leaks.firsts, strict=True)) == [(1, 7)]
    assert list(zip(report.near_leaks.rows, report.near_leaks.firsts, strict=True)) == [(2, 9), (5, 9)]
    # Repeats among the held-out rows alone train nothing twice.
    assert not report.exact.rows and not report.near.rows


def test_rows_are_not_joined_by_a_chain_of_others() -> None:
    draw = random.Random(6)
    chain = [text(draw, 200).split()]
    for step in range(12):
        words = chain[-1].copy()
        words[step * 15 : step * 15 + 12] = draw.choices(WORDS, k=12)
        chain.append(words)
    texts = [" ".join(words) for words in chain]
    near = report_of(texts).near
    assert near.rows
    assert all(similarity(texts[a], texts[b]) > 0.65 for a, b in zip(near.rows, near.firsts, strict=True))


def test_a_large_group_of_near_duplicates_is_found_whole() -> None:
    draw = random.Random(7)
    original = text(draw, 200)
    texts = [changed(draw, original, 1) for _ in range(400)]
    assert len(report_of(texts).near.rows) >= 390


def test_empty_rows_repeat_nothing() -> None:
    assert sketch(" \n") == NO_SKETCH
    report = report_of(["", "", "   "])
    assert not report.exact.rows and not report.near.rows
    assert not duplicate_groups(b"", 0).exact.rows


def test_scripts_without_spaces_are_compared_by_character() -> None:
    draw = random.Random(8)
    characters = [chr(0x4E00 + number) for number in range(2000)]
    texts = ["".join(draw.choices(characters, k=200)) for _ in range(20)]
    texts.append(texts[3][:100] + "新" + texts[3][101:])
    report = report_of(texts)
    assert list(zip(report.near.rows, report.near.firsts, strict=True)) == [(20, 3)]


def test_half_a_surrogate_pair_has_a_sketch() -> None:
    assert len(sketch("\ud800 " * 20)) == SKETCH_BYTES


def test_a_sketch_is_the_same_in_every_process() -> None:
    words = "the quick brown fox jumps over the lazy dog and runs away from it"
    program = f"from sftui.data.findings.duplicates import sketch; print(sketch({words!r}).hex())"
    command = [sys.executable, "-c", program]
    seen = {
        subprocess.run(
            command, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert seen == {sketch(words).hex()}
    assert len(sketch(words)) == SKETCH_BYTES <= 80


def test_what_is_compared_is_what_is_said_and_called() -> None:
    messages = (
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "weather"}}]},
        {"role": "tool", "content": "rain"},
        {"role": "assistant", "content": "It rains."},
    )
    compared = duplicate_text(Conversation(messages, "train.jsonl:1"))
    assert compared.startswith("Weather?\n") and compared.endswith("\nIt rains.") and '"weather"' in compared
    assert "kind" not in compared and '"rain"' not in compared
    assert duplicate_text(Conversation((), "train.jsonl:1", text="All of it")) == "All of it"
