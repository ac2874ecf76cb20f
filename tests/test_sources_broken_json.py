"""JSON arrays with errors in them: what is broken is a row that says so, the others are read."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sftui.data.sources import Rows, open_rows
from sftui.data.sources.json_array import open_json
from sftui.data.sources.rows import DataFile
from sftui.errors import InputError
from sftui.recipe import Source

SEPARATORS = {"one line": ", ", "compact": ",", "lines": ",\n", "indented": ",\n  "}
CODE = 'f(){ return {a:1}, {b:2} } "x", [1]'


def row(number: int) -> dict[str, Any]:
    said = [{"role": "user", "content": CODE}, {"role": "assistant", "content": f"{number}\nand\tmore"}]
    return {"messages": said, "tools": [{"name": "a", "parameters": {}}, {"name": "b"}], "n": number}


def opened(directory: Path, text: str | bytes) -> Rows:
    path = directory / "a.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return open_rows(Source.model_validate({"path": str(path)}))


def read(rows: Rows) -> list[Any]:
    """The number of each row, or the error that it is."""
    found: list[Any] = []
    for index in range(len(rows)):
        try:
            found.append(rows[index].get("n"))
        except InputError as error:
            found.append(error)
    return found


def told(rows: Rows, index: int) -> InputError:
    with pytest.raises(InputError) as error:
        rows[index]
    return error.value


def array(items: list[str], style: str) -> str:
    first, last = ("\n  ", "\n") if style == "indented" else ("", "")
    return "[" + first + SEPARATORS[style].join(items) + last + "]"


def written(number: int, style: str) -> str:
    text = json.dumps(row(number), indent=2 if style == "indented" else None)
    return text.replace("\n", "\n  ")


BREAKS = {
    "a comma is missing": lambda text: text.replace(',\n    "tools"', '\n    "tools"').replace(
        ', "tools"', ' "tools"'
    ),
    "a colon is missing": lambda text: text.replace('"n": ', '"n" '),
    "a value is missing": lambda text: text.replace('"name": "a"', '"name": '),
    "a comma too many": lambda text: text[:-1].rstrip() + ",}",
    "a quote is missing": lambda text: text.replace('"user"', '"user', 1),
    "a quote within a text": lambda text: text.replace("return", 'ret"urn'),
    "a raw line break": lambda text: text.replace("\\nand", "\nand"),
    "a bad escape": lambda text: text.replace("\\t", "\\x"),
    "a word of Python": lambda text: text.replace('"n": ', '"n": None or '),
    "a bracket is missing": lambda text: re.sub(r"\}\s*\]", "}", text, count=1),
    "a closing brace is missing": lambda text: text[:-1],
    "the opening brace is missing": lambda text: text[1:],
    "a brace too many": lambda text: text + "}",
    "cut off": lambda text: text[: len(text) // 2],
}


@pytest.mark.parametrize("style", SEPARATORS)
@pytest.mark.parametrize("how", BREAKS)
def test_a_broken_element_is_one_bad_row_and_the_others_are_read(
    tmp_path: Path, how: str, style: str
) -> None:
    items = [written(number, style) for number in range(6)]
    whole = items[3]
    items[3] = BREAKS[how](whole)
    assert items[3] != whole
    text = array(items, style)
    found = read(opened(tmp_path, text))
    bad = [index for index, each in enumerate(found) if isinstance(each, InputError)]
    assert [each for each in found if not isinstance(each, InputError)] == [0, 1, 2, 4, 5]
    assert bad == [3]


def test_a_bad_row_names_the_line_and_column_of_the_file(tmp_path: Path) -> None:
    rows = opened(tmp_path, '[\n  {"n": 0},\n  {"n":\n    1 "é": 2},\n  {"n": 2}\n]\n')
    error = told(rows, 1)
    assert (error.file, error.line) == (str(tmp_path / "a.json"), 4)
    assert "a.json:4: not JSON, expecting ',' delimiter at column 7: found '\"é\": 2}" in str(error)
    assert error.hint is None
    assert rows.where(1) == f"{tmp_path}/a.json:4"
    assert (rows.where(0), rows.where(2)) == (f"{tmp_path}/a.json[0]", f"{tmp_path}/a.json[2]")
    assert rows.raw(1) == '{"n":\n    1 "é": 2}'
    assert (rows[0], rows[2], len(rows)) == ({"n": 0}, {"n": 2}, 3)


@pytest.mark.parametrize(
    ("text", "good", "where"),
    [
        ('[{"n": 0} {"n": 1}, {"n": 2}]', [None, 1, 2], "expecting ',' delimiter at column 11: found"),
        ('[{"n": 0},, {"n": 2}]', [0, None, 2], "expecting value at column 11: found"),
        ('[{"n": 0}, ]', [0, None], "expecting value at column 12: found ']'"),
        ('[{"n": 0}] {"n": 1}', [0, None], "extra data at column 12: found '{\"n\": 1}'"),
        ('[{"n": 0}]]', [0, None], "extra data at column 11: found ']'"),
        ('[nope, {"n": 1}]', [None, 1], "expecting value at column 2: found 'nope"),
        ('[{n: 0}, {"n": 1}, {"n": 2}]', [None, 1, 2], "expecting property name enclosed"),
        ('[{"n": 0}], {"n": 1}]', [0, None, 1], "extra data at column 11: found ', {"),
        ('[{"n": 0}, {"n": [' + "[" * 90_000 + '}, {"n": 2}]', [0, None, 2], "JSON nested too deeply"),
    ],
)
def test_what_is_wrong_between_elements_is_a_bad_row(
    tmp_path: Path, text: str, good: list[int | None], where: str
) -> None:
    rows = opened(tmp_path, text)
    found = read(rows)
    assert [None if isinstance(each, InputError) else each for each in found] == good
    assert where in str(told(rows, good.index(None)))


@pytest.mark.parametrize(
    ("end", "good"),
    [
        (', {"n": 2, "t": "x', 2),
        (", {", 2),
        (",", 2),
        ("", 2),
        (',\n{"n": [{"n": 5}, {"n": 6}', 2),
        ("\n", 2),
    ],
)
def test_the_last_row_of_a_truncated_file_says_that_it_may_have_been_cut_off(
    tmp_path: Path, end: str, good: int
) -> None:
    rows = opened(tmp_path, '[{"n": 0}, {"n": 1}' + end)
    assert read(rows)[:-1] == list(range(good))
    error = told(rows, good)
    assert error.hint == "the array does not end in ]: the file may have been cut off"
    assert "not JSON, " in str(error)


def test_only_the_last_row_may_have_been_cut_off(tmp_path: Path) -> None:
    rows = opened(tmp_path, '[{"n" 0}, {"n": 1}, {"n": ')
    assert told(rows, 0).hint is None
    assert told(rows, 2).hint is not None


def test_bytes_that_are_no_text_spoil_their_row_alone(tmp_path: Path) -> None:
    rows = opened(tmp_path, b'[{"n": 0, "t": "\xc3\xa9"},\n {"n": 1, "t": "\xff"},\n {"n": 2}]')
    error = told(rows, 1)
    assert "a.json:2: the byte at column 17 is 0xff, which is not UTF-8: expected UTF-8 text" in str(error)
    assert rows.raw(1) == '{"n": 1, "t": "\\xff"}'
    assert (rows[0], rows[2]) == ({"n": 0, "t": "é"}, {"n": 2})


def test_an_array_without_a_readable_element_is_one_error_each_time(tmp_path: Path) -> None:
    text = "[" + ",\n".join('{"n" 0}' for _ in range(500)) + "]"
    with pytest.raises(InputError, match=r"a\.json:1: not JSON, expecting ':' delimiter at column 7"):
        opened(tmp_path, text)
    rows = open_json(DataFile.at(tmp_path / "a.json", "a.json", None))
    for _ in range(2):
        with pytest.raises(InputError, match=r"a\.json:1: not JSON"):
            rows.read_on(0)
    assert (len(rows), rows.complete) == (1, False)


def test_a_limit_ends_before_what_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text('[{"n": 0}, {"n" 1}, {"n": 2}, {"n"')
    for limit, bad in ((1, 0), (2, 1), (3, 1)):
        rows = open_rows(Source.model_validate({"path": str(path), "limit": limit}))
        assert (len(rows), rows.complete) == (limit, True)
        assert sum(isinstance(each, InputError) for each in read(rows)) == bad


@settings(max_examples=150, deadline=None, derandomize=True)  # a guess may fail, once in thousands
@given(
    breaks=st.dictionaries(
        st.integers(1, 11), st.tuples(st.integers(1, 300), st.sampled_from('{}[]",:\\x')), max_size=3
    ),
    style=st.sampled_from(sorted(SEPARATORS)),
    removes=st.booleans(),
)
def test_every_whole_element_is_read_once(
    tmp_path_factory: pytest.TempPathFactory,
    breaks: dict[int, tuple[int, str]],
    style: str,
    removes: bool,
) -> None:
    items = [written(100 + number, style) for number in range(12)]
    for number, (place, sign) in breaks.items():
        text, at = items[number], place % len(items[number])
        items[number] = text[:at] + ("" if removes else sign) + text[at + removes :]
    rows = opened(tmp_path_factory.mktemp("a"), array(items, style))
    found = read(rows)
    assert [found.count(100 + number) for number in range(12) if number not in breaks] == [1] * (
        12 - len(breaks)
    )
    assert all(isinstance(rows.raw(index), str) and rows.where(index) for index in range(len(rows)))


@pytest.mark.parametrize(
    "text",
    [
        "["
        + ",\n".join(['{"m": [{"a": 1}, {"a": 2}], "n": 1}', '{"m": [{"a": 1}, {"a": 2}, "n": 1}'] * 7000)
        + "]",
        "[" + '{"k":[1,' * 60_000,
        "[" + '{"a":"' * 80_000,
        "[" + "{x}," * 120_000,
        "[" + "," * 500_000,
        "[" + "]" * 500_000,
        "[{" + "\n" * 500_000,
        '[{"a": 1},' + '{"a": [' * 70_000,
    ],
    ids=["every other", "nested", "quotes", "words", "commas", "brackets", "blank", "never closed"],
)
def test_half_a_megabyte_of_errors_takes_seconds_at_most(tmp_path: Path, text: str) -> None:
    start = time.perf_counter()
    try:
        rows = opened(tmp_path, text)
    except InputError:
        pass
    else:
        read(rows)
    assert time.perf_counter() - start < 10
