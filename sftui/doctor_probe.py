"""What `sftui doctor` learns of torch and bitsandbytes by trying them, and what that says of the GPUs.

They are tried in another process: importing them takes seconds and gigabytes, and a broken build can
take its process down.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from sftui.doctor_checks import Check, gib
from sftui.telemetry import GpuSample, Nvml

PROBE_TIMEOUT_S = 120.0
"""A first import of torch from a network disk takes a minute."""

Facts = Mapping[str, Any]

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
        gpu.name if gpu.total_bytes is None else f"{gpu.name} {gib(gpu.total_bytes)}" for gpu in gpus
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


def _line(text: object, limit: int = 200) -> str:
    """The first line of a library's message, which may be pages long."""
    lines = str(text).strip().splitlines()
    line = lines[0] if lines else ""
    return line if len(line) <= limit else f"{line[: limit - 1]}…"
