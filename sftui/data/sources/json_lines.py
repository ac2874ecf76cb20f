"""JSON Lines: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sftui.data.sources.json_text import describe, parse_json
from sftui.data.sources.line_file import LineFile
from sftui.data.sources.rows import DataFile, Row, json_kind
from sftui.data.sources.text import decode
from sftui.errors import InputError, shorten


class JsonLines(LineFile):
    """A file of one JSON object a line, UTF-8; blank lines are not rows."""

    def __init__(self, file: DataFile) -> None:
        super().__init__(file)
        self._start_index(_NotBlank(), self._begin)

    def __getitem__(self, index: int) -> Row:
        data, line = self._read(index)
        # Blank lines may follow; without the line's end, an error at it has the column of the end.
        text = decode(data, self.name, line).partition("\n")[0].removesuffix("\r")
        try:
            row = parse_json(text)
        except json.JSONDecodeError as error:
            raise InputError(
                f"not JSON, {describe(error.msg, error.colno)}: "
                f"found {shorten(text.strip())}, expected an object a line",
                file=self.name,
                line=line,
                hint=self._suspicion(index, data),
            ) from error
        except RecursionError as error:
            raise InputError("JSON nested too deeply", file=self.name, line=line) from error
        if not isinstance(row, dict):
            raise InputError(
                f"found {json_kind(row)}: expected a JSON object with the row's columns",
                file=self.name,
                line=line,
            )
        return row

    def _suspicion(self, index: int, data: bytes) -> str | None:
        """What may have happened to the file of a row that is not JSON."""
        if self._file.has_changed():
            return "the file has changed since it was opened"
        if index == len(self) - 1 and self.complete and not data.endswith(b"\n"):
            return "the last line does not end in a newline: the file may have been cut off"
        return None

    def _row_bytes(self, data: bytes) -> bytes:
        return data.partition(b"\n")[0].removesuffix(b"\r")


class _NotBlank:
    """Every line that is not blank is a row."""

    inside = False

    def __call__(self, lines: list[bytes]) -> Sequence[bool] | None:
        if all(lines) and not any(map(bytes.isspace, lines)):
            return None
        return [bool(line) and not line.isspace() for line in lines]
