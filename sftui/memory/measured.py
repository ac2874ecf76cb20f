"""What runs took on this machine's GPUs, kept so that predictions can be held against it."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

_MOST_READ = 4_000_000  # bytes from the end of the file; a run has about 1,000
_LATEST = 1e12  # seconds since 1970
_LARGEST = 2**42  # bytes; no GPU has so many
# An allocator that holds this many times what is allocated, and as much beside, is one that nobody has seen.
_MOST_HELD, _MOST_BESIDE = 16, 2**31
_LARGEST_CONTEXT = 2**35  # those of today have less than 1 GiB


@dataclass(frozen=True, slots=True)
class Measured:
    """One run on one GPU. Bytes.

    `step` has the fields of its `StepSpec`, `config` a digest of the model's config.json, `versions` those of
    libraries and driver, of which a band heeds torch's and the driver's. `predicted_bytes` is the estimate's
    peak, None where there was none; `allocated_bytes` and `reserved_bytes` are torch's highest,
    `context_bytes` what the driver counted for the process beside what torch had reserved, None where it does
    not say.
    """

    time: float
    run: str
    model: str
    config: str
    device: str
    versions: Mapping[str, str | None]
    step: Mapping[str, Any]
    predicted_bytes: int | None
    allocated_bytes: int
    reserved_bytes: int
    context_bytes: int | None


def measured_file() -> Path:
    """`$SFTUI_STATE`, else `$XDG_STATE_HOME/sftui`, else `~/.local/state/sftui`; `/measured.jsonl` in it."""
    own = os.environ.get("SFTUI_STATE")
    if own:
        return Path(own).expanduser() / "measured.jsonl"
    shared = os.environ.get("XDG_STATE_HOME")
    return (Path(shared) if shared else Path.home() / ".local" / "state") / "sftui" / "measured.jsonl"


def keep(measured: Measured) -> None:
    """Add a run: one write, so that runs that end together do not mix. Raises OSError."""
    file = measured_file()
    file.parent.mkdir(parents=True, exist_ok=True)
    line = json.dumps(asdict(measured)) + "\n"
    handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        size = os.fstat(handle).st_size
        torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        os.write(handle, ("\n" * torn + line).encode())
    finally:
        os.close(handle)


def measured_on(device: str) -> tuple[Measured, ...]:
    """The runs on GPUs of this name, the newest first; none where nothing can be read."""
    found = [one for one in _read() if one.device == device]
    return tuple(sorted(found, key=lambda one: one.time, reverse=True))


def _read() -> Iterator[Measured]:
    try:
        with measured_file().open("rb") as file:
            start = max(0, os.fstat(file.fileno()).st_size - _MOST_READ)
            file.seek(start)
            lines = file.read().splitlines()[1 if start else 0 :]
    except (OSError, RuntimeError):  # RuntimeError: no home directory
        return
    names = [field.name for field in fields(Measured)]
    for line in lines:
        try:
            values = json.loads(line)
            one = Measured(**{name: values[name] for name in names})
        except (ValueError, TypeError, KeyError, RecursionError):  # a torn line, or another version's
            continue
        if _is_right(one):
            yield one


def _is_right(one: Measured) -> bool:
    """Whether a run can have been like this: a file may have been written to by anything."""
    texts = (one.run, one.model, one.config, one.device)
    if not all(isinstance(text, str) and text.isprintable() for text in texts):
        return False
    if not isinstance(one.versions, dict) or not isinstance(one.step, dict):
        return False
    if not all(version is None or isinstance(version, str) for version in one.versions.values()):
        return False
    if type(one.time) not in (int, float) or not 0 <= one.time < _LATEST:
        return False
    sizes = (one.allocated_bytes, one.reserved_bytes)
    maybe = (one.predicted_bytes, one.context_bytes, one.step.get("length"))
    if not all(_is_size(size) for size in (*sizes, *(each for each in maybe if each is not None))):
        return False
    if (one.context_bytes or 0) > _LARGEST_CONTEXT:
        return False
    least = min(one.allocated_bytes, one.predicted_bytes or one.allocated_bytes)
    return one.allocated_bytes <= one.reserved_bytes <= _MOST_HELD * least + _MOST_BESIDE


def _is_size(value: object) -> bool:
    return type(value) is int and 0 < value < _LARGEST
