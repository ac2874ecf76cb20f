"""What a run's events say of its memory: predicted before it, tried, measured while it runs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sftui.memory.estimate import COMPONENTS, MOMENTS
from sftui.runs.events import PIECE, Event

MEASURED_COMPONENTS = ("weights", "adapter", "gradients", "optimizer", "activations")
"""What a trainer tells apart; its activations are all that has no tensor of the model's own."""

_LIMIT = 2**63


@dataclass(frozen=True, slots=True)
class Predicted:
    """The estimate of the run: for each moment of a step the bytes of each component."""

    moments: Mapping[str, Mapping[str, int]]
    source: str

    @property
    def peak_moment(self) -> str:
        """The moment in which most is allocated, the earlier one of equals."""
        return max(self.moments, key=self.at)

    @property
    def peak_bytes(self) -> int:
        """The most that is allocated."""
        return self.at(self.peak_moment)

    def at(self, moment: str) -> int:
        """The most that is allocated in this moment; 0 where the estimate does not have it."""
        return sum(self.moments.get(moment, {}).values())

    def measurable(self, moment: str) -> dict[str, int]:
        """The bytes in this moment by `MEASURED_COMPONENTS`."""
        parts = self.moments.get(moment, {})
        told = {name: parts.get(name, 0) for name in MEASURED_COMPONENTS}
        told["activations"] = self.at(moment) - sum(told.values()) + told["activations"]
        return told


@dataclass(frozen=True, slots=True)
class Trial:
    """The largest batch, tried before the first step. `peak_bytes` is None where it did not fit."""

    tokens: int
    rows: int
    length: int
    seconds: float
    peak_bytes: int | None


@dataclass(slots=True)
class MemoryHistory:
    """What was predicted and what was measured, the highest over the whole run, resumed or not. Bytes.

    `moments` has the peak of each moment that was measured; `components` what the highest of them was made
    of, in `moment`. `highest` is the most that was ever allocated, between moments too, `reserved` the most
    that torch ever held; None: nothing has been measured.
    """

    predicted: Predicted | None = None
    trial: Trial | None = None
    moments: dict[str, int] = field(default_factory=dict)
    components: dict[str, int] = field(default_factory=dict)
    moment: str | None = None
    highest: int | None = None
    reserved: int | None = None

    @property
    def difference(self) -> float | None:
        """Measured over predicted, less one; None before a step, or a trial of one, was measured."""
        if self.predicted is None or self.highest is None or not self.stepped:
            return None
        return self.highest / self.predicted.peak_bytes - 1

    @property
    def stepped(self) -> bool:
        """Whether more than loading was measured."""
        return bool(self.moments.keys() - {"load"})

    def feed(self, event: Event) -> None:
        """Take in an event; what is no number where one should be is passed over."""
        kind = event["type"]
        if kind in ("start", "resume"):
            self.predicted = _predicted(event.get("memory")) or self.predicted
        elif kind == "step_memory":
            self._measure(event)
        elif kind == "trial":
            self.trial = _trial(event) or self.trial
        elif kind == "memory":
            self._raise(_size(event.get("peak_bytes")), _size(event.get("reserved_bytes")))

    def _measure(self, event: Event) -> None:
        moments = event.get("moments")
        readings = {
            name: values
            for name, values in (moments.items() if isinstance(moments, dict) else ())
            if name in MOMENTS and isinstance(values, dict)
        }
        peaks = {name: size for name in readings if (size := _size(readings[name].get("peak_bytes")))}
        for values in readings.values():
            self._raise(None, _size(values.get("reserved_bytes")))
        components = event.get("components")
        if peaks and isinstance(components, dict):
            moment = max(peaks, key=lambda name: peaks[name])
            parts = {name: _size(components.get(name)) for name in MEASURED_COMPONENTS}
            known = {name: size for name, size in parts.items() if size is not None}
            if len(known) == len(parts) and peaks[moment] > max(self.moments.values(), default=0):
                self.moment, self.components = moment, known
        for name, size in peaks.items():
            self.moments[name] = max(size, self.moments.get(name, 0))
        for each in (_size(event.get("peak_bytes")), *peaks.values()):
            self._raise(each, None)

    def _raise(self, highest: int | None, reserved: int | None) -> None:
        if highest is not None:
            self.highest = max(highest, self.highest or 0)
        if reserved is not None:
            self.reserved = max(reserved, self.reserved or 0)


class PeakReader:
    """The highest measured peak of a run, from its events file alone: no other event is parsed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._history = MemoryHistory()

    @property
    def highest(self) -> int | None:
        """The most that was allocated in any moment that was measured, in bytes; None where none was."""
        return self._history.highest

    def read(self) -> None:
        """Read what is new since this was called last. A file that has become shorter is read anew."""
        with suppress(OSError), self._path.open("rb") as file:
            if file.seek(0, 2) < self._offset:
                self._offset, self._history = 0, MemoryHistory()
            file.seek(self._offset)
            rest = b""
            while piece := file.read(PIECE):
                lines, end, rest = (rest + piece).rpartition(b"\n")
                self._take(lines)
                self._offset += len(lines) + len(end)

    def _take(self, lines: bytes) -> None:
        found = lines.find(_MARK)
        while found >= 0:
            begin = lines.rfind(b"\n", 0, found) + 1
            end = lines.find(b"\n", found)
            end = len(lines) if end < 0 else end
            found = lines.find(_MARK, end)
            try:
                event = json.loads(lines[begin:end])
            except (ValueError, RecursionError):
                continue
            if isinstance(event, dict) and event.get("type") == "step_memory":
                self._history.feed(event)


_MARK = b'"step_memory"'


def _predicted(value: Any) -> Predicted | None:
    document = value.get("predicted") if isinstance(value, dict) else None
    told = document.get("moments") if isinstance(document, dict) else None
    if not isinstance(told, dict):
        return None
    moments: dict[str, dict[str, int]] = {}
    for moment in MOMENTS:
        parts = told.get(moment)
        if isinstance(parts, dict):
            sizes = {name: _size(parts[name]) for name in COMPONENTS if name in parts}
            known: dict[str, int] = {name: size for name, size in sizes.items() if size is not None}
            if len(known) == len(sizes) and any(known.values()):
                moments[moment] = known
    return Predicted(moments, str(value.get("source", ""))) if moments else None


def _trial(event: Event) -> Trial | None:
    tokens, rows, length = (_size(event.get(name)) for name in ("tokens", "rows", "length"))
    seconds = event.get("seconds")
    if tokens is None or rows is None or length is None or not isinstance(seconds, int | float):
        return None
    if not math.isfinite(seconds):
        return None
    return Trial(tokens, rows, length, float(seconds), _size(event.get("peak_bytes")))


def _size(value: object) -> int | None:
    """A number of bytes, or of things; None for anything else."""
    return value if type(value) is int and 0 <= value < _LIMIT else None
