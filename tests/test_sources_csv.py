"""CSV: the records are those that Python's csv module finds, and what is none is named."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sftui.data.sources import delimited, line_index, open_rows
from sftui.data.sources.rows import Rows
from sftui.errors import InputError
from sftui.recipe import Source

VALUES = st.text(st.sampled_from('ab",;\n\t é'), max_size=8)


def opened(path: Path, content: str | bytes, wait: bool = True) -> Rows:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return open_rows(Source.model_validate({"path": str(path)}), wait=wait)


@given(records=st.lists(st.tuples(VALUES, VALUES), min_size=1, max_size=8), block=st.integers(1, 30))
@pytest.mark.parametrize(("suffix", "delimiter"), [(".csv", ","), (".tsv", "\t"), (".csv", ";")])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_records_that_csv_writes_are_read_back(
    tmp_path_factory: pytest.TempPathFactory,
    suffix: str,
    delimiter: str,
    ending: str,
    records: list[tuple[str, str]],
    block: int,
) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator=ending)
    writer.writerows([("question", "answer\nin lines"), *records])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_index, "_BLOCK_BYTES", block)
        rows = opened(tmp_path_factory.mktemp("csv") / f"a{suffix}", out.getvalue())
    assert [tuple(rows[i].values()) for i in range(len(rows))] == records
    assert list(rows[0]) == ["question", "answer\nin lines"]
    parsed = csv.reader(io.StringIO(out.getvalue(), newline=""), delimiter=delimiter)
    next(parsed)
    for index in range(len(rows)):
        assert rows.where(index).endswith(f":{parsed.line_num + 1}")
        next(parsed)


@given(body=st.text(st.sampled_from('a",\n'), max_size=40), block=st.integers(1, 20))
def test_records_of_any_text_are_those_of_the_csv_module(
    tmp_path_factory: pytest.TempPathFactory, body: str, block: int
) -> None:
    """As far as its quotes are closed: the module takes the rest of the file into one value otherwise."""
    *records, last = (r for r in csv.reader(io.StringIO(body + "\nlast\n", newline="")) if r)
    assume(records and last == ["last"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(line_index, "_BLOCK_BYTES", block)
        rows = opened(tmp_path_factory.mktemp("csv") / "a.csv", "x,y\n" + body)
    assert len(rows) == len(records)
    for index, record in enumerate(records):
        if len(record) == 2:
            assert list(rows[index].values()) == record
        else:
            with pytest.raises(InputError, match=f"found {len(record)} value"):
                rows[index]


def test_a_byte_order_mark_and_empty_lines_are_no_rows(tmp_path: Path) -> None:
    rows = opened(tmp_path / "a.csv", "\ufeff\n\nq,a\r\n\r\n1,2\r\n\r\n\n3,4")
    assert [rows[i] for i in range(len(rows))] == [{"q": "1", "a": "2"}, {"q": "3", "a": "4"}]
    assert [rows.where(i).rsplit(":", 1)[1] for i in range(2)] == ["5", "8"]
    assert rows.raw(0) == "1,2"


def test_a_row_with_too_many_or_too_few_values_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    rows = opened(tmp_path / "a.csv", 'q,a\n"1\n1",2\n1\n1,2,3\n5,6\n')
    assert (rows[0], rows[3]) == ({"q": "1\n1", "a": "2"}, {"q": "5", "a": "6"})
    with pytest.raises(InputError, match=r"a\.csv:4: found 1 value: expected 2, one a column"):
        rows[1]
    with pytest.raises(InputError, match=r"a\.csv:5: found 3 values: expected 2, one a column \('q, a'\)"):
        rows[2]


def test_a_quote_that_nothing_closes_costs_its_own_row_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = 'q,a\n1,2\n"3,4\n' + "5,6\n" * 1000
    for largest in (1 << 20, 100):
        monkeypatch.setattr(delimited, "_MAX_RECORD_BYTES", largest)
        monkeypatch.setattr(line_index, "_BLOCK_BYTES", 64)
        rows = opened(tmp_path / f"{largest}.csv", content)
        assert len(rows) == 1002
        with pytest.raises(InputError, match=r"\.csv:3: a quote is not closed: found '\"3,4'"):
            rows[1]
        assert (rows[2], rows.where(2)[-2:]) == ({"q": "5", "a": "6"}, ":4")


def test_a_row_that_is_still_being_found_is_not_given_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(line_index, "_BLOCK_BYTES", 16)
    rows = opened(tmp_path / "a.csv", 'q,a\n1,2\n"' + "three\n" * 50 + '",4\n5,6\n', wait=False)
    values = []
    while not rows.complete:
        values += [rows[i]["a"] for i in range(len(values), len(rows))]
        rows.read_on(0)
    values += [rows[i]["a"] for i in range(len(values), len(rows))]
    assert values == ["2", "4", "6"]


def test_long_values_are_read(tmp_path: Path) -> None:
    rows = opened(tmp_path / "a.csv", "q,a\n1," + "x" * 300_000 + "\n")
    assert len(rows[0]["a"]) == 300_000


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"q,a\n", "has no rows"),
        (b"", "has no rows"),
        (b"\n\n", "has no rows"),
        (b",,\n1,2,3\n", "has no header: expected the columns' names"),
        (b"q,q\n1,2\n", "two columns are called 'q'"),
        (b"q,\xff\n1,2\n", "byte 3 is 0xff, which is not UTF-8"),
    ],
)
def test_a_file_without_columns_or_rows_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError) as error:
        opened(tmp_path / "a.csv", content)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("record", "message"),
    [(b"1,\xff", "byte 3 is 0xff, which is not UTF-8"), (b"1\rx,2", "is no CSV record")],
)
def test_a_record_that_is_no_text_is_named(tmp_path: Path, record: bytes, message: str) -> None:
    rows = opened(tmp_path / "a.csv", b"q,a\n" + record + b"\n3,4\n")
    with pytest.raises(InputError, match=r"a\.csv:2: ") as error:
        rows[0]
    assert message in str(error.value)
    assert rows[1] == {"q": "3", "a": "4"}
