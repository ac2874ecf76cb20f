"""What this machine has, what is missing, and what to do about it.

torch and bitsandbytes are tried in another process: importing them takes seconds and gigabytes, and
a broken build can take its process down. All else is looked at here meanwhile.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import textwrap
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Literal

from sftui.machine import installed_version, survives_logout, without_home
from sftui.telemetry import GpuSample, Nvml, Ram, cpu_count

Status = Literal["ok", "warning", "error"]
SYMBOLS: Mapping[Status, str] = {"ok": "✓", "warning": "!", "error": "✗"}

GIB = 2**30
PROBE_TIMEOUT_S = 120.0
"""A first import of torch from a network disk takes a minute."""

Facts = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Check:
    """One thing looked at. `error`: sftui cannot train here; `warning`: it can, with a drawback."""

    name: str
    status: Status
    found: str
    advice: str | None = None


def diagnose() -> list[Check]:
    """Look at everything; takes as long as torch and bitsandbytes take to import and try."""
    probe = start_probe()
    nvml = Nvml()
    gpus = nvml.read()
    nvml.close()
    environ = os.environ
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


# GPU, torch and bitsandbytes

PROBE = """
import json, warnings

def torch_facts(facts):
    import torch
    facts.update(version=torch.__version__, cuda=torch.version.cuda, hip=torch.version.hip, devices=[])
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            with torch.cuda.device(index):
                properties = torch.cuda.get_device_properties(index)
                facts["devices"].append({
                    "name": properties.name,
                    "capability": f"{properties.major}.{properties.minor}",
                    "bfloat16": torch.cuda.is_bf16_supported(including_emulation=False),
                })
                ones = torch.ones(64, 64, device="cuda")
                assert (ones @ ones)[0, 0].item() == 64, "a matrix product came out wrong"

def bitsandbytes_facts(facts):
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit
    facts["device"] = device = "cuda" if torch.cuda.is_available() else "cpu"
    weights = torch.randn(256, 256, generator=torch.Generator().manual_seed(0)).to(device)
    restored = dequantize_4bit(*quantize_4bit(weights, quant_type="nf4"))
    facts["mean_error"] = ((restored - weights).abs().mean() / weights.abs().mean()).item()

for name, look in {"torch": torch_facts, "bitsandbytes": bitsandbytes_facts}.items():
    facts = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            look(facts)
        except Exception as error:
            facts["error"] = f"{type(error).__name__}: {error}"
    facts["warnings"] = [str(warning.message) for warning in caught]
    print(json.dumps({name: facts}), flush=True)
"""
"""Prints one JSON line for torch, then one for bitsandbytes: the first stands if the second crashes.

One process for both: the second needs torch too, and importing it twice at once takes longer.
"""

MEAN_ERROR_LIMIT = 0.15
"""NF4 of normally distributed weights is off by 9% on average; more means a broken kernel."""


def start_probe(program: str = PROBE) -> subprocess.Popen[str]:
    """Start trying torch and bitsandbytes.

    `-P` keeps the current directory off the import path: people have a folder named `datasets`.
    """
    return subprocess.Popen(
        [sys.executable, "-P", "-c", program],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def read_probe(process: subprocess.Popen[str], timeout_s: float = PROBE_TIMEOUT_S) -> dict[str, Facts]:
    """What the probe found; for a part that it did not reach, an `error` that says how it ended."""
    try:
        output, _ = process.communicate(timeout=timeout_s)
        ended = f"the process that tried it ended with status {process.returncode}"
        if process.returncode < 0:
            ended = f"the process that tried it was ended by signal {-process.returncode}"
    except subprocess.TimeoutExpired:
        process.kill()
        output, _ = process.communicate()
        ended = f"trying it took longer than {timeout_s:g} s"
    facts: dict[str, Facts] = {"torch": {"error": ended}, "bitsandbytes": {"error": ended}}
    for line in output.splitlines():
        try:
            facts |= json.loads(line)
        except (ValueError, TypeError):
            continue  # a library printed something of its own
    return facts


def gpu_check(
    gpus: Sequence[GpuSample], nvml: Nvml, torch_facts: Facts, visible_devices: str | None = None
) -> Check:
    """The GPUs that the NVIDIA driver knows, and how many of them are ours."""
    if not gpus:
        if torch_facts.get("devices"):
            return Check("GPU", "ok", f"not an NVIDIA one ({nvml.problem}); memory and load are not shown")
        return Check(
            "GPU",
            "warning",
            f"none: {nvml.problem}",
            "all works without one, but training runs on the CPU and is slow, NF4 too",
        )
    ours = [gpu for gpu in gpus if gpu.visible]
    found = _models(ours or gpus)
    if nvml.driver_version:
        found += f", driver {nvml.driver_version}"
    if nvml.cuda_version:
        found += f", CUDA up to {nvml.cuda_version}"
    if not ours:
        found += f"; hidden by CUDA_VISIBLE_DEVICES={visible_devices}"
        return Check("GPU", "warning", found, "to train on it: unset CUDA_VISIBLE_DEVICES")
    if len(ours) < len(gpus):
        found += f"; {len(ours)} of {len(gpus)} by CUDA_VISIBLE_DEVICES={visible_devices}"
    if nvml.problem:
        return Check("GPU", "warning", f"{found}; {nvml.problem}", "see: sudo dmesg | grep -i nvrm")
    return Check("GPU", "ok", found)


def _models(gpus: Iterable[GpuSample]) -> str:
    """`2 × NVIDIA H200 139.8 GiB`: each model once."""
    count = Counter(
        gpu.name if gpu.total_bytes is None else f"{gpu.name} {_gib(gpu.total_bytes)}" for gpu in gpus
    )
    return ", ".join(name if number == 1 else f"{number} × {name}" for name, number in count.items())


def torch_checks(facts: Facts, gpus: Sequence[GpuSample]) -> list[Check]:
    """Which build torch is, and, where there is a GPU, whether it computes there."""
    devices = facts.get("devices", [])
    error = facts.get("error")
    if "version" not in facts:
        found = f"torch does not work: {_line(error)}"
        return [Check("torch build", "error", found, "see: python -c 'import torch'")]
    build = f"CUDA {facts['cuda']}" if facts["cuda"] else f"ROCm {facts['hip']}" if facts["hip"] else "CPU"
    expected = any(gpu.visible for gpu in gpus)
    if build == "CPU" and expected:
        return [
            Check(
                "torch build",
                "error",
                "for the CPU only, and there is a GPU",
                "install a build for CUDA: https://pytorch.org/get-started/locally",
            )
        ]
    checks = [Check("torch build", "ok", f"for {build}")]
    if error:
        # torch is there and a GPU too: what fails is starting or running a kernel on it.
        advice = "install a torch build for this GPU and driver: https://pytorch.org/get-started/locally"
        checks.append(Check("CUDA", "error", f"does not work: {_line(error)}", advice))
    elif devices:
        names = Counter(
            f"{device['name']} (capability {device['capability']})" for device in facts["devices"]
        )
        found = ", ".join(name if number == 1 else f"{number} × {name}" for name, number in names.items())
        if all(device["bfloat16"] for device in devices):
            checks.append(Check("CUDA", "ok", f"{found}, bfloat16"))
        else:
            checks.append(Check("CUDA", "warning", f"{found}, no bfloat16", "set model.dtype: float16"))
    elif expected:
        reason = next((text for text in facts.get("warnings", []) if "CUDA" in text), "torch sees no GPU")
        advice = "update the driver, or install a torch build for an older CUDA"
        checks.append(Check("CUDA", "error", f"does not work: {_line(reason)}", advice))
    return checks


def quantization_check(facts: Facts) -> Check:
    """Whether weights survive being stored in 4 bits: a round trip through bitsandbytes."""
    name = "4-bit weights"
    if "error" in facts:
        found = f"bitsandbytes does not work: {_line(facts['error'])}"
        return Check(name, "error", found, "see: python -m bitsandbytes; or set model.quantization: none")
    device, error = str(facts["device"]).upper(), facts["mean_error"]
    found = f"NF4 on {device}, there and back with a mean error of {error:.0%}"
    # Not `error > limit`: that is false for NaN.
    if not error <= MEAN_ERROR_LIMIT:
        return Check(name, "error", f"{found}: too much", "reinstall bitsandbytes")
    return Check(name, "ok", found)


# Memory, disk and the Hub


def ram_check() -> Check:
    """Main memory that is there for a run, and the cores beside it."""
    try:
        used, total = Ram(os.getpid()).read()
    except ImportError:
        return Check("RAM", "warning", "unknown: psutil cannot be imported", "reinstall psutil")
    cores = cpu_count()
    found = f"{_gib(total - used)} of {_gib(total)} free, {cores} core{'' if cores == 1 else 's'}"
    if total - used < 4 * GIB:
        return Check("RAM", "warning", found, "weights are loaded through it: free some, or add swap")
    return Check("RAM", "ok", found)


def disk_check(directory: Path) -> Check:
    """Where runs are made unless the recipe's output_dir says otherwise."""
    free = shutil.disk_usage(directory).free
    found = f"{_gib(free)} free in {_short(directory)}"
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
    found = f"{_gib(free)} free in {_short(cache)}"
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
    locale = next((environ[name] for name in ("LC_ALL", "LC_CTYPE", "LANG") if environ.get(name)), "")
    if "utf8" not in locale.lower().replace("-", ""):
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


def _gib(size: int) -> str:
    return f"{size / GIB:.1f} GiB"


def _short(path: str | Path) -> str:
    return without_home([str(path)], Path.home())[0]


def _line(text: object, limit: int = 200) -> str:
    """The first line of a library's message, which may be pages long."""
    lines = str(text).strip().splitlines()
    line = lines[0] if lines else ""
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
