"""What this machine has, what is missing, and what to do about it.

torch and bitsandbytes are tried in another process; all else is looked at here meanwhile.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sftui.doctor_checks import (
    Check,
    Status,
    access_check,
    cache_check,
    characters_check,
    disk_check,
    hub_cache,
    installation_checks,
    logout_check,
    ram_check,
    terminal_check,
    token_check,
)
from sftui.doctor_probe import gpu_check, quantization_check, read_probe, start_probe, torch_checks
from sftui.machine import survives_logout
from sftui.telemetry import Nvml
from sftui.terminal import environment

SYMBOLS: Mapping[Status, str] = {"ok": "✓", "warning": "!", "error": "✗"}


def diagnose() -> list[Check]:
    """Look at everything; takes as long as torch and bitsandbytes take to import and try."""
    probe = start_probe()
    nvml = Nvml()
    gpus = nvml.read()
    nvml.close()
    environ = environment()
    installation = installation_checks()
    rest = [
        ram_check(),
        disk_check(Path.cwd()),
        cache_check(hub_cache(environ)),
        access_check(environ),
        token_check(environ),
        terminal_check(environ),
        characters_check(environ),
        logout_check(*survives_logout()),
    ]
    facts = read_probe(probe)
    return [
        *installation,
        gpu_check(gpus, nvml, facts["torch"], environ.get("CUDA_VISIBLE_DEVICES")),
        *torch_checks(facts["torch"], gpus),
        quantization_check(facts["bitsandbytes"]),
        *rest,
    ]


def exit_code(checks: Iterable[Check]) -> int:
    """1 if any check is an error, else 0."""
    return int(any(check.status == "error" for check in checks))


def render(checks: Sequence[Check], width: int = 80) -> str:
    """The checks as aligned text in `width` columns, and a last line that counts problems.

    A path or command without a space to break at stays whole, for copying.
    """
    column = max((len(check.name) for check in checks), default=0)
    margin = " " * (column + 4)
    lines: list[str] = []
    for check in checks:
        head = f"{SYMBOLS[check.status]} {check.name:<{column}}  "
        lines += _wrap(check.found, width, head, margin)
        if check.advice:
            lines += _wrap(check.advice, width, f"{margin}→ ", f"{margin}  ")
    return "\n".join([*lines, "", _summary(checks)])


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    """The same as a JSON document: `checks` (name, status, found, advice), and whether all is `ok`."""
    return {"checks": [asdict(check) for check in checks], "ok": exit_code(checks) == 0}


def _wrap(text: str, width: int, first: str, later: str) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=later,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _summary(checks: Iterable[Check]) -> str:
    count = Counter(check.status for check in checks)
    parts = [
        f"{count[status]} {status}{'' if count[status] == 1 else 's'}"
        for status in ("error", "warning")
        if count[status]
    ]
    return ", ".join(parts) or "no problems found"
