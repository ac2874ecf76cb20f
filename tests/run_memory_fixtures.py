"""The events that a trainer on a GPU writes of its memory."""

from __future__ import annotations

import json
from typing import Any

from sftui.memory.estimate import COMPONENTS
from sftui.runs.directory import RunDirectory
from sftui.runs.events import EventWriter

GIB = 2**30
WEIGHTS, ADAPTER = 6 * GIB, GIB // 4
STEP = ("forward", "loss", "backward_last", "backward_first", "optimizer_step")
# What a moment takes beside weights and adapter, in GiB.
BESIDE = {
    "load": {},
    "forward": {"optimizer": 0.5, "activations": 1.25},
    "loss": {"optimizer": 0.5, "activations": 0.75, "logits": 2.5},
    "backward_last": {"optimizer": 0.5, "activations": 2.0},
    "backward_first": {"optimizer": 0.5, "gradients": 0.25, "activations": 1.5},
    "optimizer_step": {"optimizer": 0.5, "gradients": 0.25},
    "evaluation": {"optimizer": 0.5, "logits": 2.0},
    "save": {"optimizer": 0.5},
}


def parts(moment: str) -> dict[str, int]:
    """The predicted components of a moment; at the loss 10.0 GiB."""
    beside = {name: int(size * GIB) for name, size in BESIDE[moment].items()}
    return {**dict.fromkeys(COMPONENTS, 0), "weights": WEIGHTS, "adapter": ADAPTER, **beside}


def predicted() -> dict[str, Any]:
    """The `memory` field of a `start` event."""
    moments = {moment: parts(moment) for moment in BESIDE}
    return {
        "predicted": {
            "peak_bytes": sum(moments["loss"].values()),
            "peak_moment": "loss",
            "components": moments["loss"],
            "moments": moments,
            "parameters": {"total": 8, "trainable": 1, "kinds": {}},
        },
        "source": "closed form",
    }


def step_memory(step: int, *moments: str, factor: float = 1.0) -> dict[str, Any]:
    """A measurement of these moments that finds `factor` of what is predicted."""
    peaks = {moment: round(sum(parts(moment).values()) * factor) for moment in moments}
    highest = max(peaks, key=lambda moment: peaks[moment])
    known = {name: parts(highest)[name] for name in ("weights", "adapter", "gradients", "optimizer")}
    return {
        "type": "step_memory",
        "step": step,
        "moments": {
            moment: {"allocated_bytes": peak - 1, "reserved_bytes": peak + GIB, "peak_bytes": peak}
            for moment, peak in peaks.items()
        },
        "components": {**known, "activations": peaks[highest] - sum(known.values())},
        "peak_bytes": peaks[highest],
    }


def trial(peak: int | None = 10 * GIB) -> dict[str, Any]:
    """The largest batch was tried."""
    return {
        "type": "trial",
        "tokens": 4096,
        "rows": 2,
        "length": 2048,
        "where": ["rows.jsonl:7", "rows.jsonl:9"],
        "seconds": 3.14,
        "peak_bytes": peak,
    }


def telemetry(peak: int = 10 * GIB) -> dict[str, Any]:
    """What a sample says of torch's allocator."""
    return {"allocated_bytes": 7 * GIB, "reserved_bytes": 12 * GIB, "peak_bytes": peak}


def on_a_gpu(run: RunDirectory, *, factor: float = 1.02, tried: bool = True, steps: bool = True) -> None:
    """Write a run's events anew, as a trainer does that measures its memory."""
    events = [json.loads(line) for line in run.events_file.read_text().splitlines()]
    run.events_file.unlink()
    writer = EventWriter(run.events_file)
    measured = [step_memory(0, "load")]
    if tried:
        measured += [step_memory(0, *STEP[:-1], factor=factor), trial(round(10 * GIB * factor))]
    _write(writer, *measured[:1])
    for event in events:
        if event["type"] == "start":
            _write(writer, {**event, "device": "NVIDIA H200", "memory": predicted()}, *measured[1:])
        elif event["type"] == "memory":
            _write(writer, {**event, **telemetry(round((10 if tried else 7) * GIB * factor))})
        elif event["type"] != "step" or steps:
            _write(writer, event)
        if event["type"] == "step" and event["step"] == 1 and steps:
            _write(writer, step_memory(1, *STEP, factor=factor * 0.9))
    writer.close()


def append(run: RunDirectory, *events: dict[str, Any]) -> None:
    """Add events to a run's."""
    writer = EventWriter(run.events_file)
    _write(writer, *events)
    writer.close()


def _write(writer: EventWriter, *events: dict[str, Any]) -> None:
    for event in events:
        writer.write(event["type"], **{key: value for key, value in event.items() if key != "type"})
