"""What `sftui doctor` looks at by itself: the installation, memory, disk, the Hub, terminal and session.

None of it imports torch, and none takes long.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from sftui.machine import installed_version, without_home
from sftui.ram import Ram
from sftui.telemetry import cpu_count
from sftui.terminal import locale_name, takes_utf8

Status = Literal["ok", "warning", "error"]

GIB = 2**30


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `error`: sftui cannot train here; `warning`: it can, with a drawback."""

    name: str
    status: Status
    found: str
    advice: str | None = None


def gib(size: int) -> str:
    """Bytes in GiB, whatever their number: 0.5 GiB, 2048.0 GiB."""
    return f"{size / GIB:.1f} GiB"


def _short(path: str | Path) -> str:
    return without_home([str(path)], Path.home())[0]


# Installation


def installation_checks() -> list[Check]:
    """Python, sftui, and each package it declares to need."""
    version = installed_version("sftui")
    if version is None:
        return [
            python_check(),
            Check("sftui", "warning", "not installed: its folder is used", "pip install -e ."),
        ]
    own = Check("sftui", "ok", version)
    try:
        from packaging.requirements import Requirement
    except ImportError:
        # packaging comes with transformers: without it, that is missing too, and much else with it.
        return [python_check(), own, Check("packages", "error", "packaging is missing", "pip install sftui")]
    needed = [Requirement(line) for line in metadata.requires("sftui") or []]
    return [
        python_check(metadata.metadata("sftui")["Requires-Python"]),
        own,
        *(
            package_check(requirement.name, str(requirement.specifier), installed_version(requirement.name))
            for requirement in needed
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        ),
    ]


def python_check(declared: str = "") -> Check:
    """The interpreter; `declared` is a version range such as `>=3.11`, empty for any."""
    version = platform.python_version()
    found = f"{version} ({_short(sys.executable)})"
    if declared and not _satisfies(version, declared):
        return Check("Python", "error", found, f"sftui needs Python {declared}")
    return Check("Python", "ok", found)


def package_check(name: str, declared: str, installed: str | None) -> Check:
    """One package: `declared` is a version range such as `<6,>=5.17`, `installed` None for not at all."""
    advice = f"pip install '{name}{declared}'"
    if installed is None:
        return Check(name, "error", "not installed", advice)
    if not _satisfies(installed, declared):
        return Check(name, "error", f"{installed}, needed is {declared}", advice)
    return Check(name, "ok", installed)


def _satisfies(version: str, declared: str) -> bool:
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(declared).contains(version, prereleases=True)


# Memory, disk and the Hub


def ram_check() -> Check:
    """Main memory that is there for a run, and the cores beside it."""
    try:
        used, total = Ram(os.getpid()).read()
    except ImportError:
        return Check("RAM", "warning", "unknown: psutil cannot be imported", "reinstall psutil")
    cores = cpu_count()
    found = f"{gib(total - used)} of {gib(total)} free, {cores} core{'' if cores == 1 else 's'}"
    if total - used < 4 * GIB:
        return Check("RAM", "warning", found, "weights are loaded through it: free some, or add swap")
    return Check("RAM", "ok", found)


def disk_check(directory: Path) -> Check:
    """Where runs are made unless the recipe's output_dir says otherwise."""
    free = shutil.disk_usage(directory).free
    found = f"{gib(free)} free in {_short(directory)}"
    if not os.access(directory, os.W_OK):
        return Check("disk", "warning", f"{found}, not writable", "set output_dir, or start elsewhere")
    if free < GIB:
        return Check("disk", "error", found, "checkpoints need space: set output_dir, or start elsewhere")
    if free < 10 * GIB:
        return Check("disk", "warning", found, "checkpoints need space: see training.save_total_limit")
    return Check("disk", "ok", found)


def hub_home(environ: Mapping[str, str]) -> Path:
    """Where huggingface_hub keeps its files, by its own rules."""
    cache = environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(os.path.expandvars(environ.get("HF_HOME", f"{cache}/huggingface"))).expanduser()


def hub_cache(environ: Mapping[str, str]) -> Path:
    """Where huggingface_hub keeps models and datasets, by its own rules."""
    default = environ.get("HUGGINGFACE_HUB_CACHE", str(hub_home(environ) / "hub"))
    return Path(os.path.expandvars(environ.get("HF_HUB_CACHE", default))).expanduser()


def cache_check(cache: Path) -> Check:
    """The Hub cache: where it is, and the space for models there."""
    folders = (cache.absolute(), *cache.absolute().parents)
    # Not Path.exists: it raises below a folder that this user may not enter.
    existing = next(folder for folder in folders if os.access(folder, os.F_OK))
    free = shutil.disk_usage(existing).free
    found = f"{gib(free)} free in {_short(cache)}"
    if not os.access(existing, os.W_OK):
        return Check("Hub cache", "warning", f"{found}, not writable", "set HF_HOME to a writable folder")
    if free < 10 * GIB:
        return Check("Hub cache", "warning", found, "models are large: set HF_HOME to a larger disk")
    return Check("Hub cache", "ok", found)


def access_check(environ: Mapping[str, str]) -> Check:
    """Whether the environment forbids downloads. The network itself is not tried."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE"):
        value = environ.get(name, "")
        if value.upper() in ("1", "ON", "YES", "TRUE"):
            what = "datasets" if name == "HF_DATASETS_OFFLINE" else "anything"
            found = f"{name}={value}: only what is on this disk"
            return Check("Hub access", "warning", found, f"to download {what}: unset {name}")
    return Check("Hub access", "ok", "downloads allowed (no offline variable is set)")


def token_check(environ: Mapping[str, str]) -> Check:
    """Whether there is a Hub token; never the token itself."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if environ.get(name, "").strip():
            return Check("Hub token", "ok", f"present, in {name}")
    default = str(hub_home(environ) / "token")
    file = Path(os.path.expandvars(environ.get("HF_TOKEN_PATH", default))).expanduser()
    with suppress(OSError):
        if file.stat().st_size:
            return Check("Hub token", "ok", f"present, in {_short(file)}")
    return Check("Hub token", "ok", "none: public models and datasets only", "for the others: hf auth login")


# Terminal and session


def terminal_check(environ: Mapping[str, str]) -> Check:
    """Colours as the workbench will use them, and what stands between it and the person."""
    # The workbench draws through rich: its verdict is what will be seen.
    from rich.console import Console

    system = Console(force_terminal=True, _environ=environ).color_system
    colours = {None: "no", "standard": "16", "256": "256", "truecolor": "16 million"}.get(system, system)
    found = f"{environ.get('TERM') or 'TERM is not set'}, {colours} colours"
    if environ.get("COLORTERM"):
        found += f", COLORTERM={environ['COLORTERM']}"
    if environ.get("TMUX"):
        found += ", in tmux"
    elif environ.get("STY"):
        found += ", in screen"
    if environ.get("SSH_CONNECTION") or environ.get("SSH_TTY"):
        found += ", over SSH"
    if system in (None, "standard"):
        advice = "for more colours: export TERM=xterm-256color"
        if environ.get("NO_COLOR"):
            advice = "for colours: unset NO_COLOR"
        elif environ.get("TMUX"):
            advice = "for more colours, in ~/.tmux.conf: set -g default-terminal tmux-256color"
        return Check("terminal", "warning", found, advice)
    return Check("terminal", "ok", found)


def characters_check(environ: Mapping[str, str]) -> Check:
    """Whether the locale is UTF-8 and the terminal can be expected to have braille for plots."""
    locale = locale_name(environ)
    if not takes_utf8(environ):
        found = f"the locale is {locale or 'not set'}, not UTF-8: plots and frames may be garbled"
        return Check("characters", "warning", found, "export LANG=C.UTF-8")
    if environ.get("TERM") == "linux":
        found = f"{locale}; the Linux console has no braille: plots are drawn in blocks"
        return Check("characters", "warning", found, "connect over SSH, or use a graphical terminal")
    return Check("characters", "ok", f"{locale}; plots are drawn like this: ⣀⡠⠔⠊⠉⠒⠤⣀")


def logout_check(survives: bool, sentence: str) -> Check:
    """Whether a run outlives the session, from what `machine.survives_logout` answers."""
    found, _, advice = sentence.partition("; ")
    return Check("logout", "ok" if survives else "warning", found, advice or None)
