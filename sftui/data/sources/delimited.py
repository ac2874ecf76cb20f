"""CSV and TSV: a header line with the columns, then one record a row; every value is text."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Sequence
from pathlib import PurePath

from sftui.data.sources.line_file import LineFile
from sftui.data.sources.rows import MAX_ROW_BYTES, DataFile, Row
from sftui.data.sources.text import decode
from sftui.errors import InputError, shorten

_MAX_RECORD_BYTES = 16 << 20  # a longer one: a quote that nothing closes
_HEADER_BYTES = 1 << 20


class Delimited(LineFile):
    """A .csv or .tsv file. Quoted values may hold delimiters, line breaks and doubled quotes.

    The delimiter is a tab in .tsv, else a comma, or a semicolon where the header has only those.
    """

    def __init__(self, file: DataFile) -> None:
        super().__init__(file)
        csv.field_size_limit(MAX_ROW_BYTES)  # of the whole process; its default refuses long answers
        head = os.pread(self._descriptor, _HEADER_BYTES, self._begin)
        self._delimiter = _delimiter(head, PurePath(file.path).suffix.lower())
        rule = _Records(self._delimiter.encode())
        header, size, lines = _header(head, rule)
        self.columns = self._columns(decode(header, file.name, 1))
        self._start_index(rule, self._begin + size, lines, _MAX_RECORD_BYTES)

    def __getitem__(self, index: int) -> Row:
        data, line = self._read(index)
        text = decode(data, self.name, line).rstrip("\r\n")
        try:
            # A record that asks for a second text has a quote that is not closed.
            reader = csv.reader(iter((text, "")), delimiter=self._delimiter)
            values = next(reader, [])
        except csv.Error as error:
            raise InputError(f"is no CSV record: {error}", file=self.name, line=line) from error
        if reader.line_num > 1:
            raise InputError(
                f"a quote is not closed: found {shorten(text)}",
                file=self.name,
                line=line,
                hint="the file has changed since it was opened" if self._file.has_changed() else None,
            )
        if len(values) != len(self.columns):
            raise InputError(
                f"found {len(values)} value{'' if len(values) == 1 else 's'}: expected "
                f"{len(self.columns)}, one a column ({shorten(', '.join(self.columns))})",
                file=self.name,
                line=line,
                hint="the file has changed since it was opened" if self._file.has_changed() else None,
            )
        return dict(zip(self.columns, values, strict=True))

    def _columns(self, header: str) -> list[str]:
        try:
            names = next(csv.reader([header.rstrip("\r\n")], delimiter=self._delimiter), [])
        except csv.Error as error:
            raise InputError(f"the header is no CSV record: {error}", file=self.name, line=1) from error
        if header and not any(names):
            raise InputError("has no header: expected the columns' names", file=self.name, line=1)
        twice = next((name for index, name in enumerate(names) if name in names[:index]), None)
        if twice is not None:
            raise InputError(f"two columns are called {shorten(twice)}", file=self.name, line=1)
        return names


class _Records:
    """A line that is not empty starts a record, unless a quoted value of the one before goes on.

    As in Python's csv module, a quote opens a value only as its first character.
    """

    def __init__(self, delimiter: bytes) -> None:
        self.inside = False
        sign = re.escape(delimiter)
        rest = rb'[^"]*+(?:""[^"]*+)*+"[^' + sign + rb"]*+"  # of a quoted value and what follows it
        value = rb'(?:"' + rest + rb'|(?!")[^' + sign + rb"]*+)"
        self._whole = re.compile(value + rb"(?:" + sign + value + rb")*+", re.DOTALL)
        self._end = re.compile(rest + rb"(?:" + sign + value + rb")*+", re.DOTALL)

    def __call__(self, lines: list[bytes]) -> Sequence[bool] | None:
        if not self.inside and not any(b'"' in line or line in (b"", b"\r") for line in lines):
            return None
        starts = []
        for line in lines:
            starts.append(not self.inside and line not in (b"", b"\r"))
            if self.inside:
                self.inside = b'"' not in line or self._end.fullmatch(line) is None
            elif b'"' in line:
                self.inside = self._whole.fullmatch(line) is None
        return starts


def _delimiter(head: bytes, suffix: str) -> str:
    """Of a file that begins with `head`: said by the suffix, or by the header's first line."""
    if suffix == ".tsv":
        return "\t"
    line = next((line for line in head.split(b"\n") if line.strip()), b"")
    return ";" if b"," not in line and b";" in line else ","


def _header(head: bytes, rule: _Records) -> tuple[bytes, int, int]:
    """The first record of a file that begins with `head`, after how many bytes and lines it ends."""
    start = size = 0
    for number, line in enumerate(head.split(b"\n"), start=1):
        starts = rule([line])
        if starts is None or starts[0]:
            start = size
        size += len(line) + 1
        if not rule.inside and line not in (b"", b"\r"):
            return head[start:size].rstrip(b"\r\n"), min(size, len(head)), number
    rule.inside = False
    return head.strip(b"\r\n"), len(head), head.count(b"\n")
