"""What happens in a run, one JSON object a line: appended by the trainer, tailed by its watchers."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]

# A watcher that opens a long run reads it in pieces, so that it can draw between them.
PIECE = 1 << 20


class EventWriter:
    """Appends events; a line is one `write()`, so a reader sees whole lines or none.

    A full disk must not stop training: lines that cannot be written are kept (the last 10,000) and
    written with the next event that can be.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o644)
        self._waiting: list[bytes] = []
        self._drop_torn_line()

    def _drop_torn_line(self) -> None:
        """Remove a last line without its end, left by a process that was killed while writing."""
        size = os.fstat(self._descriptor).st_size
        end = size
        while end:
            start = max(0, end - 4096)
            newline = os.pread(self._descriptor, end - start, start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end != size:
            os.ftruncate(self._descriptor, end)

    def write(self, kind: str, **values: Any) -> None:
        """Append `{"type": kind, "time": now, **values}`; floats that JSON has no word for become null."""
        event = {"type": kind, "time": round(time.time(), 3), **values}
        try:
            line = json.dumps(event, allow_nan=False, ensure_ascii=False)
        except ValueError:
            line = json.dumps(finite(event), ensure_ascii=False)
        self._waiting.append(line.encode("utf-8", "replace") + b"\n")
        self._flush()

    def _flush(self) -> None:
        while self._waiting:
            line = self._waiting[0]
            size = os.fstat(self._descriptor).st_size
            try:
                written = os.write(self._descriptor, line)
            except OSError:
                written = 0
            if written < len(line):
                os.ftruncate(self._descriptor, size)
                del self._waiting[:-10_000]
                return
            del self._waiting[0]

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class EventReader:
    """Reads a growing events file from where it left off; takes only whole lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    def read(self, limit: int = PIECE) -> list[Event]:
        """The next events in about `limit` bytes; an empty list when there is no whole new line.

        A missing file is one without lines. A file that has become shorter is read from its start.
        """
        try:
            with self._path.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0
                file.seek(self._offset)
                data = file.read(limit)
                end = data.rfind(b"\n") + 1
                while end == 0 and len(data) >= limit:
                    more = file.read(limit)
                    if not more:
                        break
                    data += more
                    end = data.rfind(b"\n") + 1
        except OSError:
            return []
        self._offset += end
        return list(_parsed(data[:end]))

    @property
    def offset(self) -> int:
        """Bytes taken so far."""
        return self._offset


def read_events(path: Path) -> Iterator[Event]:
    """All events of a file."""
    reader = EventReader(path)
    before = -1
    while reader.offset != before:
        before = reader.offset
        yield from reader.read()


def last_events(path: Path, limit: int) -> list[Event]:
    """The events in the last `limit` bytes of a file, whole lines alone; none where it cannot be read."""
    try:
        with path.open("rb") as file:
            start = max(0, os.fstat(file.fileno()).st_size - limit)
            file.seek(start)
            data = file.read(limit)
    except OSError:
        return []
    first = data.find(b"\n") + 1 if start else 0
    return list(_parsed(data[first : data.rfind(b"\n") + 1]))


def _parsed(data: bytes) -> Iterator[Event]:
    """The events in whole lines; a damaged line is passed over."""
    lines = list(filter(None, data.split(b"\n")))
    try:
        # One call for all lines is half again as fast as one a line.
        events = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError):
        events = None
    # Two damaged lines may make one whole event together.
    if events is not None and len(events) == len(lines):
        yield from (event for event in events if isinstance(event, dict))
        return
    for line in lines:
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict):
            yield event


def finite(value: Any) -> Any:
    """`value` with null for the floats, at any depth, that JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
