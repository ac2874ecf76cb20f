"""Whether a recipe fits the device that it would run on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from sftui.checks.finding import Finding, found
from sftui.memory.answer import Answer
from sftui.memory.band import fits_on
from sftui.memory.changes import cheapest
from sftui.memory.measured import measured_on
from sftui.words import size

_CODES = ("out-of-memory", "memory-tight")
_KEY = "training.per_device_train_batch_size"


def memory_findings(answer: Answer) -> Iterator[Finding]:
    """That the recipe does not fit the device of the answer, or may not. What would help is for `mended`."""
    device, around = answer.device, answer.band
    if device is None or answer.verdict in (None, "fits"):
        return
    free = f"{size(device.free_bytes)} are free on {device.name}"
    hint = "what takes it, and what would take less: sftui estimate RECIPE"
    if answer.verdict == "no":
        text = f"a step needs {size(around.low)} of memory or more, {free}"
        yield found("out-of-memory", _KEY, text, hint)
    else:
        text = f"a step needs {size(around.low)} to {size(around.high)} of memory, {free}"
        yield found("memory-tight", _KEY, text, hint)


def mended(findings: tuple[Finding, ...], answer: Answer) -> tuple[Finding, ...]:
    """The findings; those about memory beside the field to change, with the cheapest change that helps.

    Takes 10 to 70 ms where the recipe does not fit, for a thread. Reads what runs took on the device.
    """
    device, shape = answer.device, answer.shape
    if device is None or shape is None or not any(one.code in _CODES for one in findings):
        return findings
    changes = cheapest(answer.recipe, shape, fits_on(device, measured_on(device.name)), answer.known)
    if not changes:
        return findings
    values = {key: value for change in changes for key, value in change.values.items()}
    hint = f"it fits with {'; '.join(change.text for change in changes)}"
    key = next(iter(values))
    return tuple(
        replace(one, key=key, hint=hint, values=values) if one.code in _CODES else one for one in findings
    )
