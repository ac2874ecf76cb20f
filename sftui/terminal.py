"""What the terminal can show, from what the environment says of it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

# What Python sets LC_CTYPE to where there is no locale (PEP 538).
COERCED = frozenset(("C.UTF-8", "C.utf8", "UTF-8"))


def environment() -> dict[str, str]:
    """The environment as it was given to us: without the LC_CTYPE that Python has put into it itself."""
    environ = dict(os.environ)
    if environ.get("LC_CTYPE") in COERCED:
        try:
            given = Path("/proc/self/environ").read_bytes().split(b"\0")
        except OSError:
            return environ
        if not any(entry.startswith(b"LC_CTYPE=") for entry in given):
            del environ["LC_CTYPE"]
    return environ


def locale_name(environ: Mapping[str, str]) -> str:
    """The locale of characters; empty where none is set."""
    return next((environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(name)), "")


def takes_utf8(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the terminal takes UTF-8, as its locale says: Python assumes so where there is none."""
    name = locale_name(environment() if environ is None else environ)
    return "utf8" in name.lower().replace("-", "")


def is_dumb(environ: Mapping[str, str] | None = None) -> bool:
    """Whether the terminal has no way to move its cursor: TERM is `dumb` or not set."""
    return (os.environ if environ is None else environ).get("TERM", "") in ("", "dumb")
