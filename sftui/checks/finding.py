"""One thing that is wrong or unusual in a recipe, and all kinds of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sftui.data.views import Severity
from sftui.errors import InputError

SEVERITIES: dict[str, Severity] = {
    # A run would end in its first minutes.
    "model-missing": "error",
    "data-missing": "error",
    "model-not-read": "error",
    "format-not-recognised": "error",
    "template-missing": "error",
    "output-not-writable": "error",
    "result-too-large": "error",
    "bfloat16-unsupported": "error",
    "float16-on-cpu": "error",
    "attention-needs-gpu": "error",
    "attention-needs-ampere": "error",
    "attention-not-installed": "error",
    "attention-float32": "error",
    "attention-capped": "error",
    "packing-refused": "error",
    "stored-quantised": "error",
    "bitsandbytes-missing": "error",
    "too-many-processes": "error",
    "targets-unknown": "error",
    "expert-dropout": "error",
    "expert-dora": "error",
    "saved-mixed": "error",
    # It would run, but hardly as meant.
    "out-of-memory": "warning",
    "checkpoints-too-large": "warning",
    "packing-masked": "warning",
    "beyond-positions": "warning",
    "target-unknown": "warning",
    "saved-unknown": "warning",
    "scale-unusual": "warning",
    "learning-rate-high": "warning",
    "learning-rate-low": "warning",
    "warmup-too-long": "warning",
    "no-checkpoint": "warning",
    "no-samples": "warning",
    # It is so, and worth knowing.
    "memory-tight": "info",
    "model-not-here": "info",
    "remote-code": "info",
    "warmup-unused": "info",
    "evaluation-without-data": "info",
    "evaluation-at-ends": "info",
    "held-out-unused": "info",
}
"""How bad each finding is, by its code."""

_ORDER: tuple[Severity, ...] = ("error", "warning", "info")


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding in a recipe, beside the field `key` (dotted).

    `message` says what is found; `hint` what to do, None where the message does. `values`, by dotted key,
    would mend it; none where that is for a person to choose.
    """

    code: str
    severity: Severity
    key: str
    message: str
    hint: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        head = f"{self.key}: {self.message}"
        return f"{head}\n  {self.hint}" if self.hint else head

    def as_error(self) -> InputError:
        """The same as what a command refuses."""
        return InputError(self.message, key=self.key, hint=self.hint)


def found(
    code: str, key: str, message: str, hint: str | None = None, values: Mapping[str, Any] | None = None
) -> Finding:
    """A finding of a known code."""
    return Finding(code, SEVERITIES[code], key, message, hint, values or {})


def refused(code: str, key: str, error: InputError, values: Mapping[str, Any] | None = None) -> Finding:
    """The finding that an `InputError` is of the field `key`."""
    place = f"{error.file}: " if error.file else ""
    return found(code, key, place + error.problem, error.hint, values)


def gravest_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Errors, then warnings, then what is worth knowing; within these in their order."""
    return tuple(sorted(findings, key=lambda one: _ORDER.index(one.severity)))


def raise_error(findings: Iterable[Finding]) -> None:
    """Raise the first error among them as an `InputError`, where there is one."""
    for one in findings:
        if one.severity == "error":
            raise one.as_error()
