"""Facts about this machine and this installation: what is written to a run's environment.json, and
whether a run outlives the session that started it.

Nothing here imports torch or another large library: versions are read from package metadata.
"""

from __future__ import annotations

import os
import platform
import pwd
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from sftui.ram import Ram
from sftui.telemetry import Nvml, cpu_count

PACKAGES = (
    "sftui",
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "textual",
)
"""Packages whose versions decide how a run comes out or how it is shown."""

GIT_TIMEOUT_S = 3.0
LOGINCTL_TIMEOUT_S = 2.0

Settings = Mapping[str, str]


def environment(command: Sequence[str]) -> dict[str, Any]:
    """What environment.json holds: when, where, with which versions and from which commit a run starts.

    No user names: the home directory in `command` is written as `~`. What cannot be found out is None.
    """
    gpus, driver = _gpus()
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": platform.node(),
        "os": operating_system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "packages": {name: installed_version(name) for name in PACKAGES},
        "gpus": gpus,
        "driver": driver,
        "cpu": {"model": cpu_model(), "cores": cpu_count()},
        "ram_total_bytes": Ram(os.getpid()).read()[1],
        "git": git_commit(Path.cwd()),
        "command": without_home(command, Path.home()),
    }


def _gpus() -> tuple[list[dict[str, Any]], dict[str, str | None]]:
    nvml = Nvml()
    try:
        gpus = [
            {"index": gpu.index, "name": gpu.name, "total_bytes": gpu.total_bytes, "visible": gpu.visible}
            for gpu in nvml.read()
        ]
        return gpus, {
            "version": nvml.driver_version,
            "cuda_version": nvml.cuda_version,
            "problem": nvml.problem,
        }
    finally:
        nvml.close()


def installed_version(package: str) -> str | None:
    """The version of an installed package, without importing it."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def operating_system() -> str:
    """The distribution by its own name, else the kernel's."""
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", platform.system())
    except OSError:
        return platform.system()


def cpu_model(root: Path = Path("/")) -> str | None:
    """The processor's name; None where Linux does not tell, as on many ARM machines."""
    try:
        text = (root / "proc/cpuinfo").read_text()
    except OSError:
        return None
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else None


def git_commit(directory: Path) -> dict[str, Any] | None:
    """The commit checked out around `directory`, and whether tracked files differ from it.

    None without git, without a repository or without a commit; `dirty` None where git took too long.
    """
    commit = _git(directory, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    # Without optional locks: a look must not get in the way of the person's own git.
    changes = _git(directory, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(directory: Path, *arguments: str) -> str | None:
    return _output(["git", "-C", str(directory), *arguments], GIT_TIMEOUT_S)


def _output(command: list[str], timeout_s: float) -> str | None:
    """What `command` prints, stripped; None when it is absent, fails or takes longer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def without_home(command: Sequence[str], home: Path) -> list[str]:
    """`command` with the home directory written as `~`, wherever in an argument a path begins with it."""
    if home == Path(home.anchor):
        return list(command)
    pattern = re.compile(rf"(?<![\w./-]){re.escape(str(home))}(?=/|$)")
    return [pattern.sub("~", argument) for argument in command]


# What logind does at logout


def survives_logout(
    root: Path = Path("/"), user: str | None = None, ask: Callable[[], Settings | None] | None = None
) -> tuple[bool, str]:
    """Whether a run started from this process goes on after logout, and a sentence that says so.

    Where it does not, or that cannot be known, what to do follows after a semicolon. Two things end processes
    at logout: logind ends what is in a login session's scope (KillUserProcesses), whether the user
    lingers or not; and the user's own systemd ends with the last session, with all it started, unless
    the user lingers. Which of them counts shows in this process's control group.
    """
    user = user or _user()
    scope = "start with: systemd-run --user --scope sftui"
    lingers = (root / "var/lib/systemd/linger" / user).exists()
    group = _text(root / "proc/self/cgroup")
    if re.search(r"/user@\d+\.service\b", group):
        if lingers:
            return True, "runs go on after logout: lingering is enabled"
        return False, "systemd ends runs at logout; before starting one: loginctl enable-linger"
    if group and not re.search(r"/session-[^/]+\.scope\b", group):
        return True, "runs go on after logout: this process is in no login session"
    kills = kill_user_processes(root, user, ask)
    if kills is False:
        return True, "runs go on after logout"
    remedy = scope if lingers else f"once: loginctl enable-linger; then {scope}"
    if kills is None:
        return False, f"it is unknown whether systemd ends runs at logout; to be safe, {remedy}"
    return False, f"systemd ends runs at logout (KillUserProcesses=yes); {remedy}"


def kill_user_processes(
    root: Path = Path("/"), user: str | None = None, ask: Callable[[], Settings | None] | None = None
) -> bool | None:
    """Whether logind ends what `user` (default: this one) leaves running in a session; None: unknown.

    `ask` gives the settings in force, or None where logind does not answer; then its files below
    `root` are read. Lingering does not enter: logind ends a session's scope for lingering users too.
    """
    if not (root / "run/systemd/system").is_dir():
        return False  # systemd is not running here, as in most containers
    settings = (ask or ask_logind)() or logind_settings(root)
    kill = _boolean(settings.get("KillUserProcesses", ""))
    if not kill:
        return kill
    user = user or _user()
    if user in settings.get("KillExcludeUsers", "root").split():
        return False
    only = settings.get("KillOnlyUsers", "").split()
    return not only or user in only


def ask_logind() -> Settings | None:
    """The settings that logind works with now; None where it does not answer."""
    names = ("KillUserProcesses", "KillOnlyUsers", "KillExcludeUsers")
    text = _output(
        ["loginctl", "show-session", *(f"--property={name}" for name in names)], LOGINCTL_TIMEOUT_S
    )
    if text is None:
        return None
    answer = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    return answer if "KillUserProcesses" in answer else None


def logind_settings(root: Path = Path("/")) -> Settings:
    """The [Login] settings as logind.conf(5) puts them together from the files below `root`.

    The first logind.conf of /etc, /run, /usr/local/lib and /usr/lib counts, then the drop-ins in
    order of their names, each name from the first of those folders that has it. Distributions compile
    in different defaults and ship a logind.conf that shows them as comments: such a comment counts
    where nothing is set.
    """
    folders = [root / place / "systemd" for place in ("etc", "run", "usr/local/lib", "usr/lib")]
    mains = [file for folder in folders if (file := folder / "logind.conf").is_file()]
    drop_ins: dict[str, Path] = {}
    for folder in folders:
        for file in (folder / "logind.conf.d").glob("*.conf"):
            drop_ins.setdefault(file.name, file)
    texts = [_text(file) for file in [*mains[:1], *(drop_ins[name] for name in sorted(drop_ins))]]
    settings: dict[str, str] = {}
    for text in map(_text, mains):  # the vendor's, in /usr, last: a person may have edited the one in /etc
        settings |= _login_section(line.removeprefix("#") for line in text.splitlines())
    for text in texts:
        settings |= _login_section(text.splitlines())
    return settings


def _login_section(lines: Iterable[str]) -> dict[str, str]:
    settings: dict[str, str] = {}
    section = ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line
        elif section == "[Login]" and not line.startswith(("#", ";")) and "=" in line:
            name, _, value = line.partition("=")
            settings[name.strip()] = value.strip()
    return settings


def _text(file: Path) -> str:
    try:
        return file.read_text(errors="replace")
    except OSError:
        return ""


def _boolean(value: str) -> bool | None:
    """A systemd boolean; None for anything else."""
    if value.lower() in ("1", "yes", "y", "true", "t", "on"):
        return True
    if value.lower() in ("0", "no", "n", "false", "f", "off"):
        return False
    return None


def _user() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:  # a container may run under an id that has no name
        return str(os.getuid())
