"""Rows are found where they stand in the file, and what is wrong is named with its line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftui.data.sources import line_index, open_rows
from sftui.errors import InputError
from sftui.recipe import Source


def write(directory: Path, content: str | bytes, name: str = "train.jsonl") -> Source:
    path = directory / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return Source.model_validate({"path": str(path)})


def test_rows_are_read_in_any_order_and_say_where_they_stand(tmp_path: Path) -> None:
    source = write(tmp_path, "".join(json.dumps({"n": n}) + "\n" for n in range(5)))
    rows = open_rows(source)
    assert len(rows) == 5
    assert [rows[i]["n"] for i in (4, 0, 2)] == [4, 0, 2]
    assert rows.where(4) == f"{source.path}:5"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
def test_blank_lines_byte_order_marks_and_missing_last_newlines_are_no_rows(
    tmp_path: Path, ending: str, last: bool
) -> None:
    lines = ["", '{"n": 0}', "", "  \t", '{"n": 1}', ""]
    text = ending.join(lines) + (ending if last else "")
    rows = open_rows(write(tmp_path, b"\xef\xbb\xbf" + text.encode()))
    assert [rows[i]["n"] for i in range(len(rows))] == [0, 1]
    assert rows.where(0).endswith(":2")
    assert rows.where(1).endswith(":5")


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1),
    block=st.integers(1, 40),
)
def test_rows_that_straddle_blocks_are_whole(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], block: int
) -> None:
    lines = [json.dumps({"text": text}, ensure_ascii=False) + "\n" for text in texts]
    source = write(tmp_path_factory.mktemp("blocks"), "".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_index, "_BLOCK_BYTES", block)
        rows = open_rows(source)
    assert [rows[i]["text"] for i in range(len(rows))] == texts


def test_limit_keeps_the_first_rows(tmp_path: Path) -> None:
    source = write(tmp_path, '{"n": 0}\n\n{"n": 1}\n{"n": 2}\n').model_copy(update={"limit": 2})
    rows = open_rows(source)
    assert [rows[i]["n"] for i in range(len(rows))] == [0, 1]
    source = write(tmp_path, '[{"n": 0}, {"n": 1}]', "a.json").model_copy(update={"limit": 1})
    assert len(open_rows(source)) == 1


def test_numbers_of_any_size_are_read(tmp_path: Path) -> None:
    rows = open_rows(write(tmp_path, '{"n": ' + "1" * 5000 + ', "x": NaN, "y": -Infinity}\n'))
    assert rows[0]["n"] == "1" * 5000
    assert math.isnan(rows[0]["x"])
    assert rows[0]["y"] == -math.inf


def test_a_bad_row_is_reported_when_it_is_read_and_the_others_are_not_lost(tmp_path: Path) -> None:
    rows = open_rows(write(tmp_path, '{"n": 0}\nnonsense\n{"n": 2}\n'))
    assert rows[2]["n"] == 2
    with pytest.raises(InputError, match=r"train\.jsonl:2: not JSON, expecting value at column 1"):
        rows[1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[1, 2]\n", "found an array: expected a JSON object"),
        (b'"text"\n', "found 'text': expected a JSON object"),
        (b"null\n", "found null: expected a JSON object"),
        (b"true\n", "found true: expected a JSON object"),
        (b'{"a": "\x01"}\n', "not JSON, invalid control character at column 8: found"),
        (b'{"a": "b\n', "not JSON, unterminated string starting at column 7: found"),
        (b'{"a": "\xff"}\n', "byte 8 is 0xff, which is not UTF-8"),
        (b'{"a": ' + b"[" * 100_000 + b"\n", "JSON nested too deeply"),
    ],
)
def test_what_is_no_row_is_named_with_file_and_line(tmp_path: Path, line: bytes, message: str) -> None:
    rows = open_rows(write(tmp_path, b'{"n": 0}\n' + line))
    with pytest.raises(InputError, match=r"train\.jsonl:2: ") as error:
        rows[1]
    assert message in str(error.value)


def test_a_cut_off_last_line_is_suspected(tmp_path: Path) -> None:
    rows = open_rows(write(tmp_path, '{"n": 0}\n{"n": 1, "te'))
    with pytest.raises(InputError, match="the file may have been cut off"):
        rows[1]


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\n\n  \n", ""])
def test_the_column_where_a_line_breaks_off_is_its_end(tmp_path: Path, ending: str) -> None:
    line = '{"question":"a","answer":  '
    rows = open_rows(write(tmp_path, line + ending))
    with pytest.raises(InputError, match=rf"train\.jsonl:1: not JSON, .* at column {len(line) + 1}: "):
        rows[0]


def test_a_file_that_shrinks_meanwhile_is_an_error_and_not_a_crash(tmp_path: Path) -> None:
    source = write(tmp_path, '{"n": 0}\n{"n": 1}\n')
    rows = open_rows(source)
    Path(source.path).write_text("")
    with pytest.raises(InputError, match=r"train\.jsonl:2: not JSON"):
        rows[1]


def test_an_array_is_read_and_says_where_its_rows_stand(tmp_path: Path) -> None:
    source = write(tmp_path, b'\xef\xbb\xbf[{"n": 0}, 5]', "a.json")
    rows = open_rows(source)
    assert rows[0] == {"n": 0}
    assert rows.where(1) == f"{source.path}[1]"
    with pytest.raises(
        InputError, match=r"a\.json\[1\]: found 5 \(line 1, column 12\): expected a JSON object"
    ):
        rows[1]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty: expected a JSON array"),
        ('{"data": []}', "found an object: expected an array of objects"),
        ("[]", "has no rows"),
        ('[{"a": ]', "a.json:1: not JSON, expecting value at column 8: found ']', expected an array"),
        ("[", "a.json:1: not JSON, expecting value at column 2: found the end of the file, expected"),
        ("nonsense", "a.json:1: not JSON, expecting value at column 1: found 'nonsense', expected"),
        ("[] []", "a.json:1: not JSON, extra data at column 4: found '[]', expected an array of objects"),
        (b'["\xff', "a.json:1: not JSON, unterminated string starting at column 2"),
        (b"\xe9t\xe9", "a.json: byte 1 is 0xe9, which is not UTF-8"),
        ("null", "found null: expected an array"),
        ("[" * 100_000, "JSON nested too deeply"),
        ('{"a": ' * 100_000, "JSON nested too deeply"),
    ],
)
def test_a_json_file_that_is_no_array_of_rows_says_what_it_is(
    tmp_path: Path, content: str | bytes, message: str
) -> None:
    with pytest.raises(InputError) as error:
        open_rows(write(tmp_path, content, "a.json"))
    assert message in str(error.value)


@pytest.mark.parametrize(
    "text", ['{"n": 0}\n{"n": 1}\n', '\n {"n": 0}\r\n\n{"n": 1}', '\ufeff{"n": 0}\n{"n":1}']
)
def test_json_lines_in_a_json_file_are_read_as_such(tmp_path: Path, text: str) -> None:
    rows = open_rows(write(tmp_path, text, "a.json"))
    assert [rows[i]["n"] for i in range(len(rows))] == [0, 1]


def test_an_array_of_several_lines_keeps_the_text_of_its_rows(tmp_path: Path) -> None:
    items = ['{"n": 0,\n  "t": "ü"}', '{ "n" : 1 }', '{"n": ' + "1" * 5000 + "}"]
    rows = open_rows(write(tmp_path, "[\n" + " ,\n".join(items) + "\n]\n", "a.json"))
    assert [rows.raw(i) for i in range(len(rows))] == items
    assert rows[0] == {"n": 0, "t": "ü"}
    assert rows[2] == {"n": "1" * 5000}
    with pytest.raises(IndexError):
        rows[3]


def test_an_array_is_read_on_from_the_first_rows(tmp_path: Path) -> None:
    text = json.dumps([{"n": n} for n in range(1000)])
    rows = open_rows(write(tmp_path, text, "a.json"), wait=False)
    assert 0 < len(rows) < 1000
    assert not rows.complete
    assert 0 < rows.share < 1
    assert rows[0] == {"n": 0}
    while not rows.complete:
        rows.read_on(0)
    assert (len(rows), rows.share, rows[999]) == (1000, 1.0, {"n": 999})


@pytest.mark.parametrize("content", ["", "\n \n\n", "\ufeff"])
def test_a_file_without_rows_is_an_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match=r"train\.jsonl: has no rows"):
        open_rows(write(tmp_path, content))


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write(tmp_path, "{}")
    with pytest.raises(InputError, match=r"no such file\n  did you mean '.*train\.jsonl'"):
        open_rows(Source.model_validate({"path": str(tmp_path / "trian.jsonl")}))
    with pytest.raises(InputError, match=r"no such file\n  there is no directory"):
        open_rows(Source.model_validate({"path": str(tmp_path / "nowhere" / "train.jsonl")}))


def test_directories_and_other_kinds_of_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"is a directory without data files: expected a \.jsonl, .*\.json"):
        open_rows(Source.model_validate({"path": str(tmp_path)}))
    with pytest.raises(InputError, match=r"unknown kind of file '\.txt'"):
        open_rows(write(tmp_path, "a,b", "a.txt"))


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"a":  1}', '{"a":  1}'),
        (b'{"a": "\xff\x1b"}', '{"a": "\\xff\x1b"}'),
        (b"nonsense", "nonsense"),
        ("ü".encode(), "ü"),
    ],
)
@pytest.mark.parametrize("ending", [b"\n", b"\r\n", b"", b"\n\n \n"])
def test_the_raw_row_is_what_the_file_has(tmp_path: Path, line: bytes, text: str, ending: bytes) -> None:
    rows = open_rows(write(tmp_path, b'{"n": 0}\n' + line + ending))
    assert rows.raw(1) == text


@pytest.mark.parametrize("index", [-1, 2])
def test_a_row_that_is_not_there_is_an_index_error(tmp_path: Path, index: int) -> None:
    rows = open_rows(write(tmp_path, "{}\n{}\n"))
    for read in (rows.__getitem__, rows.raw):
        with pytest.raises(IndexError):
            read(index)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv"])
def test_another_encoding_is_named(tmp_path: Path, encoding: str, name: str) -> None:
    with pytest.raises(InputError, match=r"is UTF-16 or UTF-32 text: expected UTF-8\n.*iconv"):
        open_rows(write(tmp_path, '{"text": "hello, world"}\n'.encode(encoding), name))


def test_a_first_row_of_zeros_does_not_stop_the_others(tmp_path: Path) -> None:
    rows = open_rows(write(tmp_path, b"\0" * 100 + b'\n{"n": 1}\n'))
    assert rows[1] == {"n": 1}
    with pytest.raises(InputError, match=r"train\.jsonl:1: not JSON"):
        rows[0]


@pytest.mark.parametrize(
    ("start", "found"), [(b"\x1f\x8b\x08", "gzip"), (b"\x28\xb5\x2f\xfd", "zstd"), (b"PAR1", "Parquet")]
)
def test_data_under_the_name_of_text_is_recognised(tmp_path: Path, start: bytes, found: str) -> None:
    with pytest.raises(InputError, match=rf"train\.jsonl: is {found}"):
        open_rows(write(tmp_path, start + b"\0\1\2abc"))


def test_the_identity_changes_with_the_file_and_the_limit(tmp_path: Path) -> None:
    source = write(tmp_path, "{}\n{}\n")
    first = open_rows(source).identity
    assert open_rows(source).identity == first
    assert open_rows(source.model_copy(update={"limit": 1})).identity != first
    write(tmp_path, "{}\n{ }\n")
    assert open_rows(source).identity != first


def test_a_file_written_anew_while_it_is_open_is_suspected(tmp_path: Path) -> None:
    source = write(tmp_path, '{"n": 0}\n{"n": 1}\n')
    rows = open_rows(source)
    Path(source.path).write_text("abcdefghijkl" * 20)
    with pytest.raises(InputError, match="the file has changed since it was opened"):
        rows[1]
