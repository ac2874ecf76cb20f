"""This machine as far as a run needs it: its GPUs and who holds them, RAM, and disk.

psutil and pynvml are imported when they are asked, not with this module.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from sftui.doctor_checks import hub_cache
from sftui.errors import shorten
from sftui.memory.device import Device
from sftui.ram import Ram
from sftui.telemetry import GpuProcess, GpuSample, Nvml

if TYPE_CHECKING:
    from sftui.recipe import Recipe

_MOST_FILES = 2_000  # of a model are looked at


@dataclass(frozen=True, slots=True)
class Holder:
    """A process that holds memory of a GPU. None: another user's, or the driver does not tell."""

    pid: int
    name: str | None
    user: str | None
    used_bytes: int | None


@dataclass(frozen=True, slots=True)
class Machine:
    """This machine now. Bytes; None where it does not tell.

    `devices` are the GPUs that CUDA sees, in its order, `holders` the processes of each. `gpu_problem` says
    why there are none, or why one is missing. RAM is the machine's or, where smaller, what the control group
    may use. Free bytes are those of the disks of `runs_folder` and of `cache_folder`, the Hub's.
    """

    devices: tuple[Device, ...]
    holders: tuple[tuple[Holder, ...], ...]
    gpu_problem: str | None
    ram_used_bytes: int | None
    ram_total_bytes: int | None
    runs_folder: Path
    runs_free_bytes: int | None
    cache_folder: Path
    cache_free_bytes: int | None

    def holders_of(self, device: Device) -> tuple[Holder, ...]:
        """The processes that hold memory of a device; none of one that is not of this machine."""
        pairs = zip(self.devices, self.holders, strict=True)
        return next((found for one, found in pairs if one.here and one.uuid == device.uuid), ())


def look(output_dir: str | Path) -> Machine:
    """This machine, with the disk on which runs are made. Never raises.

    Costs the driver's start and answers: some ms, or a second where no process keeps the driver loaded.
    """
    ram = _ram()
    nvml = Nvml()
    try:
        devices = _devices(nvml, ram)
        holders = tuple(_holders(nvml.processes(device.uuid or "")) for device in devices)
        problem = _problem(nvml)
    finally:
        nvml.close()
    runs, cache = Path(output_dir), _cache()
    return Machine(
        devices=devices,
        holders=holders,
        gpu_problem=problem,
        ram_used_bytes=None if ram is None else ram[0],
        ram_total_bytes=None if ram is None else ram[1],
        runs_folder=runs,
        runs_free_bytes=free_bytes(runs),
        cache_folder=cache,
        cache_free_bytes=free_bytes(cache),
    )


def device_for(recipe: Recipe, machine: Machine | None = None) -> Device | None:
    """The GPU that a run of the recipe takes: the first that CUDA sees; None where it sees none.

    Of the GPUs of several processes, the one with the least free. Without `machine`, the driver is asked.
    """
    if machine is None:
        nvml = Nvml()
        try:
            devices = _devices(nvml, _ram())
        finally:
            nvml.close()
    else:
        devices = machine.devices
    taken = devices[: recipe.training.num_processes]
    return min(taken, key=lambda device: device.free_bytes, default=None)


def free_bytes(folder: Path) -> int | None:
    """What is free on the disk of a folder that need not exist yet."""
    try:
        path = folder.absolute()
        # Not Path.exists: it raises below a folder that this user may not enter.
        existing = next(each for each in (path, *path.parents) if os.access(each, os.F_OK))
        return shutil.disk_usage(existing).free
    except (OSError, ValueError):
        return None


def model_bytes(name_or_path: str, cache: Path) -> int:
    """Bytes of a model on this disk: of its folder's files, or of all its revisions in the Hub cache."""
    local = Path(name_or_path)
    folder = local if local.is_dir() else cache / f"models--{name_or_path.replace('/', '--')}" / "blobs"
    try:
        with os.scandir(folder) as entries:
            return sum(_sizes(islice(entries, _MOST_FILES)))
    except (OSError, ValueError):
        return 0


def _sizes(entries: Iterator[os.DirEntry[str]]) -> Iterator[int]:
    for entry in entries:
        if not entry.name.endswith(".incomplete") and entry.is_file():
            yield entry.stat().st_size


def _cache() -> Path:
    try:
        return hub_cache(os.environ)
    except RuntimeError:  # no home directory
        return Path("huggingface")


def _ram() -> tuple[int, int] | None:
    """(used, total)."""
    try:
        return Ram(os.getpid()).read()
    except (ImportError, OSError):
        return None


def _devices(nvml: Nvml, ram: tuple[int, int] | None) -> tuple[Device, ...]:
    by_uuid = {sample.uuid: sample for sample in nvml.read()}
    found = (_device(nvml, by_uuid[uuid], ram) for uuid in nvml.visible if uuid in by_uuid)
    return tuple(device for device in found if device is not None)


def _device(nvml: Nvml, sample: GpuSample, ram: tuple[int, int] | None) -> Device | None:
    used, total = sample.used_bytes, sample.total_bytes
    if total is None:
        # Without memory of its own it takes the machine's, as a DGX Spark does. A lost GPU tells nothing.
        if ram is None or sample.temperature_celsius is None:
            return None
        used, total = ram
    return Device(
        name=sample.name,
        total_bytes=total,
        used_bytes=used or 0,
        index=sample.index,
        uuid=sample.uuid,
        capability=nvml.capability(sample.uuid),
    )


def _holders(processes: tuple[GpuProcess, ...]) -> tuple[Holder, ...]:
    """The largest first."""
    named = (Holder(process.pid, *_who(process.pid), process.used_bytes) for process in processes)
    return tuple(sorted(named, key=lambda holder: -(holder.used_bytes or 0)))


def _who(pid: int) -> tuple[str | None, str | None]:
    """(name, user) of a process."""
    try:
        import psutil

        process = psutil.Process(pid)
        return process.name(), process.username()
    except (ImportError, OSError, ValueError):
        return None, None
    except psutil.Error:
        return None, None


def _problem(nvml: Nvml) -> str | None:
    if nvml.problem is None and not nvml.visible:
        value = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        return f"CUDA_VISIBLE_DEVICES is {shorten(value)}: no GPU of this machine is left"
    return nvml.problem
